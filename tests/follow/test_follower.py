"""What the follower promises its owner: each complete line once, with work bounded by the change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ccagent.follow.reader import STREAM_BYTES
from ccagent.follow.state import UNREADABLE
from tests.follow.driver import Session, age, append, write_new


def test_a_line_is_delivered_once(tmp_path: Path) -> None:
    path = write_new(tmp_path / "p" / "a.jsonl", b"one\ntwo\n")
    session = Session(tmp_path)
    session.catch_up()
    append(path, b"three\n")

    session.catch_up()

    assert session.texts() == [b"one", b"two", b"three"]


def test_offsets_are_those_of_the_file(tmp_path: Path) -> None:
    path = write_new(tmp_path / "a.jsonl", b"one\n")
    session = Session(tmp_path)
    session.catch_up()
    append(path, "zwei\u2028\n3\n".encode())

    session.catch_up()

    content = path.read_bytes()
    assert [content[line.offset :].startswith(line.data + b"\n") for line in session.ledger.lines] == [True] * 3


def test_the_first_chunk_of_a_file_is_fresh_and_later_ones_are_not(tmp_path: Path) -> None:
    write_new(tmp_path / "a.jsonl", b"1234567\n" * 4)
    session = Session(tmp_path, turn_bytes=16)

    session.catch_up()

    assert [chunk.fresh for chunk in session.ledger.chunks] == [True, False]
    assert [chunk.at_end for chunk in session.ledger.chunks] == [False, True]


def test_the_end_is_told_even_if_only_a_torn_line_follows(tmp_path: Path) -> None:
    write_new(tmp_path / "a.jsonl", b"1234567\n1234567\nhalf")
    session = Session(tmp_path, turn_bytes=16)

    session.catch_up()

    assert [(chunk.data, chunk.at_end) for chunk in session.ledger.chunks] == [
        (b"1234567\n1234567\n", False),
        (b"", True),
    ]


def test_a_failed_commit_reads_the_same_bytes_again(tmp_path: Path) -> None:
    write_new(tmp_path / "a.jsonl", b"one\n")
    session = Session(tmp_path)
    session.follower.scan()
    lost = session.follower.read(1 << 20)

    session.follower.rollback(lost)
    session.drain()

    assert [chunk.data for chunk in lost] == [b"one\n"]
    assert session.texts() == [b"one"]


def test_a_file_in_flight_is_not_read_on(tmp_path: Path) -> None:
    write_new(tmp_path / "a.jsonl", b"one\n" * 100)
    session = Session(tmp_path, turn_bytes=16)
    session.follower.scan()
    session.follower.read(1 << 20)

    assert session.follower.read(1 << 20) == []
    assert not session.follower.caught_up


def test_scanning_with_chunks_in_flight_is_refused(tmp_path: Path) -> None:
    write_new(tmp_path / "a.jsonl", b"one\n")
    session = Session(tmp_path)
    session.follower.scan()
    session.follower.read(1 << 20)

    with pytest.raises(RuntimeError, match="commit or roll them back"):
        session.follower.scan()


def test_a_restart_on_unchanged_files_opens_none(tmp_path: Path) -> None:
    for number in range(30):
        write_new(tmp_path / str(number) / "a.jsonl", b"one\n" * number + b"torn")
    session = Session(tmp_path)
    session.catch_up()
    first_opens = session.follower.opens

    again = session.restart()
    again.catch_up()

    assert first_opens >= 30
    # One has no line at all, so the store has no row of it.
    assert (again.follower.opens, again.follower.bytes_read) == (1, 4)
    assert again.follower.caught_up


def test_a_restart_in_the_middle_of_a_file_reads_the_rest(tmp_path: Path) -> None:
    write_new(tmp_path / "a.jsonl", b"1234567\n" * 10)
    session = Session(tmp_path, turn_bytes=16)
    session.follower.scan()
    session.turn(16)

    again = session.restart()
    again.catch_up()

    assert len(again.texts()) == 10


def test_an_appended_line_costs_a_line(tmp_path: Path) -> None:
    path = write_new(tmp_path / "a.jsonl", b"0123456789\n" * 1000)
    session = Session(tmp_path)
    session.catch_up()
    before = session.follower.bytes_read
    append(path, b"new\n")

    session.catch_up()

    assert session.follower.bytes_read - before == 4


def test_a_touched_file_is_known_unchanged_after_a_restart(tmp_path: Path) -> None:
    path = write_new(tmp_path / "a.jsonl", b"one\n")
    session = Session(tmp_path)
    session.catch_up()
    age(path, 5)
    session.catch_up()

    again = session.restart()
    again.catch_up()

    assert again.follower.opens == 0
    assert again.texts() == [b"one"]


def test_an_unreadable_file_is_told_once_and_read_when_it_can_be(tmp_path: Path) -> None:
    path = write_new(tmp_path / "a.jsonl", b"one\n")
    refused = {os.fsencode(path)}

    def opener(name: bytes) -> int:
        if name in refused:
            raise PermissionError(13, "Permission denied")
        return os.open(name, os.O_RDONLY)

    session = Session(tmp_path, opener=opener)
    reports = [session.catch_up() for _ in range(4)]
    unreadable = session.follower.unreadable
    refused.clear()
    session.catch_up()

    assert [problem.reason for report in reports for problem in report.problems] == ["Permission denied"]
    assert unreadable == 1
    assert session.follower.unreadable == 0
    assert session.texts() == [b"one"]


def test_a_file_that_becomes_unreadable_is_so_in_the_store(tmp_path: Path) -> None:
    path = write_new(tmp_path / "a.jsonl", b"one\n")
    refused: set[bytes] = set()

    def opener(name: bytes) -> int:
        if name in refused:
            raise PermissionError(13, "Permission denied")
        return os.open(name, os.O_RDONLY)

    session = Session(tmp_path, opener=opener)
    age(path, 3600)  # a cold file keeps no descriptor
    session.catch_up()
    refused.add(os.fsencode(path))
    append(path, b"two\n")
    age(path, 3600)
    session.restart().catch_up()

    assert session.ledger.states[1].state == UNREADABLE


def test_without_backfill_what_was_there_is_skipped_and_what_comes_is_read(tmp_path: Path) -> None:
    path = write_new(tmp_path / "old.jsonl", b"old\ntor")
    session = Session(tmp_path, backfill=False)
    session.catch_up()
    append(path, b"n\n")
    write_new(tmp_path / "new.jsonl", b"new\n")

    session.catch_up()

    assert sorted(session.texts()) == [b"new", b"torn"]


def test_the_sums_tell_what_is_read_and_what_is_pending(tmp_path: Path) -> None:
    write_new(tmp_path / "a.jsonl", b"one\n")
    write_new(tmp_path / "b.jsonl", b"two\nhalf")
    session = Session(tmp_path)
    session.follower.scan()
    follower = session.follower
    before = (follower.files, follower.total_bytes, follower.unread_bytes, follower.pending_bytes, follower.caught_up)

    session.drain()

    assert before == (2, 12, 12, 0, False)
    assert (follower.unread_bytes, follower.pending_bytes, follower.caught_up) == (0, 4, True)
    assert follower.oldest_unread_mtime_ns is None


def test_a_file_is_quiet_when_it_was_read_and_has_not_changed_since(tmp_path: Path) -> None:
    now = [1000.0]
    path = write_new(tmp_path / "a.jsonl", b"one\n")
    session = Session(tmp_path, clock=lambda: now[0])
    session.catch_up()
    append(path, b"two\n")
    session.follower.poll()
    unread = session.follower.quiet_ids(now[0] + 60, 1)
    session.drain()

    assert unread == set()
    assert session.follower.quiet_ids(now[0] + 0.5, 1) == set()
    assert session.follower.quiet_ids(now[0] + 1, 1) == {1}


def test_the_first_catch_up_takes_the_newest_files_first(tmp_path: Path) -> None:
    for number, name in enumerate(["old", "older", "oldest"]):
        age(write_new(tmp_path / f"{name}.jsonl", name.encode() + b"\n"), 1000 * number)
    session = Session(tmp_path)

    session.catch_up()

    assert session.texts() == [b"old", b"older", b"oldest"]


def test_a_huge_file_does_not_hold_up_small_ones(tmp_path: Path) -> None:
    small = [write_new(tmp_path / f"{number}.jsonl", b"start\n") for number in range(20)]
    huge = write_new(tmp_path / "huge.jsonl", b"start\n")
    session = Session(tmp_path, turn_bytes=1024)
    session.catch_up()
    append(huge, b"0123456789abcde\n" * 4096)
    session.follower.scan()
    for _ in range(5):
        session.turn(1024)
    for path in small:
        append(path, b"small\n")
    session.follower.scan()

    session.turn(128 * 1024)

    assert session.texts().count(b"small") == 20
    assert not session.follower.caught_up


def test_a_line_of_gigabytes_does_not_keep_others_from_being_seen(tmp_path: Path) -> None:
    hole = write_new(tmp_path / "hole.jsonl", b"")
    os.truncate(hole, 4 * STREAM_BYTES)
    append(hole, b"\nbehind\n")
    session = Session(tmp_path, max_line=1 << 21)
    session.follower.scan()
    session.turn()
    passed = list(session.ledger.oversize)

    fresh = write_new(tmp_path / "fresh.jsonl", b"fresh\n")
    session.follower.hint(os.fsencode(os.path.realpath(fresh)))
    session.follower.poll()
    session.drain()

    assert passed == [], "a turn takes a step, not the whole line"
    assert session.texts() == [b"fresh", b"behind"]
    assert [line.length for line in session.ledger.oversize] == [4 * STREAM_BYTES]


def test_small_files_that_never_rest_do_not_starve_a_huge_one(tmp_path: Path) -> None:
    small = [write_new(tmp_path / f"{number}.jsonl", b"start\n") for number in range(3)]
    huge = write_new(tmp_path / "huge.jsonl", b"0123456789abcde\n" * 640)
    session = Session(tmp_path, turn_bytes=1024)

    for _ in range(200):
        for path in small:
            append(path, b"small\n")
        session.follower.scan()
        session.turn(1)

    assert session.texts().count(b"0123456789abcde") == 640
    assert huge.stat().st_size == 640 * 16


def test_a_hot_file_is_found_by_polling_alone(tmp_path: Path) -> None:
    path = write_new(tmp_path / "a.jsonl", b"one\n")
    session = Session(tmp_path)
    session.catch_up()
    append(path, b"two\n")

    found = session.follower.poll()
    session.drain()

    assert found == 1
    assert session.texts() == [b"one", b"two"]


def test_a_cold_file_is_polled_only_when_hinted(tmp_path: Path) -> None:
    path = write_new(tmp_path / "a.jsonl", b"one\n")
    age(path, 3600)
    session = Session(tmp_path)
    session.catch_up()
    append(path, b"two\n")
    unhinted = session.follower.poll()

    session.follower.hint(os.fsencode(path))
    hinted = session.follower.poll()

    assert (unhinted, hinted) == (0, 1)


@pytest.mark.parametrize("hinted", ["new/deep/b.jsonl", "new"])
def test_a_hinted_new_file_or_folder_is_found_without_a_scan(tmp_path: Path, hinted: str) -> None:
    session = Session(tmp_path)
    session.catch_up()
    write_new(tmp_path / "new" / "deep" / "b.jsonl", b"one\n")

    session.follower.hint(os.fsencode(tmp_path / hinted))
    found = session.follower.poll()
    session.drain()

    assert found == 1
    assert session.texts() == [b"one"]


def test_a_change_that_no_hint_announced_is_counted_as_missed(tmp_path: Path) -> None:
    announced, silent = (write_new(tmp_path / name, b"one\n") for name in ("a.jsonl", "b.jsonl"))
    session = Session(tmp_path)
    session.catch_up()
    session.follower.watching = True
    for path in (announced, silent):
        append(path, b"two\n")
        age(path, 60)
    session.follower.hint(os.fsencode(announced))

    session.catch_up()

    assert session.follower.missed == 1
