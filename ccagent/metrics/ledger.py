"""Which totals a change of a fact moves. A total never falls.

Quantities (tokens, cost, lines, retries) are booked as the growth of the fact, under its labels of that moment;
outcomes (status, quality, failures, histograms) once, when the fact closes. One booking never exceeds the growth of
the fact's sum, so over all labels the totals equal the facts at any time. What moves from one label to another later
moves no total; it is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from ccagent.facts.decisions import decision_of
from ccagent.facts.model import QUALITY_NAMES, STATUS_NAMES, EventType, Flag
from ccagent.facts.naming import mcp_parts, provider_of
from ccagent.facts.partial import Partial
from ccagent.facts.pricing import KINDS
from ccagent.facts.settle import Settled
from ccagent.facts.windows import utilization, window
from ccagent.metrics import names
from ccagent.metrics.booked import Booking
from ccagent.metrics.catalogue import UNKNOWN_PROVIDER
from ccagent.metrics.happenings import EDIT_TOOLS, MAIN
from ccagent.metrics.labels import Budget
from ccagent.metrics.labels import project_label as project_label
from ccagent.metrics.occurrences import Occurrences

if TYPE_CHECKING:
    from ccagent.metrics.compat_ledger import CompatLedger

LLM_REQUEST: Final = int(EventType.LLM_REQUEST)
TOOL_CALL: Final = int(EventType.TOOL_CALL)

Exportable = Callable[[str | None, str | None], bool]
"""Whether what happened in that cwd, in work on that project (a path), may leave the machine."""

TypesOf = Callable[[Collection[str]], Mapping[str, str]]
"""Ids of sub-agents → their types, of those that are known."""

DAY_MS: Final = 24 * 3_600 * 1_000

_HUMAN: Final = int(Flag.HUMAN)
_decided = lru_cache(maxsize=4_096)(decision_of)
"""The same few tools are called again and again."""


def no_types(agents: Collection[str]) -> Mapping[str, str]:
    """Where nobody can be asked."""
    del agents
    return {}


def token_kinds(fact: Partial) -> tuple[int, int, int, int, int]:
    """Tokens in the order of pricing.KINDS; writes with no split count as 5m."""
    hour = min(fact.token_cache_write_1h, fact.token_cache_write)
    return fact.token_input, fact.token_output, fact.token_cache_read, fact.token_cache_write - hour, hour


@lru_cache(maxsize=1_024)
def _window(model: str, day: int | None) -> int:
    """The window of a model on a day (since the epoch, UTC): windows change at midnight."""
    return window(model, 0, None if day is None else day * DAY_MS)[0]


def part_used(model: str, prompt: int, at: int | None) -> float:
    """As facts.windows.utilization of a window that no transcript states, looked up once a day and model."""
    tokens = _window(model, None if at is None else at // DAY_MS)
    return prompt / tokens if prompt <= tokens else utilization(model, prompt, at)


class Ledger:
    """Books changes of facts into a `Booking`, under label values that the `Budget` admits.

    Amounts are first summed by the facts' own attributes; `post` gives them their labels, once a transaction.
    """

    def __init__(self, booking: Booking, budget: Budget, exportable: Exportable) -> None:
        self.booking = booking
        self._admit = budget.admit
        self.leaves = exportable
        """May be replaced while the daemon runs, when its destinations change."""
        self.compat: CompatLedger | None = None
        """Books the compatible set beside this, where it is switched on."""
        self._usage_sums: dict[tuple[str, str | None, bool], list[int]] = {}
        self._outcomes: dict[tuple[int, str, int, str | None, bool], int] = {}
        self._stops: dict[tuple[str, bool], int] = {}
        self._agents: dict[tuple[str | None, bool], int] = {}
        self._decisions: dict[tuple[str, tuple[str, str], bool], int] = {}
        self.occurrences = Occurrences(booking, budget.admit)
        """Books all other kinds of facts, and knows what has to be measured before the transaction is written."""
        self.types_of: TypesOf = no_types
        """Asked once a transaction for the sub-agents whose requests it books."""

    def clear(self) -> None:
        """Forget what was not posted, after a rollback."""
        self._usage_sums.clear()
        self._outcomes.clear()
        self._stops.clear()
        self._agents.clear()
        self._decisions.clear()
        self.occurrences.clear()
        if self.compat is not None:
            self.compat.clear()

    def change(self, old: tuple[Partial, Settled, int] | None, fact: Partial, settled: Settled, closing: bool) -> int:
        """Book what `fact` is more than `old` (its row before, with what was booked of its cost); `closing` when it
        closes with this change. The cost booked so far, micro-dollars."""
        leaves = self.leaves(fact.context.cwd, fact.context.project)
        before = old[0] if old is not None else None
        kind = fact.type
        if before is not None and before.name != fact.name and before.name is not None:
            label = "model" if kind == LLM_REQUEST else "tool"
            self.booking.count(names.TOTALS_RELABELLED, (label,))
        booked = 0
        if kind == LLM_REQUEST:
            booked = self._usage(old, fact, settled, leaves)
            if closing:
                self._request(fact, settled, leaves)
        elif kind == TOOL_CALL:
            if closing:
                self._tool_call(fact, settled, leaves)
        else:
            self.occurrences.change(before, fact, settled, closing, leaves)
        if self.compat is not None:
            self.compat.change(old, fact, settled, closing, leaves, booked)
        return booked

    def post(self) -> None:
        """Give the sums their labels and put them into the booking."""
        booking, admit = self.booking, self._admit
        if self.compat is not None:
            self.compat.post()
        for (model, project, leaves), sums in self._usage_sums.items():
            label = project_label(project)
            for kind, tokens, cost in zip(KINDS, sums[:5], sums[5:10], strict=True):
                if tokens:
                    key = admit(names.TOKENS, "model", model), kind, admit(names.TOKENS, "project", label)
                    booking.count(names.TOKENS, key, tokens, leaves)
                if cost:
                    key = admit(names.COST_USD, "model", model), kind, admit(names.COST_USD, "project", label)
                    booking.count(names.COST_USD, key, cost, leaves)
            if sums[10]:
                booking.count(names.UNPRICED_TOKENS, (admit(names.UNPRICED_TOKENS, "model", model),), sums[10], leaves)
        for (event, name, status, project, leaves), amount in self._outcomes.items():
            if event == LLM_REQUEST:
                labels = (
                    admit(names.REQUESTS, "model", name),
                    provider_of(name) or UNKNOWN_PROVIDER,
                    STATUS_NAMES[status],
                )
                booking.count(names.REQUESTS, labels, amount, leaves)
                continue
            label = admit(names.TOOL_CALLS, "project", project_label(project))
            labels = admit(names.TOOL_CALLS, "tool", name), STATUS_NAMES[status], label
            booking.count(names.TOOL_CALLS, labels, amount, leaves)
            parts = mcp_parts(name)
            if parts is not None:
                server = admit(names.MCP_CALLS, "mcp_server", parts[0])
                labels = server, admit(names.MCP_CALLS, "tool", parts[1]), STATUS_NAMES[status]
                booking.count(names.MCP_CALLS, labels, amount, leaves)
        for (stop, leaves), amount in self._stops.items():
            booking.count(names.STOP_REASONS, (admit(names.STOP_REASONS, "type", stop),), amount, leaves)
        types = self.types_of({agent for agent, _ in self._agents if agent is not None}) if self._agents else {}
        for (agent, leaves), amount in self._agents.items():
            kind = MAIN if agent is None else types.get(agent, "")
            booking.count(names.AGENT_REQUESTS, (admit(names.AGENT_REQUESTS, "agent_type", kind),), amount, leaves)
        for (tool, decided, leaves), amount in self._decisions.items():
            booking.count(names.TOOL_DECISIONS, decided, amount, leaves)
            if tool in EDIT_TOOLS:
                edited = admit(names.EDIT_DECISIONS, "tool", tool), decided[0]
                booking.count(names.EDIT_DECISIONS, edited, amount, leaves)
        self.clear()

    def _usage(self, old: tuple[Partial, Settled, int] | None, fact: Partial, settled: Settled, leaves: bool) -> int:
        key = fact.name or "", fact.context.project, leaves
        sums = self._usage_sums.get(key)
        if sums is None:
            sums = self._usage_sums[key] = [0] * 11
        now = token_kinds(fact)
        if old is None:
            growth = now
            booked = 0
        else:
            then = token_kinds(old[0])
            growth = clipped(then, now)
            booked = old[2]
            if any(is_now < was for is_now, was in zip(now, then, strict=True)):
                self.booking.count(names.TOTALS_RELABELLED, ("type",))
        sums[0] += growth[0]
        sums[1] += growth[1]
        sums[2] += growth[2]
        sums[3] += growth[3]
        sums[4] += growth[4]
        cost = settled.cost
        if cost is None:
            sums[10] += sum(growth)
            return booked
        if old is None:
            parts = settled.parts
        else:
            due = cost - booked
            if due <= 0:
                if old[1].cost is not None and cost < old[1].cost:
                    self.booking.count(names.TOTALS_RELABELLED, ("cost",))
                return booked
            parts = clipped(old[1].parts, settled.parts, due)
        sums[5] += parts[0]
        sums[6] += parts[1]
        sums[7] += parts[2]
        sums[8] += parts[3]
        sums[9] += parts[4]
        return booked + sum(parts)

    def _request(self, fact: Partial, settled: Settled, leaves: bool) -> None:
        booking, model = self.booking, fact.name or ""
        outcome = LLM_REQUEST, model, settled.status, None, leaves
        self._outcomes[outcome] = self._outcomes.get(outcome, 0) + 1
        stop = fact.label or "none", leaves
        self._stops[stop] = self._stops.get(stop, 0) + 1
        if fact.occurred_at is not None and fact.ended_at is not None:
            began = fact.occurred_at if fact.result_at is None else min(fact.result_at, fact.occurred_at)
            label = self._admit(names.REQUEST_DURATION, "model", model)
            booking.observe(names.REQUEST_DURATION, (label,), (fact.ended_at - began) / 1_000, leaves, fact)
        made_by = fact.context.agent, leaves
        self._agents[made_by] = self._agents.get(made_by, 0) + 1
        prompt = fact.longest
        if prompt is None:
            prompt = fact.token_input + fact.token_cache_read + fact.token_cache_write
        stated = fact.attempts
        held = prompt if stated is None or fact.size is None else fact.size
        if held:
            full = held / stated if stated else part_used(model, prompt, fact.occurred_at)
            label = self._admit(names.CONTEXT_UTILIZATION, "model", model)
            booking.observe(names.CONTEXT_UTILIZATION, (label,), full, leaves, fact)
        if fact.label is None or fact.flags & Flag.ABORTED:
            label = self._admit(names.TRUNCATED_MESSAGES, "model", model)
            booking.count(names.TRUNCATED_MESSAGES, (label,), 1, leaves)
        if fact.flags & Flag.TORN_SUM:
            booking.count(names.INVARIANT_MISMATCHES, ("token_sum",))
        if settled.quality:
            labels = self._admit(names.NONFINAL_TOKENS, "model", model), QUALITY_NAMES[settled.quality]
            booking.count(names.NONFINAL_TOKENS, labels, sum(token_kinds(fact)), leaves)

    def _tool_call(self, fact: Partial, settled: Settled, leaves: bool) -> None:
        booking, tool = self.booking, fact.name
        if tool is None:  # a result whose call was never seen
            return
        if not fact.flags & Flag.DIRECT:
            relayed = self._admit(names.TOOL_CALLS_RELAYED, "tool", tool)
            booking.count(names.TOOL_CALLS_RELAYED, (relayed,), 1, leaves)
            return
        outcome = TOOL_CALL, tool, settled.status, fact.context.project, leaves
        self._outcomes[outcome] = self._outcomes.get(outcome, 0) + 1
        if fact.attempts:
            booking.count(names.TOOL_RETRIES, (self._admit(names.TOOL_RETRIES, "tool", tool),), 1, leaves)
        if fact.label is not None:
            for pattern in fact.label.split("+"):
                labels = self._admit(names.DANGEROUS_CALLS, "pattern", pattern), STATUS_NAMES[settled.status]
                booking.count(names.DANGEROUS_CALLS, labels, 1, leaves)
        result = fact.result
        if result is None:
            return
        mode = fact.context.permission_mode
        decided = _decided(tool, settled.status, result.failure or None, fact.flags & _HUMAN, mode)
        if decided is not None:
            decision = tool, decided, leaves
            self._decisions[decision] = self._decisions.get(decision, 0) + 1
        if fact.occurred_at is not None and result.at >= 0:
            seconds = (result.at - fact.occurred_at) / 1_000
            booking.observe(
                names.TOOL_DURATION,
                (self._admit(names.TOOL_DURATION, "tool", tool), STATUS_NAMES[settled.status]),
                seconds,
                leaves,
                fact,
            )
        if result.failure:
            failed = (
                self._admit(names.TOOL_FAILURES, "tool", tool),
                self._admit(names.TOOL_FAILURES, "failure_class", result.failure),
            )
            booking.count(names.TOOL_FAILURES, failed, 1, leaves)


def clipped(
    before: tuple[int, int, int, int, int],
    now: tuple[int, int, int, int, int],
    limit: int | None = None,
) -> tuple[int, int, int, int, int]:
    """Growth by kind, together no more than `limit` (the growth of the sum, if None). With a limit given, what the
    kinds did not take goes to the first of them, so that the parts add up to the limit."""
    room = sum(now) - sum(before) if limit is None else limit
    parts = [0, 0, 0, 0, 0]
    for index in range(5):
        grown = min(now[index] - before[index], room)
        if grown > 0:
            parts[index] = grown
            room -= grown
    if limit is not None and room > 0:
        parts[0] += room
    return parts[0], parts[1], parts[2], parts[3], parts[4]
