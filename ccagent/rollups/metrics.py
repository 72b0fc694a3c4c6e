"""The metric ids of the rollups: what each is, in which family of rows it lies, and how its amounts combine.

A rollup row holds sums of one family (an event type) inside one period. A metric is an expression over those sums, so
a new metric over an existing family needs no new row. Metrics whose facts do not exist yet (features) are absent, not
zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from ccagent.facts.model import EventType

SESSION_TYPES: Final = ("main", "subagent")
"""What a row's `session_type` number stands for: the main chain, or records of a sub-agent."""

MICRO: Final = 1_000_000
"""Micro-dollars in a dollar."""

MILLI: Final = 1_000
"""Milliseconds in a second."""


class Period(IntEnum):
    """Periods of a rollup row; the number is what the store keeps, `PERIODS` what a user sees."""

    HOURLY = 1
    DAILY = 2
    WEEKLY = 3
    POINT = 4


PERIODS: Final[dict[int, str]] = {
    Period.HOURLY: "hourly",
    Period.DAILY: "daily",
    Period.WEEKLY: "weekly",
    Period.POINT: "point",
}


class Combine(StrEnum):
    """How amounts of several rows become one: declared, never guessed from a name."""

    SUM = "sum"
    RATIO = "ratio"  # sum of values ÷ sum of counts, a share between 0 and 1
    SUM_COUNT = "sum_count"  # sum of values ÷ sum of counts, a mean
    DISTINCT = "distinct"  # number of distinct sessions among the rows; never added


VALUE_COLUMNS: Final[dict[str, str]] = {
    "count": "facts that begin in the period",
    "ok": "outcome ok",
    "errors": "outcome error or timeout; of tool calls, results flagged as errors",
    "results": "calls with a result",
    "relayed": "calls seen only inside a sub-agent's progress; not in `count`",
    "timed": "facts with a duration",
    "duration_ms": "sum of durations; of sessions, active milliseconds",
    "token_input": "input tokens",
    "token_output": "output tokens",
    "token_cache_read": "tokens read from the cache",
    "token_cache_write_5m": "tokens written to the cache for 5 minutes, or with no split",
    "token_cache_write_1h": "tokens written to the cache for an hour",
    "cost": "micro-dollars of priced requests",
    "unpriced": "requests without a price",
    "placeholder": "requests whose usage is a placeholder",
    "partial": "requests whose usage is partial",
    "estimated": "requests whose usage is estimated",
    "added": "lines added",
    "removed": "lines removed",
}
"""Value columns of a rollup row, all integer sums inside the period; NULL or 0 where the family has none."""

TOKEN_COLUMNS: Final = (
    "token_input",
    "token_output",
    "token_cache_read",
    "token_cache_write_5m",
    "token_cache_write_1h",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RollupMetric:
    """One metric id. `value`, `count` and `where` are SQL over a rollup row `r`; the unit is `value / scale`."""

    id: str
    display: str
    unit: str
    value_type: str  # "counter" (adds up) or "gauge"
    combines: Combine
    family: EventType
    description: str
    value: str
    count: str = "r.count"
    where: str = "1 = 1"
    scale: int = 1
    parts: tuple[tuple[str, str], ...] = ()
    """Amounts shown beside the value: name → column."""


def _counter(
    id: str,
    display: str,
    family: EventType,
    value: str,
    description: str,
    *,
    unit: str = "count",
    scale: int = 1,
    where: str | None = None,
    parts: tuple[tuple[str, str], ...] = (),
) -> RollupMetric:
    """A metric that adds up. Without `where`, rows whose value is 0 are no entries."""
    return RollupMetric(
        id=id,
        display=display,
        unit=unit,
        value_type="counter",
        combines=Combine.SUM,
        family=family,
        description=description,
        value=value,
        where=f"{value} <> 0" if where is None else where,
        scale=scale,
        parts=parts,
    )


_TOKENS: Final = " + ".join(f"r.{column}" for column in TOKEN_COLUMNS)
_KINDS: Final = tuple((column.removeprefix("token_"), column) for column in TOKEN_COLUMNS)

METRICS: Final[tuple[RollupMetric, ...]] = (
    _counter(
        "session_cost", "Session cost", EventType.LLM_REQUEST, "r.cost",
        "API-equivalent cost of the requests whose first line lies in the period; unpriced ones are left out",
        unit="USD", scale=MICRO, where="r.count > r.unpriced", parts=(("unpriced", "unpriced"),),
    ),
    _counter(
        "session_tokens", "Session tokens", EventType.LLM_REQUEST, _TOKENS,
        "tokens of the requests whose first line lies in the period, all five kinds",
        unit="tokens", where="1 = 1", parts=_KINDS,
    ),
    RollupMetric(
        id="session_duration", display="Session duration", unit="seconds", value_type="gauge", scale=MILLI,
        combines=Combine.SUM_COUNT, family=EventType.SESSION, value="r.duration_ms",
        count="CASE WHEN r.count > 0 THEN 1 ELSE 0 END",
        description="active seconds of sessions in the period: gaps between records of at most five minutes",
    ),
    RollupMetric(
        id="session_count", display="Sessions", unit="count", value_type="counter",
        combines=Combine.DISTINCT, family=EventType.SESSION, value="1", where="r.count > 0",
        description="sessions in which something began in the period; one row a session, branch and type",
    ),
    _counter(
        "tool_call_count", "Tool calls", EventType.TOOL_CALL, "r.count",
        "tool calls started in the period", parts=(("relayed", "relayed"),),
    ),
    RollupMetric(
        id="tool_success_rate", display="Tool success rate", unit="ratio", value_type="gauge",
        combines=Combine.RATIO, family=EventType.TOOL_CALL, value="r.ok", count="r.results", where="r.results > 0",
        description="tool calls that ended well ÷ calls with a result; open calls are in neither",
    ),
    _counter(
        "file_churn", "File changes", EventType.FILE_UPDATE, "r.count",
        "changes of files, with the lines they added and removed", parts=(("added", "added"), ("removed", "removed")),
    ),
    _counter("requests", "Requests", EventType.LLM_REQUEST, "r.count", "model requests that began in the period"),
    _counter("turns", "Turns", EventType.TURN, "r.count", "turns that began in the period"),
    _counter("prompts", "Prompts", EventType.PROMPT, "r.count", "prompts and commands given in the period"),
    _counter("compactions", "Compactions", EventType.COMPACTION, "r.count", "compactions of a context in the period"),
    _counter("api_errors", "API errors", EventType.API_ERROR, "r.count", "errors of the API in the period"),
    _counter("tool_errors", "Tool errors", EventType.TOOL_CALL, "r.errors", "tool results flagged as errors"),
    _counter("lines_added", "Lines added", EventType.FILE_UPDATE, "r.added", "lines added to files", unit="lines"),
    _counter(
        "lines_removed", "Lines removed", EventType.FILE_UPDATE, "r.removed", "lines removed from files", unit="lines",
    ),
    _counter("unpriced_requests", "Unpriced requests", EventType.LLM_REQUEST, "r.unpriced", "requests without a price"),
    _counter(
        "nonfinal_requests", "Requests not final", EventType.LLM_REQUEST,
        "(r.placeholder + r.partial + r.estimated)", "requests whose usage is not final",
    ),
    _counter(
        "task_velocity", "Tasks finished", EventType.TASK, "r.ok",
        "transitions of tasks into done, deferred or completed in the period; one that is opened again and finished again"
        " counts twice, a cancelled or deleted one not",
        unit="tasks", parts=(("transitions", "count"),),
    ),
)  # fmt: skip

BY_ID: Final[dict[str, RollupMetric]] = {metric.id: metric for metric in METRICS}
