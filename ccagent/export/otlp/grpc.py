"""OTLP over gRPC: one call, one status, one verdict."""

from __future__ import annotations

from collections.abc import Mapping
from operator import methodcaller
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from ccagent.errors import ConfigError
from ccagent.export.exchange import RESPONSE_LIMIT
from ccagent.export.otlp.http import ANSWERS, accepted
from ccagent.export.otlp.verdict import Kind, Verdict, clean, retry
from ccagent.otlp_destination import USER_AGENT, Destination, Signal

if TYPE_CHECKING:
    from ccagent.export.otlp.payload import Sendable
OPTIONS: Final = (
    ("grpc.enable_http_proxy", 0),  # proxy variables are not read
    ("grpc.enable_retries", 0),  # the outbox retries, and says so
    ("grpc.use_local_subchannel_pool", 1),  # a new channel shares no connection, nor another channel's back-off
    ("grpc.max_receive_message_length", RESPONSE_LIMIT),
    ("grpc.primary_user_agent", USER_AGENT),
)

SERVICES: Final[Mapping[Signal, str]] = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
}

RETRIED: Final = frozenset({"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"})
"""Codes that OTLP calls retryable."""

SIZED: Final = frozenset({"RESOURCE_EXHAUSTED", "OUT_OF_RANGE", "INTERNAL", "UNKNOWN"})
"""Codes that stand for a message too large, where their words say so."""

MISCONFIGURED: Final = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED", "NOT_FOUND"})

TOO_LARGE_WORDS: Final = ("larger than max", "length too large", "exceeds maximum size", "status: 413")
"""How servers say that a message is too large: those written in C++ and Go, Rust, Java, and a proxy over HTTP."""

DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class GrpcSender:
    """Calls the trace, metrics and logs services of one destination; a channel is made anew after every failure."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._channels: dict[Signal, grpc.Channel] = {}
        self._metadata = tuple((key.lower(), value) for key, value in destination.headers.items())
        gzip = destination.compression == "gzip"
        self._compression = grpc.Compression.Gzip if gzip else grpc.Compression.NoCompression

    def send(self, signal: Signal, payload: Sendable) -> Verdict:
        """Send an `Export…ServiceRequest` within the destination's timeout."""
        try:
            channel = self._channels.get(signal) or self._connect(signal)
            export = channel.unary_unary(
                f"/{SERVICES[signal]}/Export",
                request_serializer=methodcaller("SerializeToString"),
                response_deserializer=ANSWERS[signal].FromString,
            )
            answer = export(
                payload,
                timeout=self._destination.timeout_seconds,
                metadata=self._metadata,
                compression=self._compression,
            )
        except grpc.RpcError as error:
            verdict = judge(cast("grpc.Call", error))
            if verdict.kind in (Kind.RETRY, Kind.CONFIG):
                self._drop(signal)
            return verdict
        except (ConfigError, ValueError, TypeError) as error:
            # A header that gRPC cannot carry (no text where a name ends with -bin), a certificate that went away: somebody
            # has to act.
            self._drop(signal)
            return Verdict(kind=Kind.CONFIG, message=clean(f"the call could not be made: {error}"))
        return accepted(answer)

    def close(self) -> None:
        """Give up connections; a later `send` opens new ones."""
        for signal in list(self._channels):
            self._drop(signal)

    def _connect(self, signal: Signal) -> grpc.Channel:
        url = urlsplit(self._destination.urls[signal])
        host = url.hostname or ""
        target = f"{f'[{host}]' if ':' in host else host}:{url.port or DEFAULT_PORTS[url.scheme]}"
        if url.scheme == "https":
            channel = grpc.secure_channel(target, self._credentials(), options=OPTIONS)
        else:
            channel = grpc.insecure_channel(target, options=OPTIONS)
        self._channels[signal] = channel
        return channel

    def _credentials(self) -> grpc.ChannelCredentials:
        own = self._destination
        try:
            root = own.certificate.read_bytes() if own.certificate else None
            key = own.client_key.read_bytes() if own.client_key else None
            chain = own.client_certificate.read_bytes() if own.client_certificate else None
        except OSError as error:
            raise ConfigError(
                f"the OTLP certificate or key {error.filename} cannot be read: {error.strerror}"
            ) from error
        return grpc.ssl_channel_credentials(root, key, chain)

    def _drop(self, signal: Signal) -> None:
        channel = self._channels.pop(signal, None)
        if channel is not None:
            channel.close()


def judge(call: grpc.Call) -> Verdict:
    """The verdict on a failed call, by its code, its details and a RetryInfo in its trailing metadata."""
    code = call.code().name
    words = call.details() or ""
    said = clean(f"{code}: {words}")
    if code in SIZED and any(phrase in words for phrase in TOO_LARGE_WORDS):
        return Verdict(kind=Kind.TOO_LARGE, message=said)
    if code == "RESOURCE_EXHAUSTED":
        return _exhausted(call, said)
    if code in RETRIED:
        return retry(said, delay_seconds=_retry_info(call))
    if code in MISCONFIGURED:
        return Verdict(kind=Kind.CONFIG, message=said)
    if code in ("INTERNAL", "UNKNOWN"):
        return retry(said, bounded=True)
    return Verdict(kind=Kind.POISON, message=said)


def _exhausted(call: grpc.Call, said: str) -> Verdict:
    """RESOURCE_EXHAUSTED is a wish to wait (RetryInfo), or may be a message too large that does not say so."""
    delay = _retry_info(call)
    if delay is not None:
        return retry(said, delay_seconds=delay)
    return Verdict(kind=Kind.TOO_LARGE, message=said, bounded=True)


def _retry_info(call: grpc.Call) -> float | None:
    """Seconds that the receiver asks to wait, from either form in which servers send a RetryInfo."""
    for key, value in call.trailing_metadata() or ():
        if not isinstance(value, bytes):
            continue
        try:
            if key == "google.rpc.retryinfo-bin":
                return _seconds(RetryInfo.FromString(value))
            if key == "grpc-status-details-bin":
                for detail in Status.FromString(value).details:
                    info = RetryInfo()
                    if detail.Unpack(info):
                        return _seconds(info)
        except DecodeError:
            continue
    return None


def _seconds(info: RetryInfo) -> float:
    return max(0.0, float(info.retry_delay.seconds) + float(info.retry_delay.nanos) / 1e9)
