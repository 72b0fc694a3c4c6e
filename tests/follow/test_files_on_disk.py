"""What people and tools do to files, and what must become of the lines in them."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccagent.follow.files import HOT_SECONDS, Tracked
from ccagent.follow.state import GONE, LIVE
from tests.follow.driver import Session, age, append, write_new


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return (tmp_path / "projects").resolve()


def started(root: Path, content: bytes = b"one\ntwo\n", **options: object) -> tuple[Session, Path]:
    path = write_new(root / "p" / "a.jsonl", content)
    session = Session(root, **options)
    session.catch_up()
    return session, path


def test_an_atomic_replace_with_the_same_content_continues(root: Path) -> None:
    session, path = started(root)
    write_new(path.with_suffix(".tmp"), b"one\ntwo\n").replace(path)

    session.catch_up()

    assert session.texts() == [b"one", b"two"]


def test_an_atomic_replace_with_grown_content_continues(root: Path) -> None:
    session, path = started(root)
    write_new(path.with_suffix(".tmp"), b"one\ntwo\nthree\n").replace(path)

    session.catch_up()

    assert session.texts() == [b"one", b"two", b"three"]


def test_an_atomic_replace_with_other_content_is_read_from_the_start(root: Path) -> None:
    session, path = started(root)
    write_new(path.with_suffix(".tmp"), b"ONE\ntwo\nthree\n").replace(path)

    session.catch_up()

    assert session.texts() == [b"one", b"two", b"ONE", b"two", b"three"]
    assert session.ledger.chunks[-1].fresh
    assert session.ledger.states[1].generation == 1


def test_lines_unread_when_a_file_is_replaced_are_read_first(root: Path) -> None:
    session, path = started(root)
    append(path, b"unread\n")
    write_new(path.with_suffix(".tmp"), b"other\n").replace(path)

    session.catch_up()

    assert session.texts() == [b"one", b"two", b"unread", b"other"]


def test_a_truncated_file_is_read_from_the_start(root: Path) -> None:
    session, path = started(root)
    path.write_bytes(b"new\n")

    session.catch_up()

    assert session.texts() == [b"one", b"two", b"new"]


def test_a_file_truncated_and_regrown_past_the_offset_is_read_from_the_start(root: Path) -> None:
    session, path = started(root)
    path.write_bytes(b"uno\ndos\ntres\n")

    session.catch_up()

    assert session.texts() == [b"one", b"two", b"uno", b"dos", b"tres"]


def test_a_rewrite_behind_an_equal_head_is_noticed_by_the_marker(root: Path) -> None:
    head = b"h" * 5000 + b"\n"
    session, path = started(root, head + b"a" * 100 + b"\n")
    path.write_bytes(head + b"b" * 100 + b"\nmore\n")

    session.catch_up()

    assert session.texts()[2:] == [b"h" * 5000, b"b" * 100, b"more"]


def test_a_rewritten_head_before_an_equal_end_is_noticed(root: Path) -> None:
    same = b"s" * 100 + b"\n"
    session, path = started(root, b"one\n" + same)
    path.write_bytes(b"ONE\n" + same + b"more\n")

    session.catch_up()

    assert session.texts()[2:] == [b"ONE", b"s" * 100, b"more"]


def test_a_truncation_to_nothing_is_kept_by_the_store(root: Path) -> None:
    session, path = started(root)
    path.write_bytes(b"")

    session.catch_up()

    assert (session.ledger.states[1].offset, session.ledger.states[1].generation) == (0, 1)


def test_two_files_with_an_equal_beginning_are_both_read(root: Path) -> None:
    session, path = started(root, b"x" * 5000 + b"\n")
    append(Path(shutil.copy(path, root / "p" / "fork.jsonl")), b"fork\n")
    append(path, b"main\n")

    session.catch_up()

    assert sorted(line[:4] for line in session.texts()) == [b"fork", b"main", b"xxxx", b"xxxx"]


def test_a_renamed_file_continues_at_its_offset(root: Path) -> None:
    session, path = started(root)
    before = session.follower.bytes_read
    path.rename(root / "p" / "b.jsonl")

    report = session.catch_up()

    assert (report.renamed, report.gone, report.new) == (1, 0, 0)
    assert session.follower.bytes_read == before
    assert session.ledger.states[1].path == os.fsencode(root / "p" / "b.jsonl")


def test_a_renamed_folder_is_continued_without_reading(root: Path) -> None:
    for number in range(5):
        write_new(root / "p" / "deep" / f"{number}.jsonl", b"%d\n" % number)
    session = Session(root)
    session.catch_up()
    before = session.follower.bytes_read
    (root / "p").rename(root / "q")
    append(root / "q" / "deep" / "0.jsonl", b"more\n")

    report = session.catch_up()

    assert report.renamed == 5
    assert session.follower.bytes_read - before == len(b"more\n")


def test_a_file_renamed_while_nobody_looked_continues_after_the_restart(root: Path) -> None:
    session, path = started(root)
    append(path, b"three\n")
    path.rename(root / "p" / "b.jsonl")

    again = session.restart()
    again.catch_up()

    assert again.texts() == [b"one", b"two", b"three"]
    assert len(again.ledger.states) == 1


def test_a_rename_is_recognised_by_polling_hints(root: Path) -> None:
    session, path = started(root)
    target = path.rename(root / "p" / "b.jsonl")
    append(target, b"three\n")

    session.follower.hint(os.fsencode(target))
    session.follower.poll()
    session.drain()

    assert session.texts() == [b"one", b"two", b"three"]


def test_a_new_file_under_the_old_name_of_a_renamed_one_is_another_file(root: Path) -> None:
    session, path = started(root)
    path.rename(root / "p" / "b.jsonl")
    session.follower.scan()
    write_new(path, b"fresh\n")

    session.catch_up()

    assert session.texts() == [b"one", b"two", b"fresh"]
    assert sorted(state.path[-7:] for state in session.ledger.states.values()) == [b"a.jsonl", b"b.jsonl"]


def test_a_hard_link_is_a_file_of_its_own(root: Path) -> None:
    session, path = started(root)
    os.link(path, root / "p" / "b.jsonl")

    session.catch_up()

    assert session.texts() == [b"one", b"two"] * 2


def test_a_used_again_inode_is_not_taken_for_the_old_file(root: Path) -> None:
    session, path = started(root)
    old = path.stat().st_ino
    path.unlink()
    session.follower.close()
    session = session.restart()
    fresh = [root / "p" / f"{number}.jsonl" for number in range(200)]
    reused = next((item for item in fresh if write_new(item, b"new and longer\n").stat().st_ino == old), None)

    session.catch_up()

    if reused is None:
        pytest.skip("this file system does not use inodes again soon")
    assert session.texts().count(b"new and longer") == fresh.index(reused) + 1


def test_lines_unread_when_a_hot_file_is_deleted_are_still_delivered(root: Path) -> None:
    session, path = started(root)
    append(path, b"three\nlast without newline")
    path.unlink()

    session.catch_up()

    assert session.texts() == [b"one", b"two", b"three", b"last without newline"]
    assert session.ledger.states[1].state == GONE
    assert session.follower.lost_bytes == 0
    assert session.follower.caught_up


def test_a_deleted_file_that_is_back_with_its_last_line_whole_loses_nothing_of_it(root: Path) -> None:
    session, path = started(root)
    append(path, b"half")
    path.unlink()
    session.catch_up()
    session = session.restart()

    write_new(path, b"one\ntwo\nhalf and the rest\nfour\n")
    session.catch_up()

    assert session.texts() == [b"one", b"two", b"half", b"one", b"two", b"half and the rest", b"four"]
    assert session.ledger.states[1].generation == 1
    assert session.ledger.states[1].lines == 4


def test_the_rest_of_a_deleted_file_is_read_again_after_a_rollback(root: Path) -> None:
    session, path = started(root)
    append(path, b"last")
    path.unlink()
    session.follower.scan()

    session.follower.rollback(session.follower.read(1 << 20))
    session.drain()

    assert session.texts() == [b"one", b"two", b"last"]


def test_bytes_of_a_deleted_cold_file_that_were_not_read_are_counted_as_lost(root: Path) -> None:
    path = write_new(root / "a.jsonl", b"one\nhalf")
    age(path, 3600)
    session = Session(root)
    session.catch_up()
    path.unlink()

    report = session.catch_up()

    assert report.gone == 1
    assert session.follower.lost_bytes == 4
    assert session.ledger.states[1].state == GONE


def test_a_root_that_goes_unread_costs_a_look_at_each_file(root: Path) -> None:
    class Asked(dict[bytes, Tracked]):
        times = 0

        def values(self) -> Any:
            self.times += 1
            return super().values()

    for number in range(50):
        write_new(root / f"{number}.jsonl", b"one\n")
    os.link(root / "0.jsonl", root / "same.jsonl")
    session = Session(root)
    session.follower.scan()
    asked = session.follower._files.by_path = Asked(session.follower._files.by_path)
    root.rename(root.with_name("away"))

    report = session.follower.scan()

    assert report.gone == 51
    assert session.follower.lost_bytes == 50 * 4, "two names of one file are lost once"
    assert asked.times < 10


def test_a_root_moved_away_and_back_is_not_read_again(root: Path) -> None:
    session, _ = started(root)
    away = root.rename(root.with_name("away"))
    session.catch_up()
    gone = session.ledger.states[1].state
    away.rename(root)

    report = session.catch_up()

    assert (gone, session.ledger.states[1].state) == (GONE, LIVE)
    assert report.returned == 1
    assert session.texts() == [b"one", b"two"]


def test_a_root_that_comes_late_is_read(root: Path) -> None:
    session = Session(root)
    session.catch_up()
    write_new(root / "p" / "a.jsonl", b"one\n")

    session.catch_up()

    assert session.texts() == [b"one"]


def test_roots_that_are_one_place_are_read_once(root: Path, tmp_path: Path) -> None:
    write_new(root / "p" / "a.jsonl", b"one\n")
    (tmp_path / "link").symlink_to(root)
    session = Session(root, tmp_path / "link", root / "p")

    session.catch_up()

    assert session.texts() == [b"one"]


def test_a_known_file_of_a_root_that_is_not_followed_now_stays_as_it_is(root: Path, tmp_path: Path) -> None:
    session, _ = started(root)
    other = Session(tmp_path / "elsewhere", ledger=session.ledger)

    report = other.catch_up()

    assert (report.gone, other.follower.files) == (0, 0)
    assert session.ledger.states[1].state == LIVE


def test_symlinks_below_a_root_are_not_followed(root: Path, tmp_path: Path) -> None:
    outside = write_new(tmp_path / "outside" / "secret.jsonl", b"secret\n")
    root.mkdir()
    (root / "file.jsonl").symlink_to(outside)
    (root / "folder").symlink_to(outside.parent)
    (root / "loop").symlink_to(root)
    session = Session(root)
    session.follower.hint(os.fsencode(root / "folder" / "secret.jsonl"))

    session.catch_up()
    session.follower.hint(os.fsencode(root / "folder" / "secret.jsonl"))
    session.follower.poll()
    session.drain()

    assert session.texts() == []


def test_pipes_and_sockets_are_passed_over(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root.mkdir()
    os.mkfifo(root / "pipe.jsonl")
    monkeypatch.chdir(root)  # the name of a socket may have only about 100 bytes
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s.jsonl")
        session = Session(root)

        session.catch_up()

    assert (session.follower.files, session.follower.opens) == (0, 0)


def test_a_pipe_in_the_place_of_a_known_file_does_not_hang(root: Path) -> None:
    session, path = started(root)
    append(path, b"three\n")
    session.follower.close()
    session.follower.poll()
    path.unlink()
    os.mkfifo(path)

    session.drain()
    session.catch_up()

    assert session.texts() == [b"one", b"two"]
    assert session.ledger.states[1].state == GONE


@pytest.mark.parametrize("name", [b"new\nline.jsonl", b"\xff\xfe.jsonl", b"..jsonl", b"n" * 249 + b".jsonl"])
def test_names_are_bytes(root: Path, name: bytes) -> None:
    root.mkdir()
    path = os.fsencode(root) + b"/" + name
    with open(path, "wb") as stream:
        stream.write(b"one\n")
    session = Session(root)

    session.catch_up()
    again = session.restart()
    again.catch_up()

    assert again.texts() == [b"one"]
    assert again.ledger.states[1].path == path


@pytest.mark.parametrize("name", ["journal.jsonl", "tool-results/a.jsonl", "a.json", "deep/tool-results/x/a.jsonl"])
def test_what_is_no_transcript_is_passed_over(root: Path, name: str) -> None:
    write_new(root / "p" / name, b"one\n")
    session = Session(root)
    session.catch_up()
    session.follower.hint(os.fsencode(root / "p" / name))
    session.follower.poll()

    session.drain()

    assert session.texts() == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_files_in_a_folder_that_cannot_be_listed_are_not_gone(root: Path) -> None:
    session, path = started(root)
    path.parent.chmod(0)

    report = session.catch_up()
    path.parent.chmod(0o700)

    assert report.gone == 0
    assert [problem.path for problem in report.problems] == [os.fsencode(path.parent)]


def test_folders_that_may_not_be_looked_into_are_counted_as_long_as_it_is_so(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, path = started(root)
    look = os.scandir

    def refusing(folder: bytes) -> Iterator[os.DirEntry[bytes]]:
        if folder == os.fsencode(path.parent):
            raise PermissionError(13, "Permission denied")
        return look(folder)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", refusing)
        reports = [session.catch_up() for _ in range(2)]
    after = session.catch_up()

    assert [(report.refused, len(report.problems)) for report in reports] == [(1, 1), (1, 0)], "told once"
    assert after.refused == 0


def test_a_file_that_cooled_down_keeps_no_descriptor_and_is_read_on_when_it_grows(root: Path) -> None:
    seconds = [0.0]
    path = write_new(root / "a.jsonl", b"one\n")
    session = Session(root, clock=lambda: seconds[0])
    session.catch_up()
    handles = session.follower._turns.handles
    hot = len(handles)

    seconds[0] = HOT_SECONDS + 1
    session.follower.scan()
    cold = len(handles)
    append(path, b"two\n")
    session.catch_up()

    assert (hot, cold, len(handles)) == (1, 0, 1)
    assert session.texts() == [b"one", b"two"]


def test_more_files_than_descriptors_are_kept(root: Path) -> None:
    paths = [write_new(root / f"{number}.jsonl", b"one\n") for number in range(100)]
    session = Session(root)
    session.catch_up()
    for path in paths:
        append(path, b"last")
        path.unlink()

    session.catch_up()

    # Through the 64 descriptors that are kept the rest could still be read.
    assert session.texts().count(b"last") == 64
    assert session.follower.lost_bytes == 0
