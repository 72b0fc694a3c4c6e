"""Every breakdown of usage, the totals of the metrics and the entries of the rollups add up to the same amounts."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccagent.store import rollups
from ccagent.store.queries import BY, UsageRow, usage
from ccagent.store.view import entries_select
from tests.sources.feed import Feed
from tests.sources.orders import shuffled
from tests.sources.trees import trees

pytestmark = pytest.mark.usefixtures("either_store")

ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns", "Pacific/Auckland")
PERIODS = ("point", "hourly", "daily", "weekly")


def amounts(rows: Iterable[UsageRow]) -> Counter[str]:
    """All that adds up, summed over the rows."""
    sums: Counter[str] = Counter()
    for row in rows:
        counts = {
            "requests": row.requests, "cost": row.cost_microusd or 0, "unpriced": row.unpriced_requests,
            "calls": row.tool_calls, "relayed": row.tool_calls_relayed, "errors": row.tool_errors,
            "compactions": row.compactions, **row.tokens, **row.quality,
        }  # fmt: skip
        assert all(amount >= 0 for amount in counts.values()), row
        sums.update(counts)
    return sums


def entries(feed: Feed, metric: str, period: str) -> int:
    """The sum of a metric over all entries of a period."""
    conn = feed.store.conn
    select = entries_select(conn.dialect.name)
    sql = f"SELECT COALESCE(SUM(value), 0) FROM ({select}) AS entries WHERE metric_id = '{metric}' AND period = '{period}'"
    return int(feed.scalar(sql))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(trees(), st.sampled_from(ZONES), st.sampled_from(ZONES), st.integers(0, 2**32))
def test_every_breakdown_adds_up_to_the_totals(files: dict[str, bytes], zone: str, shown: str, seed: int) -> None:
    chance = random.Random(seed)
    feed = Feed()
    conn = feed.store.conn
    conn.execute("INSERT INTO meta (name, value) VALUES ('zone', ?) ON CONFLICT (name) DO NOTHING", (zone,))
    for pieces in shuffled(files, 12, chance):
        feed.take(*pieces)
        if chance.random() < 0.4:
            feed.store.run(lambda state: rollups.refresh(state.conn, ZoneInfo(zone), limit=chance.randint(1, 4)))

    def every() -> list[Counter[str]]:
        found = (usage(conn, by=by, since_ms=None, until_ms=None, timezone=shown) for by in BY)
        return [amounts(rows) for rows in found]

    (total,) = usage(conn, by="total", since_ms=None, until_ms=None, timezone=shown)
    whole = amounts([total])
    assert every() == [whole] * len(BY)
    assert sum(total.tokens.values()) == feed.total("tokens")

    while feed.store.run(lambda state: rollups.refresh(state.conn, ZoneInfo(zone))):
        pass

    assert every() == [whole] * len(BY)
    for period in PERIODS:
        assert entries(feed, "session_cost", period) == whole["cost"]
        assert entries(feed, "session_tokens", period) == sum(total.tokens.values())
        assert entries(feed, "requests", period) == whole["requests"]
        assert entries(feed, "tool_call_count", period) == whole["calls"]
