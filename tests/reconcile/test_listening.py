"""The receiver of `ccagent reconcile --listen`: on loopback alone, HTTP and gRPC on one port."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.trace.export import SpanExportResult

from ccagent.cli import main
from ccagent.config import Config, load
from ccagent.errors import PortTakenError, UsageError
from ccagent.reconcile.listening import MAX_REQUEST, loopback, receiver
from ccagent.reconcile.native import Native
from ccagent.reconcile.report import of_receiver
from tests.reconcile import telemetry
from tests.transcripts import Session, Tree, Usage, text

ROOT = Path(__file__).resolve().parents[2]


def a_session(start: int | None = None) -> Session:
    session = Session("s", seed="s", start=start if start is not None else 1_770_714_000_000)
    session.prompt("hello")
    for number in range(3):
        session.assistant(
            text("one"),
            usage=Usage(input=number + 1, output=10, cache_read=100),
        )
    return session


@contextmanager
def listening() -> Iterator[tuple[Native, int]]:
    native = Native()
    with receiver(native, "127.0.0.1", 0) as port:
        yield native, port


def post(port: int, path: str, data: bytes, **headers: str) -> int:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data, {key.replace("_", "-"): value for key, value in headers.items()}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("packed", [False, True])
def test_http_and_grpc_exporters_send_to_the_same_port(packed: bool) -> None:
    record = telemetry.replies(a_session())[0]
    events = [telemetry.api_request(record)]
    spans = [telemetry.span("llm_request", record, {"request_id": "req_span", "session.id": "s", "output_tokens": 5})]
    import grpc

    http, rpc = (
        (Compression.Gzip, grpc.Compression.Gzip)
        if packed
        else (Compression.NoCompression, grpc.Compression.NoCompression)
    )
    with listening() as (native, port):
        for number, exporter in enumerate((
            HttpLogs(endpoint=f"http://127.0.0.1:{port}/v1/logs", compression=http),
            GrpcLogs(endpoint=f"127.0.0.1:{port}", insecure=True, compression=rpc),
        ), 1):  # fmt: skip
            assert exporter.export(events) is LogRecordExportResult.SUCCESS
            assert native.records == number
            exporter.shutdown()
        for exporter in (
            HttpSpans(endpoint=f"http://127.0.0.1:{port}/v1/traces", compression=http),
            GrpcSpans(endpoint=f"127.0.0.1:{port}", insecure=True, compression=rpc),
        ):  # fmt: skip
            assert exporter.export(spans) is SpanExportResult.SUCCESS
            exporter.shutdown()

    assert set(native.side.requests) == {record["requestId"], "req_span"}
    assert native.records == 4


def test_json_is_taken_and_answered_as_json() -> None:
    events = telemetry.logs([telemetry.api_request(telemetry.replies(a_session())[0])])

    with listening() as (native, port):
        assert post(port, "/v1/logs", telemetry.json_line(events), Content_Type="application/json") == 200
        packed = gzip.compress(telemetry.json_line(events))
        assert post(port, "/v1/logs", packed, Content_Type="application/json", Content_Encoding="gzip") == 200
        assert native.records == 2


def test_what_is_none_is_refused_and_metrics_are_taken() -> None:
    with listening() as (native, port):
        assert post(port, "/v1/logs", b"{", Content_Type="application/json") == 400
        assert post(port, "/v1/logs", b"\xff\xff", Content_Type="application/x-protobuf") == 400
        assert post(port, "/v1/metrics", b"anything", Content_Type="application/x-protobuf") == 200
        assert post(port, "/elsewhere", b"{}", Content_Type="application/json") == 404
        bomb = gzip.compress(b" " * (MAX_REQUEST + 1))
        assert post(port, "/v1/logs", bomb, Content_Type="application/json", Content_Encoding="gzip") == 413
        assert native.records == 0


@pytest.mark.parametrize(
    "address", ["0.0.0.0:4319", "192.0.2.1:4319", "[::]:4319", "example.org:4319", "4319", "127.0.0.1:x"]
)
def test_an_address_that_is_not_this_machines_alone_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="--listen"):
        loopback(address)
    assert main(["reconcile", "--listen", address, "--for", "1s"]) == 2


@pytest.mark.parametrize(
    ("address", "found"),
    [("127.0.0.1:4319", ("127.0.0.1", 4319)), ("[::1]:0", ("::1", 0)), ("localhost:1", ("localhost", 1)),
     ("127.9.9.9:2", ("127.9.9.9", 2))],
)  # fmt: skip
def test_addresses_of_this_machine_alone(address: str, found: tuple[str, int]) -> None:
    assert loopback(address) == found


def test_a_taken_port_is_said_so() -> None:
    with (
        listening() as (_, port),
        pytest.raises(PortTakenError, match="choose another"),
        receiver(Native(), "127.0.0.1", port),
    ):
        pass


@pytest.mark.parametrize(
    "options",
    [(), ("f", "--listen", "127.0.0.1:0"), ("f", "--for", "10m"), ("--listen", "127.0.0.1:0", "--for", "soon")],
)
def test_options_that_make_no_sense_are_refused(options: tuple[str, ...]) -> None:
    assert main(["reconcile", *options]) == 2


def config_of(folder: Path) -> Config:
    return load({"sources": (str(folder),)}, os.environ)


def test_what_came_while_it_listened_is_compared_with_that_time(tmp_path: Path) -> None:
    now = time.time_ns() // 1_000_000
    past, present = a_session(now - 3_600_000), Session("now", seed="now", start=now - 10_000)
    present.prompt("hello")
    for _ in range(3):
        present.assistant(text("one"), usage=Usage(input=1, output=10))
    Tree(tmp_path).write(past, present)
    caught, lost, _ = telemetry.replies(present)

    def wait(port: int) -> None:
        exporter: Any = HttpLogs(endpoint=f"http://127.0.0.1:{port}/v1/logs")
        exporter.export([telemetry.api_request(caught)])
        exporter.shutdown()

    found = of_receiver(config_of(tmp_path), os.environ, "127.0.0.1", 0, wait)

    assert [row["session"] for row in found["sessions"]] == ["now"]
    assert found["total"]["requests"] == {"both": 1, "transcript_only": 0, "native_only": 0, "differing": 0}
    assert found["payloads"] is None
    assert lost["requestId"] != caught["requestId"]


def test_an_interrupt_ends_the_listening_and_prints_the_comparison(tmp_path: Path) -> None:
    (tmp_path / "projects").mkdir()
    command = [sys.executable, "-m", "ccagent", "reconcile", "--listen", "127.0.0.1:0", "--json"]
    command += ["--source", str(tmp_path / "projects")]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        said = process.stderr.readline()
        port = int(re.findall(r":(\d+) ", said)[0])
        events = telemetry.logs([telemetry.api_request(telemetry.replies(a_session())[0])])
        assert post(port, "/v1/logs", telemetry.json_line(events), Content_Type="application/json") == 200
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()  # nothing of it is left to another test

    assert process.returncode == 0
    assert json.loads(out)["total"]["requests"]["native_only"] == 1


def test_a_port_that_no_machine_has_is_said_to_be_none() -> None:
    with pytest.raises(UsageError, match="is no HOST:PORT"):
        loopback("127.0.0.1:65536")
