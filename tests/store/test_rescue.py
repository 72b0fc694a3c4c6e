"""What transcripts no longer hold, saved step by step after a damage."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from ccagent.clock import FakeClock
from ccagent.demo.writer import past_week
from ccagent.errors import StoreError
from ccagent.store import salvage
from ccagent.store.aside import ASIDE, parse_asides, told
from ccagent.store.audit_references import laws
from ccagent.store.backup import backup_sqlite, default_target
from ccagent.store.connection import SqliteConnection
from ccagent.store.damage import heal, suspect
from ccagent.store.location import parse_database
from ccagent.store.rescue import Rescue, opened_backup
from ccagent.store.view import canonical_dump
from tests.sources.feed import START_MS, Feed, files_of
from tests.store.faulty import Faulty
from tests.store.pruned import NOW, amounts, feed_in_zone, prune, two
from tests.store.releases import Release
from tests.transcripts import Session

PAGE = 4_096

FACTS = 51
"""Of one session below: the session, ten turns, ten prompts, twenty requests, ten calls."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ccagent.db"


def session(name: str, turns: int = 10) -> Session:
    found = Session(name, start=START_MS)
    for _ in range(turns):
        found.prompt("hello")
        found.bash("ls")
        found.request("done")
    return found


def back_up(feed: Feed, path: Path) -> Path:
    target = default_target(path, feed.clock.now_ms())
    target.parent.mkdir(exist_ok=True)
    backup_sqlite(feed.store.conn, target)
    return target


def ruin_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(os.urandom(100))


def healed(path: Path) -> Feed:
    """A store in the place of the damaged one."""
    assert heal(parse_database(str(path)), FakeClock(NOW)) is not None
    return Feed(path)


def rescued(feed: Feed) -> list[str]:
    """Everything is saved; what was told on the way."""
    said: list[str] = []
    rescue = Rescue.due(feed.store, lambda path, words: said.append(words))
    assert rescue is not None
    while rescue.step():
        pass
    return said


def test_without_a_damage_nothing_is_due(path: Path) -> None:
    feed = Feed(path)

    assert Rescue.due(feed.store) is None
    feed.close()


def test_the_damaged_file_and_a_backup_each_give_what_the_other_has_not(path: Path) -> None:
    feed = Feed(path)
    feed.read(session("in both"), session("in the backup alone"))
    back_up(feed, path)
    feed.store.write(
        lambda conn: conn.execute(
            "DELETE FROM fact WHERE context IN (SELECT c.id FROM context c JOIN name n ON n.id = c.session"
            " WHERE n.value = 'in the backup alone')"
        )
    )
    feed.read(session("in the file alone"))
    feed.close()
    with closing(apsw.Connection(str(path))) as conn:
        conn.execute("VACUUM")  # or its pages still hold what was deleted
    ruin_header(path)

    again = healed(path)
    again.read(session("in the transcripts"))
    said = rescued(again)

    names = {row["session_id"] for row in again.events("session.lifecycle")}
    assert names == {"in both", "in the backup alone", "in the file alone", "in the transcripts"}
    (aside,) = parse_asides(again.store.meta(ASIDE))
    assert aside.done
    assert f"{aside.saved} facts were saved" in said[-1]
    assert aside.saved == 3 * FACTS
    assert Rescue.due(again.store) is None
    assert not list(path.parent.glob("*.rescue*"))
    again.close()


def test_it_is_told_as_long_as_the_file_lies_there(path: Path) -> None:
    feed = Feed(path)
    feed.read(session("one"))
    feed.close()
    ruin_header(path)
    again = healed(path)
    assert "still to be saved" in told(again.store.conn)[0]
    rescued(again)

    (words,) = told(again.store.conn)
    (aside,) = parse_asides(again.store.meta(ASIDE))
    assert aside.file in words
    assert f"{FACTS} facts" in words
    for part in path.parent.glob("*.corrupt-*"):
        part.unlink()
    assert told(again.store.conn) == []
    again.close()


@pytest.mark.parametrize("steps", range(0, 12, 2))
def test_interrupted_after_any_step_the_next_start_goes_on(
    path: Path, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(salvage, "BATCH", 20)
    feed = Feed(path)
    feed.read(session("one"), session("two"))
    whole = feed.dump()
    back_up(feed, path)
    feed.close()
    ruin_header(path)
    again = healed(path)
    rescue = Rescue.due(again.store)
    assert rescue is not None
    for _ in range(steps):
        rescue.step()
    again.close()

    last = Feed(path)
    rescued(last)

    assert last.dump() == whole
    last.close()


def test_a_store_that_refuses_is_tried_again(path: Path) -> None:
    """The n-th write fails, for every n until none is left to fail; each time it begins anew and passes over the rest."""
    feed = Feed(path)
    feed.read(session("one", turns=2))
    whole = feed.dump()
    feed.close()
    ruin_header(path)
    content = path.read_bytes()
    faults = 0
    with Faulty() as disk:
        for number in range(1, 400, 3):
            for leftover in path.parent.iterdir():
                leftover.unlink()
            path.write_bytes(content)
            again = healed(path)
            rescue = Rescue.due(again.store)
            assert rescue is not None
            disk.fail_at(number)
            more = True
            while more:
                try:
                    more = rescue.step()
                except StoreError:
                    faults += 1
            failed = disk.failed
            disk.fail_at(None)
            assert again.dump() == whole
            again.close()
            if not failed:
                break

    assert not failed
    assert faults > 3


def test_a_backup_in_ruins_is_told_and_the_rest_is_saved(path: Path) -> None:
    feed = Feed(path)
    feed.read(session("one"))
    whole = feed.dump()
    backup = back_up(feed, path)
    feed.close()
    backup.write_bytes(os.urandom(50_000))
    ruin_header(path)

    again = healed(path)
    said = rescued(again)

    assert again.dump() == whole
    assert any("cannot be read" in words for words in said)
    again.close()


def test_a_damaged_file_that_somebody_removed_is_no_obstacle(path: Path) -> None:
    feed = Feed(path)
    feed.read(session("one"))
    whole = feed.dump()
    back_up(feed, path)
    feed.close()
    ruin_header(path)
    again = healed(path)
    for part in path.parent.glob("*.corrupt-*"):
        part.unlink()

    rescued(again)

    assert again.dump() == whole
    again.close()


def test_what_was_saved_without_its_neighbours_breaks_no_law(path: Path) -> None:
    """Leaves in ruins: calls without their requests, sub-agents without their calls."""
    feed = Feed(path)
    for name, data in files_of(*past_week(START_MS, 4)).items():  # type: ignore[arg-type]
        feed.take((name, data))
    assert feed.scalar("SELECT COUNT(*) FROM agent WHERE linked_at IS NOT NULL") > 5
    feed.close()
    with path.open("r+b") as file:
        for number in range(9, path.stat().st_size // PAGE, 4):
            file.seek(number * PAGE)
            file.write(b"\x55" * PAGE)
    suspect(parse_database(str(path)), "as told")

    again = healed(path)
    rescued(again)

    assert [law for law in laws(again.store.conn) if law.broken] == []
    assert again.dump()
    again.close()


@pytest.mark.parametrize("with_backup", [False, True])
def test_rollups_whose_facts_retention_has_removed_stay_what_they_were(path: Path, with_backup: bool) -> None:
    old, young = two()
    feed = feed_in_zone(path)
    feed.read(old, young)
    before = amounts(feed)
    removed = prune(feed, NOW)
    assert removed.facts > 0
    if with_backup:
        back_up(feed, path)
    left = feed.dump()
    feed.close()
    if with_backup:
        ruin_header(path)  # nobody can ask the file itself
    else:
        with closing(apsw.Connection(str(path))) as conn:
            root = conn.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'fact_time'").fetchone()
        assert root is not None
        with path.open("r+b") as file:
            file.seek((int(root[0]) - 1) * PAGE)
            file.write(b"\x55" * PAGE)
        suspect(parse_database(str(path)), "as told")

    again = healed(path)
    again.read(old, young)
    rescued(again)

    assert again.dump() == left
    assert amounts(again) == before
    again.close()


def test_a_copy_of_an_older_version_is_brought_up_to_date_in_a_copy(path: Path, tmp_path: Path) -> None:
    backup = Release(1).write_database(tmp_path / "old.db")
    with closing(apsw.Connection(str(backup))) as conn:
        conn.execute("PRAGMA journal_mode = DELETE").fetchall()
    content = backup.read_bytes()
    with opened_backup(backup, tmp_path / "scratch") as copy:
        assert list(canonical_dump(copy))

    assert backup.read_bytes() == content
    assert not (tmp_path / "scratch").exists()
    with closing(SqliteConnection(str(backup))) as newer:
        newer.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer"), opened_backup(backup, tmp_path / "scratch"):
        pass
