"""The counters beside the facts: what was booked over the years must be what the facts amount to.

Totals are booked by all hosts and summed here. They never fall: retention removes facts and leaves totals, so then they
may be more (`sealed`), never less.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ccagent.comparison import MEASURES, TOKEN_KINDS, Account, Verdict
from ccagent.facts.model import EventType
from ccagent.metrics import names
from ccagent.metrics.labels import OVERFLOW, sanitised
from ccagent.recount_lines import Json
from ccagent.store.audit_references import Law

if TYPE_CHECKING:
    from ccagent.metrics.snapshot import StoredTotals
    from ccagent.store.audit import TypeSums

_SHORT, _LONG = TOKEN_KINDS.index("cache_write_5m"), TOKEN_KINDS.index("cache_write_1h")
_TOKENS: Final = tuple(MEASURES.index(f"tokens.{kind}") for kind in TOKEN_KINDS)

ONCE_CLOSED: Final = {
    names.REQUESTS: EventType.LLM_REQUEST,
    names.TURNS: EventType.TURN,
    names.PROMPTS: EventType.PROMPT,
    names.COMPACTIONS: EventType.COMPACTION,
    names.ERRORS: EventType.API_ERROR,
    names.AGENT_INVOCATIONS: EventType.SUBAGENT_RUN,
    names.SESSIONS: EventType.SESSION,
    names.MICROCOMPACTIONS: EventType.MICROCOMPACTION,
    names.QUALITY_RUNS: EventType.QUALITY,
}
"""Counters that grow by one when a fact closes."""

ONCE_WRITTEN: Final = {names.FILE_WRITES: EventType.FILE_UPDATE}
"""Counters that grow by one when a fact is new."""


def rows(booked: StoredTotals, facts: Account, sums: Mapping[int, TypeSums], *, sealed: bool) -> list[Json]:
    """Tokens and cost: {name, stored (what was booked), recounted (what the facts say), verdict}."""
    found = [_kinds_of(facts, place) for place in _TOKENS]
    amounts = [
        sum(row.value for row in booked.totals if row.metric == names.TOKENS and row.labels[1] == kind)
        for kind in TOKEN_KINDS
    ]
    kinds = verdicts(amounts, found, sealed=sealed)
    answer = [
        _row(f"booked tokens.{kind}", amount, fact, verdict)
        for kind, amount, fact, verdict in zip(TOKEN_KINDS, amounts, found, kinds, strict=True)
    ]
    cost = _sum(booked, names.COST_USD)
    due = sum(kind.booked for kind in sums.values())
    answer.append(_row("booked cost_microusd", cost, due, verdict_of(cost, due, sealed=sealed)))
    return answer


def labels(booked: StoredTotals, models: Mapping[str, Account], *, sealed: bool) -> Law:
    """Tokens by model and kind, where a label means today what it meant when it was booked."""
    law = Law(name="counters by model")
    totals = [row for row in booked.totals if row.metric == names.TOKENS]
    moved = any(
        row.value for row in booked.totals if row.metric == names.TOTALS_RELABELLED and row.labels[0] == "model"
    )
    if moved or any(row.labels[0] == OVERFLOW for row in totals):
        law.excluded = len(models)
        return law
    stored: dict[str, list[int]] = {}
    for row in totals:
        stored.setdefault(row.labels[0], [0] * len(TOKEN_KINDS))[TOKEN_KINDS.index(row.labels[1])] += row.value
    facts: dict[str, list[int]] = {}
    for model, account in models.items():
        sums = facts.setdefault(sanitised(model), [0] * len(TOKEN_KINDS))
        for kind, place in enumerate(_TOKENS):
            sums[kind] += _kinds_of(account, place)
    nothing = [0] * len(TOKEN_KINDS)
    for model in sorted(stored.keys() | facts.keys()):
        law.checked += 1
        one, two = stored.get(model, nothing), facts.get(model, nothing)
        if Verdict.FAULT in verdicts(one, two, sealed=sealed):
            law.breaks(f"{model}: {sum(one)} tokens booked, {sum(two)} in the facts")
    return law


def outcomes(booked: StoredTotals, sums: Mapping[int, TypeSums], *, held: Collection[str], sealed: bool) -> Law:
    """Counters that count facts; those that are not `held` know only of a part of them."""
    law = Law(name="counters of outcomes")
    for metrics, column in ((ONCE_CLOSED, "closed"), (ONCE_WRITTEN, "facts")):
        for metric, kind in metrics.items():
            if metric not in held:
                law.excluded += 1
                continue
            amount = _sum(booked, metric)
            there = getattr(sums[kind], column) if kind in sums else 0
            law.checked += 1
            if verdict_of(amount, there, sealed=sealed) is Verdict.FAULT:
                law.breaks(f"{metric}: {amount} booked, {there} {column}")
    return law


def verdicts(amounts: Sequence[int], facts: Sequence[int], *, sealed: bool) -> list[Verdict]:
    """How each kind of tokens was booked. Writes that turned out to live longer were booked with the short life, and a
    booking never exceeds the growth of the sum: then the sum is right and the kinds are `relabelled`."""
    rest = [one - two for one, two in zip(amounts, facts, strict=True)]
    others = [amount for kind, amount in enumerate(rest) if kind != _SHORT]
    if sum(rest) == 0 and rest[_SHORT] > 0 and all(amount <= 0 for amount in others):
        return [Verdict.RELABELLED if amount else Verdict.EQUAL for amount in rest]
    if sealed and sum(rest) > 0 and rest[_SHORT] > 0:
        return [Verdict.SEALED if amount > 0 else Verdict.RELABELLED if amount else Verdict.EQUAL for amount in rest]
    return [verdict_of(one, two, sealed=sealed) for one, two in zip(amounts, facts, strict=True)]


def verdict_of(booked: int, facts: int, *, sealed: bool) -> Verdict:
    """How a counter stands to its facts; `sealed`: facts have been removed."""
    if booked == facts:
        return Verdict.EQUAL
    return Verdict.SEALED if sealed and booked > facts else Verdict.FAULT


def _sum(booked: StoredTotals, metric: str) -> int:
    return sum(row.value for row in booked.totals if row.metric == metric)


def _kinds_of(account: Account, place: int) -> int:
    return account.same[place] + account.stored.get(place, 0)


def _row(name: str, stored: int, recounted: int, verdict: Verdict) -> Json:
    return {"name": name, "stored": stored, "recounted": recounted, "verdict": verdict.value}
