"""One transaction of the store: what it writes, what it counts, and what a failure leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from ccagent.errors import StoreError
from tests.sources.feed import Feed, files_of
from tests.store.faulty import Faulty
from tests.transcripts import Session, spliced, text, tool_use, truncated

pytestmark = pytest.mark.usefixtures("either_store")


@pytest.fixture
def session() -> Session:
    session = Session("s")
    session.prompt("hello")
    session.bash("ls")
    return session


def state(feed: Feed) -> tuple[object, ...]:
    """All that a failed transaction must leave alone."""
    return feed.dump(), feed.totals(), feed.store.files(), feed.scalar("SELECT seq FROM host")


def test_change_numbers_grow_with_every_change(session: Session) -> None:
    feed = Feed().read(session)
    before = {row["source_key"]: row["seq"] for row in feed.events()}

    session.request()
    feed.read(session)

    after = {row["source_key"]: row["seq"] for row in feed.events()}
    changed = {key for key, seq in after.items() if before.get(key) != seq}
    assert "session:s" in changed
    assert len(set(after.values())) == len(after)
    assert min(after[key] for key in changed) > max(before.values())


def test_the_same_lines_again_change_no_number(session: Session) -> None:
    feed = Feed().read(session)
    before = {row["source_key"]: row["seq"] for row in feed.events()}

    feed.take((session.path, session.content), again=True)

    assert {row["source_key"]: row["seq"] for row in feed.events()} == before


def test_facts_of_the_first_catch_up_are_backfill_and_later_ones_live(session: Session) -> None:
    feed = Feed().read(session)
    feed.store.catch_up_done()
    session.prompt("next")

    feed.read(session)

    assert [row["source"] for row in feed.events("prompt")] == ["backfill", "live"]


def test_carry_and_offset_are_committed_together(tmp_path: Path, session: Session) -> None:
    session.assistant(tool_use("t", "Bash"))
    feed = Feed(tmp_path / "a.db").read(session)
    feed.close()
    session.result("t", "fine")

    again = Feed(tmp_path / "a.db").read(session)

    assert again.event("tool:t")["exit_code"] == 0
    assert again.store.files()[0].offset == len(session.content)
    again.close()


def test_files_come_without_the_largest_part_of_them_where_it_is_not_wanted(session: Session) -> None:
    feed = Feed().read(session)
    (whole,), (slim,) = feed.store.files(), feed.store.files(carry=False)

    assert whole.carry
    assert slim == replace(whole, carry=None)


def test_a_spliced_and_a_truncated_line_are_quarantined_without_their_bytes(session: Session) -> None:
    second, first = session.lines.pop().raw, session.lines.pop().raw
    session.raw(spliced(first, second))
    session.raw(truncated(second))

    feed = Feed().read(session)

    rows = feed.store.conn.execute("SELECT reason, recovered, length FROM quarantine ORDER BY recovered").fetchall()
    half = len(truncated(second))
    assert rows == [("garbage", 0, half), ("spliced", 2, len(first) - 1 + len(second))]
    assert feed.counted("quarantine.lines") == {'["garbage"]': 1, '["spliced"]': 1}


def test_a_bad_line_read_again_is_counted_once(session: Session) -> None:
    session.raw(b"{broken\n")
    feed = Feed().read(session)

    feed.take((session.path, session.content), again=True)

    assert feed.scalar("SELECT count(*) FROM quarantine") == 1
    assert feed.total("quarantine.lines") == 1


def test_every_object_and_every_broken_piece_is_counted_once(session: Session) -> None:
    session.raw(b"{broken\n\n")
    session.raw(b'{"type":"mode"}{"type":"nobody-knows"}\n')
    session.request()

    feed = Feed().read(session)

    counted = {
        tuple(labels.strip('[]"').split('","')): amount for labels, amount in feed.counted("ingest.records").items()
    }
    objects = sum(amount for (_, status), amount in counted.items() if status != "quarantined")
    assert objects == 3 + 2 + 1
    assert {key: amount for key, amount in counted.items() if key[1] == "quarantined"} == {("broken", "quarantined"): 1}
    assert feed.total("ingest.bytes") == len(session.content)


def test_facts_of_several_files_in_one_transaction_know_their_files(session: Session) -> None:
    other = Session("t", seed=9)
    other.prompt("hi")
    feed = Feed()

    feed.take((session.path, session.content), (other.path, other.content))

    files = {row["session_id"]: row["file_id"] for row in feed.events("prompt")}
    assert sorted(files.values()) == feed.file_ids(session.path, other.path)


def test_a_relinked_agent_takes_its_whole_branch_along() -> None:
    session = Session("s", version="2.1.30")
    session.prompt("hello")
    tool = session.launch()
    child = session.agent(agent_id="a1")
    inner_tool = child.launch()
    inner = child.agent(agent_id="a2")
    deep = inner.request()
    child.landed(inner_tool, inner)
    session.landed(tool, child)
    orphans = Feed().read(inner, child)
    assert orphans.event(f"llm:{deep}")["turn_key"] is None

    orphans.read(session)

    assert orphans.event(f"llm:{deep}")["turn_key"] == orphans.events("turn")[0]["turn_key"]
    assert orphans.scalar("SELECT max(depth) FROM agent") == 2


def test_quarters_of_what_changed_are_marked(session: Session) -> None:
    feed = Feed().read(session)
    marked = {row[0] for row in feed.store.conn.execute("SELECT quarter FROM dirty")}

    assert session.now // 900_000 * 900_000 in marked


# ---- failures ------------------------------------------------------------------------------------------------------


@pytest.mark.sqlite
def test_a_full_disk_leaves_nothing_and_the_next_step_takes_all(tmp_path: Path, session: Session) -> None:
    feed = Feed(tmp_path / "a.db").read(session)
    before = state(feed)
    big = Session("big", seed=7)
    for number in range(300):
        big.prompt(f"number {number}")
    pages = feed.scalar("PRAGMA page_count")
    feed.store.conn.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(StoreError, match="is full"):
        feed.read(big)

    assert state(feed) == before
    feed.store.conn.execute("PRAGMA max_page_count = 1000000")
    feed.read(big)
    assert len(feed.events("prompt")) == 301
    assert feed.scalar("PRAGMA integrity_check") == "ok"
    feed.close()


@pytest.mark.sqlite
def test_an_error_of_any_single_write_leaves_nothing(tmp_path: Path, session: Session) -> None:
    extra = Session("extra", seed=7)
    for _ in range(3):
        extra.bash("ls")
    expected = Feed().read(session, extra).dump()
    faults = 0

    with Faulty() as disk:
        for number in range(1, 500):
            feed = Feed(tmp_path / f"{number}.db").read(session)
            before = state(feed)
            disk.fail_at(number)
            try:
                feed.read(extra)
            except StoreError:
                faults += 1
                disk.fail_at(None)
                assert state(feed) == before
                feed.read(extra)
            disk.fail_at(None)
            assert feed.dump() == expected
            feed.close()
            if not disk.failed:
                break

    assert faults > 3


@pytest.mark.sqlite
def test_a_lock_held_by_another_writer_is_told_as_such(tmp_path: Path, session: Session) -> None:
    feed = Feed(tmp_path / "a.db").read(session)
    feed.store.conn.set_busy_timeout(1)
    other = apsw.Connection(str(tmp_path / "a.db"))
    other.execute("BEGIN IMMEDIATE")
    session.request()

    with pytest.raises(StoreError, match="locked by another writer"):
        feed.read(session)

    other.execute("ROLLBACK")
    other.close()
    feed.read(session)
    assert len(feed.events("llm.request")) == 2
    feed.close()


@pytest.mark.sqlite
def test_names_given_in_a_failed_transaction_are_given_anew(session: Session) -> None:
    feed = Feed()
    feed.store.conn.execute(
        "CREATE TEMP TRIGGER refuse BEFORE INSERT ON main.total BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    with pytest.raises(StoreError):
        feed.read(session)
    feed.store.conn.execute("DROP TRIGGER temp.refuse")
    other = Session("t", seed=5, branch="other")
    other.assistant(text("a"), message_id="m")

    feed.read(other, session)

    assert feed.event("llm:m")["git_branch"] == "other"
    assert feed.dump() == Feed().read(session, other).dump()
    assert len(files_of(session, other)) == 2
