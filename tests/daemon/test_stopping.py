"""Told to end, a daemon is gone within two seconds, whatever it is at: reading history, and a destination that lets
nobody in and refuses nobody."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.daemon.collector import PROTOCOLS, options
from tests.daemon.rig import DEADLINE_SECONDS, Ground, small_session

END_SECONDS = 2.0

TRIES = 3
"""The machine may be busy with something else; what a daemon waits for it waits for each time."""

SESSIONS, REQUESTS = 18, 2_000
"""Many times what is read until a daemon is told to end."""


@pytest.fixture
def black_hole() -> Iterator[str]:
    """An address whose queue of new connections is full: who connects there waits without an answer."""
    waiting: list[socket.socket] = []
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(listening.getsockname())
            waiting.append(one)
        with socket.socket() as probe:
            probe.settimeout(0.5)
            with pytest.raises(TimeoutError):
                probe.connect(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        for one in waiting:
            one.close()


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_it_ends_in_time_while_it_reads_history_and_a_destination_is_a_black_hole(
    ground: Ground, black_hole: str, protocol: str
) -> None:
    ground.tree.write(small_session("first"))
    assert ground.once().returncode == 0  # so that there is something to send from the first second on
    for number in range(SESSIONS):
        ground.tree.write(small_session(f"history-{number}", requests=REQUESTS))

    shortest = min(ended_after(ground, *options(black_hole, protocol)) for _ in range(TRIES))

    assert shortest < END_SECONDS


def ended_after(ground: Ground, *destination: str) -> float:
    """How many seconds a daemon needs to end that was told to in the middle of its reading."""
    before = ground.taken()
    daemon = ground.start(*destination)
    daemon.until_logged("export.on")
    daemon.until(lambda: ground.taken() > before, "it reads")

    began = time.monotonic()
    daemon.process.send_signal(signal.SIGTERM)
    code = daemon.process.wait(DEADLINE_SECONDS)
    took = time.monotonic() - began

    assert code == 0, daemon.words
    assert "ingest.caught_up" not in daemon.log.read_text()
    return took
