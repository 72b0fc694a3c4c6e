"""Archives of removed facts: read by DuckDB, and back in this database or in another."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest

from ccagent.errors import StoreError
from ccagent.store import audit_references, audit_rollups, outbox
from ccagent.store.archive import LEFT_OVER_SECONDS, archives
from ccagent.store.restore import restore
from ccagent.store.view import event_columns
from tests.sources.feed import START_MS, Feed
from tests.store.pruned import DAY_MS, ZONE, amounts, feed_in_zone, links, of_facts, prune, refresh
from tests.transcripts import Session, Usage, text

pytestmark = pytest.mark.usefixtures("either_store")

NOW = START_MS + 40 * DAY_MS
EVENTS = "SELECT * FROM read_json_auto('{}/facts-*.jsonl.gz')"


def sessions() -> list[Session]:
    """Two old ones, of which one has a sub-agent, and a young one."""
    found = []
    for number, (name, days) in enumerate((("old", 0), ("older", -3), ("young", 25))):
        session = Session(name, seed=number, start=START_MS + days * DAY_MS)
        session.prompt("hello")
        session.bash("ls", usage=Usage(input=3, output=50 + number, cache_write=9))
        session.edit("/a.py", added=3, removed=1, usage=Usage(input=5, output=7))
        session.assistant(text("so"), usage=Usage(output=1_000), model="claude-haiku-4-5-20251001")
        found.append(session)
    launched = found[0].launch(usage=Usage(output=9))
    child = found[0].agent()
    child.prompt("look into it")
    child.bash("ls", usage=Usage(output=11))
    found[0].landed(launched, child)
    return found


@pytest.fixture
def feed() -> Feed:
    return filled()


def filled() -> Feed:
    feed = feed_in_zone().read(*sessions())
    feed.until(START_MS + 30 * DAY_MS)
    refresh(feed)
    return feed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def broken(feed: Feed) -> dict[str, list[str]]:
    """Laws of the store that do not hold, with examples."""
    conn = feed.store.conn
    found = [*audit_references.laws(conn), *audit_rollups.laws(conn, ZONE)]
    return {law.name: law.examples for law in found if law.broken}


def column(folder: Path, sql: str) -> list[Any]:
    return [row[0] for row in duckdb.sql(sql.format(folder)).fetchall()]


# ---- the files -------------------------------------------------------------------------------------------------------


def test_duckdb_adds_up_what_the_store_has_removed(feed: Feed, folder: Path) -> None:
    before = {row["model"]: 0 for row in feed.events("llm.request")}
    for row in feed.events("llm.request"):
        if row["session_id"] != "young":
            before[row["model"]] += row["token_output"]

    prune(feed, NOW, archive=folder)

    sums = duckdb.sql(
        f"SELECT model, SUM(token_output) FROM ({EVENTS.format(folder)}) WHERE model IS NOT NULL GROUP BY ALL"
    ).fetchall()
    assert {model: int(tokens) for model, tokens in sums} == before


def test_the_table_has_the_columns_of_the_view_and_its_times_are_times(feed: Feed, folder: Path) -> None:
    prune(feed, NOW, archive=folder)

    described = {row[0]: row[1] for row in duckdb.sql(f"DESCRIBE {EVENTS.format(folder)}").fetchall()}

    assert list(described) == [*event_columns("sqlite"), "raw"]
    assert {described[name] for name in ("occurred_at", "ended_at")} == {"TIMESTAMP WITH TIME ZONE"}
    first = column(folder, f"SELECT epoch_ms(MIN(occurred_at)) FROM ({EVENTS})")
    assert first == [START_MS - 3 * DAY_MS + 1_000]


def test_an_archive_is_private_and_has_the_next_number_of_its_day(feed: Feed, folder: Path) -> None:
    feed.read(Session("ancient", seed=8, start=START_MS - 90 * DAY_MS))
    for months in (2, 1):
        prune(feed, NOW, archive=folder, fact_months=months)
    (late := Session("late", seed=9, start=START_MS)).prompt("hello")
    feed.read(late)
    prune(feed, NOW, archive=folder)

    names = [path.name for path in archives(folder)]
    assert names == ["facts-2026-03-22-1.jsonl.gz", "facts-2026-03-22-2.jsonl.gz"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_what_a_killed_process_left_unfinished_is_cleared_after_a_day(feed: Feed, folder: Path) -> None:
    folder.mkdir()
    old, fresh = folder / ".facts-old.partial", folder / ".facts-fresh.partial"
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (0, old.stat().st_mtime - LEFT_OVER_SECONDS - 60))

    prune(feed, NOW, archive=folder)

    assert (old.exists(), fresh.exists()) == (False, True)


def test_archives_come_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    names = ["facts-2026-03-22-2.jsonl.gz", "facts-2026-03-22-10.jsonl.gz", "facts-2026-04-01-1.jsonl.gz"]
    for name in reversed(names):
        (tmp_path / name).touch()

    assert [path.name for path in archives(tmp_path)] == names


# ---- back ------------------------------------------------------------------------------------------------------------


def test_what_was_removed_comes_back_as_it_was(feed: Feed, folder: Path) -> None:
    whole, launched, rows, counted = feed.dump(), links(feed), amounts(feed), of_facts(feed)
    removed = prune(feed, NOW, archive=folder)
    assert broken(feed) == {}

    done = restore(archives(folder), feed.store)

    assert (done.returned, done.new, done.known) == (removed.facts, 0, 0)
    assert (feed.dump(), links(feed), amounts(feed), of_facts(feed)) == (whole, launched, rows, counted)
    assert broken(feed) == {}


def test_it_may_be_repeated_and_removed_again(feed: Feed, folder: Path) -> None:
    whole = feed.dump()
    removed = prune(feed, NOW, archive=folder)
    restore(archives(folder), feed.store)

    again = restore(archives(folder), feed.store, before=NOW)

    assert (again.returned, again.known, again.before) == (0, removed.facts, 0)
    assert prune(feed, NOW, archive=folder).facts == removed.facts
    restore(archives(folder), feed.store)
    assert feed.dump() == whole


def test_what_comes_back_keeps_the_number_of_its_closing(feed: Feed, folder: Path) -> None:
    """An exporter that has sent it does not send it again."""
    closed = {row["source_key"]: row["closed_seq"] for row in feed.events()}
    last = outbox.last_closed(feed.store.conn, feed.store.host)
    prune(feed, NOW, archive=folder)

    restore(archives(folder), feed.store)

    assert {row["source_key"]: row["closed_seq"] for row in feed.events()} == closed
    assert outbox.last_closed(feed.store.conn, feed.store.host) == last


def test_a_dry_run_changes_nothing(feed: Feed, folder: Path) -> None:
    removed = prune(feed, NOW, archive=folder)
    left = feed.dump()

    done = restore(archives(folder), feed.store, before=START_MS, dry_run=True)

    assert done.returned == removed.facts
    assert 0 < done.before < removed.facts
    assert feed.dump() == left


def test_another_database_takes_the_facts_in_as_new(feed: Feed, folder: Path) -> None:
    whole = [row for row in feed.events() if row["session_id"] != "young"]
    removed = prune(feed, NOW, archive=folder)
    other = feed_in_zone()

    done = restore(archives(folder), other.store)

    assert (done.new, done.returned) == (removed.facts, 0)
    fields = (
        "source_key",
        "model",
        "token_output",
        "cost_microusd",
        "turn_key",
        "request_key",
        "occurred_at",
        "status",
    )
    assert [{key: row[key] for key in fields} for row in other.events()] == [
        {key: row[key] for key in fields} for row in whole
    ]
    assert other.total("tokens") == sum((row["token_output"] or 0) + (row["token_input"] or 0) for row in whole) + 18
    assert amounts(other) != {}
    assert broken(other) == {}
    assert restore(archives(folder), other.store).known == removed.facts


def test_payloads_that_were_removed_before_are_in_no_archive(feed: Feed, folder: Path) -> None:
    prune(feed, NOW, archive=folder, payload_days=1)

    assert column(folder, f"SELECT COUNT(payload_json) FROM ({EVENTS})") == [0]


def test_a_payload_that_is_too_old_by_now_does_not_come_back(feed: Feed, folder: Path) -> None:
    prune(feed, NOW, archive=folder)
    prune(feed, NOW, payload_days=1)

    restore(archives(folder), feed.store)

    assert column(folder, f"SELECT COUNT(payload_json) FROM ({EVENTS})")[0] > 0
    assert [row for row in feed.events() if row["payload_json"] is not None] == []


def test_a_path_that_is_no_text_comes_back(folder: Path) -> None:
    feed = feed_in_zone()
    session = sessions()[1]
    feed.read(session)
    feed.until(START_MS + 30 * DAY_MS)
    feed.store.write(lambda conn: conn.execute("UPDATE file SET path = ?", (b"/p/\xff\xfe.jsonl",)))
    prune(feed, NOW, archive=folder)

    restore(archives(folder), feed.store)

    paths = feed.store.conn.execute("SELECT DISTINCT f.path FROM fact x JOIN file f ON f.id = x.file").fetchall()
    assert [bytes(path) for (path,) in paths] == [b"/p/\xff\xfe.jsonl"]
    assert feed.scalar("SELECT COUNT(*) FROM file") == 1


# ---- what is no archive ----------------------------------------------------------------------------------------------


def test_an_archive_that_is_cut_off_is_named_with_its_line(feed: Feed, folder: Path) -> None:
    prune(feed, NOW, archive=folder)
    (path,) = archives(folder)
    path.write_bytes(path.read_bytes()[:-200])

    with pytest.raises(StoreError, match=r"facts-2026-03-22-1\.jsonl\.gz, line \d+: cannot be read"):
        restore([path], feed.store)


def test_a_record_whose_key_is_not_its_own_is_passed_over(feed: Feed, folder: Path) -> None:
    removed = prune(feed, NOW, archive=folder)
    (path,) = archives(folder)
    records = [orjson.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    records[0]["raw"]["native"] += "x"
    path.write_bytes(gzip.compress(b"\n".join(map(orjson.dumps, records))))

    done = restore([path], feed.store)

    assert (done.unreadable, done.returned) == (1, removed.facts - 1)


@pytest.mark.parametrize("name", ["none", "empty"])
def test_a_place_without_archives_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(StoreError, match="there is no archive"):
        archives(tmp_path / name)
