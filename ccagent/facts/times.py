"""Timestamps of records as integer milliseconds since the epoch, UTC."""

from __future__ import annotations

from datetime import UTC, datetime

LATEST_MS = 253_402_300_799_999
"""9999-12-31; a later time is a broken field."""


_MINUTES: dict[str, int] = {}
MINUTES_CACHED = 4_096
"""Minutes whose milliseconds are remembered: neighbouring lines share theirs."""


def parse_ms(text: str | None) -> int | None:
    """ms of an ISO 8601 time; None where it is none. Without a zone it is read as UTC.

    Clients write `YYYY-MM-DDTHH:MM:SS.mmmZ` without exception, so that form is fast: one dictionary look-up.
    """
    if not text:
        return None
    if len(text) == 24 and text[23] == "Z" and text[19] == ".":
        base = _MINUTES.get(text[:17])
        if base is None:
            base = _minute(text[:17])
        rest = text[17:19] + text[20:23]
        if base >= 0 and rest.isdecimal() and rest < "60000" and rest.isascii():
            return base + int(rest)
    return _any_form(text)


def whole_ms(duration: float | None) -> int | None:
    """A duration that a client wrote, in whole ms; None where it is none: negative, not finite or beyond all time."""
    return round(duration) if duration is not None and 0 <= duration <= LATEST_MS else None


def _minute(prefix: str) -> int:
    """ms of the start of `YYYY-MM-DDTHH:MM:`, -1 where it is none."""
    try:
        base = int(datetime.fromisoformat(prefix + "00+00:00").timestamp()) * 1_000
    except ValueError:
        base = -1
    if len(_MINUTES) >= MINUTES_CACHED:
        _MINUTES.clear()
    _MINUTES[prefix] = base
    return base


def _any_form(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        ms = round(moment.timestamp() * 1_000)
    except (ValueError, OverflowError):
        return None
    return ms if 0 <= ms <= LATEST_MS else None
