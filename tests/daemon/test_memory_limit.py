"""A daemon that may have as much memory as its service gives it takes in what is larger or comes faster than it reads, and
shows what it left out."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from tests.daemon.rig import Ground, now_ms, small_session
from tests.transcripts import Session

MEBIBYTE = 1 << 20

BURST_REQUESTS = 12_000

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


def peak_mebibytes(pid: int) -> float:
    """The most memory that a process has had at once."""
    words = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in words.splitlines() if line.startswith("VmHWM:")).split()[1]) / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is Linux's to tell")
def test_a_writer_that_is_faster_makes_it_fall_behind_and_no_larger(ground: Ground) -> None:
    """What is behind waits in the file, not in memory."""
    session = Session("fast", start=now_ms() - 60_000)
    session.prompt("hello")
    path = ground.tree.write(session)
    daemon = ground.start()
    daemon.until_caught_up()
    before = peak_mebibytes(daemon.process.pid)
    written = len(session.content)
    for _ in range(BURST_REQUESTS):
        session.request("y" * 2_000)
    burst = session.content[written:]

    daemon.process.send_signal(signal.SIGSTOP)  # or it is as fast as this writer now and then
    with path.open("ab", buffering=0) as file:
        file.write(burst)
    behind = path.stat().st_size - ground.taken()
    daemon.process.send_signal(signal.SIGCONT)
    daemon.until(lambda: ground.requests() == BURST_REQUESTS, "all of it is taken in")
    grown = peak_mebibytes(daemon.process.pid) - before

    assert behind == len(burst) > 24 * MEBIBYTE
    assert grown < 20, "what waits is held in memory"
    assert daemon.terminate() == 0
