"""When a rule is evaluated, as it is written: `{days = "Mon-Fri", hours = "09:00-18:00"}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ccagent.alerts.faults import AlertRuleError
from ccagent.alerts.rule import Schedule

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_KEYS: Final = ("days", "hours")
_HOURS: Final = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])")
_DAY_MINUTES: Final = 24 * 60
_DAY_FORMS: Final = ('"Mon-Fri"', '"Sat,Sun"', '"Mon,Wed-Fri"')
_HOUR_FORMS: Final = ('"09:00-18:00"', '"22:00-06:00"', '"00:00-24:00"')


def parse(document: object, where: str = "schedule") -> Schedule:
    """The schedule that a table says; `days` and `hours` may each be left out. Raises AlertRuleError for any other."""
    if not isinstance(document, Mapping):
        raise AlertRuleError(where, f"is a table, not {document!r}", _KEYS)
    for key in document:
        if key not in _KEYS:
            raise AlertRuleError(f"{where}.{key}", "is no key of it", _KEYS)
    start, end = parse_hours(document["hours"], f"{where}.hours") if "hours" in document else (0, _DAY_MINUTES)
    days = parse_days(document["days"], f"{where}.days") if "days" in document else frozenset(range(len(DAYS)))
    return Schedule(days=days, start_minute=start, end_minute=end)


def dump(schedule: Schedule) -> dict[str, Any]:
    """The table that `parse` makes this schedule of."""
    hours = "-".join(f"{minute // 60:02d}:{minute % 60:02d}" for minute in (schedule.start_minute, schedule.end_minute))
    return {"days": ",".join(DAYS[day] for day in sorted(schedule.days)), "hours": hours}


def parse_days(text: object, where: str) -> frozenset[int]:
    """Days of the week, Monday 0, of a text such as "Mon-Fri" or "Sat,Sun"; a stretch may go over Sunday."""
    if not isinstance(text, str):
        raise AlertRuleError(where, f"is a text of days, not {text!r}", _DAY_FORMS)
    found: set[int] = set()
    for part in text.split(","):
        names = [name.strip().title() for name in part.split("-")]
        if len(names) > 2 or any(name not in DAYS for name in names):
            raise AlertRuleError(where, f"{part.strip()!r} is no day and no stretch of days", _DAY_FORMS)
        first, last = DAYS.index(names[0]), DAYS.index(names[-1])
        found |= {day % len(DAYS) for day in range(first, last + 1 if last >= first else last + 1 + len(DAYS))}
    return frozenset(found)


def parse_hours(text: object, where: str) -> tuple[int, int]:
    """First minute of the day and the one after the last, of "09:00-18:00"; "22:00-06:00" goes over midnight."""
    match = _HOURS.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise AlertRuleError(where, f"is a stretch of the day, not {text!r}", _HOUR_FORMS)
    hour, minute, until, last = map(int, match.groups())
    start, end = 60 * hour + minute, 60 * until + last
    if start >= _DAY_MINUTES or end > _DAY_MINUTES or start == end:
        raise AlertRuleError(where, f"{text} is no stretch of the day", _HOUR_FORMS)
    return start, end
