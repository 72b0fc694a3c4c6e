"""Who holds the port, whether collectors answer, and whether alert channels can be used."""

from __future__ import annotations

import errno
import http.server
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from ccagent.config import load
from ccagent.doctor import knowledge, network
from ccagent.doctor.finding import Finding, State
from ccagent.doctor.ground import Ground
from ccagent.service.live import Live, StatusFile
from ccagent.store.instance import InstanceLock
from ccagent.store.location import parse_database
from tests.daemon.collector import PROTOCOLS, receiver
from tests.otlp.receiver import Answer
from tests.sources.feed import Feed
from tests.transcripts import Session

DAY_MS = 24 * 3_600 * 1_000

LISTEN = """
import ctypes, socket, sys
PR_SET_NAME = 15
ctypes.CDLL(None).prctl(PR_SET_NAME, sys.argv[2].encode(), 0, 0, 0)
with socket.create_server(("127.0.0.1", int(sys.argv[1]))):
    print("ready", flush=True)
    sys.stdin.read()
"""

Make = Callable[..., Ground]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A doctor's ground over `tmp_path`, with these settings, this configuration file and these variables."""

    def made(
        settings: dict[str, Any] | None = None, text: str = "", *, network: bool = True, now_ms: int = 0, **env: str
    ) -> Ground:
        file = tmp_path / "config.toml"
        file.write_text(text)
        flags = {"database": str(tmp_path / "data" / "ccagent.db"), **(settings or {})}
        env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], **env}
        now = now_ms or time.time_ns() // 1_000_000
        return Ground(load(flags, env, file), env, now_ms=now, network=network)

    return made


def one(found: Iterator[Finding]) -> Finding:
    (finding,) = found
    return finding


@contextmanager
def listening(program: str, port: int) -> Iterator[int]:
    """A process that calls itself `program` and listens on the port; its pid."""
    command = [sys.executable, "-c", LISTEN, str(port), program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.kill()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def test_a_free_port_and_none_are_well(make: Make) -> None:
    assert one(network.port(make({"listen": f"127.0.0.1:{free_port()}"}))).state is State.OK
    assert one(network.port(make({"listen": "off"}))).said == "the metrics page is off"
    assert one(network.port(make({"listen": "127.0.0.1:0"}))).state is State.OK


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux tells who listens")
@pytest.mark.parametrize(("program", "suspected"), [("claude", True), ("node", True), ("prometheus", False)])
def test_the_holder_is_named_and_claude_code_suspected_on_its_exporters_port(
    make: Make, monkeypatch: pytest.MonkeyPatch, program: str, suspected: bool
) -> None:
    port = free_port()
    monkeypatch.setattr(network, "EXPORTER_PORT", port)  # the real one may be taken here
    with listening(program, port) as pid:
        found = one(network.port(make({"listen": f"127.0.0.1:{port}"})))

    assert found.state is State.FAIL
    assert f"port {port} is in use by process {pid} ({program})" in found.said
    assert ("Claude Code's own Prometheus exporter" in found.said) is suspected
    assert ("OTEL_METRICS_EXPORTER=prometheus" in found.todo) is suspected


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux tells who listens")
def test_a_daemon_that_cannot_tell_of_itself_is_not_taken_for_a_stranger(make: Make, tmp_path: Path) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with InstanceLock(parse_database(str(tmp_path / "data" / "ccagent.db"))):
            found = one(network.port(make({"listen": f"127.0.0.1:{server.server_port}"})))
        server.shutdown()

    assert (found.state, found.said) == (State.WARN, f"the metrics page on port {server.server_port} answers 501")


def test_a_variable_that_asks_for_the_exporter_makes_it_a_suspect(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(network, "EXPORTER_PORT", port)
        monkeypatch.setattr(network, "command_of", lambda pid: "something")
        ground = make({"listen": f"127.0.0.1:{port}"}, OTEL_METRICS_EXPORTER="otlp,prometheus")
        suspected, plain = one(network.port(ground)), one(network.port(make({"listen": f"127.0.0.1:{port}"})))

    assert "Claude Code's own" in suspected.said
    assert "Claude Code's own" not in plain.said


def test_a_name_of_a_process_that_is_no_plain_word_is_not_repeated(tmp_path: Path) -> None:
    for pid, name in ((1, "my secret.sh"), (2, "node"), (3, "päth/x")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "comm").write_text(f"{name}\n")

    assert [network.command_of(pid, tmp_path) for pid in (1, 2, 3, 4)] == ["", "node", "", ""]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_collector_that_answers_is_well_and_gets_no_item(make: Make, protocol: str) -> None:
    with receiver(protocol) as collector:
        url = collector.http
        findings = list(network.collector(make({"otlp.endpoint": url, "otlp.protocol": protocol})))

    assert {(each.state, each.said.rpartition(": ")[2]) for each in findings} == {(State.OK, "it answers")}
    assert len(findings) == len(collector.received.offered) == 3
    assert [*collector.received.spans, *collector.received.metrics, *collector.received.logs] == []


@pytest.mark.parametrize(
    ("answer", "state", "why", "todo"),
    [
        (Answer(status=401), State.FAIL, "(401)", "credentials"),
        (Answer(status=404), State.FAIL, "(404)", "endpoint's path"),
        (Answer(status=503), State.FAIL, "(503)", "busy"),
        (Answer(status=200, content_type="text/html", body=b"<html>secret"), State.FAIL, "(200)", "something else"),
        (Answer(status=400, body=b""), State.OK, "refuses an empty request (400)", ""),
    ],
    ids=["credentials", "path", "busy", "a web page", "an empty request refused"],
)
def test_what_a_receiver_answers_is_judged_by_its_status(
    make: Make, answer: Answer, state: State, why: str, todo: str
) -> None:
    with receiver("http/protobuf") as collector:
        collector.received.rule = lambda _request: answer
        found = next(network.collector(make({"otlp.endpoint": collector.http, "otlp.protocol": "http/protobuf"})))

    assert (found.state, why in found.said, todo in found.todo) == (state, True, True), found
    assert "secret" not in found.said + found.todo


def test_a_code_of_grpc_is_told(make: Make) -> None:
    with receiver("grpc") as collector:
        collector.received.rule = lambda _request: Answer(code=grpc.StatusCode.UNAUTHENTICATED, details="secret")
        found = next(network.collector(make({"otlp.endpoint": collector.http, "otlp.protocol": "grpc"})))

    assert (found.state, "(UNAUTHENTICATED)" in found.said) == (State.FAIL, True)
    assert "credentials" in found.todo
    assert "secret" not in found.said + found.todo


def test_nobody_listening_is_told_and_offline_nobody_is_asked(make: Make) -> None:
    settings = {"otlp.endpoint": f"http://127.0.0.1:{free_port()}", "otlp.protocol": "http/protobuf"}

    found = next(network.collector(make(settings)))

    assert (found.state, "nobody listens on its port" in found.said) == (State.FAIL, True)
    assert {each.state for each in network.collector(make(settings, network=False))} == {State.OK}


@pytest.mark.parametrize(
    ("scheme", "protocol", "said", "todo"),
    [
        ("http", "grpc", "no OTLP answer comes over grpc", "otlp.protocol"),
        ("https", "grpc", "it does not take requests", "write http"),
        ("https", "http/protobuf", "it does not take requests", "write http"),
    ],
)
def test_a_receiver_of_another_protocol_is_told_from_one_that_is_away(
    make: Make, scheme: str, protocol: str, said: str, todo: str
) -> None:
    with receiver("http/protobuf") as collector:
        url = collector.http.replace("http://", f"{scheme}://")
        found = next(network.collector(make({"otlp.endpoint": url, "otlp.protocol": protocol})))

    assert (found.state, said in found.said, todo in found.todo) == (State.FAIL, True, True), found


@pytest.mark.parametrize(
    ("refusal", "said", "todo"),
    [
        (socket.gaierror(-2, "secret"), "its host name is not known", "correct the endpoint"),
        (TimeoutError("secret"), "no connection within 3 s", "firewall"),
        (OSError(errno.ENETUNREACH, "secret"), "it cannot be reached (ENETUNREACH)", "see to the network"),
    ],
    ids=["name", "silence", "no way"],
)
def test_what_is_in_the_way_of_a_request_is_told(
    make: Make, monkeypatch: pytest.MonkeyPatch, refusal: OSError, said: str, todo: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise refusal

    monkeypatch.setattr(network, "ask", lambda _target: ("refused", "it does not take requests", "secret"))
    monkeypatch.setattr(socket, "create_connection", refuse)
    found = next(network.collector(make({"otlp.endpoint": "http://127.0.0.1:4318"})))

    assert found.said == f"destination 1 (traces): {said}"
    assert todo in found.todo
    assert "secret" not in found.said + found.todo


def test_what_the_daemon_cannot_send_is_told_though_this_shell_names_no_destination(make: Make, tmp_path: Path) -> None:
    problem = {"state": "circuit_open", "problem": "401 Unauthorized: secret words"}
    path = str(tmp_path / "data" / "ccagent.db")
    with InstanceLock(parse_database(path)):
        live = Live(exports={"secret/traces": problem, "secret/logs": {"state": "active", "problem": "of the past"}})
        StatusFile(path).write(live)
        broken, well = network.collector(make())

    assert (broken.state, well.state) == (State.FAIL, State.OK)
    assert broken.said == "destination 1 (traces): the daemon does not get through"
    assert broken.todo.startswith("check the credentials")
    assert "secret" not in broken.todo


def test_no_destination_is_well(make: Make) -> None:
    assert one(network.collector(make())).said == "none is named: nothing leaves this machine"


CHANNELS = """
[alerts]
default_channels = ["log", "mine", "hook"]
[alerts.channels.mine]
type = "command"
command = ["{program}", "{{line}}"]
[alerts.channels.hook]
type = "webhook"
url = "http://127.0.0.1:{port}/x"
"""


def test_channels_that_can_be_used_and_that_cannot(make: Make) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        well = CHANNELS.format(program=shutil.which("sh"), port=server.server_port)
        good = list(network.channels(make(text=well)))
        server.shutdown()
    bad = list(network.channels(make(text=CHANNELS.format(program="/nowhere/secret", port=free_port()))))

    assert [(each.state, each.said) for each in good] == [(State.OK, "usable: log, command, webhook")]
    assert [(each.state, each.said.partition(":")[0]) for each in bad] == [
        (State.FAIL, "channel 2 (command)"), (State.FAIL, "channel 3 (webhook)"),
    ]  # fmt: skip
    assert "secret" not in "".join(each.said + each.todo for each in bad)


def test_an_old_price_table_and_models_without_a_price(make: Make, tmp_path: Path) -> None:
    now = time.time_ns() // 1_000_000
    young, old = one(knowledge.prices(make(now_ms=now))), one(knowledge.prices(make(now_ms=now + 400 * DAY_MS)))
    session = Session("one", start=now - DAY_MS)
    session.prompt("hello")
    session.model = "claude-of-tomorrow"
    session.request()
    (tmp_path / "data").mkdir()
    feed = Feed(tmp_path / "data" / "ccagent.db", now_ms=now).read(session)
    feed.store.set_meta("zone", "UTC")
    feed.close()
    unpriced = one(knowledge.prices(make(now_ms=now)))

    assert (young.state, old.state, unpriced.state) == (State.OK, State.WARN, State.WARN)
    assert "newer ccagent" in old.todo
    assert unpriced.said.startswith("1 request of the last 30 days without a price")
    assert "claude-of-tomorrow" not in unpriced.said + unpriced.todo
