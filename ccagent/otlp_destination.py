"""One receiver of one signal or several: where it is and how it is spoken to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

Signal = Literal["traces", "metrics", "logs"]

Protocol = Literal["grpc", "http/protobuf"]

Compression = Literal["gzip", "none"]

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
"""What both protocols can carry."""

USER_AGENT: Final = "ccagent-otlp"
"""What ccagent calls itself there."""

TIMEOUT_SECONDS: Final = 10.0
"""One call, answer included. OTLP's own default."""

INTERVAL_SECONDS: Final = 60.0
"""Between two requests of metrics; OTEL_METRIC_EXPORT_INTERVAL's default."""


def sendable(name: str, value: str) -> bool:
    """Whether a header can be sent over both protocols."""
    return _HEADER_NAME.fullmatch(name) is not None and value.isascii() and value.isprintable()


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """One receiver: its addresses by signal and how to speak to it.

    `urls` holds whole URLs by signal: over HTTP with their path (`http://127.0.0.1:4318/v1/traces`), over gRPC host and
    port count (`http` = plaintext, `https` = TLS). A signal without URL is not sent. `name` is the cursor's key and a
    metric label. Plaintext to another machine needs `insecure`. Headers have lower-case names; they hold secrets, and
    no text of a destination shows them. `max_age_days` None sends whatever its age.
    """

    name: str
    urls: Mapping[Signal, str]
    protocol: Protocol = "http/protobuf"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_seconds: float = TIMEOUT_SECONDS
    compression: Compression = "gzip"
    certificate: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    insecure: bool = False
    interval_seconds: float = INTERVAL_SECONDS
    max_age_days: float | None = None
    native_names: bool = False
    native_events: bool = False

    @property
    def signal(self) -> Signal:
        """The first signal that is sent; the settings make a destination for each one."""
        return next(iter(self.urls))

    @property
    def url(self) -> str:
        """Where the first signal goes."""
        return self.urls[self.signal]

    @property
    def key(self) -> str:
        """`name/signal`: what the cursors, `status` and the live values call it."""
        return f"{self.name}/{self.signal}"
