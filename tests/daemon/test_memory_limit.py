"""A daemon that may have as much memory as its service gives it takes in what is larger, and shows what it left out."""

from __future__ import annotations

import sys

import pytest

from tests.daemon.rig import Ground, now_ms, small_session
from tests.transcripts import Session

MEBIBYTE = 1 << 20

LIMIT = f"""
import os, resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (256 * {MEBIBYTE}, 256 * {MEBIBYTE}))
os.execv(sys.argv[1], sys.argv[1:])
"""
"""What the unit asks to stay below (MemoryHigh), as a limit at which no more memory is to be had."""


def long_session(name: str, characters: int) -> Session:
    """A session in which a person pasted that much."""
    session = Session(name, start=now_ms() - 60_000)
    session.prompt("x" * characters)
    session.request()
    return session


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_lines_of_many_megabytes_and_one_beyond_the_limit_are_taken_in_within_the_memory_of_the_service(
    ground: Ground,
) -> None:
    ground.tree.write(*(long_session(f"long-{number}", 16 * MEBIBYTE) for number in range(4)))
    ground.tree.write(long_session("beyond", 100 * MEBIBYTE))
    ground.tree.write(small_session("small", requests=200))

    daemon = ground.start(prefix=(sys.executable, "-c", LIMIT))
    daemon.until_caught_up()

    assert ground.requests() == 4 + 1 + 200
    assert ground.rows("SELECT reason FROM quarantine") == [("oversize",)]
    assert daemon.terminate() == 0
