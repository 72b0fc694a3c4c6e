"""A backfill: what the store has not yet, whole or chosen, in pieces and at a bounded rate."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from ccagent.backfill import backfill, preview
from ccagent.clock import FakeClock
from ccagent.errors import InstanceRunningError, UsageError
from ccagent.job import Job, Throttle
from ccagent.selection import Selection
from ccagent.store.instance import InstanceLock
from ccagent.store.location import parse_database
from tests.backfill.ground import Ground, session

DAY_MS = 24 * 3_600 * 1_000


@pytest.fixture
def three(ground: Ground) -> Ground:
    """A ground with a session in each of three projects, none taken in."""
    ground.tree.write(*(session(number) for number in range(3)))
    return ground


def taken(ground: Ground) -> set[str]:
    """Project folders of which anything was taken in."""
    paths = ground.rows('SELECT path FROM file WHERE "offset" > 0')
    return {
        os.fsdecode(bytes(path)).removeprefix(f"{ground.tree.root.resolve()}/").partition("/")[0] for (path,) in paths
    }


def age(ground: Ground, folder: str, days: float) -> None:
    """Let the transcripts of a project have changed so many days ago."""
    moment = time.time() - days * 86_400
    for path in (ground.tree.root / folder).rglob("*.jsonl"):
        os.utime(path, (moment, moment))


def test_everything_is_taken_in_and_the_catch_up_is_done(three: Ground) -> None:
    size = sum(path.stat().st_size for path in three.tree.root.rglob("*.jsonl"))

    report = three.take_in()

    facts, closed = three.rows("SELECT COUNT(*), COUNT(closed_seq) FROM fact")[0]
    assert (report["bytes"], report["facts_added"], report["facts_closed"]) == (size, facts, closed)
    assert closed == facts > 0
    assert report["caught_up"] is True
    assert three.rows("SELECT COUNT(*) FROM host WHERE catch_up_done IS NOT NULL") == [(1,)]
    assert three.rows("SELECT COUNT(*) FROM dirty") == [(0,)]
    assert three.faults() == []


def test_a_second_backfill_finds_nothing_to_do(three: Ground) -> None:
    three.take_in()
    before = three.dump()

    report = three.take_in()

    assert {name: report[name] for name in ("files", "bytes", "facts_added", "facts_closed")} == dict.fromkeys(
        ("files", "bytes", "facts_added", "facts_closed"), 0
    )
    assert three.dump() == before


@pytest.mark.parametrize("project", ["project1", "/home/me/work/project1", "-home-me-work-project1"])
def test_a_project_is_named_by_its_path_or_its_last_folder(three: Ground, project: str) -> None:
    report = three.take_in(projects=(project,))

    assert taken(three) == {"-home-me-work-project1"}
    assert report["not_selected"]["files"] > 0
    assert report["caught_up"] is False
    assert three.rows("SELECT COUNT(*) FROM host WHERE catch_up_done IS NOT NULL") == [(0,)]


def test_selections_add_up_to_everything(three: Ground, tmp_path: Path) -> None:
    for project in ("project0", "project1"):
        assert three.take_in(projects=(project,))["caught_up"] is False

    last = three.take_in(projects=("project2",))

    whole = Ground(tmp_path / "whole", str(tmp_path / "whole.db"))
    whole.tree.write(*(session(number) for number in range(3)))
    whole.take_in()
    assert last["caught_up"] is True
    assert three.dump() == whole.dump()


def test_only_what_changed_since_is_taken_in(three: Ground) -> None:
    age(three, "-home-me-work-project0", 40)
    age(three, "-home-me-work-project1", 29)

    report = three.take_in(since_ms=int(time.time() * 1_000) - 30 * DAY_MS)

    assert taken(three) == {"-home-me-work-project1", "-home-me-work-project2"}
    assert report["caught_up"] is False


def test_what_was_not_chosen_is_not_taken_for_gone(three: Ground) -> None:
    three.take_in()

    three.take_in(projects=("project1",))

    assert {state for (state,) in three.rows("SELECT state FROM file")} == {0}


def test_an_unknown_project_is_refused_with_the_names_there_are(three: Ground) -> None:
    with pytest.raises(UsageError, match=r"no project folder.*-home-me-work-project0"):
        three.take_in(projects=("nobody",))


def test_names_of_folders_do_nothing_to_the_terminal_that_shows_them(ground: Ground) -> None:
    for name in ("-red\x1b[31m", "-two\nlines", "-turned\u202e"):
        (ground.tree.root / name).mkdir(parents=True)
        (ground.tree.root / name / "one.jsonl").write_bytes(b"")

    with pytest.raises(UsageError) as refused:
        ground.take_in(projects=("nobody",))

    assert str(refused.value).isprintable()


def test_a_dry_run_tells_what_is_missing_by_project(three: Ground) -> None:
    three.take_in(projects=("project0",))
    size = sum(path.stat().st_size for path in (three.tree.root / "-home-me-work-project1").rglob("*.jsonl"))

    whole, one = (preview(three.config(), three.env, each) for each in (Selection(), Selection(projects=("project1",))))

    assert {project["folder"] for project in whole["projects"]} == {"-home-me-work-project1", "-home-me-work-project2"}
    assert (one["bytes"], one["not_selected"]["bytes"]) == (size, whole["bytes"] - size)


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    ground = Ground(tmp_path, str(tmp_path / "ccagent.db"))
    ground.tree.write(session(0))

    preview(ground.config(), ground.env, Selection())
    assert not Path(ground.database).exists()

    ground.take_in()
    ground.tree.write(session(1))
    before = hashlib.sha256(Path(ground.database).read_bytes()).digest()

    report = preview(ground.config(), ground.env, Selection())

    assert report["files"] > 0
    assert hashlib.sha256(Path(ground.database).read_bytes()).digest() == before


def test_a_file_that_only_grew_is_counted_by_what_is_new(three: Ground) -> None:
    three.take_in()
    three.tree.append(session(0), b'{"type":"mode","mode":"default"}\n')

    report = preview(three.config(), three.env, Selection())

    assert (report["files"], report["bytes"]) == (1, 33)


def test_an_unfinished_line_is_left_and_told(ground: Ground) -> None:
    made = session(0)
    ground.tree.put(made.path, made.content + b'{"type":"us')

    report = ground.take_in()

    assert report["bytes"] == len(made.content)
    assert report["caught_up"] is True


def test_what_went_before_it_was_whole_is_counted_as_lost(ground: Ground) -> None:
    made = session(0)
    path = ground.tree.put(made.path, made.content + b'{"type":"us')
    ground.take_in()
    path.unlink()

    ground.take_in()
    ground.take_in()

    assert ground.rows("SELECT value FROM total WHERE metric = 'ingest.lost'") == [(11,)]


def test_while_somebody_holds_the_store_nothing_is_done(three: Ground) -> None:
    config = three.config()
    with (
        InstanceLock(parse_database(config.database, config.paths.state_dir)),
        pytest.raises(InstanceRunningError) as refused,
    ):
        three.take_in()

    assert refused.value.exit_code == 75
    assert "takes in by itself" in str(refused.value)


def test_a_bounded_rate_is_kept(tmp_path: Path) -> None:
    ground = Ground(tmp_path, str(tmp_path / "ccagent.db"))
    ground.tree.write(*(session(number) for number in range(3)))
    size = sum(path.stat().st_size for path in ground.tree.root.rglob("*.jsonl"))
    rate = 200_000

    started = time.monotonic()
    backfill(ground.config(), ground.env, Selection(), rate=rate)
    seconds = time.monotonic() - started

    assert seconds > 0.7 * (size - 64 * 1024) / rate


def test_a_throttle_lets_through_what_the_rate_allows() -> None:
    clock = FakeClock()
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        clock.advance(round(seconds * 1_000))

    throttle = Throttle(1_000_000, clock.monotonic, sleep)
    for _ in range(20):
        throttle.spent(throttle.step)

    assert throttle.step == 250_000
    assert clock.monotonic() == pytest.approx(20 * 0.25, abs=0.3)
    assert len(waited) >= 18

    clock.advance(60_000)  # what was not used is not saved up
    waited.clear()
    for _ in range(3):
        throttle.spent(throttle.step)
    assert sum(waited) == pytest.approx(0.5, abs=0.01)


def test_without_a_rate_nobody_waits() -> None:
    throttle = Throttle(None, lambda: 0.0, lambda seconds: pytest.fail("it waited"))

    throttle.spent(1 << 40)

    assert throttle.step == 1 << 20


def test_the_lock_is_free_after_a_job_that_failed(three: Ground) -> None:
    with pytest.raises(UsageError):
        three.take_in(projects=("nobody",))

    with Job(three.config(), three.env) as job:
        assert job.store.files() == []
