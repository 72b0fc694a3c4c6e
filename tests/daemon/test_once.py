"""`run --once` as a process: takes in what there is, says what it did, ends."""

from __future__ import annotations

from tests.daemon.rig import KINDS, Ground, small_session


def test_a_tree_is_taken_in_whole(ground: Ground) -> None:
    ground.tree.write(small_session("one", requests=2), small_session("two", requests=3))

    done = ground.once()

    row = ground.usage()
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 files, ")
    assert (row["requests"], row["sessions"]) == (5, 2)
    assert [row["tokens"][kind] for kind in KINDS] == [1 + 2 + 1 + 2 + 3, 50, 500, 0, 0]


def test_an_empty_tree_is_no_error_and_the_demo_is_named(ground: Ground) -> None:
    done = ground.once()

    assert done.returncode == 0
    assert "ccagent demo" in done.stderr


def test_a_tree_that_is_not_there_is_no_error(ground: Ground) -> None:
    ground.root.rmdir()

    done = ground.once()

    assert done.returncode == 0, done.stderr
    assert "No transcripts yet" in done.stderr


def test_a_second_run_parses_nothing(ground: Ground) -> None:
    ground.tree.write(small_session("one"))
    ground.once()
    counted = "SELECT metric, labels, value FROM total WHERE metric LIKE 'ingest.%' ORDER BY 1, 2"
    before = ground.rows(counted)

    second = ground.once()

    assert second.returncode == 0, second.stderr
    assert before != []
    assert ground.rows(counted) == before


def test_what_was_taken_in_equals_an_independent_recount(ground: Ground) -> None:
    ground.tree.write(small_session("one"), small_session("two", requests=4))
    ground.once()

    verdict = ground.verb("verify", "--source", str(ground.root))

    assert verdict.returncode == 0, verdict.stdout


def test_no_file_of_the_database_can_be_read_by_others(ground: Ground) -> None:
    ground.tree.write(small_session("one"))
    ground.once()

    modes = {path.name: path.stat().st_mode & 0o077 for path in ground.database.parent.iterdir()}

    assert modes.keys() >= {"ccagent.db", "ccagent.db.lock"}
    assert set(modes.values()) == {0}
