"""Whatever arrives in whatever order: totals equal the facts at any time, and none ever falls."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccagent.errors import StoreError
from ccagent.facts.pricing import PriceTable
from tests.sources.feed import Feed, fallen
from tests.sources.orders import shuffled, whole
from tests.sources.trees import trees
from tests.transcripts import Session, Usage, text

pytestmark = pytest.mark.usefixtures("either_store")

MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

TOKENS = (
    "SELECT COALESCE(SUM(token_input + token_output + token_cache_read + CASE WHEN token_cache_write <"
    " token_cache_write_1h THEN token_cache_write_1h ELSE token_cache_write END), 0) FROM fact"
)
REFUSE = """
    CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = 'disk_full'; END $$"""
BOOKED = "SELECT COALESCE(SUM(COALESCE(cost_booked, cost, 0)), 0) FROM fact"


@contextmanager
def refusing(feed: Feed, table: str) -> Iterator[None]:
    """A disk that refuses writes to that table."""
    conn = feed.store.conn
    if conn.dialect.shared:
        conn.execute(REFUSE)
        conn.execute(f"CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()")
    else:
        conn.execute(
            f"CREATE TEMP TRIGGER refuse BEFORE INSERT ON main.{table} BEGIN SELECT RAISE(ABORT, 'no space'); END"
        )
    try:
        yield
    finally:
        conn.execute(f"DROP TRIGGER refuse ON {table}" if conn.dialect.shared else "DROP TRIGGER temp.refuse")


def balanced(feed: Feed) -> bool:
    """Whether tokens and cost booked are those of the facts."""
    return feed.total("tokens") == feed.scalar(TOKENS) and feed.total("cost.usd") == feed.scalar(BOOKED)


@MANY
@given(trees(), st.integers(1, 30), st.integers(0, 2**32))
def test_totals_equal_the_facts_after_every_transaction_and_never_fall(
    files: dict[str, bytes], cuts: int, seed: int
) -> None:
    chance = random.Random(seed)
    feed, seen = Feed(), {}
    steps = [*shuffled(files, cuts, chance), *([(path, files[path])] for path in chance.sample(sorted(files), 1))]
    for number, pieces in enumerate(steps):
        again = number == len(steps) - 1
        before = feed.totals(), feed.dump()
        try:
            with refusing(feed, chance.choice(("file", "total", "context", "fact", "quarantine", "agent"))):
                feed.take(*pieces, again=again)
        except StoreError:
            assert (feed.totals(), feed.dump()) == before
            feed.take(*pieces, again=again)
        if chance.random() < 0.2:
            feed.tick(chance.choice((2_000, 700_000, 90_000_000)))

        assert balanced(feed)
        assert fallen(seen, feed.totals()) == []
        seen = feed.totals()

    assert feed.dump() == whole(files)


def message(session: Session, usage: Usage, model: str = "claude-opus-4-6", request_id: str = "req_1") -> None:
    session.assistant(text("a reply"), usage=usage, model=model, message_id="msg_1", request_id=request_id)


def test_a_better_owner_with_another_model_moves_no_total_and_is_counted() -> None:
    later, earlier = Session("b", start=2_000_000_000_000), Session("a", start=1_900_000_000_000)
    message(later, Usage(input=10, output=100), "claude-haiku-4-5-20251001")
    message(earlier, Usage(input=10, output=100), "claude-opus-4-6")
    feed = Feed().read(later)
    before = feed.counted("tokens")

    feed.read(earlier)

    assert feed.event("llm:msg_1")["model"] == "claude-opus-4-6"
    assert feed.counted("tokens") == before
    assert feed.counted("totals.relabelled") == {'["model"]': 1}


def test_a_dearer_owner_books_only_the_growth_of_the_cost() -> None:
    later, earlier = Session("b", start=1_770_000_900_000), Session("a", start=1_770_000_000_000)
    message(later, Usage(input=1_000, output=1_000), "claude-haiku-4-5-20251001")
    message(earlier, Usage(input=1_000, output=1_000), "claude-opus-4-6")
    feed = Feed().read(later)

    feed.read(earlier)

    assert feed.total("cost.usd") == feed.event("llm:msg_1")["cost_microusd"]


def test_a_cost_that_falls_books_nothing_and_is_counted() -> None:
    later, earlier = Session("b", start=1_770_000_900_000), Session("a", start=1_770_000_000_000)
    message(later, Usage(input=1_000, output=1_000), "claude-opus-4-6")
    message(earlier, Usage(input=1_000, output=1_000), "claude-haiku-4-5-20251001")
    feed = Feed().read(later)
    booked = feed.total("cost.usd")

    feed.read(earlier)

    assert feed.event("llm:msg_1")["cost_microusd"] < booked
    assert feed.total("cost.usd") == booked
    assert feed.counted("totals.relabelled")['["cost"]'] == 1


def test_a_shift_to_the_longer_cache_lifetime_books_no_tokens_twice() -> None:
    session = Session("a")
    message(session, Usage(cache_write=1_000, split=False))
    feed = Feed().read(session)
    booked = feed.total("tokens")

    message(session, Usage(cache_write=1_000, cache_write_1h=1_000))
    feed.read(session)

    event = feed.event("llm:msg_1")
    assert (event["token_cache_write_5m"], event["token_cache_write_1h"]) == (0, 1_000)
    assert feed.total("tokens") == booked
    assert feed.total("cost.usd") == event["cost_microusd"]
    assert feed.counted("totals.relabelled") == {'["type"]': 1}


def test_prices_that_change_before_the_closing_book_nothing() -> None:
    session = Session("a")
    message(session, Usage(input=1_000, output=1_000), "glm-5")
    feed = Feed().read(session)
    prices = {"models": {"glm-5": {"input": "1", "output": "2"}}}
    feed.store.ingest_state.prices = PriceTable.bundled().with_override(prices)

    feed.tick(90_000_000)

    assert feed.closed("llm:msg_1")
    assert balanced(feed)


def test_a_repeated_line_books_nothing() -> None:
    session = Session("a")
    session.prompt("hello")
    session.bash("ls", usage=Usage(output=50))
    feed = Feed().read(session)
    facts = {key: value for key, value in feed.totals().items() if not key[0].startswith(("ingest", "store"))}

    feed.take((session.path, session.content), again=True)

    after = {key: value for key, value in feed.totals().items() if not key[0].startswith(("ingest", "store"))}
    assert after == facts


@pytest.mark.parametrize("table", ["fact", "total", "file"])
def test_a_refused_transaction_leaves_nothing_and_the_next_one_takes_all(table: str) -> None:
    session = Session("a")
    session.prompt("hello")
    session.bash("ls", usage=Usage(output=50))
    feed = Feed()
    with refusing(feed, table), pytest.raises(StoreError):
        feed.read(session)
    assert (feed.dump(), feed.totals(), feed.store.files()) == ([], {}, [])

    feed.read(session)

    assert feed.dump() == whole({session.path: session.content})
    assert balanced(feed)


def test_a_label_beyond_its_budget_is_counted_once_although_its_transaction_failed_first() -> None:
    session = Session("a")
    session.request(model="claude-opus-4-6")
    session.request(model="claude-haiku-4-5-20251001")
    feed = Feed(budgets={"model": 1})
    with refusing(feed, "file"), pytest.raises(StoreError):
        feed.read(session)

    feed.read(session)

    unfailing = Feed(budgets={"model": 1}).read(session)
    assert feed.counted("metrics.overflow") == unfailing.counted("metrics.overflow")
