"""Write ccagent/facts/prices.json from the price data that the installed genai-prices carries.

    python scripts/generate_prices.py            rewrite the table
    python scripts/generate_prices.py --check    exit 1 when the committed table is stale

The table names every model by its exact ids, since the program never guesses a price from a part of a name. Where
genai-prices recognises a family by a prefix, the ids are the literals of its rules and the dated ids that are known.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genai_prices import types
from genai_prices.data_snapshot import get_snapshot

TABLE = Path(__file__).resolve().parent.parent / "ccagent" / "facts" / "prices.json"

PICO_PER_USD_MTOK = 1_000_000
"""1 USD per million tokens = 10^-6 USD = 10^6 pico-USD per token."""

KINDS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")

KNOWN_KEYS = frozenset(
    {
        "input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_5m_mtok",
        "cache_write_1h_mtok",
        # Paid per search, not per token: outside this table.
        "web_searches_kcount", "storage_searches_kcount",
    }
)  # fmt: skip
"""A model priced by anything else (images, sound, requests) cannot be priced from five token counters: left out."""

OTHERS = (
    *(("openai", prefix) for prefix in ("gpt-5", "gpt-6", "codex-", "o3", "o4-mini")),
    ("moonshotai", "kimi"),
    ("deepseek", "deepseek"),
    ("minimax", "minimax"),
)
"""(provider, prefix of the ids) of Codex's models, and of those met behind gateways; only where the maker has one price
list. The glm models have two, at z.ai and at zhipuai, and their ids do not say which was paid: left out."""

DATED_IDS = (
    "claude-2.0",
    "claude-2.1",
    "claude-3-5-haiku-20241022",
    "claude-3-5-sonnet-20240620",
    "claude-3-5-sonnet-20241022",
    "claude-3-5-sonnet-latest",
    "claude-3-7-sonnet-20250219",
    "claude-3-haiku-20240307",
    "claude-3-opus-20240229",
    "claude-3-sonnet-20240229",
    "claude-haiku-4-5-20251001",
    "claude-opus-4-1-20250805",
    "claude-opus-4-20250514",
    "claude-opus-4-5-20251101",
    "claude-sonnet-4-20250514",
    "claude-sonnet-4-5-20250929",
)
"""Published ids that no literal of genai-prices spells out."""

FAST = {"claude-opus-4-6": Fraction(6), "claude-opus-4-7": Fraction(6)}
"""Fast mode (usage.speed "fast") of models whose fast price genai-prices does not have; it has those of later ones."""

US = Fraction(11, 10)
"""Inference kept in the US (usage.inference_geo "us") costs 1.1 times as much, for all five kinds of tokens."""

US_MODELS = frozenset(
    {
        "claude-fable-5",
        "claude-fable-5-1",
        "claude-fable-5-2",
        "claude-haiku-5-5",
        "claude-mythos-5-2",
        "claude-opus-4-6",
        "claude-opus-4-7",
        "claude-opus-4-8",
        "claude-opus-5",
        "claude-opus-5-5",
        "claude-sonnet-4-6",
        "claude-sonnet-5",
        "claude-sonnet-5-5",
    }
)
"""The offer began with opus 4.6 and sonnet 4.6; older models cost the same everywhere."""

DATED = re.compile(r"claude-[a-z0-9.-]+-20\d{6}")
UNFINISHED = re.compile(r"([-@.]|-20\d{2})$")
"""The end of a prefix rule that is no whole id ("claude-sonnet-4@", "claude-sonnet-4-2025")."""


def literals(rule: object) -> Iterator[str]:
    """The ids that a match rule spells out, prefixes included."""
    match rule:
        case types.ClauseEquals(equals=text) | types.ClauseStartsWith(starts_with=text):
            yield text
        case types.ClauseOr(or_=rules) | types.ClauseAnd(and_=rules):
            for inner in rules:
                yield from literals(inner)
        case _:
            pass


def ids_of(provider: Any, model: Any, extra: Iterable[str] = ()) -> set[str]:
    """The exact ids of `model`: its own, its rules' literals and those of `extra` that resolve to it."""
    candidates = {model.id, *literals(model.match), *extra}
    return {name for name in candidates if not UNFINISHED.search(name) and provider.find_model(name) is model}


def pico(price: Decimal) -> int:
    """USD per million tokens as pico-USD per token; ValueError when it is no whole number of them."""
    value = price * PICO_PER_USD_MTOK
    if value != int(value):
        raise ValueError(f"{price} USD per million tokens is finer than a pico-USD per token: raise the table's unit")
    return int(value)


def rate(price: Any, above: int) -> int:
    """The rate that holds for a prompt of more than `above` tokens."""
    if isinstance(price, types.TieredPrices):
        reached = [tier.price for tier in price.tiers if tier.start <= above]
        return pico(reached[-1] if above and reached else price.base)
    return pico(price)


def tiers_of(prices: Any) -> list[dict[str, int]]:
    """The bands of one price list; a price that is missing is that of the kind it is a part of, as in genai-prices."""
    stated = {key: value for key, value in vars(prices).items() if value is not None}
    read = stated.get("cache_read_mtok", stated["input_mtok"])
    write = stated.get("cache_write_mtok", stated["input_mtok"])
    columns = (
        stated["input_mtok"],
        stated["output_mtok"],
        read,
        stated.get("cache_write_5m_mtok", write),
        stated.get("cache_write_1h_mtok", write),
    )
    starts = {tier.start for price in columns if isinstance(price, types.TieredPrices) for tier in price.tiers}
    return [
        {"above": above, **{kind: rate(price, above) for kind, price in zip(KINDS, columns, strict=True)}}
        for above in sorted({0, *starts})
    ]


def is_priceable(model: Any) -> bool:
    """Whether five token counters and a date decide the price: no images, no hours of the day."""
    lists = [model.prices] if isinstance(model.prices, types.ModelPrice) else [each.prices for each in model.prices]
    conditions = [] if isinstance(model.prices, types.ModelPrice) else [each.constraint for each in model.prices]
    return all(
        {"input_mtok", "output_mtok"} <= vars(each).keys() and vars(each).keys() <= KNOWN_KEYS for each in lists
    ) and not any(isinstance(condition, types.TimeOfDateConstraint) for condition in conditions)


def fast_factor(model: Any, day: datetime) -> Fraction | None:
    """How many times the standard price fast mode costs; ValueError when it is not one number for all kinds."""
    if model.id in FAST:
        return FAST[model.id]
    standard, fast = (tiers_of(model.get_prices(day, context)) for context in (None, {"speed": "fast"}))
    if standard == fast:
        return None
    factors = {Fraction(b[kind], a[kind]) for a, b in zip(standard, fast, strict=True) for kind in KINDS}
    if len(factors) != 1:
        raise ValueError(f"{model.id}: fast mode has different factors {sorted(factors)}: the table needs fast tiers")
    return factors.pop()


def decimal_text(factor: Fraction | None) -> str | None:
    return None if factor is None else str(Decimal(factor.numerator) / Decimal(factor.denominator))


def history(model: Any) -> list[dict[str, Any]]:
    """The dated prices of one model, oldest first, neighbours joined where nothing changed."""
    starts: list[date] = []
    if not isinstance(model.prices, types.ModelPrice):
        starts = sorted({each.constraint.start_date for each in model.prices if each.constraint is not None})
    entries: list[dict[str, Any]] = []
    for start in (None, *starts):
        day = datetime.combine(start or date.min, time(), UTC)
        entry = {
            "valid_from": None if start is None else start.isoformat(),
            "valid_to": None,
            "tiers": tiers_of(model.get_prices(day)),
            "fast": decimal_text(fast_factor(model, day)),
            "us": decimal_text(US if model.id in US_MODELS else None),
        }
        if entries and all(entries[-1][key] == entry[key] for key in ("tiers", "fast", "us")):
            continue
        if entries:
            entries[-1]["valid_to"] = entry["valid_from"]
        entries.append(entry)
    return entries


def build_models() -> dict[str, list[dict[str, Any]]]:
    """All models of the table: id → dated prices."""
    providers = {provider.id: provider for provider in get_snapshot().providers}
    anthropic = providers["anthropic"]
    mined = {
        name
        for provider in providers.values()
        for model in provider.models
        for text in (model.id, *literals(model.match))
        for name in DATED.findall(text)
    }
    table: dict[str, list[dict[str, Any]]] = {}
    for model in anthropic.models:
        table.update(dict.fromkeys(ids_of(anthropic, model, mined | set(DATED_IDS)), history(model)))
    if missing := {*DATED_IDS, *FAST, *US_MODELS} - table.keys():
        raise ValueError(f"genai-prices does not know {sorted(missing)}: correct the tables at the top of this script")

    for provider_id, prefix in OTHERS:
        for model in filter(is_priceable, providers[provider_id].models):
            names = {name for name in ids_of(providers[provider_id], model) if name.lower().startswith(prefix)}
            table.update(dict.fromkeys(names, history(model)))
    return table


def render(models: dict[str, list[dict[str, Any]]], day: str) -> str:
    """The file's text: one model a line, sorted, so that a changed price is a changed line."""
    head = {
        "version": f"{day}-genai-prices-{version('genai-prices')}",
        "currency": "USD",
        "unit": "pico-USD per token as integers",
    }
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    rows = [f"    {json.dumps(name)}: {json.dumps(models[name])}" for name in sorted(models)]
    return "\n".join(["{", *lines, '  "models": {', ",\n".join(rows), "  }", "}", ""])


def keep(
    table: Path,
    description: str,
    models: dict[str, Any],
    render: Callable[[dict[str, Any], str], str],
    arguments: list[str] | None,
) -> int:
    """Write or check a bundled table of models; 0 when it is fresh, 1 when `--check` finds it stale."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the table is stale")
    options = parser.parse_args(arguments)

    committed = table.read_text(encoding="utf-8") if table.exists() else ""
    # The day is that of the last change: the same figures make the same file, whenever the script runs.
    previous = re.search(r'"version": "(\d{4}-\d{2}-\d{2})-', committed)
    if previous and render(models, previous[1]) == committed:
        return 0
    if options.check:
        print(f"{table} is stale: run python scripts/{Path(sys.argv[0]).name} and commit the result", file=sys.stderr)
        return 1
    table.write_text(render(models, datetime.now(UTC).date().isoformat()), encoding="utf-8")
    print(f"{table}: {len(models)} models")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Write or check the table of prices."""
    return keep(TABLE, "Generate the bundled price table from genai-prices.", build_models(), render, arguments)


if __name__ == "__main__":
    sys.exit(main())
