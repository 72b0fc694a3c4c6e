"""One turn at one file: where lines end, what is left alone, what is too long."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccagent.follow.handles import open_for_reading
from ccagent.follow.reader import PIECE_BYTES, Limits, last_line_end, read_turn
from ccagent.follow.state import LIVE, FileState
from tests.follow.driver import Session, append, write_new

SMALL = Limits(turn_bytes=16, max_line=64)


def unread(path: Path) -> FileState:
    return FileState(
        file_id=1, path=os.fsencode(path), device=0, inode=0, size=0, mtime_ns=0, offset=0, head=b"", head_length=0,
        marker=b"", generation=0, lines=0, state=LIVE,
    )  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.jsonl"


@pytest.fixture
def descriptor(path: Path) -> Iterator[int]:
    path.touch()
    descriptor = open_for_reading(os.fsencode(path))
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize(
    "inner", [b"a\rb", b"a\r", "a\u2028b\u2029c\u0085d".encode(), b"a\x00b", b"a\x0bb\x0cc", b"\xff"]
)
def test_only_a_newline_ends_a_line(path: Path, descriptor: int, inner: bytes) -> None:
    append(path, inner + b"\nrest")

    turn = read_turn(descriptor, unread(path), Limits())

    assert turn.data == inner + b"\n"
    assert turn.state.lines == 1


def test_a_line_without_newline_is_left_alone(path: Path, descriptor: int) -> None:
    append(path, b"half")

    turn = read_turn(descriptor, unread(path), Limits())

    assert (turn.data, turn.state.offset, turn.at_end) == (b"", 0, True)


def test_a_turn_ends_at_the_last_newline_within_its_bytes(path: Path, descriptor: int) -> None:
    append(path, b"12345\n" * 10)

    turn = read_turn(descriptor, unread(path), SMALL)

    assert (turn.data, turn.at_end) == (b"12345\n" * 2, False)


def test_a_line_longer_than_a_turn_comes_whole(path: Path, descriptor: int) -> None:
    append(path, b"x" * 50 + b"\nnext\n")

    turn = read_turn(descriptor, unread(path), SMALL)

    assert turn.data == b"x" * 50 + b"\n"
    assert not turn.at_end


@pytest.mark.parametrize(("length", "whole"), [(63, True), (64, True), (65, False), (1000, False)])
def test_only_a_line_longer_than_the_limit_is_streamed_past(
    path: Path, descriptor: int, length: int, whole: bool
) -> None:
    append(path, b"x" * length + b"\nnext\n")

    turn = read_turn(descriptor, unread(path), SMALL)

    assert (turn.oversize is None) is whole
    assert turn.state.offset == length + 1


def test_an_oversize_line_is_known_by_place_length_and_hash(path: Path, descriptor: int) -> None:
    append(path, b"first\n" + b"x" * 100 + b"\nnext\n")
    first = read_turn(descriptor, unread(path), SMALL)

    turn = read_turn(descriptor, first.state, SMALL)

    assert turn.oversize is not None
    assert (turn.oversize.offset, turn.oversize.length) == (6, 100)
    assert turn.oversize.hash == hashlib.blake2b(b"x" * 100, digest_size=16).digest()


def test_the_search_for_the_end_of_a_growing_line_goes_on_where_it_stopped(path: Path, descriptor: int) -> None:
    limits = Limits(turn_bytes=1024, max_line=64 << 20)
    append(path, b"x" * 8 * PIECE_BYTES)
    turn = read_turn(descriptor, unread(path), limits)
    append(path, b"y" * 10)

    again = read_turn(descriptor, turn.state, limits, long_line=turn.long_line)

    assert again.bytes_read <= 2 * limits.turn_bytes


def test_a_long_unfinished_line_that_was_rewritten_is_searched_anew(path: Path, descriptor: int) -> None:
    append(path, b"x" * 40)
    turn = read_turn(descriptor, unread(path), SMALL)
    with path.open("r+b") as stream:
        stream.write(b"y" * 20 + b"\n" + b"z" * 30)

    again = read_turn(descriptor, turn.state, SMALL, long_line=turn.long_line)

    assert again.data == b"y" * 20 + b"\n"


def test_the_last_line_of_a_deleted_file_gets_its_newline(path: Path, descriptor: int) -> None:
    append(path, b"whole\nhalf")
    first = read_turn(descriptor, unread(path), Limits())

    turn = read_turn(descriptor, first.state, Limits(), final=True)

    assert (turn.data, turn.state.offset) == (b"half\n", 10)


def test_a_huge_line_costs_no_memory(path: Path, descriptor: int) -> None:
    piece = b"x" * (1 << 20)
    with path.open("wb") as stream:
        for _ in range(100):
            stream.write(piece)
        stream.write(b"\nnext\n")
    limits = Limits(turn_bytes=1 << 16, max_line=1 << 20)
    turn = read_turn(descriptor, unread(path), limits)
    tracemalloc.start()

    turns = 1
    while turn.oversize is None:
        turn = read_turn(descriptor, turn.state, limits, long_line=turn.long_line)
        turns += 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert turn.oversize.length == 100 << 20
    assert turns > 1
    assert peak < 4 << 20


@settings(max_examples=40)
@given(st.lists(st.binary(max_size=30).map(lambda data: data.replace(b"\n", b"")), max_size=5), st.binary(max_size=9))
def test_the_end_of_the_last_line_is_found_from_behind(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], tail: bytes
) -> None:
    data = b"".join(line + b"\n" for line in lines) + tail
    path = write_new(tmp_path_factory.mktemp("tail") / "a.jsonl", data)
    descriptor = open_for_reading(os.fsencode(path))

    end = last_line_end(descriptor)
    os.close(descriptor)

    assert end == data.rfind(b"\n") + 1


PIECES = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.sampled_from([b"\n", b"\r\n", "é\u2028\n".encode(), b"{}\n", b"\x00\n", b"y" * 30]),
    ),
    max_size=12,
)


@settings(max_examples=60)
@given(pieces=PIECES, turn_bytes=st.integers(1, 40), budget=st.integers(1, 60))
def test_any_cut_of_the_bytes_yields_the_same_lines(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], turn_bytes: int, budget: int
) -> None:
    path = write_new(tmp_path_factory.mktemp("cut") / "a.jsonl", b"")
    session = Session(path.parent, turn_bytes=turn_bytes, max_line=1000)

    for piece in pieces:
        append(path, piece)
        session.catch_up(budget)

    whole, _, tail = b"".join(pieces).rpartition(b"\n")
    expected = [] if b"\n" not in b"".join(pieces) else whole.split(b"\n")
    assert session.texts() == expected
    assert session.follower.pending_bytes == len(tail)
