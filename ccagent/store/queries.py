"""Usage: what was spent in a range of time, by period, place, model, tool, skill, agent or session.

Answered from rollups where they are fresh and from facts for the rest (edges of the range, hours with a mark, facts
without a time), both in rows of one shape and added up in one place: so it is exact at any moment, also while rollups lag
behind. In every breakdown each token and each micro-dollar has one owner, and what has none stands in a row
`unattributed`: rows add up to the total.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final
from zoneinfo import ZoneInfo

from ccagent.facts.model import QUALITY_NAMES, EventType, Quality
from ccagent.rollups.buckets import Unit, bucket_end, bucket_start, label
from ccagent.rollups.usage import USAGE_COLUMNS, UsageFamily
from ccagent.store.amounts import GROUPINGS, TIME, TOTAL, Amounts
from ccagent.store.connection import Connection, scalar, snapshot
from ccagent.store.coverage import Window, coverage, stored_zone

__all__ = (
    "BY", "TOKEN_KINDS", "UNATTRIBUTED", "UsageRow", "sessions_active", "stored_zone", "today", "usage",
)  # fmt: skip

UNATTRIBUTED: Final = "unattributed"
"""Key of what belongs to no project, tool, skill …; of facts without a time in rows by period."""

TOKEN_KINDS: Final = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")

BY: Final = (
    "total", "day", "hour", "week", "month", "project", "branch", "model", "tool", "skill", "agent", "session",
)  # fmt: skip

_UNITS: Final[dict[str, Unit]] = {"hour": "hour", "day": "day", "week": "week", "month": "month"}
_PLACES: Final = {amount: place for place, amount in enumerate(USAGE_COLUMNS)}


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """Amounts of one group of facts. `cost_microusd` is None when there are requests and none of them has a price."""

    key: str
    requests: int
    tokens: dict[str, int]
    cost_microusd: int | None
    unpriced_requests: int
    sessions: int
    tool_calls: int
    tool_calls_relayed: int
    tool_errors: int
    compactions: int
    lines_bad: int
    quality: dict[str, int]


@dataclass(slots=True)
class _Sums:
    """What is being added up for one row: amounts in the order of `USAGE_COLUMNS`."""

    amounts: list[int] = field(default_factory=lambda: [0] * len(USAGE_COLUMNS))
    sessions: set[int] = field(default_factory=set)

    def add(self, amounts: Iterable[int]) -> None:
        self.amounts = [a + b for a, b in zip(self.amounts, amounts, strict=True)]


def _row(key: str, amounts: Sequence[int], sessions: int, lines_bad: int = 0) -> UsageRow:
    def amount(name: str) -> int:
        return amounts[_PLACES[name]]

    requests, unpriced = amount("requests"), amount("unpriced")
    other = {name: amount(name) for name in QUALITY_NAMES if name != QUALITY_NAMES[Quality.FINAL]}
    return UsageRow(
        key=key,
        requests=requests,
        tokens={kind: amount(f"token_{kind}") for kind in TOKEN_KINDS},
        cost_microusd=None if requests and unpriced == requests else amount("cost"),
        unpriced_requests=unpriced,
        sessions=sessions,
        tool_calls=amount("tool_calls"),
        tool_calls_relayed=amount("tool_calls_relayed"),
        tool_errors=amount("tool_errors"),
        compactions=amount("compactions"),
        lines_bad=lines_bad,
        quality={QUALITY_NAMES[Quality.FINAL]: requests - sum(other.values()), **other},
    )


def usage(
    reader: Connection, *, by: str, since_ms: int | None, until_ms: int | None, timezone: str | None
) -> list[UsageRow]:
    """Rows of usage in [since_ms, until_ms): a fact belongs to the range and the period of its first time.

    `by` is one of `BY`; `timezone` an IANA name, None for the store's own. Rows by period ascend in time, others
    descend in cost. A request by tool is split evenly over the calls it makes, remainders to the first by id; as a
    request it is counted at that first call. `total` is exactly one row; `lines_bad` stands there alone.
    Of hours whose facts retention has removed, one that a bound cuts belongs to where it begins.
    Raises ValueError for an unknown `by`.
    """
    if by not in BY:
        message = f"usage by {by!r} is not known; choose one of {', '.join(BY)}"
        raise ValueError(message)
    window = Window(since_ms, until_ms)
    with snapshot(reader):
        if by == "total":
            return [_total(reader, window)]
        if by in _UNITS:
            zone = stored_zone(reader) if timezone is None else ZoneInfo(timezone)
            return _by_period(reader, _UNITS[by], window, zone)
        return _by_name(reader, by, window)


def today(reader: Connection, zone: ZoneInfo, now: int) -> UsageRow:
    """Usage of the local day in which `now` (ms UTC) lies."""
    start = bucket_start(zone, "day", now)
    with snapshot(reader):
        return _total(reader, Window(start, bucket_end(zone, "day", start)))


def sessions_active(reader: Connection, since_ms: int) -> int:
    """How many sessions have a record at or after `since_ms`. Costs the sessions that it counts."""
    sql = f"SELECT COUNT(*) FROM fact WHERE type = {int(EventType.SESSION)} AND ended_at >= ?"
    return int(scalar(reader, sql, (since_ms,)))


def _total(reader: Connection, window: Window) -> UsageRow:
    amounts = Amounts(TOTAL, coverage(reader, window, UsageFamily.PLACE), window.open)
    _, sessions, sums = next(amounts.sums(reader), (0, 0, (0,) * len(USAGE_COLUMNS)))
    bad = scalar(reader, "SELECT COUNT(*) FROM quarantine WHERE seen_at >= ? AND seen_at < ?", window.bounds)
    return _row("", sums, sessions, int(bad))


def _by_name(reader: Connection, by: str, window: Window) -> list[UsageRow]:
    grouping = GROUPINGS[by]
    amounts = Amounts(grouping, coverage(reader, window, grouping.family), window.open)
    found = list(amounts.sums(reader))
    names = _names(reader, [int(key) for key, *_ in found if key])
    rows = [_row(names.get(key or 0, UNATTRIBUTED), sums, sessions) for key, sessions, sums in found]
    return sorted(rows, key=lambda row: (-(row.cost_microusd or 0), -sum(row.tokens.values()), -row.requests, row.key))


def _names(reader: Connection, ids: list[int]) -> dict[int, str]:
    if not ids:
        return {}
    dialect = reader.dialect
    sql = f"SELECT n.id, n.value FROM {dialect.numbers} JOIN name n ON n.id = k.value"
    return {int(row[0]): str(row[1]) for row in reader.execute(sql, (dialect.listed(ids),))}


def _by_period(reader: Connection, unit: Unit, window: Window, zone: ZoneInfo) -> list[UsageRow]:
    amounts = Amounts(TIME, coverage(reader, window, UsageFamily.PLACE, periods=(zone, unit)), window.open)
    starts: dict[int | None, int | None] = {None: None}

    def start(moment: int | None) -> int | None:
        if moment not in starts and moment is not None:
            starts[moment] = bucket_start(zone, unit, moment)
        return starts[moment]

    found: dict[int | None, _Sums] = {}
    for moment, _, sums in amounts.sums(reader):
        found.setdefault(start(moment), _Sums()).add(sums)
    for moment, session in amounts.sessions(reader):
        found[start(moment)].sessions.add(session)
    dated = sorted(key for key in found if key is not None)
    rows = [_row(label(zone, unit, key), found[key].amounts, len(found[key].sessions)) for key in dated]
    if None in found:
        rows.append(_row(UNATTRIBUTED, found[None].amounts, len(found[None].sessions)))
    return rows
