"""What a request costs: exact ids, dated prices, integers throughout.

The bundled table (`prices.json`, written by `scripts/generate_prices.py`) holds for each model its prices by date, in
pico-USD per token. A model that is not in it by its exact id has no price: no part of a name, no family and no
neighbour is ever taken instead. All costs are API-equivalent; a subscriber does not pay by the token.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from math import gcd
from typing import Any, Final

KINDS: Final = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
"""Kinds of tokens, in the order of every tuple here."""

PICO_PER_MICRO: Final = 1_000_000
"""Pico-USD in a micro-USD; also pico-USD per token in one USD per million tokens."""

LONG_CONTEXT_SUFFIX: Final = "[1m]"
"""A setting of the client that may trail the model's id. Its price is that of the bands, so it is dropped."""

OVERRIDE_ID_LENGTH: Final = 8
"""Hex digits of an override's hash in the version: enough to tell the few overrides of one user apart."""

_ALWAYS_FROM: Final = -(2**63)
_ALWAYS_TO: Final = 2**63

_PERIOD_KEYS: Final = frozenset({"valid_from", "valid_to", "tiers", "fast", "us", *KINDS})
_TIER_KEYS: Final = frozenset({"above", *KINDS})

_Band = tuple[int, int, int, int, int, int]
_Period = tuple[int, int, tuple[_Band, ...] | None, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one request costs in micro-USD, and its parts in the order of `KINDS`, which add up to it."""

    microusd: int
    parts: tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Rates in pico-USD per token for prompts of more than `above` tokens, in the order of `KINDS`."""

    above: int
    rates: tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedPrice:
    """The price of a model from `valid_from_ms` (included) to `valid_to_ms` (excluded), ms UTC; None = no bound.

    `tiers` ascend and start at 0. `fast` is the factor of fast mode, None where the model has no known fast price;
    `us` that of inference kept in the US, None where it costs the same.
    """

    valid_from_ms: int | None
    valid_to_ms: int | None
    tiers: tuple[Tier, ...]
    fast: Fraction | None
    us: Fraction | None


class PriceTable:
    """Prices of all known models; `version` names this very set of prices and is kept with each cost."""

    __slots__ = ("_compiled", "_models", "version")

    def __init__(self, version: str, models: Mapping[str, tuple[DatedPrice, ...]]) -> None:
        self.version = version
        self._models = dict(models)
        # Aliases share their prices, so they share the compiled form too.
        seen: dict[tuple[DatedPrice, ...], tuple[tuple[_Period, ...], ...]] = {}
        self._compiled = {
            name: seen.get(dated) or seen.setdefault(dated, _compile(dated)) for name, dated in models.items()
        }

    @classmethod
    def bundled(cls) -> PriceTable:
        """The table that comes with the program; read once."""
        return _bundled()

    def with_override(self, override: Mapping[str, object]) -> PriceTable:
        """This table with the user's own prices; a model named there replaces the bundled one whole.

        `override` is parsed TOML or JSON: `{"models": {"<exact id>": {...}}}`, a list of such for dated prices. Each
        has input and output in USD per million tokens, better as strings ("1.25"); cache_read and cache_write_5m are
        the input price where they are missing, cache_write_1h is cache_write_5m. Optional are valid_from, valid_to
        ("YYYY-MM-DD", UTC), tiers (a list of rates with `above`) and the factors fast and us.
        ValueError says which key is wrong and what to write instead.
        """
        unknown = override.keys() - {"models"}
        if unknown:
            raise _error(sorted(unknown)[0], "is not known", "put prices under models.<model id>")
        stated = _mapping(override.get("models"), "models")
        models = {name: _history(stated[name], f"models.{name}") for name in sorted(stated)}
        digest = hashlib.sha256(repr(models).encode()).hexdigest()[:OVERRIDE_ID_LENGTH]
        return PriceTable(f"{self.version}+{digest}", {**self._models, **models})

    def cost(
        self,
        model: str | None,
        at_ms: int | None,
        tokens_input: int,
        output: int,
        cache_read: int,
        cache_write_total: int,
        cache_write_1h: int,
        *,
        fast: bool = False,
        us_only: bool = False,
        longest: int | None = None,
    ) -> Cost | None:
        """The cost of one request, None when it has no known price (then it is unpriced, not free).

        `tokens_input` excludes the cache; `cache_write_total` includes `cache_write_1h`. `at_ms` is the time of the
        request in ms UTC, None takes the newest price. The size of the whole prompt, cache included, chooses the band
        for all its tokens; of a request in several steps `longest`, the longest of its prompts. Unpriced too: a date
        before the first price, fast mode of a model with no fast price.
        """
        if model is None:
            return None
        variants = self._compiled.get(model)
        if variants is None:
            if not model.endswith(LONG_CONTEXT_SUFFIX):
                return None
            variants = self._compiled.get(model[: -len(LONG_CONTEXT_SUFFIX)])
            if variants is None:
                return None
        periods = variants[fast + 2 * us_only]
        period = periods[0]
        if at_ms is not None:
            for period in periods:
                if at_ms >= period[0]:
                    break
            if not period[0] <= at_ms < period[1]:
                return None
        bands = period[2]
        if bands is None:
            return None
        # Merged copies of a broken record may state more 1-hour writes than writes.
        cache_write_5m = cache_write_total - cache_write_1h if cache_write_total > cache_write_1h else 0
        band = bands[0]
        if len(bands) > 1:
            prompt = tokens_input + cache_read + cache_write_5m + cache_write_1h if longest is None else longest
            for band in bands:
                if prompt > band[0]:
                    break
        return _round(
            tokens_input * band[1],
            output * band[2],
            cache_read * band[3],
            cache_write_5m * band[4],
            cache_write_1h * band[5],
            period[3],
        )

    def models(self) -> tuple[str, ...]:
        """The exact ids that have a price, sorted."""
        return tuple(sorted(self._models))

    def prices(self, model: str) -> tuple[DatedPrice, ...]:
        """The dated prices of `model`, oldest first; empty when it is unknown."""
        return self._models.get(model.removesuffix(LONG_CONTEXT_SUFFIX), ())


@lru_cache(maxsize=1)
def _bundled() -> PriceTable:
    data = json.loads(files("ccagent.facts").joinpath("prices.json").read_bytes())
    shared: dict[str, tuple[DatedPrice, ...]] = {}
    models: dict[str, tuple[DatedPrice, ...]] = {}
    for name, entries in data["models"].items():
        key = repr(entries)
        models[name] = shared.get(key) or shared.setdefault(key, tuple(map(_from_json, entries)))
    return PriceTable(data["version"], models)


def _from_json(entry: Mapping[str, Any]) -> DatedPrice:
    return DatedPrice(
        valid_from_ms=_day_ms(entry["valid_from"]),
        valid_to_ms=_day_ms(entry["valid_to"]),
        tiers=tuple(Tier(above=tier["above"], rates=_five(tier[kind] for kind in KINDS)) for tier in entry["tiers"]),
        fast=None if entry["fast"] is None else Fraction(entry["fast"]),
        us=None if entry["us"] is None else Fraction(entry["us"]),
    )


def _day_ms(day: str | None) -> int | None:
    """The start of an ISO date in UTC, as ms."""
    if day is None:
        return None
    return int(datetime.combine(date.fromisoformat(day), time(), UTC).timestamp()) * 1_000


def _five(values: Iterable[int]) -> tuple[int, int, int, int, int]:
    a, b, c, d, e = values
    return a, b, c, d, e


def _compile(dated: tuple[DatedPrice, ...]) -> tuple[tuple[_Period, ...], ...]:
    """The four variants (standard, fast, US, both) of a history as flat tuples, newest period first."""
    return tuple(
        tuple(_compile_period(price, fast, us_only) for price in reversed(dated))
        for us_only in (False, True)
        for fast in (False, True)
    )


def _compile_period(price: DatedPrice, fast: bool, us_only: bool) -> _Period:
    """(from, to, bands from the highest down, divisor): amount × rate / divisor is micro-USD, with nothing rounded.

    Rates and divisor are shortened together: small integers are twice as fast to reckon with as wide ones.
    """
    start = _ALWAYS_FROM if price.valid_from_ms is None else price.valid_from_ms
    end = _ALWAYS_TO if price.valid_to_ms is None else price.valid_to_ms
    factor = price.us if us_only and price.us is not None else Fraction(1)
    if fast:
        if price.fast is None:
            return start, end, None, 1
        factor *= price.fast
    divisor = PICO_PER_MICRO * factor.denominator
    shared = gcd(divisor, *(rate * factor.numerator for tier in price.tiers for rate in tier.rates))
    bands = tuple(
        (tier.above, *_five(rate * factor.numerator // shared for rate in tier.rates)) for tier in reversed(price.tiers)
    )
    return start, end, bands, divisor // shared


def _round(a: int, b: int, c: int, d: int, e: int, divisor: int) -> Cost:
    """The sum of five amounts over `divisor`, rounded half-even once, with parts that add up (largest remainder)."""
    whole_a = a // divisor
    whole_b = b // divisor
    whole_c = c // divisor
    whole_d = d // divisor
    whole_e = e // divisor
    amount = a + b + c + d + e
    total = amount // divisor
    twice = 2 * (amount - total * divisor)
    if twice > divisor or (twice == divisor and total & 1):
        total += 1
    missing = total - whole_a - whole_b - whole_c - whole_d - whole_e
    if not missing:
        return Cost(microusd=total, parts=(whole_a, whole_b, whole_c, whole_d, whole_e))
    parts = [whole_a, whole_b, whole_c, whole_d, whole_e]
    remainders = [a % divisor, b % divisor, c % divisor, d % divisor, e % divisor]
    while missing:
        largest = remainders.index(max(remainders))
        parts[largest] += 1
        remainders[largest] = -1
        missing -= 1
    return Cost(microusd=total, parts=_five(parts))


def _error(path: str, problem: str, remedy: str) -> ValueError:
    return ValueError(f"price override: {path} {problem}; {remedy}")


def _mapping(value: object, path: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise _error(
            path, "is missing or no table", 'write for example models."my-model" = {input = "1.25", output = "5"}'
        )
    return value


def _history(value: object, path: str) -> tuple[DatedPrice, ...]:
    """All dated prices of one overridden model, oldest first; ValueError when two hold at one time."""
    entries = value if isinstance(value, list) else [value]
    if not entries:
        raise _error(path, "is an empty list", "give at least one price or remove the model")
    paths = [f"{path}[{number}]" for number in range(len(entries))] if isinstance(value, list) else [path]
    history = sorted(
        (_dated(_mapping(entry, where), where) for entry, where in zip(entries, paths, strict=True)),
        key=lambda price: _ALWAYS_FROM if price.valid_from_ms is None else price.valid_from_ms,
    )
    for earlier, later in pairwise(history):
        if later.valid_from_ms is None or earlier.valid_to_ms is None or earlier.valid_to_ms > later.valid_from_ms:
            raise _error(path, "has two prices for one time", "end each with valid_to = the next one's valid_from")
    return tuple(history)


def _dated(entry: Mapping[str, object], path: str) -> DatedPrice:
    unknown = entry.keys() - _PERIOD_KEYS
    if unknown:
        raise _error(f"{path}.{sorted(unknown)[0]}", "is not known", f"use {', '.join(sorted(_PERIOD_KEYS))}")
    start, end = _override_day(entry, "valid_from", path), _override_day(entry, "valid_to", path)
    if start is not None and end is not None and end <= start:
        raise _error(f"{path}.valid_to", "is not after valid_from", "valid_to is the first day on which it ends")
    return DatedPrice(
        valid_from_ms=start,
        valid_to_ms=end,
        tiers=_tiers(entry, path),
        fast=_factor(entry, "fast", path),
        us=_factor(entry, "us", path),
    )


def _tiers(entry: Mapping[str, object], path: str) -> tuple[Tier, ...]:
    extra = entry.get("tiers", [])
    if not isinstance(extra, list):
        raise _error(f"{path}.tiers", "is no list", 'write tiers = [{above = 200000, input = "2.5", output = "10"}]')
    tiers = [_tier(entry, 0, path)] if not extra or KINDS[0] in entry or KINDS[1] in entry else []
    for number, each in enumerate(extra):
        where = f"{path}.tiers[{number}]"
        tier = _mapping(each, where)
        unknown = tier.keys() - _TIER_KEYS
        if unknown:
            raise _error(f"{where}.{sorted(unknown)[0]}", "is not known", f"use {', '.join(sorted(_TIER_KEYS))}")
        above = tier.get("above")
        if not isinstance(above, int) or isinstance(above, bool) or above < 0:
            raise _error(f"{where}.above", "is no number of tokens", "write for example above = 200000")
        tiers.append(_tier(tier, above, where))
    tiers.sort(key=lambda tier: tier.above)
    bounds = [tier.above for tier in tiers]
    if bounds[0] != 0 or len(set(bounds)) != len(bounds):
        raise _error(
            f"{path}.tiers", "do not start at 0 or name a bound twice", "give one price for each bound, from 0 up"
        )
    return tuple(tiers)


def _tier(entry: Mapping[str, object], above: int, path: str) -> Tier:
    price = _amount(entry, "input", path)
    write = _amount(entry, "cache_write_5m", path) if "cache_write_5m" in entry else price
    return Tier(
        above=above,
        rates=(
            price,
            _amount(entry, "output", path),
            _amount(entry, "cache_read", path) if "cache_read" in entry else price,
            write,
            _amount(entry, "cache_write_1h", path) if "cache_write_1h" in entry else write,
        ),
    )


def _decimal(value: object) -> Decimal | None:
    """The number as it was written (a float by its shortest text), None when it is none or negative."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() and number >= 0 else None


def _amount(entry: Mapping[str, object], key: str, path: str) -> int:
    """USD per million tokens as pico-USD per token."""
    number = _decimal(entry.get(key))
    if number is None:
        raise _error(f"{path}.{key}", "is no price", 'write USD per million tokens as a string, for example "1.25"')
    pico = number * PICO_PER_MICRO
    if pico != int(pico):
        raise _error(f"{path}.{key}", "is finer than a millionth of a USD", "write at most six decimal places")
    return int(pico)


def _factor(entry: Mapping[str, object], key: str, path: str) -> Fraction | None:
    if entry.get(key) is None:
        return None
    number = _decimal(entry[key])
    if number is None or number == 0:
        raise _error(f"{path}.{key}", "is no factor", 'write a positive number as a string, for example "1.1"')
    return Fraction(number)


def _override_day(entry: Mapping[str, object], key: str, path: str) -> int | None:
    value = entry.get(key)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = value.isoformat()
    try:
        if value is None or isinstance(value, str):
            return _day_ms(value)
    except ValueError:
        pass
    raise _error(f"{path}.{key}", "is no date", 'write the first day in UTC, for example "2026-03-13"')
