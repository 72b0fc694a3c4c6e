"""Where telemetry goes, and the one interface that both protocols answer to."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol
from urllib.parse import SplitResult, urlsplit

from ccagent.errors import ConfigError
from ccagent.export.otlp.verdict import Verdict

if TYPE_CHECKING:
    from google.protobuf.message import Message

Signal = Literal["traces", "metrics", "logs"]

TIMEOUT_SECONDS: Final = 10.0
"""One call, answer included. OTLP's own default."""

RESPONSE_LIMIT: Final = 1 << 20
"""Bytes of an answer that are read. A real one has a few dozen."""

HEADER_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
"""What both protocols can carry."""

USER_AGENT: Final = "ccagent-otlp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """One receiver: its addresses by signal and how to speak to it.

    `urls` holds whole URLs by signal: over HTTP with their path (`http://127.0.0.1:4318/v1/traces`), over gRPC host and
    port count (`http` = plaintext, `https` = TLS). A signal without URL is not sent. `name` is the cursor's key and a
    metric label. Plaintext to another machine needs `insecure`.
    """

    name: str
    urls: Mapping[Signal, str]
    protocol: Literal["grpc", "http/protobuf"] = "http/protobuf"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_seconds: float = TIMEOUT_SECONDS
    compression: Literal["gzip", "none"] = "gzip"
    certificate: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    insecure: bool = False


class Sender(Protocol):
    """Sends one request and says what became of it. It never raises for what a receiver or a network does."""

    def send(self, signal: Signal, payload: Message) -> Verdict:
        """Send an `Export…ServiceRequest` within the destination's timeout."""

    def close(self) -> None:
        """Give up connections; a later `send` opens new ones."""


def make_sender(destination: Destination) -> Sender:
    """The sender for the destination's protocol; gRPC is imported only here and only if it is wanted.

    Raises `ConfigError` for an address or header that cannot be used, plaintext to another machine, or certificates
    that are not there.
    """
    for signal, url in destination.urls.items():
        check_url(url, f"the {signal} endpoint", insecure=destination.insecure)
    for header, value in destination.headers.items():
        if not HEADER_NAME.fullmatch(header) or not value.isascii() or not value.isprintable():
            raise ConfigError(f"the OTLP header {header!r} has a name or value that cannot be sent; correct it")
    for what in (destination.certificate, destination.client_certificate, destination.client_key):
        if what is not None and not what.is_file():
            raise ConfigError(f"the OTLP certificate or key {what} is not a readable file; correct its path")
    if destination.protocol == "grpc":
        from ccagent.export.otlp.grpc import GrpcSender

        return GrpcSender(destination)
    from ccagent.export.otlp.http import HttpSender

    return HttpSender(destination)


def check_url(url: str, what: str, *, insecure: bool) -> SplitResult:
    """The parts of `url`; raises `ConfigError` when it has no usable scheme or host or would send in the clear."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError(f"{what} is not a URL of the form http://host:port or https://host:port; correct it")
    if parts.username is not None or parts.password is not None:
        raise ConfigError(f"{what} has credentials inside the URL; put them into the OTLP headers instead")
    if parts.scheme == "http" and not insecure and not is_loopback(parts.hostname or ""):
        raise ConfigError(
            f"{what} is plaintext to {parts.hostname}, which is not this machine; "
            "use https://, or set otlp.insecure = true if the network in between is trusted"
        )
    return parts


def is_loopback(host: str) -> bool:
    """True for `localhost` and loopback addresses; names are not resolved."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
