"""An OTLP receiver in this process, over HTTP and gRPC: it decodes, keeps what it took, and answers as it is told."""

from __future__ import annotations

import gzip
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_pb2
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

SILENCE_SECONDS = 20.0
"""How long a silent receiver stays silent at most; its end is the test's end."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer. Over HTTP `status` counts, over gRPC `code` (None = OK).

    `silent`: no answer within the test. `reset`: the connection breaks instead (HTTP). `lost`: the request was taken,
    though its sender is told otherwise or nothing.
    """

    status: int = 200
    content_type: str | None = "application/x-protobuf"
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    code: grpc.StatusCode | None = None
    details: str = ""
    retry_seconds: float | None = None
    retry_in_details: bool = False
    rejected: int = 0
    message: str = ""
    silent: bool = False
    reset: bool = False
    lost: bool = False

    @property
    def takes(self) -> bool:
        """Whether what was sent counts as received."""
        if self.lost or self.reset:
            return self.lost
        html = self.content_type is not None and "html" in self.content_type
        return self.status == 200 and self.code is None and not self.silent and not html


OK = Answer()
Rule = Callable[[Any], Answer | None]


class Received:
    """What a receiver took, and how it is to answer: `script` first, one entry a request, then `rule`, then OK."""

    def __init__(self) -> None:
        self.script: deque[Answer] = deque()
        self.rule: Rule = lambda _request: None
        self.offered: list[Any] = []
        self.taken: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.bodies: list[bytes] = []
        self.ended = threading.Event()
        self._lock = threading.Lock()

    def answer(self, request: Any) -> Answer:
        """The answer to one decoded request."""
        with self._lock:
            self.offered.append(request)
            answer = self.script.popleft() if self.script else self.rule(request) or OK
            if answer.takes:
                self.taken.append(request)
        if answer.silent:
            self.ended.wait(SILENCE_SECONDS)
        return answer

    @property
    def spans(self) -> list[Span]:
        """All spans of requests that were taken."""
        return [span for request in self.taken if hasattr(request, "resource_spans") for span in spans_of(request)]

    @property
    def metrics(self) -> list[Metric]:
        """All metrics of requests that were taken."""
        return [
            metric
            for request in self.taken
            if hasattr(request, "resource_metrics")
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]

    @property
    def logs(self) -> list[LogRecord]:
        """All log records of requests that were taken."""
        return [record for request in self.taken if hasattr(request, "resource_logs") for record in logs_of(request)]


def spans_of(request: trace_pb2.ExportTraceServiceRequest) -> list[Span]:
    """The spans of one request."""
    return [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]


def logs_of(request: logs_pb2.ExportLogsServiceRequest) -> list[LogRecord]:
    """The log records of one request."""
    return [
        record for resource in request.resource_logs for scope in resource.scope_logs for record in scope.log_records
    ]


REQUESTS: dict[str, Any] = {
    "traces": trace_pb2.ExportTraceServiceRequest,
    "metrics": metrics_pb2.ExportMetricsServiceRequest,
    "logs": logs_pb2.ExportLogsServiceRequest,
}
"""The request of each signal."""

RESPONSES: dict[str, tuple[Any, str]] = {
    "traces": (trace_pb2.ExportTraceServiceResponse, "rejected_spans"),
    "metrics": (metrics_pb2.ExportMetricsServiceResponse, "rejected_data_points"),
    "logs": (logs_pb2.ExportLogsServiceResponse, "rejected_log_records"),
}
"""The answer of each signal, and the field in which its partial success counts."""


def response(kind: str, answer: Answer) -> Any:
    """The protobuf answer to a taken request."""
    message, counted = RESPONSES[kind]
    found = message()
    if answer.rejected or answer.message:
        setattr(found.partial_success, counted, answer.rejected)
        found.partial_success.error_message = answer.message
    return found


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    received: Received

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        kind = self.path.rpartition("/")[2]
        if kind not in REQUESTS:
            kind = "metrics"
        self.received.headers.append({key.lower(): value for key, value in self.headers.items()})
        self.received.paths.append(self.path)
        self.received.bodies.append(content)
        answer = self.received.answer(REQUESTS[kind].FromString(content))
        if answer.silent:
            self.close_connection = True
            return
        if answer.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return
        body = answer.body if answer.body is not None else self._body(kind, answer)
        self.send_response(answer.status)
        if answer.content_type is not None:
            self.send_header("Content-Type", answer.content_type)
        for key, value in answer.headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self, kind: str, answer: Answer) -> bytes:
        if answer.status == 200:
            return bytes(response(kind, answer).SerializeToString())
        return bytes(Status(message=answer.details).SerializeToString())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a test's output is its failures."""


@dataclass(kw_only=True)
class Running:
    """A receiver that listens: its address and what it received."""

    received: Received
    port: int

    @property
    def http(self) -> str:
        """The base URL; the senders want the path of the signal after it."""
        return f"http://127.0.0.1:{self.port}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left is part of the tests."""


@contextmanager
def http_receiver(tls: Any = None) -> Iterator[Running]:
    """An HTTP receiver on a free port of this machine; `tls`: a server context."""
    received = Received()
    handler = type("Handler", (_Handler,), {"received": received})
    server = _Server(("127.0.0.1", 0), handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield Running(received=received, port=server.server_address[1])
    finally:
        received.ended.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Traces(trace_grpc.TraceServiceServicer):
    def __init__(self, received: Received) -> None:
        self.received = received

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return _serve("traces", self.received, request, context)


class _Metrics(metrics_grpc.MetricsServiceServicer):
    def __init__(self, received: Received) -> None:
        self.received = received

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return _serve("metrics", self.received, request, context)


class _Logs(logs_grpc.LogsServiceServicer):
    def __init__(self, received: Received) -> None:
        self.received = received

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return _serve("logs", self.received, request, context)


def _serve(kind: str, received: Received, request: Any, context: grpc.ServicerContext) -> Any:
    received.headers.append({key: str(value) for key, value in context.invocation_metadata()})
    received.bodies.append(request.SerializeToString())
    answer = received.answer(request)
    if answer.code is not None:
        if answer.retry_seconds is not None:
            context.set_trailing_metadata((_retry_metadata(answer),))
        context.abort(answer.code, answer.details)
    return response(kind, answer)


def _retry_metadata(answer: Answer) -> tuple[str, bytes]:
    delay = Duration()
    delay.FromMicroseconds(int((answer.retry_seconds or 0) * 1_000_000))
    info = RetryInfo(retry_delay=delay)
    if not answer.retry_in_details:
        return "google.rpc.retryinfo-bin", info.SerializeToString()
    status = Status()
    status.details.add().Pack(info)
    return "grpc-status-details-bin", status.SerializeToString()


@contextmanager
def grpc_receiver(
    max_bytes: int | None = None, credentials: grpc.ServerCredentials | None = None, port: int = 0
) -> Iterator[Running]:
    """A gRPC receiver on a free port of this machine; `max_bytes`: of one message, else the server's default."""
    received = Received()
    options = [] if max_bytes is None else [("grpc.max_receive_message_length", max_bytes)]
    server = grpc.server(ThreadPoolExecutor(4), options=options)
    trace_grpc.add_TraceServiceServicer_to_server(_Traces(received), server)
    metrics_grpc.add_MetricsServiceServicer_to_server(_Metrics(received), server)
    logs_grpc.add_LogsServiceServicer_to_server(_Logs(received), server)
    address = f"127.0.0.1:{port}"
    port = server.add_insecure_port(address) if credentials is None else server.add_secure_port(address, credentials)
    server.start()
    try:
        yield Running(received=received, port=port)
    finally:
        received.ended.set()
        server.stop(0).wait(5)
