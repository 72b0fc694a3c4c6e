"""What the listener answers, and to whom."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import time

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from ccagent.api.uvicorn_server import MOST_OPEN
from ccagent.metrics.snapshot import Snapshot
from tests.api.conftest import Served

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"


def test_metrics_are_text_when_nothing_is_asked_for(served: Served) -> None:
    answer, body = served.ask("/metrics")

    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert any(family.name == "ccagent_tokens" for family in parse_text(body.decode()))


def test_metrics_are_openmetrics_when_that_is_asked_for(served: Served) -> None:
    answer, body = served.ask("/metrics", Accept=OPENMETRICS)

    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert any(family.name == "ccagent_tokens" for family in parse_openmetrics(body.decode()))


def test_a_snapshot_that_fails_is_an_error_and_the_listener_lives(served: Served) -> None:
    def fail() -> Snapshot:
        raise OSError("disk gone")

    served.switches.take = fail

    assert served.ask("/metrics")[0].status == 500
    assert served.ask("/healthz")[0].status == 200


def test_an_error_tells_nothing_of_its_cause(served: Served) -> None:
    def fail() -> Snapshot:
        raise OSError("/home/somebody/secret")

    served.switches.take = fail

    assert b"secret" not in served.ask("/metrics")[1]


def test_health_is_ok_while_the_daemon_is_not_ready(served: Served) -> None:
    served.switches.ready = False

    assert served.ask("/healthz")[0].status == 200


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
def test_readiness_follows_the_daemon(served: Served, ready: bool, status: int) -> None:
    served.switches.ready = ready

    assert served.ask("/readyz")[0].status == status


def test_the_root_names_the_version_and_the_paths(served: Served) -> None:
    _, body = served.ask("/")

    assert b"1.2.3" in body
    assert b"/metrics" in body


def test_an_unknown_path_is_not_found(served: Served) -> None:
    assert served.ask("/etc/passwd")[0].status == 404


def test_head_has_no_body(served: Served) -> None:
    answer, body = served.ask("/metrics", method="HEAD")

    assert answer.status == 200
    assert body == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_methods_that_change_something_are_refused(served: Served, method: str) -> None:
    answer, _ = served.ask("/metrics", method=method)

    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_local_hosts_are_served(served: Served, name: str) -> None:
    assert served.ask("/metrics", Host=f"{name}:{served.port}")[0].status == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil.example:{port}", ""])
def test_a_foreign_host_is_refused(served: Served, host: str) -> None:
    answer, body = served.ask("/metrics", Host=host.format(port=served.port))

    assert answer.status == 403
    assert b"ccagent_" not in body


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://localhost:{port}", "http://localhost"])
def test_a_foreign_origin_is_refused(served: Served, origin: str) -> None:
    assert served.ask("/metrics", Origin=origin.format(port=served.port))[0].status == 403


def test_its_own_origin_is_served(served: Served) -> None:
    assert served.ask("/metrics", Origin=f"http://localhost:{served.port}")[0].status == 200


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/nowhere"])
def test_every_answer_forbids_sniffing_and_keeping(served: Served, path: str) -> None:
    answer, _ = served.ask(path)

    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_refusal_forbids_sniffing_too(served: Served) -> None:
    assert served.ask("/metrics", Host="evil.example")[0].headers["X-Content-Type-Options"] == "nosniff"


def test_headers_without_end_are_refused(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as flood:
        flood.sendall(b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000)

        assert b" 400 " in flood.recv(200)


def test_a_flood_of_silent_connections_does_not_use_up_the_files_of_the_process(served: Served) -> None:
    held = [socket.create_connection(("127.0.0.1", served.port), timeout=10) for _ in range(300)]
    try:
        ended, _, _ = select.select(held, (), (), 0)
        until = time.monotonic() + 5
        while len(ended) < len(held) - MOST_OPEN and time.monotonic() < until:
            ended, _, _ = select.select(held, (), (), 0.05)

        assert len(ended) == len(held) - MOST_OPEN
    finally:
        for connection in held:
            connection.close()


def test_connections_beyond_the_limit_are_turned_away(served: Served) -> None:
    held = [socket.create_connection(("127.0.0.1", served.port), timeout=10) for _ in range(40)]
    try:
        assert served.ask("/healthz")[0].status == 503
    finally:
        for connection in held:
            connection.close()


def test_importing_the_listener_loads_no_server() -> None:
    code = "import sys, ccagent.api.server; print([m for m in ('uvicorn', 'starlette', 'h11') if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
