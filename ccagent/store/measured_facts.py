"""What facts amount to, hour by hour, session by session: made by the code that books totals, from the rows.

Metrics of the catalogue go through the ledger, fact by fact, as if each were new, and closing where it has closed. So a
metric means here what it means in a total, and over all hours the sums are those of the totals, but for what a ledger
follows over time (docs/alerts.md): which label an amount had when it was booked, growth that was cut at a sum, what was
measured when its subject closed, and `active{type="user"}`, which no fact keeps.

Metrics of the rollups are made here for questions by session, with the same SQL as rollup rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from ccagent.facts.model import EventType
from ccagent.facts.pricing import PriceTable
from ccagent.metrics import names
from ccagent.metrics.booked import Booking
from ccagent.metrics.happenings import MEASURED
from ccagent.metrics.labels import BUDGETS, Budget
from ccagent.metrics.ledger import Ledger
from ccagent.metrics.spec import PREFIX
from ccagent.rollups.buckets import HOUR_MS, bucket_end, bucket_start, buckets_between
from ccagent.rollups.metrics import BY_ID, SESSION_TYPES
from ccagent.rollups.spans import clipped
from ccagent.store import rows
from ccagent.store.connection import scalar
from ccagent.store.generation import booked_of
from ccagent.store.interning import Contexts, Names
from ccagent.store.measures import measure_deliveries, measure_session, time_in_turn, types_of
from ccagent.store.rollup_rows import SUMS_SQL
from ccagent.store.sources import in_spans

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from ccagent.rollups.metrics import RollupMetric
    from ccagent.rollups.spans import Span
    from ccagent.store.connection import Connection

_T = EventType

TYPES: Final[Mapping[str, tuple[EventType, ...]]] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                names.TOKENS, names.COST_USD, names.UNPRICED_TOKENS, names.NONFINAL_TOKENS, names.REQUESTS,
                names.REQUEST_DURATION, names.STOP_REASONS, names.AGENT_REQUESTS, names.TRUNCATED_MESSAGES,
                names.CONTEXT_UTILIZATION,
            ),
            (_T.LLM_REQUEST,),
        ),
        **dict.fromkeys(
            (
                names.TOOL_CALLS, names.TOOL_CALLS_RELAYED, names.TOOL_DURATION, names.TOOL_FAILURES, names.MCP_CALLS,
                names.TOOL_RETRIES, names.TOOL_DECISIONS, names.EDIT_DECISIONS, names.DANGEROUS_CALLS,
            ),
            (_T.TOOL_CALL,),
        ),
        **dict.fromkeys(
            (
                names.TURNS, names.TURN_DURATION, names.TURN_TOOL_CALLS, names.PERMISSION_MODE_TURNS, names.STALLS,
            ),
            (_T.TURN,),
        ),
        **dict.fromkeys(
            (
                names.SESSIONS, names.SESSION_DURATION, names.SESSION_FANOUT, names.SESSION_DEPTH, names.LINK_CONFIDENCE,
            ),
            (_T.SESSION,),
        ),
        names.ACTIVE: (_T.TURN, _T.PROMPT),
        names.PROMPTS: (_T.PROMPT,),
        names.PROMPT_LENGTH: (_T.PROMPT,),
        names.REQUEST_RETRIES: (_T.API_ERROR,),
        names.ERRORS: (_T.API_ERROR,),
        names.COMPACTIONS: (_T.COMPACTION,),
        names.MICROCOMPACTIONS: (_T.MICROCOMPACTION,),
        names.AGENT_INVOCATIONS: (_T.SUBAGENT_RUN,),
        names.FILE_WRITES: (_T.FILE_UPDATE,),
        names.LINES_CHANGED: (_T.FILE_UPDATE,),
        names.SKILL_ACTIVATIONS: (_T.SKILL,),
        names.HOOK_DURATION: (_T.HOOK,),
        names.COMMITS: (_T.COMMIT,),
        names.PULL_REQUESTS: (_T.PULL_REQUEST,),
        names.DELIVERY: (_T.COMMIT, _T.PULL_REQUEST),
        names.QUALITY_RUNS: (_T.QUALITY,),
        names.TASKS_COMPLETED: (_T.TASK,),
    }
)  # fmt: skip
"""The kinds of facts that book a metric of the catalogue: every one of those derived from facts, but for gauges."""

PAGE: Final = 1_000
"""Facts whose texts are looked up together."""

QUESTION_MS: Final = 6 * HOUR_MS
"""Time whose facts one question asks for: it holds a moment of the database while they are read."""

HOURS: Final = 200
"""Hours of one question about rollup metrics."""

SESSION_LABELS: Final = ("branch", "session_type", "name", "agent", "skill")
"""Labels of a rollup metric's amounts; the project and the session are told apart beside them."""


class Place(NamedTuple):
    """Whose an amount is: a metric, name ids of session and project (0 = unknown), and labels as a JSON array of texts."""

    metric: str
    session: int
    project: int
    labels: str


@dataclass(slots=True)
class Sum:
    """What was added up: `value` in the unit that is stored (micro-dollars, milliseconds), the facts behind it (of a
    histogram, observations), and of a histogram the counts by bucket."""

    value: float = 0
    count: int = 0
    buckets: list[int] | None = None

    def add(self, value: float, count: int, buckets: Iterable[int] | None = None) -> None:
        """Add what was found elsewhere."""
        self.value += value
        self.count += count
        if buckets is not None:
            counts = list(buckets)
            self.buckets = (
                counts if self.buckets is None else [a + b for a, b in zip(self.buckets, counts, strict=True)]
            )


Sums = dict[Place, Sum]


def kinds_of(metric: str) -> tuple[EventType, ...]:
    """The kinds of facts that the amounts of a metric (by its canonical name) are made of."""
    return (BY_ID[metric].family,) if metric in BY_ID else TYPES[metric.removeprefix(PREFIX)]


@lru_cache(maxsize=8_192)
def packed(labels: tuple[str, ...]) -> str:
    """Labels as the tables hold them."""
    return orjson.dumps(labels).decode()


@lru_cache(maxsize=8_192)
def unpacked(labels: str) -> tuple[str, ...]:
    """Labels out of the tables."""
    return tuple(orjson.loads(labels))


def by_hour(
    conn: Connection,
    zone: ZoneInfo,
    spans: Collection[Span],
    metrics: Collection[str],
    prices: PriceTable | None = None,
) -> Iterator[tuple[int, Sums]]:
    """Of each hour in `spans` (whole hours) in which a fact of these metrics begins: its start, and its amounts.

    Costs the facts of the metrics' kinds in the spans, a page of them in memory at a time. An hour may come twice, with
    metrics of the catalogue and with those of rollups. `prices` only split a cost into kinds of tokens.
    """
    own = [BY_ID[metric] for metric in sorted(metrics) if metric in BY_ID]
    # Four names mean a rollup's metric, and with the prefix the catalogue's.
    booked = {metric.removeprefix(PREFIX): metric for metric in metrics if metric not in BY_ID}
    if booked:
        reading = _Reading(conn, booked, PriceTable.bundled() if prices is None else prices)
        for span in spans:
            yield from reading.hours(zone, span)
    if own:
        hours = [
            hour for span in spans for start, end in buckets_between(zone, "hour", *span)
            for hour in clipped([(start, end)], *span)
        ]  # fmt: skip
        for first in range(0, len(hours), HOURS):
            yield from _of_rollups(conn, hours[first : first + HOURS], own)


class _Reading:
    """Reads facts by time and books each. It has what `measures` asks for: a connection and the texts."""

    def __init__(self, conn: Connection, metrics: Mapping[str, str], prices: PriceTable) -> None:
        self.conn = conn
        self.names = Names(conn)
        self._contexts = Contexts(conn, self.names)
        self._metrics = metrics  # as they are booked → as they are asked for
        self._prices = prices
        self._measured = bool(self._metrics.keys() & MEASURED)
        self._booking = Booking()
        self._ledger = Ledger(
            self._booking, Budget(limits=dict.fromkeys(BUDGETS, 1 << 62)), lambda _cwd, _project: True
        )
        self._types: dict[str, str] = {}
        if names.AGENT_REQUESTS in self._metrics:
            self._ledger.types_of = self._types_of
        kinds = sorted({int(kind) for metric in self._metrics for kind in TYPES[metric]})
        self._sql = (
            f"{rows.SELECT} WHERE f.occurred_at >= ? AND f.occurred_at < ?"
            f" AND f.type IN ({', '.join(map(str, kinds))}) ORDER BY f.occurred_at"
        )

    def hours(self, zone: ZoneInfo, span: Span) -> Iterator[tuple[int, Sums]]:
        """Amounts by hour of one span."""
        found: Sums = {}
        hour, end = 0, -1
        for row in self._rows(zone, span):
            at = row[rows.OCCURRED_AT]
            if at >= end:
                if found:
                    yield hour, found
                    found = {}
                hour = bucket_start(zone, "hour", at)
                end = bucket_end(zone, "hour", hour)
            self._take(row, found)
        if found:
            yield hour, found

    def _rows(self, zone: ZoneInfo, span: Span) -> Iterator[rows.Row]:
        """The facts of one span by time; their texts are known."""
        start, end = max(span[0], 0), span[1]
        while start < end:
            upto = min(bucket_start(zone, "hour", start + QUESTION_MS), end)
            reader = iter(self.conn.stream(self._sql, (start, upto)))
            empty = True
            while page := list(islice(reader, PAGE)):
                self._contexts.learn(row[rows.CONTEXT] for row in page)
                self.names.learn(row[column] for row in page for column in rows.NAMED)
                yield from page
                empty = False
            start = upto
            if empty:  # nothing there: go on where there is something
                following = scalar(self.conn, "SELECT MIN(f.occurred_at) FROM fact f WHERE f.occurred_at >= ?", (upto,))
                start = end if following is None else bucket_start(zone, "hour", int(following))

    def _take(self, row: rows.Row, found: Sums) -> None:
        fact = rows.read(row, self.names, self._contexts)
        ledger, booking = self._ledger, self._booking
        ledger.change(None, fact, booked_of(row, fact, self._prices), row[rows.CLOSED_SEQ] is not None)
        if self._measured:
            self._measure()
        ledger.post()
        context = fact.context
        session = 0 if context.session is None else self.names.id(context.session)
        project = 0 if context.project is None else self.names.id(context.project)
        for (metric, labels, _), amount in booking.amounts.items():
            if metric in self._metrics:
                held = _held(found, Place(self._metrics[metric], session, project, packed(labels)))
                held.add(amount, 1)
        for (metric, labels, _), (counts, total) in booking.observations.items():
            if metric in self._metrics:
                held = _held(found, Place(self._metrics[metric], session, project, packed(labels)))
                held.add(total, sum(counts), counts)
        booking.clear()

    def _measure(self) -> None:
        """As `measures.measure` does when a transaction ends."""
        occurrences = self._ledger.occurrences
        for turn, leaves in occurrences.long:
            occurrences.worked(time_in_turn(self, turn), leaves)
        for session, leaves in occurrences.ended:
            measure_session(self, occurrences, session, leaves)
        if names.DELIVERY in self._metrics:
            measure_deliveries(self, occurrences, occurrences.delivered)
        occurrences.clear()

    def _types_of(self, agents: Collection[str]) -> Mapping[str, str]:
        new = [agent for agent in agents if agent not in self._types]
        if new:
            self._types |= dict.fromkeys(new, "") | types_of(self, new)
        return self._types


def _held(found: Sums, place: Place) -> Sum:
    known = found.get(place)
    if known is None:
        known = found[place] = Sum()
    return known


_PLACE: Final = ", ".join(
    f"{sql} AS {column}"
    for column, sql in {
        "session": "COALESCE(c.session, 0)", "project": "COALESCE(c.project, 0)", "branch": "COALESCE(c.branch, 0)",
        "session_type": "CASE WHEN c.agent IS NULL THEN 0 ELSE 1 END", "name": "COALESCE(f.name, 0)",
        "agent": "COALESCE(c.agent, 0)", "skill": "COALESCE(c.skill, 0)",
    }.items()
)  # fmt: skip


def _of_rollups(
    conn: Connection, hours: Collection[Span], metrics: Iterable[RollupMetric]
) -> Iterator[tuple[int, Sums]]:
    """Amounts of rollup metrics by session in these hours."""
    if not hours:
        return
    by_family: dict[EventType, list[RollupMetric]] = {}
    for metric in metrics:
        by_family.setdefault(metric.family, []).append(metric)
    found: dict[int, Sums] = {}
    texts = Names(conn)
    facts = in_spans(conn.dialect, hours)
    for family, wanted in by_family.items():
        values = "".join(f", CASE WHEN {metric.where} THEN {metric.value} END, {counted(metric)}" for metric in wanted)
        sql = (
            f"SELECT r.bucket, r.session, r.project, r.branch, r.session_type, r.name, r.agent, r.skill{values} FROM ("
            f"SELECT {facts.bucket} AS bucket, {_PLACE}, {SUMS_SQL} FROM {facts.source}"
            f" JOIN context c ON c.id = f.context WHERE {facts.where}"
            f" AND f.type = {int(family)} GROUP BY 1, 2, 3, 4, 5, 6, 7, 8) r"
        )
        taken = conn.execute(sql, facts.values).fetchall()
        texts.learn(number for row in taken for number in (row[3], *row[5:8]) if number)
        for hour, session, project, branch, kind, name, agent, skill, *amounts in taken:
            labels = packed(
                (_text(texts, branch), SESSION_TYPES[kind], *(_text(texts, each) for each in (name, agent, skill)))
            )
            sums = found.setdefault(int(hour), {})
            for metric, value, count in zip(wanted, amounts[::2], amounts[1::2], strict=True):
                if value is not None:
                    held = _held(sums, Place(metric.id, session, project, labels))
                    held.add(int(value), int(count))
    yield from sorted(found.items(), key=_hour)


def counted(metric: RollupMetric) -> str:
    """SQL over a rollup row `r`: the facts behind its value. Of what is counted, and of lines, that is the value itself."""
    return _COUNTS.get(metric.id, metric.count if metric.value_type != "counter" else metric.value)


_COUNTS: Final[Mapping[str, str]] = MappingProxyType(
    {"session_cost": "(r.count - r.unpriced)", "session_tokens": "r.count"}
)


def _text(texts: Names, number: Any) -> str:
    return texts.text(int(number)) or "" if number else ""


def _hour(item: tuple[int, Sums]) -> int:
    return item[0]
