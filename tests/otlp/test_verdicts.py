"""Each answer of a receiver, over both protocols, and the verdict that follows from it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ccagent.export.otlp.outbox import Outbox
from ccagent.export.otlp.sender import Destination, Sender, make_sender
from ccagent.export.otlp.spans import trace_request
from ccagent.export.otlp.verdict import MESSAGE_LIMIT, Kind, Verdict
from tests.otlp.ledger import NOW, Ledger
from tests.otlp.receiver import REQUESTS, Answer, Running, grpc_receiver

Senders = Callable[..., Sender]
REQUEST = trace_request([Span(trace_id=b"t" * 16, span_id=b"s" * 8, name="one")], {"service.name": "ccagent"}, "1")
PARTIAL = Answer(rejected=3, message="too old")
CODE = grpc.StatusCode

HTTP_ROWS: list[tuple[str, Answer, Kind, dict[str, Any]]] = [
    ("ok", Answer(), Kind.ADVANCE, {"rejected": 0}),
    ("ok_without_body_or_type", Answer(content_type=None, body=b""), Kind.ADVANCE, {}),
    ("ok_json", Answer(content_type="application/json; charset=utf-8", body=b"{}"), Kind.ADVANCE, {}),
    ("partial", PARTIAL, Kind.ADVANCE, {"rejected": 3, "message": "too old"}),
    ("partial_json", Answer(content_type="application/json", body=b'{"partialSuccess":{"rejectedSpans":"3"}}'),
     Kind.ADVANCE, {"rejected": 3}),
    ("multiple_choices", Answer(status=300), Kind.RETRY, {"bounded": False}),
    ("redirect", Answer(status=302, headers={"Location": "http://127.0.0.1:9/login"}), Kind.RETRY, {"bounded": False}),
    ("captive_portal", Answer(content_type="text/html", body=b"<html>sign in</html>"), Kind.RETRY, {"bounded": False}),
    ("garbage", Answer(body=b"\xff\xff\xff"), Kind.RETRY, {}),
    ("bad_request", Answer(status=400, details="bad span"), Kind.POISON, {"message": "400 Bad Request: bad span"}),
    ("unauthorised", Answer(status=401), Kind.CONFIG, {}),
    ("forbidden", Answer(status=403), Kind.CONFIG, {}),
    ("not_found", Answer(status=404), Kind.CONFIG, {}),
    ("proxy_login", Answer(status=407), Kind.CONFIG, {}),
    ("wrong_method", Answer(status=405), Kind.CONFIG, {}),
    ("wrong_type", Answer(status=415), Kind.CONFIG, {}),
    ("slow_request", Answer(status=408), Kind.RETRY, {"bounded": False}),
    ("unprocessable", Answer(status=422), Kind.POISON, {}),
    ("not_implemented", Answer(status=501), Kind.RETRY, {"bounded": True}),
    ("too_large", Answer(status=413), Kind.TOO_LARGE, {"bounded": False}),
    ("throttled", Answer(status=429, headers={"Retry-After": "7"}), Kind.RETRY, {"delay_seconds": 7.0}),
    ("server_error", Answer(status=500), Kind.RETRY, {"bounded": True}),
    ("bad_gateway", Answer(status=502), Kind.RETRY, {"bounded": False}),
    ("unavailable", Answer(status=503), Kind.RETRY, {"bounded": False, "delay_seconds": None}),
    ("gateway_timeout", Answer(status=504), Kind.RETRY, {"bounded": False}),
]  # fmt: skip

GRPC_ROWS: list[tuple[str, Answer, Kind, dict[str, Any]]] = [
    ("ok", Answer(), Kind.ADVANCE, {"rejected": 0}),
    ("partial", PARTIAL, Kind.ADVANCE, {"rejected": 3, "message": "too old"}),
    ("invalid", Answer(code=CODE.INVALID_ARGUMENT, details="bad span"), Kind.POISON,
     {"message": "INVALID_ARGUMENT: bad span"}),
    ("unauthenticated", Answer(code=CODE.UNAUTHENTICATED), Kind.CONFIG, {}),
    ("denied", Answer(code=CODE.PERMISSION_DENIED), Kind.CONFIG, {}),
    ("unimplemented", Answer(code=CODE.UNIMPLEMENTED), Kind.CONFIG, {}),
    ("unavailable", Answer(code=CODE.UNAVAILABLE), Kind.RETRY, {"bounded": False, "delay_seconds": None}),
    ("unavailable_with_wish", Answer(code=CODE.UNAVAILABLE, retry_seconds=2.5), Kind.RETRY, {"delay_seconds": 2.5}),
    ("exhausted_with_wish", Answer(code=CODE.RESOURCE_EXHAUSTED, retry_seconds=4.0), Kind.RETRY,
     {"delay_seconds": 4.0, "bounded": False}),
    ("exhausted_with_wish_in_details",
     Answer(code=CODE.RESOURCE_EXHAUSTED, retry_seconds=4.0, retry_in_details=True), Kind.RETRY,
     {"delay_seconds": 4.0}),
    ("exhausted_for_no_said_reason", Answer(code=CODE.RESOURCE_EXHAUSTED), Kind.TOO_LARGE, {"bounded": True}),
    ("too_large_in_go", Answer(code=CODE.RESOURCE_EXHAUSTED,
     details="grpc: received message larger than max (5000000 vs. 4194304)"), Kind.TOO_LARGE, {"bounded": False}),
    ("too_large_in_rust", Answer(code=CODE.OUT_OF_RANGE,
     details="Error, decoded message length too large: found 5000000 bytes, the limit is: 4194304 bytes"),
     Kind.TOO_LARGE, {"bounded": False}),
    ("too_large_in_java", Answer(code=CODE.RESOURCE_EXHAUSTED,
     details="gRPC message exceeds maximum size 4194304: 5000000"), Kind.TOO_LARGE, {"bounded": False}),
    ("out_of_range", Answer(code=CODE.OUT_OF_RANGE), Kind.RETRY, {"bounded": False}),
    ("data_loss", Answer(code=CODE.DATA_LOSS), Kind.RETRY, {"bounded": False}),
    ("cancelled", Answer(code=CODE.CANCELLED), Kind.RETRY, {"bounded": False}),
    ("deadline", Answer(code=CODE.DEADLINE_EXCEEDED), Kind.RETRY, {"bounded": False}),
    ("not_found", Answer(code=CODE.NOT_FOUND), Kind.CONFIG, {}),
    ("unknown", Answer(code=CODE.UNKNOWN), Kind.RETRY, {"bounded": True}),
    ("already_exists", Answer(code=CODE.ALREADY_EXISTS), Kind.POISON, {}),
    ("failed_precondition", Answer(code=CODE.FAILED_PRECONDITION), Kind.POISON, {}),
    ("internal", Answer(code=CODE.INTERNAL), Kind.RETRY, {"bounded": True}),
    ("aborted", Answer(code=CODE.ABORTED), Kind.RETRY, {"bounded": False}),
]  # fmt: skip


def holds(verdict: Verdict, kind: Kind, expected: dict[str, Any]) -> None:
    assert verdict.kind is kind, verdict
    assert {key: getattr(verdict, key) for key in expected} == expected


@pytest.mark.parametrize(("answer", "kind", "expected"), [row[1:] for row in HTTP_ROWS], ids=[r[0] for r in HTTP_ROWS])
def test_an_http_answer_is_judged(
    http: Running, senders: Senders, answer: Answer, kind: Kind, expected: dict[str, Any]
) -> None:
    http.received.script.append(answer)

    holds(senders(http).send("traces", REQUEST), kind, expected)


@pytest.mark.parametrize(("answer", "kind", "expected"), [row[1:] for row in GRPC_ROWS], ids=[r[0] for r in GRPC_ROWS])
def test_a_grpc_answer_is_judged(
    grpc_: Running, senders: Senders, answer: Answer, kind: Kind, expected: dict[str, Any]
) -> None:
    grpc_.received.script.append(answer)

    holds(senders(grpc_, "grpc").send("traces", REQUEST), kind, expected)


def test_a_message_beyond_the_grpc_servers_limit_is_too_large(senders: Senders) -> None:
    with grpc_receiver(max_bytes=2_000) as small:
        spans = [Span(trace_id=b"t" * 16, span_id=b"s" * 8, name="x" * 100) for _ in range(50)]

        verdict = senders(small, "grpc").send("traces", trace_request(spans, {}, "1"))

    assert verdict.kind is Kind.TOO_LARGE
    assert not verdict.bounded


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_silent_receiver_means_retry_within_the_timeout(
    http: Running, grpc_: Running, senders: Senders, protocol: str
) -> None:
    running = grpc_ if protocol == "grpc" else http
    running.received.script.append(Answer(silent=True))

    verdict = senders(running, protocol, timeout_seconds=0.3).send("traces", REQUEST)

    assert verdict.kind is Kind.RETRY
    assert not verdict.bounded


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_refused_connection_means_retry(senders: Senders, protocol: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    urls: Any = {"traces": f"http://127.0.0.1:{port}/v1/traces"}
    sender = make_sender(Destination(name="test", urls=urls, protocol=protocol, timeout_seconds=2))  # type: ignore[arg-type]

    verdict = sender.send("traces", REQUEST)

    sender.close()
    assert verdict.kind is Kind.RETRY


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_the_next_request_after_a_failure_goes_through(
    http: Running, grpc_: Running, senders: Senders, protocol: str
) -> None:
    running = grpc_ if protocol == "grpc" else http
    running.received.script.append(Answer(silent=True))
    sender = senders(running, protocol, timeout_seconds=0.3)
    sender.send("traces", REQUEST)

    assert sender.send("traces", REQUEST).kind is Kind.ADVANCE


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_what_is_sent_arrives_unchanged_with_its_headers(
    http: Running, grpc_: Running, senders: Senders, protocol: str, compression: str
) -> None:
    running = grpc_ if protocol == "grpc" else http
    sender = senders(running, protocol, compression=compression, headers={"X-Token": "t1"})

    sender.send("traces", REQUEST)
    sender.send("metrics", ExportMetricsServiceRequest())

    assert running.received.taken == [REQUEST, ExportMetricsServiceRequest()]
    assert [headers["x-token"] for headers in running.received.headers] == ["t1", "t1"]


def test_redirects_are_not_followed(http: Running, senders: Senders) -> None:
    http.received.script.append(Answer(status=302, headers={"Location": f"{http.http}/v1/traces"}))

    senders(http).send("traces", REQUEST)

    assert http.received.taken == []
    assert len(http.received.offered) == 1


def test_proxy_variables_are_not_read(http: Running, senders: Senders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")

    assert senders(http).send("traces", REQUEST).kind is Kind.ADVANCE


def test_a_name_that_does_not_resolve_is_tried_again_and_found_when_it_does(
    http: Running, senders: Senders, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    sender = senders(http)
    with monkeypatch.context() as offline:
        offline.setattr(socket, "getaddrinfo", unknown)
        verdict = sender.send("traces", REQUEST)

    assert (verdict.kind, "Name or service not known" in verdict.message) == (Kind.RETRY, True)
    assert sender.send("traces", REQUEST).kind is Kind.ADVANCE


def test_an_answer_longer_than_the_limit_is_not_read_whole(http: Running, senders: Senders) -> None:
    http.received.script.append(Answer(content_type="text/html", body=b"x" * (3 << 20)))
    sender = senders(http)

    assert sender.send("traces", REQUEST).kind is Kind.RETRY
    assert sender.send("traces", ExportTraceServiceRequest()).kind is Kind.ADVANCE


PARTIALS = {"traces": "rejected_spans", "metrics": "rejected_data_points", "logs": "rejected_log_records"}


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("signal", list(PARTIALS))
def test_every_signal_reads_its_own_partial_success(
    http: Running, grpc_: Running, senders: Senders, protocol: str, signal: Any
) -> None:
    running = grpc_ if protocol == "grpc" else http
    running.received.script.append(Answer(rejected=4, message="too many"))

    verdict = senders(running, protocol).send(signal, REQUESTS[signal]())

    assert (verdict.kind, verdict.rejected, verdict.message) == (Kind.ADVANCE, 4, "too many")


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_signal_that_the_receiver_lacks_stops_alone(
    http: Running, grpc_: Running, senders: Senders, protocol: str
) -> None:
    running = grpc_ if protocol == "grpc" else http
    lacking = Answer(status=404, code=CODE.UNIMPLEMENTED if protocol == "grpc" else None)
    running.received.rule = lambda request: lacking if isinstance(request, REQUESTS["logs"]) else None
    sender = senders(running, protocol)

    kinds = {signal: sender.send(signal, REQUESTS[signal]()).kind for signal in ("logs", "traces", "metrics")}

    assert kinds == {"logs": Kind.CONFIG, "traces": Kind.ADVANCE, "metrics": Kind.ADVANCE}


def test_a_certificate_that_went_away_is_a_verdict_and_no_end_of_a_thread(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("was here at the start")
    for protocol in ("http/protobuf", "grpc"):
        authority.touch()
        sender = make_sender(
            Destination(name="test", urls={"traces": "https://127.0.0.1:9/v1/traces"}, protocol=protocol,  # type: ignore[arg-type]
                        certificate=authority, timeout_seconds=1)
        )  # fmt: skip
        authority.unlink()

        verdict = sender.send("traces", REQUEST)

        sender.close()
        assert verdict.kind in (Kind.RETRY, Kind.CONFIG)
        assert verdict.message


SECRET = "kanarienvogel-9f8a7b6c5d4e3f2a1b0c"
ECHO = f"what came was Bearer {SECRET}"


@pytest.mark.parametrize("room", [len(ECHO), len(ECHO) - 1, len(ECHO) - 12, len(ECHO) - len(SECRET) + 6])
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_what_a_receiver_repeats_of_a_header_is_masked_also_where_its_words_are_cut(
    http: Running, grpc_: Running, senders: Senders, protocol: str, room: int
) -> None:
    running = http if protocol == "http/protobuf" else grpc_
    padding = "x" * (MESSAGE_LIMIT - len("400 Bad Request: " if running is http else "INVALID_ARGUMENT: ") - room - 1)
    words = f"{padding} {ECHO}"
    running.received.rule = lambda _request: Answer(
        status=400, content_type="text/plain", body=words.encode(), code=CODE.INVALID_ARGUMENT, details=words
    )

    verdict = senders(running, protocol, headers={"authorization": f"Bearer {SECRET}"}).send("traces", REQUEST)

    assert verdict.kind is Kind.POISON
    assert verdict.message.endswith("x what came was ****")


def test_a_fact_that_is_set_aside_is_so_for_a_reason_without_secrets(
    http: Running, senders: Senders, ledger: Ledger, outboxes: Callable[..., Outbox]
) -> None:
    ledger.tools(1)
    http.received.rule = lambda _request: Answer(status=400, content_type="text/plain", body=ECHO.encode())

    outboxes(senders(http, headers={"authorization": f"Bearer {SECRET}"})).drain_once(NOW)

    assert [reason for _, reason in ledger.dead()] == ["poison: 400 Bad Request: what came was ****"]


def test_a_header_that_grpc_cannot_carry_is_somebodys_to_correct(grpc_: Running, senders: Senders) -> None:
    verdict = senders(grpc_, "grpc", headers={"x-trace-bin": "letters"}).send("traces", REQUEST)

    assert verdict.kind is Kind.CONFIG
    assert "x-trace-bin" in verdict.message
    assert grpc_.received.offered == []
