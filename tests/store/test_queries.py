"""Usage from facts: exact totals, rows that add up, one owner for each token."""

from __future__ import annotations

import random
from collections.abc import Callable
from zoneinfo import ZoneInfo

import pytest

from ccagent.facts.model import EventType, Flag, Quality, Status
from ccagent.store import queries
from ccagent.store.queries import BY, UNATTRIBUTED, UsageRow, usage
from tests.store.builder import Builder

HOUR = 3_600_000
AT = 1_772_000_000_000 - 1_772_000_000_000 % HOUR
BERLIN = "Europe/Berlin"


@pytest.fixture
def store(new_store: Callable[[], Builder]) -> Builder:
    """An empty store of either kind."""
    return new_store()


def rows(store: Builder, by: str, since: int | None = None, until: int | None = None) -> list[UsageRow]:
    return usage(store.conn, by=by, since_ms=since, until_ms=until, timezone="UTC")


def keyed(store: Builder, by: str) -> dict[str, UsageRow]:
    return {row.key: row for row in rows(store, by)}


def test_an_empty_store_has_one_row_of_zeros(store: Builder) -> None:
    (row,) = rows(store, "total")

    assert (row.key, row.requests, row.cost_microusd, row.sessions, row.lines_bad) == ("", 0, 0, 0, 0)
    assert set(row.tokens.values()) == {0}


def test_a_total_holds_every_kind_of_fact(store: Builder) -> None:
    store.request(
        "m1", occurred_at=AT, token_input=1, token_output=2, token_cache_read=3, token_cache_write=9,
        token_cache_write_1h=4, cost=70,
    )  # fmt: skip
    store.request("m2", occurred_at=AT, quality=int(Quality.PLACEHOLDER), token_output=1, cost=None)
    store.call("t1", name="Bash", occurred_at=AT)
    store.call("t2", name="Bash", flags=int(Flag.RESULT), occurred_at=AT)
    store.call("t3", name=None, flags=int(Flag.DIRECT | Flag.RESULT | Flag.ERROR), result_at=AT)
    store.fact(EventType.SESSION, "s1", occurred_at=AT)
    store.fact(EventType.COMPACTION, "c1", occurred_at=AT)
    store.conn.execute("INSERT INTO quarantine VALUES (1, 0, 5, ?, 'json', 0, ?)", (b"\0", AT))

    (row,) = rows(store, "total")

    assert row == UsageRow(
        key="", requests=2,
        tokens={"input": 1, "output": 3, "cache_read": 3, "cache_write_5m": 5, "cache_write_1h": 4},
        cost_microusd=70, unpriced_requests=1, sessions=1, tool_calls=1, tool_calls_relayed=1, tool_errors=1,
        compactions=1, lines_bad=1, quality={"final": 1, "partial": 0, "placeholder": 1, "estimated": 0},
    )  # fmt: skip


def test_cost_is_unknown_where_nothing_has_a_price(store: Builder) -> None:
    store.request("m1", name="home-made", occurred_at=AT, cost=None)

    assert rows(store, "total")[0].cost_microusd is None


def test_a_range_holds_its_start_and_not_its_end(store: Builder) -> None:
    for native, shift in (("before", -1), ("first", 0), ("last", 99), ("after", 100)):
        store.request(native, occurred_at=AT + shift, token_input=1)

    assert rows(store, "total", AT, AT + 100)[0].requests == 2


def test_a_request_is_split_evenly_over_its_calls_and_the_first_takes_the_rest(store: Builder) -> None:
    request = store.request("m1", occurred_at=AT, token_input=11, cost=8)
    for native, tool in (("c", "Read"), ("a", "Bash"), ("b", "Read")):
        store.call(native, name=tool, request=request, occurred_at=AT)

    found = keyed(store, "tool")

    assert {key: (row.tokens["input"], row.cost_microusd, row.requests) for key, row in found.items()} == {
        "Bash": (3 + 2, 2 + 2, 1),
        "Read": (3 + 3, 2 + 2, 0),
    }
    assert {key: row.tool_calls for key, row in found.items()} == {"Bash": 1, "Read": 2}


def test_a_request_without_calls_is_unattributed_by_tool(store: Builder) -> None:
    store.request("m1", occurred_at=AT, token_input=11)

    assert keyed(store, "tool")[UNATTRIBUTED].tokens["input"] == 11


@pytest.mark.parametrize(("by", "text"), [("skill", "review"), ("agent", "a1"), ("project", "/p"), ("branch", "main")])
def test_a_request_belongs_to_its_place_or_to_none(store: Builder, by: str, text: str) -> None:
    store.request("m1", context=store.context(session="s", **{by: text}), occurred_at=AT, token_input=2)
    store.request("m2", context=store.context(session="s"), occurred_at=AT, token_input=3)

    found = {key: (row.tokens["input"], row.sessions) for key, row in keyed(store, by).items()}

    assert found == {text: (2, 1), UNATTRIBUTED: (3, 1)}


def test_calls_count_under_the_model_that_made_them(store: Builder) -> None:
    request = store.request("m1", name="opus", occurred_at=AT)
    store.call("t1", name="Bash", request=request, occurred_at=AT)
    store.call("t2", name="Bash", occurred_at=AT)

    assert {key: row.tool_calls for key, row in keyed(store, "model").items()} == {"opus": 1, UNATTRIBUTED: 1}


def test_days_follow_the_zone_and_ascend(store: Builder) -> None:
    # 2026-03-29, the day on which Berlin's clocks go forward, lasts from 28th 23:00 to 29th 22:00 UTC.
    for native, at in (("a", 1_774_738_799_999), ("b", 1_774_738_800_000), ("c", 1_774_821_599_999), ("d", 1_774_821_600_000)):  # fmt: skip
        store.request(native, occurred_at=at)

    found = usage(store.conn, by="day", since_ms=None, until_ms=None, timezone=BERLIN)

    assert [(row.key, row.requests) for row in found] == [("2026-03-28", 1), ("2026-03-29", 2), ("2026-03-30", 1)]


def test_periods_use_the_zone_of_the_store_when_none_is_given(store: Builder) -> None:
    store.conn.execute("INSERT INTO meta VALUES ('zone', 'Pacific/Kiritimati')")
    store.request("m", occurred_at=1_774_738_800_000)

    found = usage(store.conn, by="day", since_ms=None, until_ms=None, timezone=None)

    assert [row.key for row in found] == ["2026-03-29"]


def test_facts_without_a_time_stand_last_and_apart(store: Builder) -> None:
    store.request("m1", occurred_at=AT, token_input=1)
    store.request("m2", token_input=2)

    assert [(row.key, row.tokens["input"]) for row in rows(store, "month")] == [("2026-02", 1), (UNATTRIBUTED, 2)]


def test_rows_that_are_not_periods_descend_in_cost(store: Builder) -> None:
    for native, cost in (("cheap", 1), ("dear", 9), ("middle", 5)):
        store.request(native, name=native, occurred_at=AT, cost=cost)

    assert [row.key for row in rows(store, "model")] == ["dear", "middle", "cheap"]


def test_an_unknown_grouping_names_the_known_ones(store: Builder) -> None:
    with pytest.raises(ValueError, match="choose one of total, day"):
        rows(store, "moon")


def test_today_is_the_local_day(store: Builder) -> None:
    store.request("yesterday", occurred_at=1_774_738_799_999)
    store.request("today", occurred_at=1_774_738_800_000)

    row = queries.today(store.conn, ZoneInfo(BERLIN), 1_774_750_000_000)

    assert row.requests == 1


@pytest.mark.sqlite
def test_counting_active_sessions_reads_their_index_alone(store: Builder) -> None:
    plan = list(store.conn.execute("EXPLAIN QUERY PLAN SELECT COUNT(*) FROM fact WHERE type = 1 AND ended_at >= 0"))

    assert ["fact_session_end" in str(step[-1]) for step in plan] == [True]


def fill(store: Builder, seed: int) -> None:
    """A few hundred facts with every kind of hole in them."""
    chance = random.Random(seed)
    places = [
        store.context(
            session=chance.choice(["s1", "s2", "s3", None]), project=chance.choice(["/p", "/q", None]),
            branch=chance.choice(["main", None]), skill=chance.choice(["review", None]),
            agent=chance.choice(["a1", None, None]),
        )
        for _ in range(12)
    ]  # fmt: skip
    for number in range(120):
        at = chance.choice([None, *[AT + chance.randrange(900 * HOUR) for _ in range(9)]])
        request = store.request(
            f"m{number}", context=chance.choice(places), occurred_at=at, name=chance.choice(["opus", "haiku", None]),
            quality=chance.randrange(4), cost=chance.choice([None, chance.randrange(1000)]),
            token_input=chance.choice([None, chance.randrange(1000)]), token_output=chance.randrange(1000),
            token_cache_read=chance.randrange(100_000), token_cache_write=chance.randrange(5000, 9000),
            token_cache_write_1h=chance.choice([None, chance.randrange(5000)]),
        )  # fmt: skip
        for call in range(chance.choice([0, 0, 1, 2, 3, 7])):
            store.call(
                f"t{number}-{call}", context=chance.choice(places), request=chance.choice([request, request, None]),
                name=chance.choice(["Bash", "Read", "Edit", None]), flags=chance.randrange(8), occurred_at=at,
                status=int(chance.choice(list(Status))),
            )  # fmt: skip
    for number in range(9):
        store.fact(EventType.COMPACTION, f"c{number}", context=chance.choice(places), occurred_at=AT)


@pytest.mark.parametrize("by", [by for by in BY if by != "total"])
@pytest.mark.parametrize("window", [(None, None), (AT + 100 * HOUR, AT + 500 * HOUR)], ids=["all", "range"])
def test_rows_add_up_to_the_total(store: Builder, by: str, window: tuple[int | None, int | None]) -> None:
    fill(store, 7)
    (total,) = rows(store, "total", *window)

    found = rows(store, by, *window)

    assert total.requests > 20
    assert sum(row.requests for row in found) == total.requests
    assert {kind: sum(row.tokens[kind] for row in found) for kind in total.tokens} == total.tokens
    assert sum(row.cost_microusd or 0 for row in found) == total.cost_microusd
    assert sum(row.unpriced_requests for row in found) == total.unpriced_requests
    assert {name: sum(row.quality[name] for row in found) for name in total.quality} == total.quality
    assert sum(row.tool_calls for row in found) == total.tool_calls
    assert sum(row.tool_calls_relayed for row in found) == total.tool_calls_relayed
    assert sum(row.tool_errors for row in found) == total.tool_errors
    assert sum(row.compactions for row in found) == total.compactions
