"""What usage must be: added up from every fact of the window, without rollups. Slow, and by another way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, cast
from zoneinfo import ZoneInfo

from ccagent.facts.model import QUALITY_NAMES, EventType, Flag, Quality
from ccagent.facts.naming import provider_of
from ccagent.rollups.buckets import QUARTER_MS, Unit, bucket_start, label
from ccagent.store.connection import Connection, scalar
from ccagent.store.queries import TOKEN_KINDS, UNATTRIBUTED, UsageRow

_UNITS: Final[dict[str, Unit]] = {"hour": "hour", "day": "day", "week": "week", "month": "month"}
_CONTEXT_COLUMNS: Final = {"project": 1, "branch": 2, "skill": 3, "agent": 4, "session": 5}

_TOKEN_SQL: Final = (
    "COALESCE({f}.token_input, 0)",
    "COALESCE({f}.token_output, 0)",
    "COALESCE({f}.token_cache_read, 0)",
    "COALESCE({f}.token_cache_write, 0) - COALESCE({f}.token_cache_write_1h, 0)",
    "COALESCE({f}.token_cache_write_1h, 0)",
)
_LLM: Final = int(EventType.LLM_REQUEST)
_TOOL: Final = int(EventType.TOOL_CALL)
_COMPACTION: Final = int(EventType.COMPACTION)
_SESSION: Final = int(EventType.SESSION)

Number = int | None
Group = tuple[Number, ...]  # raw group (name id, quarter …) and context id


@dataclass(slots=True)
class _Sums:
    """What is being added up for one row."""

    requests: int = 0
    tokens: list[int] = field(default_factory=lambda: [0] * len(TOKEN_KINDS))
    cost: int = 0
    unpriced: int = 0
    quality: list[int] = field(default_factory=lambda: [0] * len(QUALITY_NAMES))
    calls: int = 0
    relayed: int = 0
    errors: int = 0
    compactions: int = 0
    sessions: set[int] = field(default_factory=set)
    session_count: int | None = None
    bad: int = 0

    def add_requests(self, values: Iterable[Number]) -> None:
        """Add the columns of `_request_sums`."""
        numbers = [value or 0 for value in values]
        kinds = len(TOKEN_KINDS)
        self.requests += numbers[0]
        self.tokens = [a + b for a, b in zip(self.tokens, numbers[1 : 1 + kinds], strict=True)]
        self.cost += numbers[1 + kinds]
        self.unpriced += numbers[2 + kinds]
        self.quality = [a + b for a, b in zip(self.quality, numbers[3 + kinds :], strict=True)]

    def merge(self, other: _Sums) -> None:
        """Add what another one holds."""
        self.add_requests([other.requests, *other.tokens, other.cost, other.unpriced, *other.quality])
        self.calls += other.calls
        self.relayed += other.relayed
        self.errors += other.errors
        self.compactions += other.compactions
        self.sessions |= other.sessions

    def row(self, key: str) -> UsageRow:
        return UsageRow(
            key=key,
            requests=self.requests,
            tokens=dict(zip(TOKEN_KINDS, self.tokens, strict=True)),
            cost_microusd=None if self.requests and self.unpriced == self.requests else self.cost,
            unpriced_requests=self.unpriced,
            sessions=len(self.sessions) if self.session_count is None else self.session_count,
            tool_calls=self.calls,
            tool_calls_relayed=self.relayed,
            tool_errors=self.errors,
            compactions=self.compactions,
            lines_bad=self.bad,
            quality=dict(zip(QUALITY_NAMES, self.quality, strict=True)),
        )


def _number(condition: str) -> str:
    return f"COUNT(*) FILTER (WHERE {condition})"


def _request_sums(alias: str) -> str:
    """Sums over whole requests: number, five token kinds, cost, unpriced, number by quality."""
    kinds = [f"SUM({sql.format(f=alias)})" for sql in _TOKEN_SQL]
    qualities = [_number(f"{alias}.quality = {int(quality)}") for quality in Quality]
    return ", ".join(["COUNT(*)", *kinds, f"SUM({alias}.cost)", _number(f"{alias}.cost IS NULL"), *qualities])


def _split_sums() -> str:
    """The same sums over requests split evenly over their calls: remainders and the request itself go to the first."""
    first = "(w.place IS NULL OR w.place = 1)"
    split = [*(sql.format(f="r") for sql in _TOKEN_SQL), "COALESCE(r.cost, 0)"]
    calls = "COALESCE(w.calls, 1)"
    shares = [f"SUM(({sql}) / {calls} + CASE WHEN {first} THEN ({sql}) % {calls} ELSE 0 END)" for sql in split]
    whole = ["r.cost IS NULL", *(f"r.quality = {int(quality)}" for quality in Quality)]
    return ", ".join([_number(first), *shares, *(_number(f"{first} AND {condition}") for condition in whole)])


_CALL_SUMS: Final = ", ".join(
    _number(condition)
    for condition in (
        f"f.name IS NOT NULL AND (f.flags & {int(Flag.DIRECT)}) <> 0",
        f"f.name IS NOT NULL AND (f.flags & {int(Flag.DIRECT)}) = 0",
        f"(f.flags & {int(Flag.ERROR)}) <> 0",
    )
)


@dataclass(frozen=True, slots=True)
class _Range:
    """A range of time as a condition on a fact's first time; without a bound, facts without a time are in it."""

    since: Number
    until: Number

    def where(self, column: str) -> str:
        bounds = [(self.since, ">="), (self.until, "<")]
        return " AND ".join([f"{column} {sign} {bound}" for bound, sign in bounds if bound is not None] or ["1 = 1"])

    @property
    def open(self) -> bool:
        return self.since is None and self.until is None


def usage(
    reader: Connection, *, by: str, since_ms: int | None, until_ms: int | None, timezone: str | None
) -> list[UsageRow]:
    """As queries.usage."""
    window = _Range(since_ms, until_ms)
    if by == "total":
        return [_total(reader, window)]
    if by in _UNITS:
        return _by_period(reader, _UNITS[by], window, stored_zone(reader) if timezone is None else ZoneInfo(timezone))
    sums: dict[int, _Sums] = {}
    if by == "tool":
        _collect_by_tool(reader, window, sums)
    elif by == "model":
        _collect(reader, window, sums, *_model_groups(), lambda group, _: group or 0)
    elif by == "provider":
        return _by_provider(reader, window)
    elif by == "feature":  # what the builder makes has no links: tests/store/test_link_usage.py has
        _collect(reader, window, sums, "0", "", lambda _, __: 0)
    else:
        column = _CONTEXT_COLUMNS[by]
        _collect(reader, window, sums, "0", "", lambda _, context: context[column] or 0)
    names = _names(reader, sums)
    return _sorted({names.get(key, UNATTRIBUTED): each for key, each in sums.items()})


def _sorted(sums: Mapping[str, _Sums]) -> list[UsageRow]:
    rows = [each.row(key) for key, each in sums.items()]
    return sorted(rows, key=lambda row: (-(row.cost_microusd or 0), -sum(row.tokens.values()), -row.requests, row.key))


def _by_provider(reader: Connection, window: _Range) -> list[UsageRow]:
    """Whom the transcript names, as a negative number; else who serves the model; Claude Code's facts without one are
    Anthropic's."""
    sums: dict[int, _Sums] = {}
    _collect(reader, window, sums, *_model_groups(), lambda group, context: -context[6] if context[6] else group or 0)
    names = _names(reader, {abs(key): None for key in sums})
    providers: dict[str, _Sums] = {}
    for key, each in sums.items():
        said = names[-key] if key < 0 else "anthropic" if key == 0 else provider_of(names[key]) or UNATTRIBUTED
        providers.setdefault(said, _Sums()).merge(each)
    return _sorted(providers)


def stored_zone(reader: Connection) -> ZoneInfo:
    value = scalar(reader, "SELECT value FROM meta WHERE name = 'zone'")
    return ZoneInfo("UTC" if value is None else str(value))


def _total(reader: Connection, window: _Range) -> UsageRow:
    sums = _Sums()
    where = window.where("f.occurred_at")

    def single(sql: str) -> tuple[Number, ...]:
        return cast("tuple[Number, ...]", next(iter(reader.execute(sql))))

    sums.add_requests(single(f"SELECT {_request_sums('f')} FROM fact f WHERE f.type = {_LLM} AND {where}"))
    calls = single(f"SELECT {_CALL_SUMS} FROM fact f WHERE f.type = {_TOOL} AND {where}")
    sums.calls, sums.relayed, sums.errors = (value or 0 for value in calls)
    sums.compactions = single(f"SELECT COUNT(*) FROM fact f WHERE f.type = {_COMPACTION} AND {where}")[0] or 0
    if window.open:
        sums.session_count = single(f"SELECT COUNT(*) FROM fact WHERE type = {_SESSION}")[0] or 0
    else:
        sql = f"SELECT COUNT(DISTINCT c.session) FROM fact f JOIN context c ON c.id = f.context WHERE {where}"
        sums.session_count = single(sql)[0] or 0
    sums.bad = single(f"SELECT COUNT(*) FROM quarantine WHERE {window.where('seen_at')}")[0] or 0
    return sums.row("")


Context = tuple[int, Number, Number, Number, Number, Number, Number]
Owner = Callable[[Number, Context], int]


def _contexts(reader: Connection) -> dict[int, Context]:
    rows = reader.execute("SELECT id, project, branch, skill, agent, session, provider FROM context")
    return {cast("int", row[0]): cast("Context", tuple(row)) for row in rows}


def _names(reader: Connection, ids: Mapping[int, object]) -> dict[int, str]:
    rows = (reader.execute("SELECT id, value FROM name WHERE id = ?", (each,)).fetchone() for each in ids if each)
    return {cast("int", row[0]): cast("str", row[1]) for row in rows if row is not None}


def _groups(
    reader: Connection, columns: str, group: str, joined: str, condition: str
) -> Iterable[tuple[Number, int, tuple[Number, ...]]]:
    sql = f"SELECT {group}, f.context, {columns} FROM fact f {joined} WHERE {condition} GROUP BY 1, 2"
    for row in reader.execute(sql):
        values = cast("tuple[Number, ...]", row)
        yield values[0], cast("int", values[1]), values[2:]


def _model_groups() -> tuple[str, str]:
    """A request's own model; of a tool call, the model of the request that made it."""
    return f"CASE f.type WHEN {_LLM} THEN f.name WHEN {_TOOL} THEN q.name END", "LEFT JOIN fact q ON q.key = f.request"


def _collect(reader: Connection, window: _Range, sums: dict[int, _Sums], group: str, joined: str, owner: Owner) -> None:
    """Add facts up under `owner(group value, context)`; a session is counted where one of its facts is."""
    contexts = _contexts(reader)
    where = window.where("f.occurred_at")

    def target(raw: Number, context: int) -> _Sums:
        place = contexts[context]
        each = sums.setdefault(owner(raw, place), _Sums())
        if place[5] is not None:
            each.sessions.add(place[5])
        return each

    for raw, context, values in _groups(reader, _request_sums("f"), group, joined, f"f.type = {_LLM} AND {where}"):
        target(raw, context).add_requests(values)
    for raw, context, values in _groups(reader, _CALL_SUMS, group, joined, f"f.type = {_TOOL} AND {where}"):
        each = target(raw, context)
        each.calls += values[0] or 0
        each.relayed += values[1] or 0
        each.errors += values[2] or 0
    rest = f"f.type NOT IN ({_LLM}, {_TOOL}) AND {where}"
    for raw, context, values in _groups(reader, _number(f"f.type = {_COMPACTION}"), group, joined, rest):
        if joined and not values[0]:
            continue  # by model: what has no model would only add a row of sessions
        target(raw, context).compactions += values[0] or 0


def _collect_by_tool(reader: Connection, window: _Range, sums: dict[int, _Sums]) -> None:
    contexts = _contexts(reader)

    def target(tool: Number, context: int) -> _Sums:
        each = sums.setdefault(tool or 0, _Sums())
        session = contexts[context][5]
        if session is not None:
            each.sessions.add(session)
        return each

    shares = f"""
        WITH w AS MATERIALIZED (
            SELECT request, name, ROW_NUMBER() OVER (PARTITION BY request ORDER BY native, key) AS place,
                COUNT(*) OVER (PARTITION BY request) AS calls
            FROM fact WHERE type = {_TOOL} AND request IS NOT NULL)
        SELECT w.name, r.context, {_split_sums()}
        FROM fact r LEFT JOIN w ON w.request = r.key
        WHERE r.type = {_LLM} AND {window.where("r.occurred_at")} GROUP BY 1, 2"""
    for row in reader.execute(shares):
        values = cast("tuple[Number, ...]", row)
        target(values[0], cast("int", values[1])).add_requests(values[2:])
    where = window.where("f.occurred_at")
    for tool, context, values in _groups(reader, _CALL_SUMS, "f.name", "", f"f.type = {_TOOL} AND {where}"):
        each = target(tool, context)
        each.calls += values[0] or 0
        each.relayed += values[1] or 0
        each.errors += values[2] or 0
    for _, context, values in _groups(reader, "COUNT(*)", "0", "", f"f.type = {_COMPACTION} AND {where}"):
        target(None, context).compactions += values[0] or 0


def _by_period(reader: Connection, unit: Unit, window: _Range, zone: ZoneInfo) -> list[UsageRow]:
    starts: dict[int, int] = {}
    undated = -(1 << 62)

    def owner(quarter: Number, _: Context) -> int:
        if quarter is None:
            return undated
        start = starts.get(quarter)
        if start is None:
            start = starts[quarter] = bucket_start(zone, unit, quarter)
        return start

    sums: dict[int, _Sums] = {}
    # Quarters lie whole in the buckets of every zone's present offset, and are few enough to place one by one.
    quarter = f"f.occurred_at - (f.occurred_at % {QUARTER_MS} + {QUARTER_MS}) % {QUARTER_MS}"
    _collect(reader, window, sums, quarter, "", owner)
    keys = sorted(sums, key=lambda start: (start == undated, start))
    return [sums[start].row(UNATTRIBUTED if start == undated else label(zone, unit, start)) for start in keys]
