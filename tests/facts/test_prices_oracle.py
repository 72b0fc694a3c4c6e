"""The table against the calculator of genai-prices, on random usages and on every request of a corpus."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccagent.facts.pricing import PriceTable

genai_prices = pytest.importorskip("genai_prices", reason="genai-prices is not installed")

TABLE = PriceTable.bundled()
pytestmark = pytest.mark.skipif(
    not TABLE.version.endswith(f"-{genai_prices.__version__}"),
    reason=f"the table is of {TABLE.version}, installed is genai-prices {genai_prices.__version__}",
)

PROVIDERS = {
    "claude": "anthropic", **dict.fromkeys(("gpt", "codex", "o3", "o4"), "openai"), "kimi": "moonshotai",
    "deepseek": "deepseek", "minimax": "minimax",
}  # fmt: skip
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CHANGES_MS = sorted(
    {
        price.valid_from_ms
        for model in TABLE.models()
        for price in TABLE.prices(model)
        if price.valid_from_ms is not None
    }
)
TIMES = st.integers(min_value=1_700_000_000_000, max_value=1_830_000_000_000) | st.builds(
    lambda change, step: change + step, st.sampled_from(CHANGES_MS), st.integers(min_value=-1, max_value=1)
)
TOKENS = st.integers(min_value=0, max_value=400_000)


def calculated(model: str, at_ms: int, usage: tuple[int, int, int, int, int], *, fast: bool = False) -> int:
    """Micro-USD by genai-prices, whose input tokens contain the cache's."""
    plain, output, read, write, long_write = usage
    price = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=plain + read + write,
            output_tokens=output,
            cache_read_tokens=read,
            cache_write_tokens=write,
            cache_write_1h_tokens=long_write,
        ),
        model,
        provider_id=PROVIDERS[model.lower().partition("-")[0]],
        genai_request_timestamp=EPOCH + timedelta(milliseconds=at_ms),
        price_context={"speed": "fast"} if fast else None,
    )
    return int((price.total_price * 1_000_000).quantize(Decimal(1), ROUND_HALF_EVEN))


@settings(max_examples=400, deadline=None)
@given(model=st.sampled_from(TABLE.models()), at_ms=TIMES, counts=st.tuples(TOKENS, TOKENS, TOKENS, TOKENS, TOKENS))
def test_any_usage_of_any_model_costs_what_genai_prices_says(
    model: str, at_ms: int, counts: tuple[int, int, int, int, int]
) -> None:
    plain, output, read, short_write, long_write = counts
    usage = (plain, output, read, short_write + long_write, long_write)

    cost = TABLE.cost(model, at_ms, *usage)

    assert cost is not None
    assert cost.microusd == calculated(model, at_ms, usage)


@pytest.mark.parametrize("model", ["claude-opus-4-8", "claude-opus-5", "claude-opus-5-5", "claude-fable-5-2"])
def test_fast_mode_costs_what_genai_prices_says(model: str) -> None:
    usage = (1_234, 5_678, 91_011, 12_131, 4_151)

    cost = TABLE.cost(model, 1_790_000_000_000, *usage, fast=True)

    assert cost is not None
    assert cost.microusd == calculated(model, 1_790_000_000_000, usage, fast=True)


def records(root: Path) -> Iterator[dict[str, Any]]:
    """Every whole object of every transcript, also of spliced lines."""
    decoder = json.JSONDecoder()
    for path in sorted(root.rglob("*.jsonl")):
        if path.name == "journal.jsonl":
            continue
        for line in path.read_bytes().split(b"\n"):
            text = line.replace(b"\0", b"").decode("utf-8", "replace").strip()
            while text:
                try:
                    record, end = decoder.raw_decode(text)
                except ValueError:
                    break
                yield record
                text = text[end:].lstrip()


def requests(root: Path) -> dict[tuple[str, ...], dict[str, Any]]:
    """Usage keys → model, first time and the field-wise maximum of the counters."""
    merged: dict[tuple[str, ...], dict[str, Any]] = {}
    for record in records(root):
        inner = record
        if record.get("type") == "progress" and record.get("data", {}).get("type") == "agent_progress":
            inner = record["data"].get("message") or {}
        message = inner.get("message")
        if inner.get("type") != "assistant" or not isinstance(message, dict):
            continue
        usage = message.get("usage")
        if not usage or not message.get("id") or message.get("model") == "<synthetic>":
            continue
        key = (message["id"],) if inner.get("requestId") else (record["sessionId"], message["id"])
        at = datetime.fromisoformat(inner.get("timestamp") or record["timestamp"])
        row = merged.setdefault(key, {"model": message["model"], "at": at, "usage": (0, 0, 0, 0, 0)})
        counts = (
            usage.get("input_tokens", 0),
            usage.get("output_tokens", 0),
            usage.get("cache_read_input_tokens", 0),
            usage.get("cache_creation_input_tokens", 0),
            (usage.get("cache_creation") or {}).get("ephemeral_1h_input_tokens", 0),
        )
        row["usage"] = tuple(map(max, row["usage"], counts))
        row["at"] = min(row["at"], at)
    return merged


def test_every_request_of_the_corpus_costs_what_genai_prices_says() -> None:
    corpus = os.environ.get("CCAGENT_TEST_CORPUS")
    if not corpus:
        pytest.skip("CCAGENT_TEST_CORPUS names no folder of real transcripts")
    truth = json.loads((Path(corpus) / "truth.json").read_bytes())
    merged = requests(Path(corpus) / "projects")

    wrong = 0
    for row in merged.values():
        at_ms = (row["at"] - EPOCH) // timedelta(milliseconds=1)
        cost = TABLE.cost(row["model"], at_ms, *row["usage"])
        wrong += cost is None or cost.microusd != calculated(row["model"], at_ms, row["usage"])

    assert len(merged) == truth["requests"]
    assert wrong == 0
