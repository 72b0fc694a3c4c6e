"""A damaged database under real daemons: noticed, set aside, read anew, and what no transcript holds any more is saved."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from ccagent.demo.writer import past_week
from ccagent.store.backup import backup_sqlite, default_target
from ccagent.store.connection import SqliteConnection
from tests.daemon.rig import DEADLINE_SECONDS, Ground, now_ms
from tests.kill.oracle import dump
from tests.store.releases import Release
from tests.transcripts import Tree

PAGE = 4_096


def overwrite(path: Path, place: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data)


def header(path: Path) -> None:
    """32 bytes at the beginning: nobody can tell any more that it is a database."""
    overwrite(path, 0, os.urandom(32))


def pages(path: Path) -> None:
    """Three pages, one of them the root of the facts."""
    with closing(apsw.Connection(str(path))) as conn:
        roots = [
            conn.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
            for name in ("fact", "fact_time", "context_session")
        ]
    for row in roots:
        assert row is not None
        overwrite(path, (int(row[0]) - 1) * PAGE, b"\x55" * PAGE)


def some_leaves(path: Path) -> None:
    """Every tenth page."""
    for number in range(11, path.stat().st_size // PAGE, 10):
        overwrite(path, number * PAGE, b"\x55" * PAGE)


@pytest.fixture
def week(ground: Ground) -> Ground:
    """A ground with an invented week in its tree."""
    ground.tree.write(*past_week(now_ms(), 1))
    return ground


def fresh(ground: Ground, tree: Path, name: str) -> list[str]:
    """The canonical dump of a new store over that tree."""
    database = ground.folder / f"{name}.db"
    done = ground.verb("run", "--once", "--source", str(tree), "--db", str(database))
    assert done.returncode == 0, done.stderr
    return dump(database)


def back_up(ground: Ground) -> None:
    target = default_target(ground.database, now_ms())
    target.parent.mkdir(exist_ok=True)
    with closing(SqliteConnection(str(ground.database))) as conn:
        backup_sqlite(conn, target)


def suspect(ground: Ground) -> None:
    """As a daemon does that stumbles over damage."""
    Path(f"{ground.database}.suspect").write_text("stumbled\n")


def events(ground: Ground) -> list[dict[str, object]]:
    rows = ground.rows("SELECT source_key, event_type FROM telemetry_events")
    return [dict(zip(("source_key", "event_type"), row, strict=True)) for row in rows]


def remove_half(ground: Ground) -> list[Path]:
    """As the client does after 30 days; what was removed."""
    gone = sorted(ground.root.rglob("*.jsonl"))[::2]
    for path in gone:
        path.unlink()
    return gone


@pytest.mark.parametrize("ruin", [header, pages, some_leaves])
def test_with_all_transcripts_there_the_new_database_is_equal(week: Ground, ruin: Callable[[Path], None]) -> None:
    assert week.once().returncode == 0
    before = dump(week.database)
    ruin(week.database)
    suspect(week)

    done = week.once()

    assert done.returncode == 0, done.stderr
    assert "database.set_aside" in done.stderr
    assert dump(week.database) == before
    assert list(week.database.parent.glob("ccagent.db.corrupt-*"))


@pytest.mark.parametrize("ruin", [header, pages, some_leaves])
def test_facts_whose_transcripts_are_gone_come_back_from_the_backup(week: Ground, ruin: Callable[[Path], None]) -> None:
    whole = fresh(week, week.root, "fresh")
    assert week.once().returncode == 0
    back_up(week)
    remove_half(week)
    ruin(week.database)
    suspect(week)

    done = week.once()

    assert done.returncode == 0, done.stderr
    assert dump(week.database) == whole
    (aside,) = json.loads(str(week.rows("SELECT value FROM meta WHERE name = 'set_aside'")[0][0]))
    assert aside["done"]
    assert aside["saved"] > 0


@pytest.mark.parametrize("ruin", [header, pages])
def test_without_a_backup_they_come_back_from_the_damaged_file_itself(
    week: Ground, ruin: Callable[[Path], None]
) -> None:
    """Neither header nor roots hold a fact; the pages that do can be read."""
    whole = fresh(week, week.root, "fresh")
    assert week.once().returncode == 0
    remove_half(week)
    ruin(week.database)
    suspect(week)

    done = week.once()

    assert done.returncode == 0, done.stderr
    assert dump(week.database) == whole


def test_a_backfill_before_all_is_saved_does_not_end_the_catch_up(week: Ground) -> None:
    whole = fresh(week, week.root, "fresh")
    assert week.once().returncode == 0
    back_up(week)
    remove_half(week)
    pages(week.database)
    suspect(week)
    assert week.once(CCAGENT_FAILPOINT="after_facts:kill").returncode == -signal.SIGKILL

    assert week.verb("backfill", "--source", str(week.root)).returncode == 0
    between = week.rows("SELECT catch_up_done FROM host")
    assert week.once().returncode == 0

    assert between == [(None,)], "what is still to be saved would look like this minute's work"
    assert dump(week.database) == whole
    assert week.rows("SELECT DISTINCT source FROM telemetry_events") == [("backfill",)]


def test_what_cannot_be_read_is_counted_and_the_rest_is_saved(week: Ground) -> None:
    assert week.once().returncode == 0
    before = {row["source_key"] for row in events(week)}
    remove_half(week)
    some_leaves(week.database)
    suspect(week)

    done = week.once()

    assert done.returncode == 0, done.stderr
    after = {row["source_key"] for row in events(week)}
    assert 0.85 * len(before) < len(after & before) < len(before)
    assert after <= before
    check = week.db("check", "--full", "--json")
    assert json.loads(check.stdout)["sound"], check.stdout


def test_a_backup_of_the_first_version_is_good_for_it_too(week: Ground) -> None:
    """Its schema is brought up to date in a copy; the backup stays what it is."""
    assert week.once().returncode == 0
    target = default_target(week.database, now_ms())
    target.parent.mkdir(exist_ok=True)
    Release(1).write_database(target)
    with closing(apsw.Connection(str(target))) as conn:
        conn.execute("PRAGMA journal_mode = DELETE").fetchall()
        natives = {row[0] for row in conn.execute("SELECT native FROM fact")}
    content = target.read_bytes()
    header(week.database)

    done = week.once()

    assert done.returncode == 0, done.stderr
    assert natives <= {row[0] for row in week.rows("SELECT native FROM fact")}
    assert target.read_bytes() == content


def test_a_daemon_that_stumbles_over_damage_ends_with_70_and_the_next_one_heals(week: Ground) -> None:
    """While it runs the pages are in ruins under it; it must neither go on nor come back to the same place for ever."""
    daemon = week.start()
    daemon.until_caught_up()
    before = len(week.rows("SELECT key FROM fact"))
    with closing(apsw.Connection(str(week.database))) as conn:
        conn.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        size = week.database.stat().st_size
    for number in range(1, size // PAGE):
        overwrite(week.database, number * PAGE, b"\x55" * PAGE)
    Tree(week.root).write(*past_week(now_ms(), 2))

    code = daemon.process.wait(DEADLINE_SECONDS)

    assert code == 70, daemon.words
    again = week.start()
    again.until_caught_up()
    again.until(lambda: len(week.rows("SELECT key FROM fact")) > before, "everything is read again")
    status = week.status()
    assert any("corrupt-" in str(one) for one in status["problems"]), status


def test_damage_that_a_single_run_meets_is_healed_by_the_next(week: Ground) -> None:
    """Its pages are in ruins although the last stop was a clean one, so nobody looks before they are needed."""
    assert week.once().returncode == 0
    before = dump(week.database)
    pages(week.database)
    week.tree.write(*past_week(now_ms(), 2))

    met = week.once()

    assert met.returncode == 1
    assert "is damaged" in met.stderr
    healed = week.once()
    assert healed.returncode == 0, healed.stderr
    assert set(before) < set(dump(week.database))


def test_damage_that_a_job_meets_is_healed_by_the_next_start(week: Ground) -> None:
    """Nothing has changed in the tree, so nothing but the note leads that start to the pages in ruins."""
    assert week.once().returncode == 0
    before = dump(week.database)
    pages(week.database)

    met = week.verb("backfill", "--rebuild", "--source", str(week.root))

    assert met.returncode == 1
    assert "the next start of `ccagent run` sets it aside" in met.stderr
    assert week.once().returncode == 0
    assert dump(week.database) == before


def test_the_totals_begin_anew_at_the_sum_of_what_is_there(week: Ground) -> None:
    assert week.once().returncode == 0
    row = week.usage()
    back_up(week)
    remove_half(week)
    header(week.database)

    assert week.once().returncode == 0

    assert week.usage() == row
    booked = week.rows("SELECT sum(value) FROM total WHERE metric = 'tokens'")[0][0]
    assert booked == sum(row["tokens"].values())
