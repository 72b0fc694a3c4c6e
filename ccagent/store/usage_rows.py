"""What facts amount to in the shape of the usage families (rollups/usage.py), for rollups and for what they lack.

`relation(dialect, family, facts)` is a SELECT of one row a fact and item, not yet summed, with the columns `context`,
`item` (name id of tool or model, NULL for none), `occurred_at`, `bucket` and those of `USAGE_VALUES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ccagent.facts.model import EventType, Flag, Quality
from ccagent.rollups.usage import ITEM, SAID, USAGE_COLUMNS, UsageFamily
from ccagent.store.dialect import Dialect
from ccagent.store.sources import Facts, searched

USAGE_VALUES: Final = tuple(USAGE_COLUMNS.values())
"""Columns of a rollup row that usage rows fill; the others are 0."""

Select = tuple[str, tuple[Any, ...]]
"""A SELECT and its parameters."""

_LLM: Final = f"f.type = {int(EventType.LLM_REQUEST)}"
_TOOL: Final = f"f.type = {int(EventType.TOOL_CALL)}"
_COMPACTION: Final = f"f.type = {int(EventType.COMPACTION)}"
_DIRECT: Final = f"(f.flags & {int(Flag.DIRECT)}) <> 0"

_AMOUNTS: Final[dict[str, str]] = {
    "token_input": "COALESCE(f.token_input, 0)",
    "token_output": "COALESCE(f.token_output, 0)",
    "token_cache_read": "COALESCE(f.token_cache_read, 0)",
    "token_cache_write_5m": "COALESCE(f.token_cache_write, 0) - COALESCE(f.token_cache_write_1h, 0)",
    "token_cache_write_1h": "COALESCE(f.token_cache_write_1h, 0)",
    "cost": "COALESCE(f.cost, 0)",
}
"""What a request has; it can be split."""

_COUNTED: Final[dict[str, str]] = {
    "requests": "1 = 1",
    "unpriced": "f.cost IS NULL",
    "placeholder": f"f.quality = {int(Quality.PLACEHOLDER)}",
    "partial": f"f.quality = {int(Quality.PARTIAL)}",
    "estimated": f"f.quality = {int(Quality.ESTIMATED)}",
}
"""What a request is; it is counted once, at its first call."""

_CALLS: Final[dict[str, str]] = {
    "tool_calls": f"{_TOOL} AND f.name IS NOT NULL AND {_DIRECT}",
    "tool_calls_relayed": f"{_TOOL} AND f.name IS NOT NULL AND NOT ({_DIRECT})",
    "tool_errors": f"{_TOOL} AND (f.flags & {int(Flag.ERROR)}) <> 0",
}


def _one(condition: str) -> str:
    return f"CASE WHEN {condition} THEN 1 ELSE 0 END"


def _columns(expressions: Mapping[str, str]) -> str:
    """All value columns in order: what `expressions` (by amount) do not name is 0."""
    return ", ".join(f"{expressions.get(amount, '0')} AS {column}" for amount, column in USAGE_COLUMNS.items())


_PLAIN: Final = _columns(
    {
        **{amount: f"CASE WHEN {_LLM} THEN {sql} ELSE 0 END" for amount, sql in _AMOUNTS.items()},
        **{amount: _one(f"{_LLM} AND {sql}") for amount, sql in _COUNTED.items()},
        **{amount: _one(sql) for amount, sql in _CALLS.items()},
        "compactions": _one(_COMPACTION),
    }
)
"""Of a fact of any kind, undivided."""

_FIRST: Final = "x.place = 1"
_SHARES: Final = _columns(
    {
        **{
            amount: f"x.{amount} / x.calls + CASE WHEN {_FIRST} THEN x.{amount} % x.calls ELSE 0 END"
            for amount in _AMOUNTS
        },
        **{amount: _one(f"{_FIRST} AND x.{amount} = 1") for amount in _COUNTED},
    }
)
"""Of one call's share `x` in its request."""


def relation(dialect: Dialect, family: UsageFamily, facts: Facts) -> Select:
    """The rows that `facts` add to a family."""
    if family is UsageFamily.TOOL:
        return _by_tool(dialect, facts)
    if family is UsageFamily.MODEL:
        return _by_model(dialect, facts)
    head = f"SELECT f.context, NULL AS item, f.occurred_at, {facts.bucket} AS bucket, {_PLAIN}"
    return f"{head} FROM {facts.source} WHERE {facts.where}", facts.values


def _by_model(dialect: Dialect, facts: Facts) -> Select:
    return (
        f"SELECT f.context, CASE WHEN {_LLM} THEN f.name WHEN {_TOOL} THEN request.name END AS item, f.occurred_at,"
        f" {facts.bucket} AS bucket, {_PLAIN} FROM {facts.source}"
        f"{searched(dialect, 'request', 'request.key = f.request', left=True)}"
        f" WHERE {facts.where} AND ({_LLM} OR {_TOOL} OR {_COMPACTION})"
    ), facts.values


def _by_tool(dialect: Dialect, facts: Facts) -> Select:
    amounts = [f"{sql} AS {amount}" for amount, sql in _AMOUNTS.items()]
    counted = [f"{_one(sql)} AS {amount}" for amount, sql in _COUNTED.items()]
    calls = f"w.request = f.key AND w.type = {int(EventType.TOOL_CALL)}"
    shares = (
        f"SELECT f.context, w.name AS item, f.occurred_at, {facts.bucket} AS bucket, {', '.join([*amounts, *counted])},"
        " ROW_NUMBER() OVER (PARTITION BY f.key ORDER BY w.native, w.key) AS place, COUNT(*) OVER (PARTITION BY f.key)"
        f" AS calls FROM {facts.source}{searched(dialect, 'w', calls, left=True)}"
        f" WHERE {facts.where} AND {_LLM}"
    )
    return (
        f"SELECT x.context, x.item, x.occurred_at, x.bucket, {_SHARES} FROM ({shares}) x"
        f" UNION ALL SELECT f.context, CASE WHEN {_TOOL} THEN f.name END, f.occurred_at, {facts.bucket}, {_PLAIN}"
        f" FROM {facts.source} WHERE {facts.where} AND ({_TOOL} OR {_COMPACTION})"
    ), facts.values * 2


def summed(dialect: Dialect, family: UsageFamily, facts: Facts) -> Select:
    """The rollup rows that `facts` amount to: bucket, the dimensions of a rollup row, sums of `USAGE_VALUES`."""
    sql, values = relation(dialect, family, facts)
    places = {"project": "COALESCE(c.project, 0)"}
    if family is UsageFamily.PLACE:
        places |= {column: f"COALESCE(c.{column}, 0)" for column in ("branch", "agent", "skill")}
    else:
        places[ITEM] = "COALESCE(u.item, 0)"
    if family is UsageFamily.MODEL:
        places[SAID] = "COALESCE(c.provider, 0)"
    dimensions = ", ".join(
        places.get(column, "0") if column != "name" else "COALESCE(c.session, 0)"
        for column in ("project", "branch", "session_type", "name", "agent", "skill")
    )
    sums = ", ".join(f"SUM(u.{column})" for column in USAGE_VALUES)
    return (
        f"SELECT u.bucket, {int(family)}, {dimensions}, {sums} FROM ({sql}) u JOIN context c ON c.id = u.context"
        " GROUP BY 1, 2, 3, 4, 5, 6, 7, 8"
    ), values
