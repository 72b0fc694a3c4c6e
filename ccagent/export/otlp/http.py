"""OTLP over HTTP: one POST, one answer, one verdict."""

from __future__ import annotations

import gzip
import http.client
import ssl
import time
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from ccagent.export.exchange import THROTTLED, BoundedResponse, decoded, left, phrase, pieces, read_answer, retry_after
from ccagent.export.otlp.verdict import Kind, Verdict, clean, retry
from ccagent.otlp_destination import USER_AGENT, Destination, Signal

if TYPE_CHECKING:
    from ccagent.export.otlp.payload import Sendable
GZIP_LEVEL: Final = 1
"""Spans repeat their keys: level 1 already takes off four fifths, and higher ones mostly cost time."""

PROTOBUF_TYPES: Final = ("application/x-protobuf", "application/protobuf")

Answer = ExportTraceServiceResponse | ExportMetricsServiceResponse | ExportLogsServiceResponse

ANSWERS: Final[Mapping[Signal, type[Answer]]] = {
    "traces": ExportTraceServiceResponse, "metrics": ExportMetricsServiceResponse, "logs": ExportLogsServiceResponse,
}  # fmt: skip

STALE_CONNECTION: Final = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)
"""How a kept connection shows that the receiver closed it meanwhile: no failure, only an old socket."""


class HttpSender:
    """Posts requests to one destination over connections that are kept until something goes wrong.

    Redirects are not followed (a login page would swallow the data) and proxy variables are not read.
    """

    def __init__(self, destination: Destination, *, wall: Callable[[], float] = time.time) -> None:
        self._destination = destination
        self._wall = wall
        self._connections: dict[Signal, http.client.HTTPConnection] = {}

    def send(self, signal: Signal, payload: Sendable) -> Verdict:
        """Send an `Export…ServiceRequest` within the destination's timeout."""
        url = urlsplit(self._destination.urls[signal])
        body = payload.SerializeToString()
        if self._destination.compression == "gzip":
            body = gzip.compress(body, GZIP_LEVEL, mtime=0)
        kept = signal in self._connections
        until = time.monotonic() + self._destination.timeout_seconds
        try:
            try:
                return self._exchange(signal, url, body, until)
            except STALE_CONNECTION:
                self._drop(signal)
                if not kept:
                    raise
                return self._exchange(signal, url, body, until)
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            self._drop(signal)
            return retry(f"no answer from {url.hostname}: {type(error).__name__}: {error}")

    def close(self) -> None:
        """Give up connections; a later `send` opens new ones."""
        for signal in list(self._connections):
            self._drop(signal)

    def _exchange(self, signal: Signal, url: SplitResult, body: bytes, until: float) -> Verdict:
        connection = self._connections.get(signal) or self._connect(signal, url)
        connection.response_class = partial(BoundedResponse, until=until)  # type: ignore[assignment]
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        if connection.sock is None:
            connection.connect()
        connection.sock.settimeout(left(until))
        try:
            connection.request("POST", target, pieces(body, connection.sock, until), self._headers(len(body)))
        except (BrokenPipeError, ConnectionResetError):
            # Who refuses a body by its length answers before it is read, and closes: the answer may be here already.
            pass
        response = connection.getresponse()
        content = read_answer(response)
        verdict = judge(signal, response, content, self._wall())
        if verdict.kind is not Kind.ADVANCE or response.will_close:
            self._drop(signal)
        return verdict

    def _connect(self, signal: Signal, url: SplitResult) -> http.client.HTTPConnection:
        timeout = self._destination.timeout_seconds
        host = url.hostname or ""
        connection: http.client.HTTPConnection
        if url.scheme == "https":
            connection = http.client.HTTPSConnection(host, url.port, timeout=timeout, context=self._context())
        else:
            connection = http.client.HTTPConnection(host, url.port, timeout=timeout)
        self._connections[signal] = connection
        return connection

    def _context(self) -> ssl.SSLContext:
        """Read anew for each connection: certificates are renewed while the daemon runs."""
        own = self._destination
        context = ssl.create_default_context(cafile=str(own.certificate) if own.certificate else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if own.client_certificate is not None:
            context.load_cert_chain(own.client_certificate, own.client_key)
        return context

    def _headers(self, length: int) -> dict[str, str]:
        headers = {"Content-Type": PROTOBUF_TYPES[0], "Content-Length": str(length), "User-Agent": USER_AGENT}
        if self._destination.compression == "gzip":
            headers["Content-Encoding"] = "gzip"
        return headers | dict(self._destination.headers)

    def _drop(self, signal: Signal) -> None:
        connection = self._connections.pop(signal, None)
        if connection is not None:
            connection.close()


def judge(signal: Signal, response: http.client.HTTPResponse, content: bytes, now: float) -> Verdict:
    """The verdict on an answer: status first, then content type, then what the body says. `now`: epoch seconds."""
    status = response.status
    if 200 <= status < 300:
        return _accepted(signal, response, content)
    said = f"{status} {phrase(status)}: {_reason(response, content)}"
    if status in THROTTLED:
        return retry(said, delay_seconds=retry_after(response.headers.get("Retry-After"), now))
    if 300 <= status < 400:
        return retry(f"{status}: redirected elsewhere, which is not followed; is a login page in between?")
    if status in (400, 422):
        return Verdict(kind=Kind.POISON, message=clean(said))
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return Verdict(kind=Kind.TOO_LARGE, message=clean(said))
    if status < 200 or status >= 500:
        return retry(said, bounded=True)
    return Verdict(kind=Kind.CONFIG, message=clean(said))


def _accepted(signal: Signal, response: http.client.HTTPResponse, content: bytes) -> Verdict:
    kind = (response.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    if not kind and not content:
        return Verdict(kind=Kind.ADVANCE)
    if kind not in PROTOBUF_TYPES and kind != "application/json":
        return retry(f"{response.status} with content type {kind or 'unset'}: not an OTLP receiver")
    answer = ANSWERS[signal]()
    try:
        content = decoded(response, content)
        if kind == "application/json":
            _parse_json(content or b"{}", answer)
        else:
            answer.ParseFromString(content)
    except (DecodeError, json_format.ParseError, UnicodeDecodeError, RecursionError, zlib.error) as error:
        return retry(f"{response.status} with a body that is no OTLP answer: {type(error).__name__}")
    return accepted(answer)


def _parse_json(content: bytes, answer: Answer) -> None:
    if not content.lstrip().startswith(b"{"):
        raise json_format.ParseError("not an object")
    json_format.Parse(content, answer, ignore_unknown_fields=True)


def accepted(answer: Answer) -> Verdict:
    """The verdict on a parsed success: partial ones count what was rejected and are never sent again."""
    partial = answer.partial_success
    if isinstance(answer, ExportTraceServiceResponse):
        rejected = answer.partial_success.rejected_spans
    elif isinstance(answer, ExportLogsServiceResponse):
        rejected = answer.partial_success.rejected_log_records
    else:
        rejected = answer.partial_success.rejected_data_points
    return Verdict(kind=Kind.ADVANCE, rejected=max(0, rejected), message=clean(partial.error_message))


def _reason(response: http.client.HTTPResponse, content: bytes) -> str:
    """What the receiver says of an error: OTLP's Status message, or the text of the body."""
    kind = (response.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    try:
        content = decoded(response, content)
        if kind in PROTOBUF_TYPES:
            return str(Status.FromString(content).message)
    except (DecodeError, zlib.error):
        return ""
    return content[:4096].decode("utf-8", "replace") if kind in ("application/json", "text/plain") else ""
