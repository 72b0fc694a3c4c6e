"""Usage: what was spent in a range of time, by period, place, model, provider, tool, skill, agent or session.

Answered from rollups where they are fresh and from facts for the rest (edges of the range, hours with a mark, facts
without a time), both in rows of one shape and added up in one place: so it is exact at any moment, also while rollups
lag behind. In every breakdown each token and each micro-dollar has one owner, and what has none stands in a row
`unattributed`: rows add up to the total.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import add
from typing import Final
from zoneinfo import ZoneInfo

from ccagent.facts.naming import UNNAMED_PROVIDER, provider_of
from ccagent.rollups.buckets import Unit, bucket_end, bucket_start, label
from ccagent.rollups.usage import USAGE_COLUMNS, UsageFamily
from ccagent.store.amounts import GROUPINGS, TIME, TOTAL, Amounts
from ccagent.store.connection import Connection, scalar, snapshot
from ccagent.store.coverage import Window, coverage, stored_zone

__all__ = (
    "BY", "TOKEN_KINDS", "UNATTRIBUTED", "UsageRow", "stored_zone", "today", "usage",
)  # fmt: skip

UNATTRIBUTED: Final = "unattributed"
"""Key of what belongs to no project, tool, skill …; of facts without a time in rows by period."""

TOKEN_KINDS: Final = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")

BY: Final = (
    "total", "day", "hour", "week", "month", "project", "branch", "model", "provider", "tool", "skill", "agent", "session",
    "feature",
)  # fmt: skip

_UNITS: Final[dict[str, Unit]] = {"hour": "hour", "day": "day", "week": "week", "month": "month"}

_AMOUNTS: Final = tuple(USAGE_COLUMNS)
_TOKENS: Final = slice(_AMOUNTS.index(f"token_{TOKEN_KINDS[0]}"), _AMOUNTS.index(f"token_{TOKEN_KINDS[-1]}") + 1)
_UNSURE: Final = slice(_AMOUNTS.index("placeholder"), _AMOUNTS.index("estimated") + 1)
_COST, _UNPRICED = _AMOUNTS.index("cost"), _AMOUNTS.index("unpriced")


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
    """What is being added up for the row of a period: `amounts` in the order of `USAGE_COLUMNS`."""

    amounts: list[int] = field(default_factory=lambda: [0] * len(USAGE_COLUMNS))
    moments: int = 0
    sessions: int = 0
    """Where there is but one moment in the period; else the `names` (name ids) are counted."""
    names: set[int] = field(default_factory=set)

    def add(self, amounts: Sequence[int], sessions: int) -> None:
        """Add what belongs to one moment."""
        self.amounts = list(map(add, self.amounts, amounts))
        self.moments += 1
        self.sessions = sessions

    def row(self, key: str) -> UsageRow:
        """The row of the period."""
        return _row(key, self.amounts, self.sessions if self.moments == 1 else len(self.names))


def _row(key: str, amounts: Sequence[int], sessions: int, lines_bad: int = 0) -> UsageRow:
    requests, calls, relayed, errors, compactions = amounts[:5]
    unpriced = amounts[_UNPRICED]
    placeholder, partial, estimated = amounts[_UNSURE]
    return UsageRow(
        key=key,
        requests=requests,
        tokens=dict(zip(TOKEN_KINDS, amounts[_TOKENS], strict=True)),
        cost_microusd=None if requests and unpriced == requests else amounts[_COST],
        unpriced_requests=unpriced,
        sessions=sessions,
        tool_calls=calls,
        tool_calls_relayed=relayed,
        tool_errors=errors,
        compactions=compactions,
        lines_bad=lines_bad,
        quality={
            "final": requests - placeholder - partial - estimated,
            "partial": partial, "placeholder": placeholder, "estimated": estimated,
        },
    )  # fmt: skip


def usage(
    reader: Connection, *, by: str, since_ms: int | None, until_ms: int | None, timezone: str | None
) -> list[UsageRow]:
    """Rows of usage in [since_ms, until_ms): a fact belongs to the range and the period of its first time.

    `by` is one of `BY`; `timezone` an IANA name, None for the store's own. Rows by period ascend in time, others
    descend in cost. A request by tool is split evenly over the calls it makes, remainders to the first by id; as a
    request it is counted at that first call. A session's amounts by feature are split by the shares of its links, each
    with the largest remainder; a session that worked on several is counted in each of their rows. `total` is exactly
    one row; `lines_bad` stands there alone.
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
        if by == "feature":
            return _by_feature(reader, window)
        if by == "provider":
            return _by_provider(reader, window)
        return _by_name(reader, by, window)


def today(reader: Connection, zone: ZoneInfo, now: int) -> UsageRow:
    """Usage of the local day in which `now` (ms UTC) lies."""
    start = bucket_start(zone, "day", now)
    with snapshot(reader):
        return _total(reader, Window(start, bucket_end(zone, "day", start)))


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
    return _sorted([_row(names.get(key or 0, UNATTRIBUTED), sums, sessions) for key, sessions, sums in found])


def _sorted(rows: list[UsageRow]) -> list[UsageRow]:
    return sorted(rows, key=lambda row: (-(row.cost_microusd or 0), -sum(row.tokens.values()), -row.requests, row.key))


def _by_feature(reader: Connection, window: Window) -> list[UsageRow]:
    """What each session amounts to, split over the features that it worked on."""
    from ccagent.facts.links import shares
    from ccagent.store.link_queries import features_of

    grouping = GROUPINGS["session"]
    found = list(Amounts(grouping, coverage(reader, window, grouping.family), window.open).sums(reader))
    parts = features_of(reader, [int(key) for key, *_ in found if key])
    features: dict[int, tuple[list[int], list[int]]] = {}
    for key, sessions, sums in found:
        weights = parts.get(key or 0, {0: 1})
        # most sessions have one feature or none: theirs is the whole
        spread = [(amount,) if len(weights) == 1 else shares(list(weights.values()), amount) for amount in sums]
        for number, feature in enumerate(weights):
            known, count = features.setdefault(feature, ([0] * len(sums), [0]))
            for column, part in enumerate(spread):
                known[column] += part[number]
            count[0] += sessions
    names = _names(reader, [feature for feature in features if feature])
    return _sorted([_row(names.get(key, UNATTRIBUTED), sums, count) for key, (sums, (count,)) in features.items()])


def _by_provider(reader: Connection, window: Window) -> list[UsageRow]:
    """Who served the models: as the transcript says, else by the form of the model's id."""
    grouping = GROUPINGS["provider"]
    amounts = Amounts(grouping, coverage(reader, window, grouping.family), window.open)
    found = [(int(key or 0), sums) for key, _, sums in amounts.sums(reader)]
    names = _names(reader, [abs(key) for key, _ in found if key])
    providers = {
        key: names[-key] if key < 0 else UNNAMED_PROVIDER if key == 0 else provider_of(names[key]) or UNATTRIBUTED
        for key, _ in found
    }
    rows: dict[str, _Sums] = {}
    for key, sums in found:
        rows.setdefault(providers[key], _Sums()).add(sums, 0)
    for key, session in amounts.sessions(reader, list(providers)):
        rows[providers[key]].names.add(session)
    return _sorted([_row(name, each.amounts, len(each.names)) for name, each in rows.items()])


def _names(reader: Connection, ids: list[int]) -> dict[int, str]:
    if not ids:
        return {}
    dialect = reader.dialect
    sql = f"SELECT n.id, n.value FROM {dialect.numbers} JOIN name n ON n.id = k.value"
    return {int(row[0]): str(row[1]) for row in reader.execute(sql, (dialect.listed(ids),))}


def _by_period(reader: Connection, unit: Unit, window: Window, zone: ZoneInfo) -> list[UsageRow]:
    amounts = Amounts(TIME, coverage(reader, window, UsageFamily.PLACE, periods=(zone, unit)), window.open)
    groups = list(amounts.sums(reader))
    starts = {moment: bucket_start(zone, unit, moment) for moment, _, _ in groups if moment is not None}
    found: dict[int, _Sums] = {}
    unattributed: list[UsageRow] = []
    for moment, sessions, sums in groups:
        if moment is None:
            unattributed.append(_row(UNATTRIBUTED, sums, sessions))
        else:
            found.setdefault(starts[moment], _Sums()).add(sums, sessions)
    # A session is in several moments of a period, yet in the period once.
    shared = [moment for moment, start in starts.items() if found[start].moments > 1]
    for moment, session in amounts.sessions(reader, shared):
        found[starts[moment]].names.add(session)
    return [found[start].row(label(zone, unit, start)) for start in sorted(found)] + unattributed
