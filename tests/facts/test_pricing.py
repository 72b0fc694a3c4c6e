"""Prices by exact id and date, bands, factors, rounding and the user's own prices."""

from __future__ import annotations

import importlib.util
import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.facts.pricing import KINDS, Cost, PriceTable

GENERATOR = Path(__file__).resolve().parents[2] / "scripts" / "generate_prices.py"
TABLE = PriceTable.bundled()
TOKENS = st.integers(min_value=0, max_value=3_000_000)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000)


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_prices", GENERATOR)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def micro(cost: Cost | None) -> int:
    assert cost is not None
    return cost.microusd


def test_each_kind_of_token_has_its_own_rate() -> None:
    cost = TABLE.cost("claude-opus-4-5-20251101", ms("2026-01-10"), 1_000, 100, 10_000, 3_000, 1_000)

    assert cost == Cost(microusd=5_000 + 2_500 + 5_000 + 12_500 + 10_000, parts=(5_000, 2_500, 5_000, 12_500, 10_000))


def test_a_write_without_a_split_costs_the_5_minute_rate() -> None:
    cost = TABLE.cost("claude-sonnet-4-20250514", ms("2025-06-20"), 0, 0, 0, 4_000, 0)

    assert cost == Cost(microusd=15_000, parts=(0, 0, 0, 15_000, 0))


def test_more_1_hour_writes_than_writes_never_make_a_negative_part() -> None:
    cost = TABLE.cost("claude-opus-5", None, 0, 0, 0, 10, 100)

    assert cost == Cost(microusd=1_000, parts=(0, 0, 0, 0, 1_000))


@pytest.mark.parametrize(("model", "input_rate"), [("claude-opus-4-6", 5), ("claude-sonnet-4-6", 3)])
def test_the_long_context_price_ended_with_the_12th_of_march_2026(model: str, input_rate: int) -> None:
    usage = (200_001, 0, 0, 0, 0)

    before = TABLE.cost(model, ms("2026-03-12T23:59:59.999"), *usage)
    after = TABLE.cost(model, ms("2026-03-13"), *usage)

    assert (micro(before), micro(after)) == (200_001 * input_rate * 2, 200_001 * input_rate)


def test_the_whole_prompt_with_its_cache_chooses_the_band_for_all_tokens() -> None:
    at_ms = ms("2026-02-01")

    at_the_bound = TABLE.cost("claude-opus-4-6", at_ms, 2, 1_000, 149_998, 50_000, 20_000)
    above_it = TABLE.cost("claude-opus-4-6", at_ms, 3, 1_000, 149_998, 50_000, 20_000)

    assert at_the_bound is not None
    assert above_it is not None
    assert at_the_bound.parts == (10, 25_000, 74_999, 187_500, 200_000)
    assert above_it.parts == (30, 37_500, 149_998, 375_000, 400_000)


def test_output_does_not_count_towards_the_band() -> None:
    assert micro(TABLE.cost("claude-opus-4-6", ms("2026-02-01"), 1, 900_000, 0, 0, 0)) == 5 + 900_000 * 25


@pytest.mark.parametrize(
    ("model", "factor"),
    [
        ("claude-opus-4-6", 6),
        ("claude-opus-4-7", 6),
        ("claude-opus-4-8", 2),
        ("claude-opus-5", 2),
        ("claude-opus-5-5", 2),
    ],
)
def test_fast_mode_multiplies_every_part(model: str, factor: int) -> None:
    usage = (1_000, 1_000, 10_000, 8_000, 4_000)

    standard = TABLE.cost(model, None, *usage)
    fast = TABLE.cost(model, None, *usage, fast=True)

    assert standard is not None
    assert fast is not None
    assert fast.parts == tuple(factor * part for part in standard.parts)


def test_fast_mode_of_a_model_without_a_known_fast_price_is_unpriced() -> None:
    assert TABLE.cost("claude-haiku-4-5", None, 1_000, 0, 0, 0, 0, fast=True) is None


def test_inference_kept_in_the_us_costs_a_tenth_more() -> None:
    assert micro(TABLE.cost("claude-opus-4-6", None, 1_000, 0, 0, 0, 0, us_only=True)) == 5_500


def test_inference_kept_in_the_us_costs_the_same_for_older_models() -> None:
    assert micro(TABLE.cost("claude-opus-4-5", None, 1_000, 0, 0, 0, 0, us_only=True)) == 5_000


def test_fast_and_us_multiply() -> None:
    assert micro(TABLE.cost("claude-opus-4-8", None, 1_000, 0, 0, 0, 0, fast=True, us_only=True)) == 11_000


@pytest.mark.parametrize(
    "model",
    [
        None,
        "",
        "<synthetic>",
        "opus",
        "claude-opus",
        "claude-opus-4-6-preview",
        "claude-opus-4-60",
        "us.anthropic.claude-opus-4-6",
        "Claude-Opus-4-6",
        "glm-5",
        "[1m]",
    ],
)
def test_an_id_that_is_not_known_exactly_has_no_price(model: str | None) -> None:
    assert TABLE.cost(model, None, 1_000, 1_000, 1_000, 1_000, 0) is None


def test_the_long_context_suffix_of_a_known_model_is_dropped() -> None:
    usage = (1_000, 10, 0, 0, 0)

    assert TABLE.cost("claude-opus-5[1m]", None, *usage) == TABLE.cost("claude-opus-5", None, *usage)


def test_dated_and_undated_ids_have_the_same_prices() -> None:
    assert TABLE.prices("claude-opus-4-5-20251101") == TABLE.prices("claude-opus-4-5") != ()


def test_without_a_time_the_newest_price_is_taken() -> None:
    assert micro(TABLE.cost("claude-opus-4-6", None, 300_000, 0, 0, 0, 0)) == 300_000 * 5


def test_a_known_model_without_tokens_costs_nothing_and_is_not_unpriced() -> None:
    assert TABLE.cost("claude-opus-5", None, 0, 0, 0, 0, 0) == Cost(microusd=0, parts=(0, 0, 0, 0, 0))


@pytest.mark.parametrize(("cache_read", "expected"), [(1, 0), (3, 2), (5, 2), (7, 4)])
def test_half_a_micro_dollar_goes_to_the_even_neighbour(cache_read: int, expected: int) -> None:
    assert micro(TABLE.cost("claude-opus-5", None, 0, 0, cache_read, 0, 0)) == expected


@given(
    model=st.sampled_from(TABLE.models()),
    counts=st.tuples(TOKENS, TOKENS, TOKENS, TOKENS, TOKENS),
    at_ms=st.none() | st.integers(min_value=ms("2024-01-01"), max_value=ms("2027-12-31")),
    us_only=st.booleans(),
)
def test_the_parts_add_up_and_each_is_within_one_micro_dollar(
    model: str, counts: tuple[int, int, int, int, int], at_ms: int | None, us_only: bool
) -> None:
    plain, output, read, short_write, long_write = counts

    cost = TABLE.cost(model, at_ms, plain, output, read, short_write + long_write, long_write, us_only=us_only)

    assert cost is not None
    assert sum(cost.parts) == cost.microusd
    price = next(
        price for price in reversed(TABLE.prices(model)) if at_ms is None or (price.valid_from_ms or 0) <= at_ms
    )
    prompt = plain + read + short_write + long_write
    tier = next((tier for tier in reversed(price.tiers) if prompt > tier.above), price.tiers[0])
    factor = (price.us or Fraction(1)) if us_only else Fraction(1)
    exact = [Fraction(count * rate, 10**6) * factor for count, rate in zip(counts, tier.rates, strict=True)]
    assert cost.microusd == round(sum(exact))  # a Fraction rounds half to even
    assert all(abs(part - amount) < 1 for part, amount in zip(cost.parts, exact, strict=True))
    assert all(part == 0 for part, count in zip(cost.parts, counts, strict=True) if count == 0)


def test_periods_of_every_model_follow_each_other_without_a_gap() -> None:
    for model in TABLE.models():
        history = TABLE.prices(model)

        assert history[0].valid_from_ms is None
        assert history[-1].valid_to_ms is None
        assert [price.valid_to_ms for price in history[:-1]] == [price.valid_from_ms for price in history[1:]]
        assert all(
            [tier.above for tier in price.tiers] == sorted({0, *(t.above for t in price.tiers)}) for price in history
        )


def test_the_table_holds_integers_and_names_its_version() -> None:
    data = json.loads(files("ccagent.facts").joinpath("prices.json").read_bytes())

    rates = [
        tier[kind] for each in data["models"].values() for entry in each for tier in entry["tiers"] for kind in KINDS
    ]

    assert all(type(rate) is int and rate > 0 for rate in rates)
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}-genai-prices-\d+\.\d+\.\d+", data["version"])
    assert data["version"] == TABLE.version


def test_the_committed_table_is_fresh() -> None:
    installed = pytest.importorskip("genai_prices", reason="genai-prices is not installed").__version__
    if not TABLE.version.endswith(f"-{installed}"):
        pytest.skip(f"the table is of {TABLE.version}, installed is genai-prices {installed}")
    generator = load_generator()

    assert generator.main(["--check"]) == 0


def test_a_stale_table_fails_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("genai_prices", reason="genai-prices is not installed")
    generator = load_generator()
    copy = tmp_path / "prices.json"
    monkeypatch.setattr(generator, "TABLE", copy)
    generator.main([])
    text = copy.read_text(encoding="utf-8")
    copy.write_text(text.replace('"input": 5000000', '"input": 5000001', 1), encoding="utf-8")

    assert generator.main(["--check"]) == 1
    assert "is stale" in capsys.readouterr().err


# The user's own prices.


def test_an_override_prices_a_new_model_and_keeps_the_others() -> None:
    table = TABLE.with_override({"models": {"my-model": {"input": "1.25", "output": Decimal("5")}}})

    assert micro(table.cost("my-model", None, 1_000, 1_000, 0, 0, 0)) == 1_250 + 5_000
    assert table.prices("claude-opus-5") == TABLE.prices("claude-opus-5")


def test_an_override_leaves_the_bundled_table_as_it_is() -> None:
    TABLE.with_override({"models": {"my-model": {"input": "1.25", "output": "5"}}})

    assert TABLE.cost("my-model", None, 1, 1, 1, 1, 1) is None


def test_an_override_without_cache_prices_takes_those_that_contain_them() -> None:
    table = TABLE.with_override({"models": {"a": {"input": 2, "output": 8, "cache_write_5m": "2.5"}}})

    cost = table.cost("a", None, 0, 0, 1_000, 2_000, 1_000)

    assert cost is not None
    assert cost.parts == (0, 0, 2_000, 2_500, 2_500)


def test_an_override_replaces_the_whole_history_of_a_model() -> None:
    table = TABLE.with_override(
        {
            "models": {
                "claude-opus-5": {"input": "1", "output": "2", "valid_from": "2026-09-01", "valid_to": "2026-10-01"}
            }
        }
    )

    costs = [
        table.cost("claude-opus-5", ms(day), 1_000, 0, 0, 0, 0) for day in ("2026-08-31", "2026-09-01", "2026-10-01")
    ]

    assert [cost and cost.microusd for cost in costs] == [None, 1_000, None]


def test_an_override_may_have_dated_prices_bands_and_factors() -> None:
    table = TABLE.with_override(
        {
            "models": {
                "a": [
                    {"tiers": [{"above": 0, "input": 2, "output": 4}], "valid_from": date(2026, 2, 1)},
                    {
                        "input": 1,
                        "output": 2,
                        "valid_to": "2026-02-01",
                        "tiers": [{"above": 1_000, "input": 10, "output": 20}],
                        "fast": "1.5",
                        "us": 1.1,
                    },
                ]
            }
        }
    )

    assert micro(table.cost("a", ms("2026-01-31"), 1_000, 0, 0, 0, 0)) == 1_000
    assert micro(table.cost("a", ms("2026-01-31"), 1_001, 0, 0, 0, 0)) == 10_010
    assert micro(table.cost("a", ms("2026-01-31"), 1_000, 0, 0, 0, 0, fast=True, us_only=True)) == 1_650
    assert micro(table.cost("a", ms("2026-02-01"), 1_001, 0, 0, 0, 0)) == 2_002


def test_the_version_of_an_override_tells_its_prices_not_their_spelling() -> None:
    first = TABLE.with_override({"models": {"a": {"input": "1.50", "output": "5"}}})
    same = TABLE.with_override({"models": {"a": {"output": 5, "input": 1.5}}})
    other = TABLE.with_override({"models": {"a": {"input": "1.51", "output": "5"}}})

    assert re.fullmatch(re.escape(TABLE.version) + r"\+[0-9a-f]{8}", first.version)
    assert first.version == same.version != other.version


@pytest.mark.parametrize(
    ("override", "where"),
    [
        ({"model": {}}, "model is not known"),
        ({}, "models is missing"),
        ({"models": {"a": "5"}}, "models.a is missing or no table"),
        ({"models": {"a": []}}, "models.a is an empty list"),
        ({"models": {"a": {"output": "5"}}}, "models.a.input is no price"),
        ({"models": {"a": {"input": "5"}}}, "models.a.output is no price"),
        ({"models": {"a": {"input": "-1", "output": "5"}}}, "models.a.input is no price"),
        ({"models": {"a": {"input": True, "output": "5"}}}, "models.a.input is no price"),
        ({"models": {"a": {"input": "NaN", "output": "5"}}}, "models.a.input is no price"),
        ({"models": {"a": {"input": "five", "output": "5"}}}, "models.a.input is no price"),
        ({"models": {"a": {"input": "0.0000001", "output": "5"}}}, "models.a.input is finer"),
        ({"models": {"a": {"input": "1", "output": "5", "cache": "1"}}}, "models.a.cache is not known"),
        ({"models": {"a": {"input": "1", "output": "5", "us": "0"}}}, "models.a.us is no factor"),
        ({"models": {"a": {"input": "1", "output": "5", "valid_from": "soon"}}}, "models.a.valid_from is no date"),
        ({"models": {"a": {"input": "1", "output": "5", "tiers": "200k"}}}, "models.a.tiers is no list"),
        ({"models": {"a": {"tiers": [{"above": 5, "input": 1, "output": 1}]}}}, "models.a.tiers do not start at 0"),
        (
            {"models": {"a": {"tiers": [{"above": "5", "input": 1, "output": 1}]}}},
            r"models.a.tiers\[0\].above is no number",
        ),
        (
            {"models": {"a": {"tiers": [{"abov": 0, "input": 1, "output": 1}]}}},
            r"models.a.tiers\[0\].abov is not known",
        ),
        (
            {"models": {"a": {"input": "1", "output": "5", "valid_from": "2026-02-01", "valid_to": "2026-02-01"}}},
            "models.a.valid_to is not after",
        ),
        ({"models": {"a": [{"input": "1", "output": "5"}] * 2}}, "models.a has two prices for one time"),
    ],
)
def test_a_wrong_override_says_where_and_what_to_write(override: dict[str, object], where: str) -> None:
    with pytest.raises(ValueError, match=rf"^price override: {where}.*; "):
        TABLE.with_override(override)


@pytest.mark.parametrize(
    "model", ["gpt-5.6-sol", "gpt-5.6-terra", "gpt-5.5", "gpt-5.3-codex", "gpt-6-sol", "codex-mini"]
)
def test_models_of_codex_are_priced(model: str) -> None:
    assert TABLE.prices(model) != ()


def test_the_long_tier_of_codex_models_begins_behind_272_000_tokens_of_prompt() -> None:
    below = TABLE.cost("gpt-5.5", None, 2_000, 100, 270_000, 0, 0)
    above = TABLE.cost("gpt-5.5", None, 2_001, 100, 270_000, 0, 0)

    assert micro(below) == 2_000 * 5 + 270_000 // 2 + 100 * 30
    assert micro(above) == 2_001 * 10 + 270_000 + 100 * 45


def test_what_openai_writes_to_its_cache_has_a_price_of_its_own_where_it_is_told() -> None:
    assert micro(TABLE.cost("gpt-5.6-sol", ms("2026-09-01"), 0, 0, 0, 1_000, 0)) == 5_000
    assert micro(TABLE.cost("gpt-5.5", ms("2026-09-01"), 0, 0, 0, 1_000, 0)) == 5_000
