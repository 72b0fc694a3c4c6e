"""What rollups must be, said again in plain Python over the facts of a store: slow, and by another way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from ccagent.facts.model import EventType, Flag, Quality, Status
from ccagent.rollups.buckets import Unit, bucket_end, bucket_start
from ccagent.rollups.metrics import TOKEN_COLUMNS, VALUE_COLUMNS, Period
from ccagent.rollups.usage import UsageFamily
from ccagent.store.connection import Connection

Rows = dict[tuple[int, ...], dict[str, int]]
FIVE_MINUTES = 300_000
SPLIT = (*TOKEN_COLUMNS, "cost")
WHOLE = ("count", "unpriced", "placeholder", "partial", "estimated")
"""Of a request in the usage families: what is split over its calls, and what is counted at the first."""

UNITS: dict[int, Unit] = {Period.HOURLY: "hour", Period.DAILY: "day", Period.WEEKLY: "week"}


def stored(conn: Connection) -> Rows:
    """The rows of table `rollup`: key → values that are not 0."""
    rows = conn.execute(
        "SELECT period, bucket, family, project, branch, session_type, name, agent, skill, "
        f"{', '.join(VALUE_COLUMNS)} FROM rollup"
    )
    return {row[:9]: {k: v for k, v in zip(VALUE_COLUMNS, row[9:], strict=True) if v} for row in rows}


COLUMNS = (
    "key", "type", "native", "name", "request", "occurred_at", "ended_at", "result_at", "status", "flags", "quality",
    "reported_ms", "added", "removed", "token_input", "token_output", "token_cache_read", "token_cache_write",
    "token_cache_write_1h", "cost",
)  # fmt: skip
PLACES = ("session", "project", "branch", "agent", "skill")


def facts(conn: Connection) -> list[dict[str, Any]]:
    columns = [*(f"f.{column}" for column in COLUMNS), *(f"c.{column}" for column in PLACES)]
    rows = conn.execute(f"SELECT {', '.join(columns)} FROM fact f JOIN context c ON c.id = f.context")
    return [dict(zip((*COLUMNS, *PLACES), row, strict=True)) for row in rows]


def amounts(fact: dict[str, Any]) -> Counter[str]:
    """The value columns that one fact adds to its row."""
    tool, llm = fact["type"] == EventType.TOOL_CALL, fact["type"] == EventType.LLM_REQUEST
    status, flags = Status(fact["status"]), int(fact["flags"])
    counted = not tool or (fact["name"] is not None and bool(flags & Flag.DIRECT))
    has_result = bool(flags & Flag.RESULT) if tool else status is not Status.OPEN
    end = fact["result_at"] if tool else fact["ended_at"]
    duration = None if None in (end, fact["occurred_at"]) else end - fact["occurred_at"]
    if fact["type"] == EventType.LLM_REQUEST:
        asked = fact["result_at"]
        if duration is not None and asked is not None and asked < fact["occurred_at"]:
            duration = fact["ended_at"] - asked
    elif not tool and fact["reported_ms"] is not None:
        duration = fact["reported_ms"]
    written, hour = fact["token_cache_write"] or 0, fact["token_cache_write_1h"] or 0
    return Counter(
        count=counted, ok=counted and has_result and status is Status.OK,
        errors=bool(flags & Flag.ERROR) if tool else status in (Status.ERROR, Status.TIMEOUT),
        results=counted and has_result, relayed=tool and fact["name"] is not None and not flags & Flag.DIRECT,
        timed=counted and duration is not None, duration_ms=(duration or 0) if counted else 0,
        token_input=fact["token_input"] or 0, token_output=fact["token_output"] or 0,
        token_cache_read=fact["token_cache_read"] or 0, token_cache_write_5m=written - hour if written else 0,
        token_cache_write_1h=hour, cost=fact["cost"] or 0, unpriced=llm and fact["cost"] is None,
        placeholder=llm and fact["quality"] == Quality.PLACEHOLDER, partial=llm and fact["quality"] == Quality.PARTIAL,
        estimated=llm and fact["quality"] == Quality.ESTIMATED, added=fact["added"] or 0, removed=fact["removed"] or 0,
    )  # fmt: skip


def place(fact: dict[str, Any]) -> tuple[int, int, int]:
    return (fact["project"] or 0, fact["branch"] or 0, int(fact["agent"] is not None))


def active(
    session: Iterable[dict[str, Any]], zone: ZoneInfo
) -> tuple[Counter[tuple[Any, ...]], Counter[tuple[Any, ...]]]:
    """Active ms of one session's facts by (hour, place), and by place alone."""
    held = list(session)
    times = {(at, place(f)) for f in held for at in (f["occurred_at"], f["ended_at"], f["result_at"]) if at is not None}
    begun = [f["occurred_at"] for f in held if f["occurred_at"] is not None]
    by_hour: Counter[tuple[Any, ...]] = Counter()
    whole: Counter[tuple[Any, ...]] = Counter()
    ordered = sorted(times)
    for (before, _), (after, whose) in pairwise(ordered):
        if after - before > FIVE_MINUTES:
            continue
        whole[whose] += after - before
        while before < after:
            start = bucket_start(zone, "hour", before)
            end = bucket_end(zone, "hour", start)
            if any(start - FIVE_MINUTES <= at < end + FIVE_MINUTES for at in begun):
                by_hour[start, whose] += min(after, end) - before
            before = end
    return by_hour, whole


def usage(found: list[dict[str, Any]]) -> Iterator[tuple[int, tuple[int, ...], Counter[str]]]:
    """What the facts add to the usage families: time of the bucket, the key after it, amounts."""
    requests = {fact["key"]: fact for fact in found if fact["type"] == EventType.LLM_REQUEST}
    calls: dict[bytes, list[dict[str, Any]]] = {}
    for fact in sorted(found, key=lambda fact: fact["native"]):
        if fact["type"] == EventType.TOOL_CALL and fact["request"] in requests:
            calls.setdefault(fact["request"], []).append(fact)
    for fact in found:
        at, session, project = fact["occurred_at"], fact["session"] or 0, fact["project"] or 0
        if at is None:
            continue
        values = amounts(fact)
        kept = Counter[str]()
        if fact["type"] == EventType.LLM_REQUEST:
            kept = Counter({name: values[name] for name in (*SPLIT, *WHOLE)})
            made = calls.get(fact["key"], [{"name": None}])
            for place, call in enumerate(made):
                share = Counter({name: values[name] // len(made) for name in SPLIT})
                if place == 0:
                    share += Counter({name: values[name] % len(made) for name in SPLIT})
                    share += Counter({name: values[name] for name in WHOLE})
                yield at, (int(UsageFamily.TOOL), project, 0, 0, session, 0, call["name"] or 0), share
            yield at, (int(UsageFamily.MODEL), project, 0, 0, session, 0, fact["name"] or 0), kept
        if fact["type"] == EventType.TOOL_CALL:
            kept = Counter(results=values["count"], relayed=values["relayed"], errors=values["errors"])
            model = requests.get(fact["request"], {"name": None})["name"]
            yield at, (int(UsageFamily.TOOL), project, 0, 0, session, 0, fact["name"] or 0), kept
            yield at, (int(UsageFamily.MODEL), project, 0, 0, session, 0, model or 0), kept
        if fact["type"] == EventType.COMPACTION:
            kept = Counter(timed=1)
            for family in (UsageFamily.TOOL, UsageFamily.MODEL):
                yield at, (int(family), project, 0, 0, session, 0, 0), kept
        rest = (project, fact["branch"] or 0, 0, session, fact["agent"] or 0, fact["skill"] or 0)
        yield at, (int(UsageFamily.PLACE), *rest), kept


def expected(conn: Connection, zone: ZoneInfo) -> Rows:
    """All rows of all periods, each from the facts themselves."""
    rows: dict[tuple[int, ...], Counter[str]] = {}

    def add(period: int, bucket: int, rest: tuple[int, ...], values: Counter[str]) -> None:
        rows.setdefault((int(period), bucket, *rest), Counter()).update(values)

    found = facts(conn)
    for fact in found:
        session, at = fact["session"], fact["occurred_at"]
        buckets = [] if at is None else [(period, bucket_start(zone, unit, at)) for period, unit in UNITS.items()]
        if session is not None:
            buckets.append((int(Period.POINT), session))
        for period, bucket in buckets:
            if fact["type"] != EventType.SESSION:
                rest = (fact["type"], *place(fact), fact["name"] or 0, fact["agent"] or 0, fact["skill"] or 0)
                add(period, bucket, rest, amounts(fact))
            if session is not None:
                add(period, bucket, (int(EventType.SESSION), *place(fact), session, 0, 0), Counter(count=1))
    for session in {fact["session"] for fact in found} - {None}:
        by_hour, whole = active((fact for fact in found if fact["session"] == session), zone)
        for (hour, whose), ms in by_hour.items():
            for period, unit in UNITS.items():
                rest = (int(EventType.SESSION), *whose, session, 0, 0)
                add(period, bucket_start(zone, unit, hour), rest, Counter(duration_ms=ms))
        for whose, ms in whole.items():
            add(Period.POINT, session, (int(EventType.SESSION), *whose, session, 0, 0), Counter(duration_ms=ms))
    for at, key, values in usage(found):
        for period, unit in ((Period.HOURLY, UNITS[Period.HOURLY]), (Period.DAILY, UNITS[Period.DAILY])):
            add(period, bucket_start(zone, unit, at), key, values)
    return {key: {name: value for name, value in values.items() if value} for key, values in rows.items()}
