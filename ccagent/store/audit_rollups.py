"""The rollups beside the facts: hours and points are counted anew with sums of their own, a day and some sessions at a
time; days must be the sums of their hours, weeks of their days.

Left out, and counted: what a mark says is stale, and what is sealed, since its facts may be gone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ccagent.facts.keys import fact_key
from ccagent.facts.model import EVENT_NAMES, EventType, Flag, Status
from ccagent.rollups.buckets import (
    IDLE_CUTOFF_MS,
    QUARTER_MS,
    Unit,
    bucket_end,
    bucket_start,
    hours_of_quarter,
    marked_session,
)
from ccagent.rollups.metrics import TOKEN_COLUMNS, VALUE_COLUMNS, Period
from ccagent.rollups.usage import USAGE_COLUMNS, UsageFamily
from ccagent.store.audit_references import Law
from ccagent.store.connection import Connection, scalar
from ccagent.store.staleness import sealed_before, stale_hours

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

SESSIONS: Final = 100
"""Sessions whose points are held against facts at once."""

END: Final = 253_000_000_000_000
"""Later times (the year 9987) lie where the calendar ends and are in no bucket of their own."""

_TOOL: Final = f"f.type = {int(EventType.TOOL_CALL)}"
_LLM: Final = f"f.type = {int(EventType.LLM_REQUEST)}"
_DIRECT: Final = f"(f.flags & {int(Flag.DIRECT)}) <> 0"

_SUMS: Final[dict[str, str]] = {
    "count": f"COUNT(*) FILTER (WHERE NOT ({_TOOL}) OR (f.name IS NOT NULL AND {_DIRECT}))",
    "relayed": f"COUNT(*) FILTER (WHERE {_TOOL} AND f.name IS NOT NULL AND NOT ({_DIRECT}))",
    "errors": f"COUNT(*) FILTER (WHERE CASE WHEN {_TOOL} THEN (f.flags & {int(Flag.ERROR)}) <> 0"
    f" ELSE f.status IN ({int(Status.ERROR)}, {int(Status.TIMEOUT)}) END)",
    "token_input": "COALESCE(SUM(f.token_input), 0)",
    "token_output": "COALESCE(SUM(f.token_output), 0)",
    "token_cache_read": "COALESCE(SUM(f.token_cache_read), 0)",
    "token_cache_write_5m": "COALESCE(SUM(f.token_cache_write), 0) - COALESCE(SUM(f.token_cache_write_1h), 0)",
    "token_cache_write_1h": "COALESCE(SUM(f.token_cache_write_1h), 0)",
    "cost": "COALESCE(SUM(f.cost), 0)",
    "unpriced": f"COUNT(*) FILTER (WHERE {_LLM} AND f.cost IS NULL)",
    "added": "COALESCE(SUM(f.added), 0)",
    "removed": "COALESCE(SUM(f.removed), 0)",
}
_COLUMNS: Final = tuple(_SUMS)
_ZEROS: Final = (0,) * len(_COLUMNS)
_OF_SESSION: Final = ("count",)
"""What is compared in the family `session`; active time is no sum over facts."""

_USAGE: Final = ("requests", "tool_calls", "tool_calls_relayed", "tool_errors", *TOKEN_COLUMNS, "cost", "unpriced")
"""What every usage family shares out among its rows, so that its sums are those of the hour."""

_EVENTS: Final = tuple(int(kind) for kind in EventType)
_FAMILIES: Final = (*_EVENTS, *(int(family) for family in UsageFamily))
_FAMILY_NAMES: Final = EVENT_NAMES | {int(family): f"usage by {family.name.lower()}" for family in UsageFamily}
_DIMENSIONS: Final = ("family", "project", "branch", "session_type", "name", "agent", "skill")
_PLACE: Final = "COALESCE(c.project, 0), COALESCE(c.branch, 0), CASE WHEN c.agent IS NULL THEN 0 ELSE 1 END"
_QUARTER: Final = f"f.occurred_at - f.occurred_at % {QUARTER_MS}"
_IN_TIME: Final = "f.occurred_at >= ? AND f.occurred_at < ?"
_OF_SESSIONS: Final = "c.session > ? AND c.session <= ?"

Key = tuple[int, ...]
"""Bucket, then _DIMENSIONS; of usage families bucket and family."""

Amounts = dict[Key, tuple[int, ...]]


def _grouped(bucket: str, condition: str) -> str:
    return (
        f"SELECT {bucket}, f.type, {_PLACE}, COALESCE(f.name, 0), COALESCE(c.agent, 0), COALESCE(c.skill, 0),"
        f" {', '.join(_SUMS.values())} FROM fact f JOIN context c ON c.id = f.context"
        f" WHERE {condition} AND f.type <> {int(EventType.SESSION)} GROUP BY 1, 2, 3, 4, 5, 6, 7, 8"
    )


def _counted(bucket: str, condition: str) -> str:
    return (
        f"SELECT {bucket}, c.session, {_PLACE}, COUNT(*) FROM fact f JOIN context c ON c.id = f.context"
        f" WHERE {condition} AND c.session IS NOT NULL GROUP BY 1, 2, 3, 4, 5"
    )


def _stored(families: tuple[int, ...]) -> str:
    return (
        f"SELECT bucket, {', '.join(_DIMENSIONS)}, {', '.join(_COLUMNS)} FROM rollup WHERE period = ? AND family IN"
        f" ({', '.join(map(str, families))}) AND bucket >= ? AND bucket < ?"
    )


def laws(reader: Connection, zone: ZoneInfo) -> Iterator[Law]:
    """Hold all rollups against the facts; some ten seconds a million facts."""
    audit = _Audit(reader, zone)
    yield from audit.hours()
    yield audit.sums("rollups by day", "hour", Period.DAILY, Period.HOURLY, _FAMILIES)
    yield audit.sums("rollups by week", "day", Period.WEEKLY, Period.DAILY, _EVENTS)
    yield audit.points()


class _Audit:
    def __init__(self, reader: Connection, zone: ZoneInfo) -> None:
        self._reader = reader
        self._zone = zone
        self._sealed = sealed_before(reader)
        self._stale = stale_hours(reader, zone, tuple(UsageFamily))
        self._starts = [start for start, _ in self._stale]

    # ---- hours ---------------------------------------------------------------------------------------------------

    def hours(self) -> Iterator[Law]:
        """Hours of event types against the facts that begin in them, and of usage against the same facts."""
        events, usage = Law(name="rollups by hour"), Law(name="usage by hour")
        if self._sealed > 0:
            sql = "SELECT COUNT(DISTINCT bucket) FROM rollup WHERE period = ? AND bucket < ?"
            events.excluded = int(scalar(self._reader, sql, (int(Period.HOURLY), self._sealed)))
        after = max(self._sealed, 0)
        while (moment := self._next(after)) is not None:
            day = bucket_start(self._zone, "day", moment)
            end = bucket_end(self._zone, "day", day)
            self._day(max(day, self._sealed), end, events, usage)
            after = max(end, after + 1)
        yield events
        yield usage

    def _next(self, after: int) -> int | None:
        """The first time at or after `after` at which there is a fact or a rollup."""
        reader = self._reader
        found = [scalar(reader, "SELECT MIN(occurred_at) FROM fact WHERE occurred_at >= ? AND occurred_at < ?",
                        (after, END))]  # fmt: skip
        for family in _FAMILIES:
            sql = "SELECT MIN(bucket) FROM rollup WHERE period = ? AND family = ? AND bucket >= ?"
            found.append(scalar(reader, sql, (int(Period.HOURLY), family, after)))
        return min((int(time) for time in found if time is not None), default=None)

    def _day(self, start: int, end: int, events: Law, usage: Law) -> None:
        expected: Amounts = {}
        left_out: set[int] = set()
        for quarter, *rest in self._reader.execute(_grouped(_QUARTER, _IN_TIME), (start, end)):
            hour = self._hour(quarter, left_out)
            _add(expected, (hour, *rest[:7]), rest[7:])
        for quarter, session, *rest in self._reader.execute(_counted(_QUARTER, _IN_TIME), (start, end)):
            hour = self._hour(quarter, left_out)
            _add(expected, (hour, int(EventType.SESSION), *rest[:3], session, 0, 0), (rest[3], *_ZEROS[1:]))
        stored: Amounts = {}
        for row in self._reader.execute(_stored(_EVENTS), (int(Period.HOURLY), start, end)):
            values = row[8:] if row[1] != EventType.SESSION else (row[8], *_ZEROS[1:])
            stored[row[:8]] = tuple(values)
        hours = {key[0] for key in (*expected, *stored)}
        left_out |= {hour for hour in hours if self._is_stale(hour)}
        events.excluded += len(left_out)
        events.checked += len(hours - left_out)
        _compare(events, expected, stored, left_out, _COLUMNS)
        usage.checked += len(hours - left_out)
        usage.excluded += len(left_out)
        _compare(usage, _usage_of(expected), self._usage(start, end), left_out, _USAGE)

    def _hour(self, quarter: int, left_out: set[int]) -> int:
        hours = hours_of_quarter(self._zone, quarter)
        if len(hours) > 1:  # a zone of old times: the quarter alone does not tell which hour
            left_out |= hours
        return max(*hours, self._sealed)

    def _is_stale(self, hour: int) -> bool:
        place = bisect_right(self._starts, hour) - 1
        return place >= 0 and hour < self._stale[place][1]

    def _usage(self, start: int, end: int) -> Amounts:
        sums = ", ".join(f"SUM({USAGE_COLUMNS[name]})" for name in _USAGE)
        families = ", ".join(str(int(family)) for family in UsageFamily)
        sql = (
            f"SELECT bucket, family, {sums} FROM rollup WHERE period = ? AND family IN ({families})"
            " AND bucket >= ? AND bucket < ? GROUP BY 1, 2"
        )
        return {row[:2]: tuple(row[2:]) for row in self._reader.execute(sql, (int(Period.HOURLY), start, end))}

    # ---- days, weeks, points -------------------------------------------------------------------------------------

    def sums(self, name: str, parts: str, period: Period, of: Period, families: tuple[int, ...]) -> Law:
        """Every row of a period against the sum of its parts; that holds for stale and sealed ones too."""
        law = Law(name=name)
        unit: Unit = "day" if period is Period.DAILY else "week"
        columns = tuple(VALUE_COLUMNS)
        values = ", ".join(f"SUM({column})" for column in columns)
        sql = (
            f"SELECT {', '.join(_DIMENSIONS)}, {values} FROM rollup WHERE period = ? AND family IN"
            f" ({', '.join(map(str, families))}) AND bucket >= ? AND bucket < ? GROUP BY {', '.join(_DIMENSIONS)}"
        )
        after = -END
        while True:
            found = [
                scalar(
                    self._reader,
                    f"SELECT MIN(bucket) FROM rollup WHERE period = {int(each)} AND family = {family} AND bucket >= ?",
                    (after,),
                )
                for each in (period, of)
                for family in families
            ]
            moment = min((int(time) for time in found if time is not None), default=None)
            if moment is None:
                return law
            start = bucket_start(self._zone, unit, moment)
            end = bucket_end(self._zone, unit, start)
            sides = [
                {(start, *row[:7]): tuple(row[7:]) for row in self._reader.execute(sql, (int(each), first, last))}
                for each, first, last in ((of, start, end), (period, start, start + 1))
            ]
            law.checked += 1
            _compare(law, sides[0], sides[1], set(), columns, f"sum of its {parts}s")
            after = max(end, after + 1)

    def points(self) -> Law:
        """The points of sessions against the facts of these sessions."""
        law = Law(name="rollups by session")
        left_out = self._sessions_left_out()
        sql = (
            "SELECT DISTINCT session FROM context WHERE session > ? UNION"
            f" SELECT DISTINCT bucket FROM rollup WHERE period = {int(Period.POINT)} AND bucket > ?"
            f" ORDER BY 1 LIMIT {SESSIONS}"
        )
        after = -1
        while page := self._reader.execute(sql, (after, after)).fetchall():
            last = int(page[-1][0])
            left_out |= self._removed([int(row[0]) for row in page if row[0] is not None])
            expected: Amounts = {}
            for session, *rest in self._reader.execute(_grouped("c.session", _OF_SESSIONS), (after, last)):
                _add(expected, (session, *rest[:7]), rest[7:])
            for _, session, *rest in self._reader.execute(_counted("c.session", _OF_SESSIONS), (after, last)):
                key = (session, int(EventType.SESSION), *rest[:3], session, 0, 0)
                _add(expected, key, (rest[3], *_ZEROS[1:]))
            stored: Amounts = {}
            for row in self._reader.execute(_stored(_EVENTS), (int(Period.POINT), after + 1, last + 1)):
                values = row[8:] if row[1] != EventType.SESSION else (row[8], *_ZEROS[1:])
                stored[row[:8]] = tuple(values)
            sessions = {key[0] for key in (*expected, *stored)}
            law.checked += len(sessions - left_out)
            law.excluded += len(sessions & left_out)
            _compare(law, expected, stored, left_out, _COLUMNS, bucket="session")
            after = last
        return law

    def _removed(self, sessions: list[int]) -> set[int]:
        """Those of the sessions (name ids) whose own fact retention has removed: their points are sealed."""
        dialect = self._reader.dialect
        sql = f"SELECT n.id, n.value FROM {dialect.numbers} JOIN name n ON n.id = k.value"
        named = self._reader.execute(sql, (dialect.listed(sessions),)).fetchall()
        keys = {fact_key(EventType.SESSION, str(text)): int(number) for number, text in named}
        if not keys:
            return set()
        sql = f"SELECT p.key FROM {dialect.blobs} JOIN pruned p ON p.key = k.value"
        return {keys[bytes(row[0])] for row in self._reader.execute(sql, (dialect.listed(list(keys)),))}

    def _sessions_left_out(self) -> set[int]:
        """Sessions that a mark names or has a fact near a stale hour, and those with something before the seal."""
        found = set()
        for (mark,) in self._reader.execute("SELECT DISTINCT quarter FROM dirty WHERE quarter < 0"):
            session = marked_session(mark)
            if session is not None:
                found.add(session)
        near = f"SELECT DISTINCT c.session FROM fact f JOIN context c ON c.id = f.context WHERE {_IN_TIME}"
        for start, end in self._stale:
            around = (start - IDLE_CUTOFF_MS, end + IDLE_CUTOFF_MS)
            found |= {row[0] for row in self._reader.execute(near, around) if row[0] is not None}
        sealed = "SELECT DISTINCT name FROM rollup WHERE period = ? AND family = ? AND bucket < ?"
        values = (int(Period.HOURLY), int(EventType.SESSION), self._sealed)
        return found | {int(row[0]) for row in self._reader.execute(sealed, values)}


def _add(amounts: Amounts, key: Key, values: tuple[int, ...] | list[int]) -> None:
    known = amounts.get(key)
    amounts[key] = tuple(values) if known is None else tuple(a + b for a, b in zip(known, values, strict=True))


def _usage_of(events: Amounts) -> Amounts:
    """The sums of every hour, as each usage family must have them."""
    found: Amounts = {}
    for (hour, family, *_), values in events.items():
        if family not in (EventType.LLM_REQUEST, EventType.TOOL_CALL):
            continue
        amounts = dict(zip(_COLUMNS, values, strict=True))
        requests = family == EventType.LLM_REQUEST
        shared = {"requests": amounts["count"]} if requests else {
            "tool_calls": amounts["count"], "tool_calls_relayed": amounts["relayed"], "tool_errors": amounts["errors"],
        }  # fmt: skip
        if requests:
            shared |= {name: amounts[name] for name in (*TOKEN_COLUMNS, "cost", "unpriced")}
        for usage in UsageFamily:
            _add(found, (hour, int(usage)), [shared.get(name, 0) for name in _USAGE])
    return found


def _compare(
    law: Law,
    expected: Amounts,
    stored: Amounts,
    left_out: set[int],
    columns: tuple[str, ...],
    other: str = "facts",
    bucket: str = "",
) -> None:
    zeros = (0,) * len(columns)
    if expected == stored:
        return
    for key in sorted(expected.keys() | stored.keys()):
        wanted, found = expected.get(key, zeros), stored.get(key, zeros)
        if wanted == found or key[0] in left_out:
            continue
        column, there, here = next(
            (name, one, two) for name, one, two in zip(columns, found, wanted, strict=True) if one != two
        )
        where = f"{bucket} {key[0]}" if bucket else _moment(key[0])
        law.breaks(
            f"{where} {_FAMILY_NAMES.get(key[1], key[1])} {column}: {there} in the rollup, {here} by the {other}"
        )


def _moment(instant: int) -> str:
    try:
        return datetime.fromtimestamp(instant / 1_000, UTC).strftime("%Y-%m-%dT%H:%MZ")
    except (ValueError, OverflowError, OSError):
        return f"{instant} ms"
