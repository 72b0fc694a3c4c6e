"""The listener's life: where it binds, what it refuses, how it ends."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

import pytest

from ccagent.api.holder import listener_pid
from ccagent.api.routes import AppState
from ccagent.api.server import HttpListener, PortTakenError
from ccagent.errors import ConfigError
from tests.api.conftest import Served, some_metrics

LINUX = Path("/proc/net/tcp").exists()
PATIENCE = 5.0
"""Seconds that a test waits for what must happen soon."""


def listener(host: str = "127.0.0.1", port: int = 0) -> HttpListener:
    return HttpListener(AppState(snapshot=some_metrics, ready=lambda: True, version="1"), host, port)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.20", "8.8.8.8"])
def test_an_address_that_other_machines_reach_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match=r"use 127\.0\.0\.1"):
        listener(host)


def test_a_host_that_is_no_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="no IP address"):
        listener("example.org")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_loopback_names_are_accepted(host: str) -> None:
    assert listener(host, 9464).address.endswith(":9464")


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_ipv6_address_is_shown_in_brackets(host: str) -> None:
    assert listener(host, 9464).address == "[::1]:9464"


def test_port_0_is_replaced_by_the_port_that_was_bound(served: Served) -> None:
    assert served.port > 0
    assert served.listener.url == f"http://127.0.0.1:{served.port}"


@pytest.mark.skipif(not LINUX, reason="the holder of a port is read from /proc")
def test_a_taken_port_names_its_holder(served: Served) -> None:
    with pytest.raises(PortTakenError, match=f"port {served.port} is in use by pid {os.getpid()}"):
        listener(port=served.port).start()


def test_a_holder_that_proc_does_not_show_is_unknown(tmp_path: Path) -> None:
    assert listener_pid(9464, proc=tmp_path) is None


def test_a_port_that_nobody_holds_has_no_holder() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))

        assert listener_pid(free.getsockname()[1]) is None


def test_stopping_frees_the_port_within_a_second(served: Served) -> None:
    served.ask("/healthz")
    begin = time.monotonic()

    served.listener.stop()

    assert time.monotonic() - begin < 1.5
    again = listener(port=served.port)
    again.start()
    again.stop()


def test_stopping_does_not_wait_for_a_silent_connection(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port)) as silent:
        silent.sendall(b"GET /metrics HTTP/1.1\r\nHost:")
        begin = time.monotonic()

        served.listener.stop()

        assert time.monotonic() - begin < 1.5
        assert not served.listener.alive


def test_stopping_does_not_wait_for_a_read_that_hangs(served: Served) -> None:
    release, entered = threading.Event(), threading.Event()

    def hang() -> object:
        entered.set()
        release.wait(PATIENCE)
        return some_metrics()

    served.switches.take = hang  # type: ignore[assignment]
    with socket.create_connection(("127.0.0.1", served.port)) as scraper:
        scraper.sendall(f"GET /metrics HTTP/1.1\r\nHost: {served.listener.address}\r\n\r\n".encode())
        assert entered.wait(PATIENCE)
        begin = time.monotonic()

        served.listener.stop()

        assert time.monotonic() - begin < 1.5
    release.set()


def test_stopping_twice_is_harmless(served: Served) -> None:
    served.listener.stop()

    served.listener.stop()

    assert not served.listener.alive


def test_it_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    short = listener()
    short.start()

    short.stop()

    deadline = time.monotonic() + PATIENCE
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not set(threading.enumerate()) - before


def test_a_server_that_ends_by_itself_is_reported() -> None:
    deaths: list[BaseException] = []
    died = threading.Event()

    def on_death(error: BaseException) -> None:
        deaths.append(error)
        died.set()

    state = AppState(snapshot=some_metrics, ready=lambda: True, version="1")
    doomed = HttpListener(state, "127.0.0.1", 0, on_death=on_death)
    doomed.start()
    assert doomed._server is not None
    end, loop = doomed._server._end, doomed._server._end_loop
    assert end is not None
    assert loop is not None

    loop.call_soon_threadsafe(end.set)  # the loop ends though nobody asked

    assert died.wait(PATIENCE)
    assert "ended by itself" in str(deaths[0])
    doomed.stop()
