"""The rule of facts/windows.py as SQL, made from the same table: the window of a request, its source, what is used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ccagent.facts.windows import LONG_SUFFIX, bundled

USED: Final = "(f.token_input + f.token_cache_read + f.token_cache_write)"
"""Tokens that a request sent, over `fact f`."""

PROMPT: Final = f"COALESCE(f.added, {USED})"
"""Tokens of its prompt: of the longest, where it was made in several steps."""

REAL: Final = "DOUBLE PRECISION"
"""A type that both databases know, and that divides alike in both."""


STATED: Final = "f.attempts"
"""The window that the transcript states, on rows of requests; NULL where it states none."""

HELD: Final = f"CASE WHEN {STATED} IS NOT NULL AND f.size IS NOT NULL THEN f.size ELSE {PROMPT} END"
"""Tokens in a request's context: what the transcript states together with the window, else the prompt's."""


def window_case(model: str, at: str, used: str, stated: str) -> str:
    """SQL of the window's tokens; `model`, `at` (ms UTC), `used` and `stated` are expressions."""
    base = _looked_up(model, at)
    ladder = " ".join(f"WHEN {used} <= {tokens} THEN {tokens}" for tokens in bundled().ladder)
    return f"CASE WHEN {stated} IS NOT NULL THEN {stated} WHEN {used} <= {base} THEN {base} {ladder} ELSE {used} END"


def source_case(model: str, at: str, used: str, stated: str) -> str:
    """SQL of what says so."""
    known = _listed(bundled().models)
    return (
        f"CASE WHEN {stated} IS NOT NULL THEN 'transcript' WHEN {used} > {_looked_up(model, at)} THEN 'learned'"
        f" WHEN {_suffixed(model)} THEN 'suffix'"
        f" WHEN LOWER({model}) IN ({known}) THEN 'table' ELSE 'assumed' END"
    )


def part(amount: str, whole: str) -> str:
    """SQL of amount / whole as a float, NULL where the whole is nothing."""
    return f"CASE WHEN {whole} > 0 THEN CAST({amount} AS {REAL}) / {whole} END"


def _suffixed(model: str) -> str:
    return f"LOWER({model}) LIKE '%{LONG_SUFFIX}'"


def _looked_up(model: str, at: str) -> str:
    """The window before a prompt disproves it. What is assumed in any case needs no name."""
    table = bundled()
    groups: dict[tuple[tuple[int | None, int], ...], list[str]] = {}
    for name, periods in table.models.items():
        groups.setdefault(periods, []).append(name)
    groups.pop(((None, table.assumed),), None)
    arms = [
        f"WHEN LOWER({model}) IN ({_listed(names)}) THEN {_dated(at, periods)}" for periods, names in groups.items()
    ]
    return f"(CASE WHEN {_suffixed(model)} THEN {table.long} {' '.join(arms)} ELSE {table.assumed} END)"


def _dated(at: str, periods: tuple[tuple[int | None, int], ...]) -> str:
    """The window of a model at that time; the newest without one."""
    if len(periods) == 1:
        return str(periods[0][1])
    starts = [start for start, _ in periods[1:]]
    arms = " ".join(f"WHEN {at} < {start} THEN {before[1]}" for start, before in zip(starts, periods, strict=False))
    return f"CASE {arms} ELSE {periods[-1][1]} END"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names))
