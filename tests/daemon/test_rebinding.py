"""A port that was taken is bound as soon as a later try finds it free."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from ccagent.clock import FakeClock
from ccagent.config import load
from ccagent.daemon import Daemon
from ccagent.service.listening import BIND_SECONDS
from tests.daemon.rig import Ground, get, now_ms, until


@pytest.fixture
def own_mask() -> Iterator[None]:
    mask = os.umask(0o077)
    yield
    os.umask(mask)


@pytest.mark.usefixtures("own_mask")
def test_a_freed_port_is_bound_at_the_next_try(ground: Ground) -> None:
    clock = FakeClock(now_ms())
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        options = {"database": str(ground.database), "sources": (str(ground.root),), "listen": f"127.0.0.1:{port}"}
        daemon = Daemon(load(options, {}), {"HOME": str(ground.home)}, clock)
        thread = threading.Thread(target=daemon.run)
        thread.start()
        until(lambda: "listen" in daemon.live.problems, "the taken port is a problem")
    try:

        def bound() -> bool:
            clock.advance(round(BIND_SECONDS * 1_000))
            return daemon.live.listen == f"http://127.0.0.1:{port}"

        until(bound, "the port is bound")

        assert get(f"http://127.0.0.1:{port}/healthz") == (200, "ok\n")
        assert "listen" not in daemon.live.problems
    finally:
        daemon.stop.set()
        daemon.following.wake.set()
        thread.join(10)
    assert not thread.is_alive()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, "only a process of its own takes signals"
