"""OTLP over HTTP: one POST, one answer, one verdict."""

from __future__ import annotations

import gzip
import http.client
import io
import ssl
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, urlsplit

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from ccagent.export.otlp.sender import RESPONSE_LIMIT, USER_AGENT, Destination, Signal
from ccagent.export.otlp.verdict import Kind, Verdict, clean, retry

if TYPE_CHECKING:
    import socket

    from ccagent.export.otlp.payload import Sendable
GZIP_LEVEL: Final = 1
"""Spans repeat their keys: level 1 already takes off four fifths, and higher ones mostly cost time."""

PROTOBUF_TYPES: Final = ("application/x-protobuf", "application/protobuf")

PIECE: Final = 65_536
"""Bytes that are sent or read at once: between two of them the time is looked at."""

Answer = ExportTraceServiceResponse | ExportMetricsServiceResponse | ExportLogsServiceResponse

ANSWERS: Final[Mapping[Signal, type[Answer]]] = {
    "traces": ExportTraceServiceResponse, "metrics": ExportMetricsServiceResponse, "logs": ExportLogsServiceResponse,
}  # fmt: skip

THROTTLED: Final = frozenset({408, 429, 502, 503, 504})
"""Answers that say "later" and whose Retry-After counts."""

DIGITS: Final = 9
"""Digits of a Retry-After in seconds that are read: more than any wait that is honoured."""

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
        connection.response_class = partial(_Response, until=until)  # type: ignore[assignment]
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        if connection.sock is None:
            connection.connect()
        connection.sock.settimeout(_left(until))
        try:
            connection.request("POST", target, _pieces(body, connection.sock, until), self._headers(len(body)))
        except (BrokenPipeError, ConnectionResetError):
            # Who refuses a body by its length answers before it is read, and closes: the answer may be here already.
            pass
        response = connection.getresponse()
        content = _read(response)
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


class _Response(http.client.HTTPResponse):
    """An answer that has to end by `until` (monotonic seconds), head included, however slowly it drips."""

    def __init__(self, sock: socket.socket, *args: Any, until: float, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._bytes = _Until(self.fp.detach(), sock, until)
        self.fp = io.BufferedReader(self._bytes)

    def begin(self) -> None:
        """Read the head. The library takes the end of the connection for the end of the head."""
        super().begin()
        if self._bytes.ended:
            raise http.client.IncompleteRead(b"")


class _Until(io.RawIOBase):
    """The bytes of a socket until a moment; a socket's own timeout begins anew with every byte."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, until: float) -> None:
        self._raw = raw
        self._sock = sock
        self._deadline = until
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_left(self._deadline))
        count = self._raw.readinto(buffer)
        self.ended = count == 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def _left(until: float) -> float:
    """Seconds until then; raises `TimeoutError` when there are none."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _pieces(body: bytes, sock: socket.socket, until: float) -> Iterator[bytes]:
    """The body bit by bit; raises `TimeoutError` when the receiver takes it too slowly."""
    for at in range(0, len(body), PIECE):
        sock.settimeout(_left(until))
        yield body[at : at + PIECE]


def _read(response: http.client.HTTPResponse) -> bytes:
    """At most `RESPONSE_LIMIT` bytes of the answer; raises `IncompleteRead` for one that was cut off."""
    parts: list[bytes] = []
    announced, wanted = response.length, RESPONSE_LIMIT
    while wanted > 0:
        part = response.read1(min(wanted, PIECE))
        if not part:
            # Read to its end; without this, the connection believes that the answer is still coming.
            response.close()
            content = b"".join(parts)
            if announced is not None and len(content) < announced:
                raise http.client.IncompleteRead(content, announced - len(content))
            return content
        parts.append(part)
        wanted -= len(part)
    # The rest stays unread, so the connection cannot be used again.
    response.will_close = True
    return b"".join(parts)


def _decoded(response: http.client.HTTPResponse, content: bytes) -> bytes:
    """The body without its compression; raises `zlib.error` for one that is broken, cut off, too long or unknown."""
    coding = (response.headers.get("Content-Encoding") or "identity").strip().lower()
    if coding == "identity" or not content:
        return content
    if coding not in ("gzip", "x-gzip"):
        raise zlib.error(f"content encoding {coding}")
    unpacking = zlib.decompressobj(wbits=31)
    found = unpacking.decompress(content, RESPONSE_LIMIT)
    if not unpacking.eof:
        raise zlib.error("not the whole of it")
    return found


def judge(signal: Signal, response: http.client.HTTPResponse, content: bytes, now: float) -> Verdict:
    """The verdict on an answer: status first, then content type, then what the body says. `now`: epoch seconds."""
    status = response.status
    if 200 <= status < 300:
        return _accepted(signal, response, content)
    said = f"{status} {_phrase(status)}: {_reason(response, content)}"
    if status in THROTTLED:
        return retry(said, delay_seconds=_retry_after(response.headers.get("Retry-After"), now))
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
        content = _decoded(response, content)
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
        content = _decoded(response, content)
        if kind in PROTOBUF_TYPES:
            return str(Status.FromString(content).message)
    except (DecodeError, zlib.error):
        return ""
    return content[:4096].decode("utf-8", "replace") if kind in ("application/json", "text/plain") else ""


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "unknown status"


def _retry_after(value: str | None, now: float) -> float | None:
    """Seconds to wait by a Retry-After header (seconds or a date), or None when it says nothing usable."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:DIGITS])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (TypeError, ValueError, OverflowError):
        return None
