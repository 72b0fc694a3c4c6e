"""An OTLP endpoint as a user writes it, taken apart and made complete for a protocol and a signal."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from ccagent.errors import ConfigError

GRPC_PORT: Final = 4317
HTTP_PORT: Final = 4318
DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_SIGNAL_PATH = re.compile(r"/v1/(?:traces|metrics|logs)$")
_HAS_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a sender connects to; `url` is the whole of it."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def url(self) -> str:
        """The target as text; an IPv6 host in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Scheme, host, port (None where none was written) and path as it was written."""

    scheme: str
    host: str
    port: int | None
    path: str

    @property
    def usual_protocol(self) -> str:
        """The protocol where none is chosen: http/protobuf with port 4318 or a path, else grpc."""
        return "http/protobuf" if self.port == HTTP_PORT or self.path.strip("/") else "grpc"

    def over_grpc(self) -> Target:
        """Give the gRPC target: port 4317 where none was written in plain text, 443 over TLS; no path."""
        port = self.port or (GRPC_PORT if self.scheme == "http" else DEFAULT_PORTS["https"])
        return Target(scheme=self.scheme, host=self.host, port=port, path="")

    def over_http(self, signal: str, *, own: bool) -> Target:
        """Give the HTTP target of a signal; an endpoint of the signal's own is taken as it is, else its path is added.

        A signal path written at the end of a shared endpoint is replaced, not doubled.
        """
        path = (self.path or "/") if own else f"{_SIGNAL_PATH.sub('', self.path.rstrip('/'))}/v1/{signal}"
        return Target(scheme=self.scheme, host=self.host, port=self.port or DEFAULT_PORTS[self.scheme], path=path)

    def same_host(self, other: str) -> bool:
        """Tell whether another endpoint, as written, is on the same host; what cannot be read is not."""
        try:
            return parse_endpoint(other, "", insecure=True).host == self.host
        except ConfigError:
            return False


def parse_endpoint(text: str, where: str, *, insecure: bool, section: str = "otlp") -> Endpoint:
    """Take an endpoint apart. `section` is the table of the configuration that allows what is refused.

    Without a scheme it is http on this machine or with `insecure`, else https. Raises ConfigError, naming `where`, for
    what is no endpoint, for credentials in it, and for plain text beyond this machine without `insecure`.
    """
    written = text.strip()
    schemeless = not _HAS_SCHEME.match(written)
    try:
        parts = urlsplit("//" + written if schemeless else written)
        host, port = parts.hostname, parts.port
    except ValueError:
        # The error's own words may hold a part of the text, and that part a secret.
        raise _no_endpoint(where, "its host or port cannot be read") from None
    if not host or any(char.isspace() or not char.isprintable() for char in written):
        raise _no_endpoint(where, "it has no host")
    # The message must not repeat the text: what stands before the @ is a secret.
    if parts.username is not None or parts.password is not None:
        raise ConfigError(f"{where}: the endpoint holds credentials; send them as a header ({section}.headers) instead")
    if parts.query or parts.fragment:
        raise _no_endpoint(where, "it holds a query or a fragment")
    local = is_loopback(host)
    scheme = ("http" if local or insecure else "https") if schemeless else parts.scheme.lower()
    if scheme not in DEFAULT_PORTS:
        raise _no_endpoint(where, f"the scheme {scheme!r} is neither http nor https")
    if port == 0:
        raise _no_endpoint(where, "port 0 is no port to send to")
    if scheme == "http" and not local and not insecure:
        raise ConfigError(
            f"{where}: {host} is not this machine and http:// is readable on the way; use https://, "
            f"or allow it with {section}.insecure = true"
        )
    return Endpoint(scheme=scheme, host=host, port=port, path=parts.path)


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _no_endpoint(where: str, why: str) -> ConfigError:
    return ConfigError(f"{where}: this is no endpoint: {why}; write such as http://127.0.0.1:4317")
