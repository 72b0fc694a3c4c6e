"""Usage from rollups and facts equals usage from facts alone, whatever is stale, wherever the window is cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccagent.facts.keys import fact_key
from ccagent.facts.model import EventType
from ccagent.store import rollups
from ccagent.store.queries import BY, usage
from tests.store import usage_oracle
from tests.store.builder import Builder

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
START = 1_774_656_000_000  # 2026-03-28 00:00 UTC: the clocks of Berlin go forward on the day after
REACH = 4 * DAY
ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe")
NATIVES = 6

PLACES: tuple[dict[str, Any], ...] = (
    {"session": "s1", "project": "/p", "branch": "main"},
    {"session": "s1", "project": "/p", "branch": "other", "skill": "review"},
    {"session": "s1", "project": "/p", "branch": "main", "agent": "a1", "rank": 1},
    {"session": "s2", "project": "/p"},
    {"session": "s2", "project": "/q", "agent": "a2", "rank": 2},
    {"session": "s3", "project": None},
    {"session": None, "project": "/q"},
)

moments = st.one_of(
    st.none(),
    st.integers(0, REACH),
    st.integers(0, 3 * HOUR),
    st.sampled_from([-(10**13), -1, 0, HOUR - 1, HOUR, HOUR + 1, DAY, DAY - 1, 2 * DAY, 23 * HOUR, 300 * DAY]),
)
amounts = st.one_of(st.none(), st.integers(0, 1000))
writes = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(
            [EventType.LLM_REQUEST] * 3 + [EventType.TOOL_CALL] * 4
            + [EventType.PROMPT, EventType.TURN, EventType.COMPACTION]
        ),
        "native": st.integers(0, NATIVES), "place": st.integers(0, len(PLACES) - 1), "occurred_at": moments,
        "name": st.sampled_from([None, "x", "y"]), "request": st.one_of(st.none(), st.integers(0, NATIVES)),
        "flags": st.integers(0, 7), "quality": st.integers(0, 3), "cost": amounts, "token_input": amounts,
        "token_output": amounts, "token_cache_read": amounts, "token_cache_write": st.integers(500, 900),
        "token_cache_write_1h": st.one_of(st.none(), st.integers(0, 500)),
    }
)  # fmt: skip
steps = st.lists(st.one_of(writes, writes, writes, writes, st.integers(1, 30)), min_size=3, max_size=30)
"""Facts that are written, again and again under the same few keys, and refreshes of so many dirty quarters."""

bounds = st.one_of(
    st.none(), st.integers(START - DAY, START + REACH + DAY),
    st.sampled_from([START, START + HOUR, START + DAY, START + DAY + 17, START + 2 * DAY - HOUR]),
)  # fmt: skip
REQUEST_ONLY = (
    "quality", "cost", "token_input", "token_output", "token_cache_read", "token_cache_write", "token_cache_write_1h",
)  # fmt: skip


@pytest.fixture
def store(new_store: Callable[[], Builder]) -> Builder:
    """An empty store of either kind."""
    return new_store()


def write(store: Builder, step: dict[str, Any]) -> None:
    columns = dict(step)
    kind, native, request = columns.pop("kind"), f"n{columns.pop('native')}", columns.pop("request")
    if columns["occurred_at"] is not None:
        columns["occurred_at"] += START
    if kind is EventType.TOOL_CALL and request is not None:
        columns["request"] = fact_key(EventType.LLM_REQUEST, f"n{request}")
    if kind is not EventType.LLM_REQUEST:
        columns |= dict.fromkeys(REQUEST_ONLY)
    store.fact(kind, native, context=store.context(**PLACES[columns.pop("place")]), **columns)


def play(store: Builder, zone: str, plan: list[dict[str, Any] | int]) -> None:
    """Write the facts and refresh in between; every session has its own fact, as in a real store."""
    store.conn.execute("INSERT INTO meta (name, value) VALUES ('zone', ?)", (zone,))
    for number, session in enumerate(("s1", "s2", "s3")):
        place = store.context(session=session, project="/p")
        store.fact(EventType.SESSION, session, context=place, occurred_at=START + number * 5 * HOUR)
    for step in plan:
        if isinstance(step, int):
            rollups.refresh(store.conn, ZoneInfo(zone), limit=step)
        else:
            write(store, step)


def settle(store: Builder, zone: str) -> None:
    while rollups.refresh(store.conn, ZoneInfo(zone)):
        pass


def differences(store: Builder, by: str, since: int | None, until: int | None, zone: str) -> list[Any]:
    """Rows that only one of the two has: nothing."""
    window = {"by": by, "since_ms": since, "until_ms": until, "timezone": zone}
    found, wanted = usage(store.conn, **window), usage_oracle.usage(store.conn, **window)
    return [] if found == wanted else [window, found, wanted]


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps, st.sampled_from(ZONES), st.lists(st.tuples(bounds, bounds, st.sampled_from(ZONES)), min_size=1, max_size=4)
)
def test_usage_is_that_of_the_facts(
    new_store: Callable[[], Builder], plan: list[dict[str, Any] | int], zone: str,
    windows: list[tuple[int | None, int | None, str]],
) -> None:  # fmt: skip
    store = new_store()
    play(store, zone, plan)
    for since, until, shown in [*windows, (None, None, zone)]:
        for by in BY:
            assert differences(store, by, since, until, shown) == []


AT = START + 7 * MINUTE
M1 = fact_key(EventType.LLM_REQUEST, "m1")


def asked(store: Builder, **columns: Any) -> None:
    store.request("m1", **{"occurred_at": AT, "name": "opus", "token_input": 101, "cost": 11, **columns})


def called(store: Builder, native: str = "c1", **columns: Any) -> None:
    store.call(native, **{"occurred_at": AT + 2 * HOUR, "name": native, "request": M1, **columns})


CHANGES: dict[str, Callable[[Builder], None]] = {
    "a call more": lambda store: called(store, "c2"),
    "a call in the hour of another request": lambda store: called(store, "c2", occurred_at=AT + DAY),
    "a call without a time": lambda store: called(store, "c2", occurred_at=None),
    "another tool": lambda store: called(store, name="other"),
    "a call that another request makes": lambda store: called(store, request=fact_key(EventType.LLM_REQUEST, "m2")),
    "a call that no request makes": lambda store: called(store, request=None),
    "a call that is gone": lambda store: store.remove(fact_key(EventType.TOOL_CALL, "c1")),
    "a call that moves": lambda store: called(store, occurred_at=AT + 9 * HOUR),
    "another model": lambda store: asked(store, name="haiku"),
    "a request that moves": lambda store: asked(store, occurred_at=AT - 9 * HOUR, name="haiku"),
    "a request that loses its time": lambda store: asked(store, occurred_at=None, name="haiku"),
}


@pytest.mark.parametrize("refreshed", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_a_call_and_its_request_follow_one_another_through_the_hours(
    store: Builder, change: str, refreshed: bool
) -> None:
    asked(store)
    store.request("m2", occurred_at=AT + DAY, name="sonnet", token_input=50)
    called(store)
    settle(store, "UTC")

    CHANGES[change](store)
    if refreshed:
        settle(store, "UTC")

    assert differences(store, "tool", None, None, "UTC") == differences(store, "model", None, None, "UTC") == []


def test_the_model_of_a_request_without_a_time_is_that_of_its_calls(store: Builder) -> None:
    called(store)
    settle(store, "UTC")

    asked(store, occurred_at=None)

    assert differences(store, "model", None, None, "UTC") == []


@pytest.mark.parametrize("by", BY)
def test_where_nothing_is_stale_no_fact_is_read(store: Builder, by: str) -> None:
    store.request("m1", occurred_at=START + 5 * MINUTE, token_input=7, name="opus")
    settle(store, "UTC")
    store.conn.execute("DELETE FROM fact")

    found = usage(store.conn, by=by, since_ms=None, until_ms=None, timezone=None)

    assert [(row.tokens["input"], row.sessions) for row in found] == [(7, 1)]


@pytest.mark.parametrize("by", BY)
def test_what_is_sealed_is_counted_though_its_facts_are_gone(store: Builder, by: str) -> None:
    store.request("old", occurred_at=START + 5 * MINUTE, token_input=7, name="opus")
    settle(store, "UTC")
    store.conn.execute("INSERT INTO meta (name, value) VALUES ('sealed_before', ?)", (str(START + DAY),))
    store.conn.execute("DELETE FROM fact")
    store.mark({START})
    store.request("new", occurred_at=START + DAY + HOUR, token_input=20, name="opus")

    for _ in range(2):
        found = usage(store.conn, by=by, since_ms=START - 1, until_ms=START + 2 * DAY, timezone=None)
        assert sum(row.tokens["input"] for row in found) == 27
        settle(store, "UTC")


def test_a_sealed_hour_that_a_bound_cuts_belongs_to_where_it_begins(store: Builder) -> None:
    store.request("old", occurred_at=START + 45 * MINUTE, token_input=7)
    settle(store, "UTC")
    store.conn.execute("INSERT INTO meta (name, value) VALUES ('sealed_before', ?)", (str(START + DAY),))
    store.conn.execute("DELETE FROM fact")

    cut = START + 30 * MINUTE
    found = [usage(store.conn, by="total", since_ms=since, until_ms=until, timezone=None)[0].tokens["input"]
             for since, until in ((START, cut), (cut, START + DAY))]  # fmt: skip

    assert found == [7, 0]
