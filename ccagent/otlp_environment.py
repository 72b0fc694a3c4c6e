"""The OpenTelemetry variables that apply, read leniently: they may have been written for another program.

A bad value is a notice and counts as not set; it never stops the daemon. A signal's own variable goes before the
shared one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from ccagent.config_export_keys import PROTOCOLS, SIGNALS

PREFIX: Final = "OTEL_EXPORTER_OTLP_"

MAX_TIMEOUT_SECONDS: Final = 600.0
"""The specification has milliseconds, one SDK seconds. No one waits ten minutes: more means milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one span or log record: attributes of it, characters of one value. None: ccagent's own alone."""

    attributes: int | None = None
    characters: int | None = None

    def __bool__(self) -> bool:
        """Whether there is any."""
        return self.attributes is not None or self.characters is not None


class OtelEnvironment:
    """Typed access to the OTEL_* variables of one environment."""

    __slots__ = ("_env",)

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env

    @property
    def disabled(self) -> bool:
        """Whether OTEL_SDK_DISABLED is true."""
        return self._get("OTEL_SDK_DISABLED").lower() == "true"

    @property
    def service_name(self) -> str:
        """OTEL_SERVICE_NAME, "" where it is not set."""
        return _readable(self._get("OTEL_SERVICE_NAME"))

    def endpoint(self, signal: str) -> tuple[str, str, bool] | None:
        """Give (variable, text, whether it is the signal's own) of the endpoint found for a signal."""
        own = f"{PREFIX}{signal.upper()}_ENDPOINT"
        if text := self._get(own):
            return own, text, True
        if text := self._get(PREFIX + "ENDPOINT"):
            return PREFIX + "ENDPOINT", text, False
        return None

    def endpoint_variables(self) -> list[str]:
        """Name the endpoint variables that are set."""
        names = [PREFIX + "ENDPOINT", *(f"{PREFIX}{signal.upper()}_ENDPOINT" for signal in SIGNALS)]
        return [name for name in names if self._get(name)]

    def headers(self, signal: str) -> list[tuple[str, str]]:
        """Give (variable, text) of the headers found: the shared ones first, the signal's own over them."""
        names = [PREFIX + "HEADERS", f"{PREFIX}{signal.upper()}_HEADERS"]
        return [(name, text) for name in names if (text := self._get(name))]

    def protocol(self, signal: str, notices: list[str]) -> str | None:
        """Give the protocol found; http/json is sent as http/protobuf, which the same path takes."""
        name, text = self._signal(signal, "PROTOCOL")
        if text == "http/json":
            notices.append(f"{name}: http/json is not spoken; http/protobuf is sent to the same path")
            return "http/protobuf"
        if text and text not in PROTOCOLS:
            notices.append(f"{name}: {text!r} is no protocol and is not used; {' or '.join(PROTOCOLS)}")
            return None
        return text or None

    def compression(self, signal: str, notices: list[str]) -> str | None:
        """Give the compression found."""
        name, text = self._signal(signal, "COMPRESSION")
        if text and text not in ("gzip", "none"):
            notices.append(f"{name}: {text!r} is not known and is not used; gzip or none")
            return None
        return text or None

    def flag(self, signal: str, what: str, notices: list[str]) -> bool | None:
        """Give a true or false found."""
        name, text = self._signal(signal, what)
        if text.lower() in ("true", "false", ""):
            return text.lower() == "true" if text else None
        notices.append(f"{name}: {text!r} is neither true nor false and is not used")
        return None

    def path(self, signal: str, what: str) -> Path | None:
        """Give a file found."""
        _, text = self._signal(signal, what)
        return Path(text) if text else None

    def timeout_seconds(self, signal: str, notices: list[str]) -> float | None:
        """Give the timeout in seconds; a number above MAX_TIMEOUT_SECONDS is taken as milliseconds."""
        name, text = self._signal(signal, "TIMEOUT")
        number = _positive(name, text, notices)
        if number is None:
            return None
        return number / 1_000 if number > MAX_TIMEOUT_SECONDS else number

    def interval_seconds(self, notices: list[str]) -> float | None:
        """Give OTEL_METRIC_EXPORT_INTERVAL, which is in milliseconds, as seconds; at least one second."""
        name = "OTEL_METRIC_EXPORT_INTERVAL"
        number = _positive(name, self._get(name), notices)
        return None if number is None else max(number / 1_000, 1.0)

    def switched_off(self, signal: str, notices: list[str]) -> str | None:
        """Name the variable that says `none` for a signal's exporter."""
        name = f"OTEL_{signal.upper()}_EXPORTER"
        wanted = {piece.strip().lower() for piece in self._get(name).split(",") if piece.strip()}
        if wanted == {"none"}:
            return name
        if wanted and "otlp" not in wanted:
            notices.append(f"{name} names no exporter that ccagent has and is not used; otlp or none")
        return None

    def limits(self, signal: str, notices: list[str]) -> Limits:
        """Give the bounds of a signal's items: its own variables go before those of all attributes."""
        kind = {"traces": "SPAN_", "logs": "LOGRECORD_"}.get(signal)
        if kind is None:
            return Limits()

        def bound(what: str, least: int) -> int | None:
            for name in (f"OTEL_{kind}ATTRIBUTE_{what}", f"OTEL_ATTRIBUTE_{what}"):
                if text := self._get(name):
                    if text.isascii() and text.isdigit() and int(text) >= least:
                        return int(text)
                    notices.append(f"{name}: {text!r} is no number from {least} on and is not used")
            return None

        return Limits(attributes=bound("COUNT_LIMIT", 0), characters=bound("VALUE_LENGTH_LIMIT", 0))

    def resource_attributes(self) -> tuple[dict[str, str], int]:
        """Give OTEL_RESOURCE_ATTRIBUTES, percent-decoded, and the number of pieces that are no name=value."""
        attributes: dict[str, str] = {}
        bad = 0
        for piece in _readable(self._get("OTEL_RESOURCE_ATTRIBUTES")).split(","):
            name, equals, value = piece.partition("=")
            if equals and name.strip():
                attributes[name.strip()] = unquote(value.strip())
            elif piece.strip():
                bad += 1
        return attributes, bad

    def general_notices(self) -> list[str]:
        """Say which well-known variables are set and not followed."""
        notices = []
        if self._get(PREFIX + "METRICS_TEMPORALITY_PREFERENCE").lower() in ("delta", "lowmemory"):
            notices.append(f"{PREFIX}METRICS_TEMPORALITY_PREFERENCE is not followed: metrics are always cumulative")
        if self._get(PREFIX + "METRICS_DEFAULT_HISTOGRAM_AGGREGATION").lower() not in ("", "explicit_bucket_histogram"):
            notices.append(
                f"{PREFIX}METRICS_DEFAULT_HISTOGRAM_AGGREGATION is not followed: buckets are always explicit"
            )
        if self._get("OTEL_CONFIG_FILE"):
            notices.append("OTEL_CONFIG_FILE is not read; use ccagent's own configuration file")
        return notices

    def _signal(self, signal: str, what: str) -> tuple[str, str]:
        own = f"{PREFIX}{signal.upper()}_{what}"
        return (own, text) if (text := self._get(own)) else (PREFIX + what, self._get(PREFIX + what))

    def _get(self, name: str) -> str:
        return self._env.get(name, "").strip()


def _readable(text: str) -> str:
    """The text with a mark in the place of each byte that is no UTF-8: a request can hold nothing else."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _positive(name: str, text: str, notices: list[str]) -> float | None:
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isfinite(number) and number > 0:
        return number
    notices.append(f"{name}: {text!r} is no number above 0 and is not used")
    return None
