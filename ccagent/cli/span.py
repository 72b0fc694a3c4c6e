"""Moments as a user writes them: a date, a time, "7d", "24h", "today"."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

from ccagent.errors import UsageError

_AGO = re.compile(r"([0-9]{1,5})([mhdw])")
_LENGTH = re.compile(r"([0-9]{1,5})([smhd])")
_UNIT_MS: Final = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


def zone_of(name: str | None) -> dt.tzinfo | None:
    """Give the zone of an IANA name that was checked; None, the system's, for None."""
    from zoneinfo import ZoneInfo

    return ZoneInfo(name) if name else None


def parse_moment(text: str, now_ms: int, zone: dt.tzinfo | None, option: str) -> int:
    """Give the moment in ms since the epoch, UTC.

    A date is its first instant, a time without an offset is taken in `zone` (None: the system's). "7d" is that long
    before now, exactly. Raises UsageError, naming the option, for anything else, also for what lies in no year from 1 to
    9999 of UTC, where an offset may lead.
    """
    word = text.strip().lower()
    if word == "now":
        return now_ms
    if word in ("today", "yesterday"):
        today = dt.datetime.fromtimestamp(now_ms / 1_000, zone).date()
        return _start_of(today - dt.timedelta(days=word == "yesterday"), zone)
    if match := _AGO.fullmatch(word):
        return now_ms - int(match[1]) * _UNIT_MS[match[2]]
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", word):
            return _start_of(dt.date.fromisoformat(word), zone)
        moment = dt.datetime.fromisoformat(text.strip())
        return _to_ms(moment if moment.tzinfo else _placed(moment, zone))
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f"{option}: {text!r} is no moment; write 2025-01-31, 2025-01-31T08:00, 7d, 24h or today"
        ) from error


def parse_duration(text: str, option: str) -> float:
    """Give a length of time (90s, 10m, 2h, 1d) in seconds; UsageError for what is none."""
    if match := _LENGTH.fullmatch(text.strip().lower()):
        return int(match[1]) * _UNIT_MS.get(match[2], 1_000) / 1_000
    raise UsageError(f"{option}: {text!r} is no length of time; write such as 90s, 10m or 2h")


def _start_of(day: dt.date, zone: dt.tzinfo | None) -> int:
    return _to_ms(_placed(dt.datetime(day.year, day.month, day.day), zone))


def _placed(moment: dt.datetime, zone: dt.tzinfo | None) -> dt.datetime:
    # A naive datetime's astimezone() reads it in the system's zone, daylight saving included.
    return moment.replace(tzinfo=zone) if zone else moment.astimezone()


def _to_ms(moment: dt.datetime) -> int:
    return int(moment.astimezone(dt.UTC).timestamp() * 1_000)
