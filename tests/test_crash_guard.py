"""The guard against lines that end the process, over the ends and starts of processes, which are objects here."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import pytest

from ccagent.crash_guard import DEATHS, REMEMBERED, ROOM, CrashGuard

LINES = (b"first", b"", b"second \xe2\x80\xa8 line", b"third")
DATA = b"".join(line + b"\n" for line in LINES)


def digest(line: bytes) -> bytes:
    return blake2b(line, digest_size=16).digest()


@pytest.fixture
def sidecar(tmp_path: Path) -> str:
    return str(tmp_path / "facts.db")


def dies_at(sidecar: str, line: bytes | None, known: tuple[bytes, ...] = ()) -> CrashGuard:
    """A process that dies while this line is derived; of None as soon as it derives."""
    guard = CrashGuard(sidecar, known)
    guard.begin()
    if line is not None:
        assert any(given == line + b"\n" for given, _, _ in guard.lines(DATA, 0)), "it never came there"
    return guard


def passes(guard: CrashGuard, start: int = 0) -> list[tuple[bytes, int, bytes | None]]:
    """What a process that lives through it derives."""
    guard.begin()
    given = list(guard.lines(DATA, start))
    guard.end()
    return given


def test_lines_come_with_their_offsets_cut_at_newlines_alone(sidecar: str) -> None:
    assert passes(CrashGuard(sidecar), 100) == [
        (b"first\n", 100, None), (b"\n", 106, None), (b"second \xe2\x80\xa8 line\n", 107, None), (b"third\n", 123, None),
    ]  # fmt: skip


def test_a_process_that_ended_as_it_should_leaves_nothing_and_nobody_is_careful(sidecar: str) -> None:
    guard = CrashGuard(sidecar)
    passes(guard)
    guard.close()

    assert not Path(sidecar + ".deriving").exists()
    assert not CrashGuard(sidecar).careful


def test_a_process_that_died_outside_of_deriving_makes_nobody_careful(sidecar: str) -> None:
    passes(CrashGuard(sidecar))

    assert not CrashGuard(sidecar).careful


def test_a_death_among_lines_makes_the_next_process_careful_and_condemns_nothing(sidecar: str) -> None:
    for _ in range(2 * DEATHS):
        dies_at(sidecar, None)

    after = CrashGuard(sidecar)

    assert after.careful
    assert after.left_out == frozenset()


def test_a_line_is_left_out_after_three_deaths_of_careful_processes(sidecar: str) -> None:
    dies_at(sidecar, None)
    for _ in range(DEATHS):
        assert dies_at(sidecar, b"third").fresh == frozenset()

    after = CrashGuard(sidecar)

    assert after.left_out == after.fresh == {digest(b"third")}
    assert [(line, left_out) for line, _, left_out in passes(after) if left_out] == [(b"third\n", digest(b"third"))]


def test_what_is_left_out_stays_so_over_starts_and_is_news_once_the_store_has_it_no_more(sidecar: str) -> None:
    dies_at(sidecar, None)
    for _ in range(DEATHS):
        dies_at(sidecar, b"third")
    passes(CrashGuard(sidecar))

    again = CrashGuard(sidecar)
    known = CrashGuard(sidecar, [digest(b"third")])

    assert again.fresh == {digest(b"third")}, "the store does not have it yet"
    assert (known.left_out, known.fresh) == ({digest(b"third")}, frozenset())


def test_deaths_before_a_line_was_passed_do_not_count(sidecar: str) -> None:
    dies_at(sidecar, None)
    for _ in range(DEATHS - 1):
        dies_at(sidecar, b"third")
    passes(CrashGuard(sidecar))
    dies_at(sidecar, None)
    for _ in range(DEATHS - 1):
        dies_at(sidecar, b"third")

    assert CrashGuard(sidecar).left_out == frozenset()


def test_a_death_between_two_files_is_laid_to_no_line(sidecar: str) -> None:
    """Their carried state is asked of the database, and their companions of a drive: either may hang."""
    dies_at(sidecar, None)
    for _ in range(DEATHS + 1):
        guard = CrashGuard(sidecar)
        guard.begin()
        assert len(list(guard.lines(DATA, 0))) == len(LINES)

    after = CrashGuard(sidecar)

    assert (after.careful, after.left_out) == (True, frozenset())


def test_two_lines_are_counted_each_for_itself(sidecar: str) -> None:
    dies_at(sidecar, None)
    for _ in range(DEATHS):
        dies_at(sidecar, b"first")
    for _ in range(DEATHS):
        dies_at(sidecar, b"third")

    assert CrashGuard(sidecar).left_out == {digest(b"first"), digest(b"third")}


def test_a_known_line_is_left_out_by_a_process_that_is_not_careful(sidecar: str) -> None:
    guard = CrashGuard(sidecar, [digest(b"first")])

    assert not guard.careful
    assert [left_out for _, _, left_out in passes(guard)] == [digest(b"first"), None, None, None]


def test_what_is_forgiven_is_derived_again_and_counted_from_nothing(sidecar: str) -> None:
    dies_at(sidecar, None)
    for _ in range(DEATHS):
        dies_at(sidecar, b"third")
    guard = CrashGuard(sidecar, [digest(b"first")])
    guard.forgive()

    assert [left_out for _, _, left_out in passes(guard)] == [None] * len(LINES)
    assert CrashGuard(sidecar).left_out == frozenset()


def test_the_file_holds_no_text_stays_small_and_is_its_owners(sidecar: str) -> None:
    for number in range(2 * REMEMBERED):
        guard = CrashGuard(sidecar)
        guard.careful = True
        guard.begin()
        next(guard.lines(f"secret {number}\n".encode(), 0))

    path = Path(sidecar + ".deriving")
    assert path.stat().st_size == ROOM
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"secret" not in path.read_bytes()


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b'{"at": 7, "deaths": {}}', b'{"at": null, "deaths": {"zz": 1}}', b"\0" * 9]
)
def test_a_torn_file_is_none(sidecar: str, text: bytes) -> None:
    Path(sidecar + ".deriving").write_bytes(text)

    guard = CrashGuard(sidecar)

    assert (guard.careful, guard.left_out) == (False, frozenset())
    assert len(passes(guard)) == len(LINES)


def test_where_no_file_can_be_written_reading_goes_on(tmp_path: Path) -> None:
    guard = CrashGuard(str(tmp_path / "gone" / "facts.db"))

    assert len(passes(guard)) == len(LINES)
    guard.close()


def test_a_link_in_its_place_is_not_followed(sidecar: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    Path(sidecar + ".deriving").symlink_to(victim)

    passes(CrashGuard(sidecar))

    assert victim.read_text() == "mine"
