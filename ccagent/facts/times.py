"""Timestamps of records as integer milliseconds since the epoch, UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

LATEST_MS = 253_402_300_799_999
"""9999-12-31; a later time is a broken field."""


@lru_cache(maxsize=4_096)
def _minute_ms(prefix: str) -> int | None:
    try:
        return int(datetime.fromisoformat(prefix + ":00+00:00").timestamp()) * 1_000
    except ValueError:
        return None


def parse_ms(text: str | None) -> int | None:
    """ms of an ISO 8601 time; None where it is none. Without a zone it is read as UTC.

    Clients write `YYYY-MM-DDTHH:MM:SS.mmmZ` without exception, so that form is fast: one dictionary look-up a minute.
    """
    if not text:
        return None
    if len(text) == 24 and text[23] == "Z" and text[19] == "." and text[16] == ":":
        base = _minute_ms(text[:16])
        rest = text[17:19] + text[20:23]
        if base is not None and rest.isdecimal() and rest.isascii() and rest < "60000":
            return base + int(rest)
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
