"""Where telemetry goes, and the one interface that both protocols answer to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol
from urllib.parse import SplitResult, urlsplit

from ccagent.errors import ConfigError
from ccagent.export.otlp.verdict import Verdict
from ccagent.masking import hidden, long_enough
from ccagent.otlp_destination import Destination, Signal, sendable
from ccagent.otlp_endpoint import is_loopback

if TYPE_CHECKING:
    from ccagent.export.otlp.payload import Sendable
__all__ = ["Destination", "Sender", "Signal", "check_url", "is_loopback", "make_sender"]


class Sender(Protocol):
    """Sends one request and says what became of it. It never raises for what a receiver or a network does."""

    def send(self, signal: Signal, payload: Sendable) -> Verdict:
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
        if not sendable(header, value):
            raise ConfigError(f"the OTLP header {header!r} has a name or value that cannot be sent; correct it")
    for what in (destination.certificate, destination.client_certificate, destination.client_key):
        if what is not None and not what.is_file():
            raise ConfigError(f"the OTLP certificate or key {what} is not a readable file; correct its path")
    if destination.protocol == "grpc":
        from ccagent.export.otlp.grpc import GrpcSender

        return Discreet(GrpcSender(destination), destination.headers)
    from ccagent.export.otlp.http import HttpSender

    return Discreet(HttpSender(destination), destination.headers)


class Discreet:
    """A sender whose verdicts hold nothing of what its headers hold: receivers repeat what they refuse, and a verdict's
    words go into the log, the status and the database."""

    def __init__(self, sender: Sender, headers: Mapping[str, str]) -> None:
        self._sender = sender
        parts = {part for value in headers.values() for part in (value, value.rpartition(" ")[2])}
        self._secrets = long_enough(parts)

    def send(self, signal: Signal, payload: Sendable) -> Verdict:
        """Send an `Export…ServiceRequest` within the destination's timeout."""
        verdict = self._sender.send(signal, payload)
        message = hidden(verdict.message, self._secrets)
        return verdict if message == verdict.message else replace(verdict, message=message)

    def close(self) -> None:
        """Give up connections; a later `send` opens new ones."""
        self._sender.close()


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
