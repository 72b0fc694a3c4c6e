"""How full a context is, the hit ratio, and what a miss costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.facts.context import Paid, Prompt, fullness, hit_ratio, price_of_miss
from ccagent.facts.pricing import PriceTable

OPUS = "claude-opus-4-5-20251101"
AT = 1_772_000_000_000
PRICES = PriceTable.bundled()


def test_the_last_prompt_and_the_highest_use() -> None:
    found = fullness([Prompt(OPUS, 1, 50_000), Prompt(OPUS, 2, 150_000), Prompt(OPUS, 3, 40_000)])

    assert found is not None
    assert (found.tokens, found.window, found.window_source, found.utilization) == (40_000, 200_000, "table", 0.2)
    assert (found.highest_tokens, found.highest_utilization) == (150_000, 0.75)


def test_a_window_that_was_learned_holds_for_the_whole_session() -> None:
    found = fullness([Prompt(OPUS, 1, 100_000), Prompt(OPUS, 2, 250_000), Prompt(OPUS, 3, 50_000)])

    assert found is not None
    assert (found.window, found.window_source, found.utilization) == (1_000_000, "learned", 0.05)
    assert found.highest_utilization == 0.25


def test_a_window_that_the_transcript_states_needs_no_table() -> None:
    found = fullness([Prompt("gpt-5.5", 1, 100_000, 400_000), Prompt("gpt-5.5", 2, 50_000, 272_000)])

    assert found is not None
    assert (found.window, found.window_source, found.utilization) == (272_000, "transcript", 50_000 / 272_000)
    assert found.highest_utilization == 0.25


def test_each_model_has_its_own_window() -> None:
    found = fullness([Prompt("claude-opus-5", 1, 300_000), Prompt(OPUS, 2, 100_000)])

    assert found is not None
    assert (found.window, found.utilization, found.highest_utilization) == (200_000, 0.5, 0.5)
    assert found.highest_tokens == 300_000


def test_no_requests_no_context() -> None:
    assert fullness([]) is None


def test_the_hit_ratio_has_three_terms_below() -> None:
    tokens = {"input": 10, "output": 999, "cache_read": 60, "cache_write_5m": 20, "cache_write_1h": 10}

    assert hit_ratio(tokens) == 0.6
    assert hit_ratio(dict.fromkeys(tokens, 0)) is None


def paid(**changed: int) -> Paid:
    amounts = {"input": 10, "output": 500, "cache_read": 16_000, "cache_write": 100_000, "cache_write_1h": 0} | changed
    return Paid(OPUS, AT, *amounts.values(), fast=False, us_only=False)


@pytest.mark.parametrize(
    ("request_", "missed", "microusd"),
    [
        # opus 4.5: 5 USD a million plain, 6.25 written for five minutes, 10 for an hour, 0.5 read
        (paid(), 100_000, 575_000),
        (paid(cache_write_1h=100_000), 100_000, 950_000),
        (paid(cache_write_1h=40_000), 60_000, 40_000 * 19 // 2 + 20_000 * 23 // 4),
        (paid(input=50_000, cache_write=0), 40_000, 180_000),
        (paid(), 0, 0),
    ],
)
def test_a_miss_costs_what_was_paid_beyond_reading(request_: Paid, missed: int, microusd: int) -> None:
    assert price_of_miss(request_, missed, PRICES) == microusd


def test_a_model_without_a_price_has_no_price_of_a_miss() -> None:
    assert price_of_miss(paid()._replace(model="home-made"), 50_000, PRICES) is None


@given(st.integers(0, 200_000), st.integers(0, 200_000), st.integers(0, 200_000), st.integers(0, 600_000))
def test_a_miss_is_never_a_gain_nor_dearer_than_the_request(plain: int, write: int, hour: int, missed: int) -> None:
    request = paid(input=plain, cache_write=write + hour, cache_write_1h=hour)
    price = price_of_miss(request, missed, PRICES)
    cost = PRICES.cost(request.model, request.at, plain, 500, 16_000, write + hour, hour)

    assert price is not None
    assert cost is not None
    assert 0 <= price <= cost.microusd
