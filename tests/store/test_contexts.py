"""Contexts as the store tells of them: windows in SQL, sessions, compactions with their cost, misses with their price."""

from __future__ import annotations

import pytest

from ccagent.facts.pricing import PriceTable
from ccagent.facts.windows import bundled, utilization, window
from ccagent.store.context import cache_misses, compactions, session_fullness
from ccagent.store.window import REAL, source_case, window_case
from tests.sources.feed import Feed
from tests.transcripts import Session, Usage

pytestmark = pytest.mark.usefixtures("either_store")

OPUS = "claude-opus-4-5-20251101"


def usage(read: int, write: int = 0, hour: int = 0) -> Usage:
    return Usage(input=3, output=50, cache_read=read, cache_write=write, cache_write_1h=hour)


@pytest.fixture
def session() -> Session:
    session = Session("s", version="2.1.39", model=OPUS)
    session.prompt("hello")
    return session


def test_sql_and_python_agree_on_every_model_and_every_edge() -> None:
    table = bundled()
    days = {start for periods in table.models.values() for start, _ in periods if start is not None}
    times = [None, -1, 0, *(day + step for day in days for step in (-1, 0))]
    models = [*table.models, *(name.upper() for name in table.models), "home-made", "", "claude-opus-4-5[1m]", "x[1M]",
              "claude-opus-4-6[1m]x"]  # fmt: skip
    edges = {
        0,
        table.assumed,
        table.long,
        *table.ladder,
        *(tokens for each in table.models.values() for _, tokens in each),
    }
    useds = sorted({each + step for each in edges for step in (0, 1)})
    feed = Feed()
    columns = ("c.model", "c.at", "c.used", "c.stated")
    tokens = window_case(*columns)

    checked = 0
    for at in times:
        for start in range(0, len(models), 20):
            cases = [
                (model, at, used, stated)
                for model in models[start : start + 20]
                for used in useds
                for stated in ((None, 272_000) if used in (0, table.long + 1) else (None,))
            ]
            typed = "(CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT))"
            rows = list(
                feed.store.conn.execute(
                    f"WITH c(model, at, used, stated) AS (VALUES {', '.join([typed] * len(cases))})"
                    f" SELECT c.model, c.used, c.stated, {tokens}, {source_case(*columns)}, CAST(c.used AS {REAL}) / ({tokens}) FROM c",
                    tuple(value for case in cases for value in case),
                )
            )
            for model, used, stated, *found in rows:
                expected = [*window(model, used, at, stated), utilization(model, used, at, stated)]
                assert found == expected, (model, used, at, stated)
            checked += len(rows)

    assert checked == len(models) * (len(useds) + 2) * len(times)


def test_how_full_a_session_is_comes_from_its_main_chain(session: Session) -> None:
    session.request(usage=usage(150_000))
    session.request(usage=usage(40_000))
    child = session.agent()
    child.request(usage=usage(190_000))
    unnamed = session.agent(inline=True)
    unnamed.request(usage=usage(195_000))
    session.adopt(unnamed)

    feed = Feed().read(session)
    found = session_fullness(feed.store.conn, "s")

    assert found is not None
    assert (found.tokens, found.window, found.window_source) == (40_003, 200_000, "table")
    assert (found.highest_tokens, found.highest_utilization) == (150_003, 150_003 / 200_000)


def test_a_session_without_requests_has_no_context(session: Session) -> None:
    feed = Feed().read(session)

    assert session_fullness(feed.store.conn, "s") is None
    assert session_fullness(feed.store.conn, "nobody") is None


def test_a_compaction_costs_what_its_own_requests_cost(session: Session) -> None:
    session.request(usage=usage(160_000))
    first = session.agent(agent_id="acompact-1")
    message = first.request(usage=usage(0, 100_000))
    inner = session.agent(agent_id="a6")
    inner.wait(10_000)
    inner.compaction(150_000)
    session.wait(30_000)
    uuid = session.compaction(160_000)
    session.request(usage=usage(0, 30_000))
    other = session.agent(agent_id="a7")
    other.request(usage=usage(0, 50_000))
    second = session.compaction(150_000, trigger="manual")
    feed = Feed().read(session)

    within, auto, manual = compactions(feed.store.conn, "s")

    cost = feed.event(f"llm:{message}")["cost_microusd"]
    assert (within.agent, within.requests, within.cost_microusd) == ("a6", (), None)
    assert (auto.source_key, auto.trigger, auto.inferred) == (f"compaction:{uuid}", "auto", False)
    assert (auto.requests, auto.cost_microusd) == ((f"llm:{message}",), cost)
    assert (auto.tokens_before, auto.tokens_after) == (160_000, 30_003)
    assert (manual.source_key, manual.trigger) == (f"compaction:{second}", "manual")
    assert (manual.requests, manual.cost_microusd, manual.tokens_after) == ((), None, None)


def test_a_miss_has_the_price_of_its_own_request(session: Session) -> None:
    session.request(usage=usage(0, 100_000))
    session.wait(400_000)
    message = session.request(usage=usage(0, 101_000, 101_000))
    child = session.agent(agent_id="a7")
    child.request(usage=usage(0, 10_000), model="home-made")
    child.request(usage=usage(0, 11_000), model="home-made")

    feed = Feed().read(session)
    found = cache_misses(feed.store.conn, "s", PriceTable.bundled())

    by_agent = {miss.agent: miss for miss in found}
    assert (by_agent[None].request_key, by_agent[None].cause) == (f"llm:{message}", "expired_ttl")
    # opus 4.5: 10 USD a million written for an hour, 0.50 read
    assert (by_agent[None].tokens, by_agent[None].cost_microusd) == (100_000, 950_000)
    assert by_agent[None].reported is None
    assert (by_agent["a7"].cause, by_agent["a7"].tokens, by_agent["a7"].cost_microusd) == ("unexplained", 10_000, None)


def test_a_session_without_misses_asks_for_no_price(session: Session) -> None:
    session.request(usage=usage(0, 100_000))

    feed = Feed().read(session)

    assert cache_misses(feed.store.conn, "s", PriceTable.bundled()) == []
