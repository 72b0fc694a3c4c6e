"""Which totals a change of a fact moves. A total never falls.

Quantities (tokens, cost, lines, retries) are booked as the growth of the fact, under its labels of that moment;
outcomes (status, quality, failures, histograms) once, when the fact closes. One booking never exceeds the growth of
the fact's sum, so over all labels the totals equal the facts at any time. What moves from one label to another later
moves no total; it is counted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from ccagent.facts.model import QUALITY_NAMES, STATUS_NAMES, EventType, Flag
from ccagent.facts.naming import mcp_parts, provider_of
from ccagent.facts.partial import Partial
from ccagent.facts.pricing import KINDS
from ccagent.facts.settle import Settled
from ccagent.metrics import names
from ccagent.metrics.booked import Booking
from ccagent.metrics.catalogue import UNKNOWN_PROVIDER, UNKNOWN_TYPES
from ccagent.metrics.labels import Budget

LLM_REQUEST: Final = int(EventType.LLM_REQUEST)
TOOL_CALL: Final = int(EventType.TOOL_CALL)
FILE_UPDATE: Final = int(EventType.FILE_UPDATE)

Exportable = Callable[[str | None], bool]
"""Whether what happened in that cwd may leave the machine."""


@lru_cache(maxsize=2_048)
def project_label(project: str | None) -> str:
    """The last folder of a project's path; never the path."""
    return (project or "").replace("\\", "/").rstrip("/").rpartition("/")[2] or "unknown"


def token_kinds(fact: Partial) -> tuple[int, int, int, int, int]:
    """Tokens in the order of pricing.KINDS; writes with no split count as 5m."""
    hour = min(fact.token_cache_write_1h, fact.token_cache_write)
    return fact.token_input, fact.token_output, fact.token_cache_read, fact.token_cache_write - hour, hour


class Ledger:
    """Books changes of facts into a `Booking`, under label values that the `Budget` admits.

    Amounts are first summed by the facts' own attributes; `post` gives them their labels, once a transaction.
    """

    def __init__(self, booking: Booking, budget: Budget, exportable: Exportable) -> None:
        self.booking = booking
        self._admit = budget.admit
        self.leaves = exportable
        """May be replaced while the daemon runs, when its destinations change."""
        self._usage_sums: dict[tuple[str, str | None, bool], list[int]] = {}
        self._outcomes: dict[tuple[int, str, int, str | None, bool], int] = {}
        self._stops: dict[tuple[str, bool], int] = {}

    def clear(self) -> None:
        """Forget what was not posted, after a rollback."""
        self._usage_sums.clear()
        self._outcomes.clear()
        self._stops.clear()

    def change(self, old: tuple[Partial, Settled, int] | None, fact: Partial, settled: Settled, closing: bool) -> int:
        """Book what `fact` is more than `old` (its row before, with what was booked of its cost); `closing` when it
        closes with this change. The cost booked so far, micro-dollars."""
        leaves = self.leaves(fact.context.cwd)
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
        elif kind == FILE_UPDATE:
            self._file_update(before, fact, leaves)
        elif kind == EventType.SESSION:
            if before is None:
                self.booking.count(names.SESSIONS, ("fresh", self._project(names.SESSIONS, fact)), 1, leaves)
        elif kind == EventType.TURN:
            if closing:
                self._turn(fact, settled, leaves)
        elif kind == EventType.API_ERROR:
            self._api_error(before, fact, closing, leaves)
        elif closing:
            self._written(fact, leaves)
        return booked

    def post(self) -> None:
        """Give the sums their labels and put them into the booking."""
        booking, admit = self.booking, self._admit
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
        self.clear()

    def _project(self, metric: str, fact: Partial) -> str:
        return self._admit(metric, "project", project_label(fact.context.project))

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
            booking.observe(names.REQUEST_DURATION, (label,), (fact.ended_at - began) / 1_000, leaves)
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
        result = fact.result
        if result is None:
            return
        if fact.occurred_at is not None and result.at >= 0:
            seconds = (result.at - fact.occurred_at) / 1_000
            booking.observe(
                names.TOOL_DURATION,
                (self._admit(names.TOOL_DURATION, "tool", tool), STATUS_NAMES[settled.status]),
                seconds,
                leaves,
            )
        if result.failure:
            failed = (
                self._admit(names.TOOL_FAILURES, "tool", tool),
                self._admit(names.TOOL_FAILURES, "failure_class", result.failure),
            )
            booking.count(names.TOOL_FAILURES, failed, 1, leaves)

    def _file_update(self, before: Partial | None, fact: Partial, leaves: bool) -> None:
        booking = self.booking
        # one that is inferred is a deletion by a shell command, which no tool wrote
        if before is None and not fact.flags & Flag.INFERRED:
            booking.count(names.FILE_WRITES, (self._admit(names.FILE_WRITES, "tool", fact.name or ""),), 1, leaves)
        old = before.result if before is not None else None
        new = fact.result
        if new is None:
            return
        for kind, now, then in (
            ("added", new.added, old.added if old is not None else 0),
            ("removed", new.removed, old.removed if old is not None else 0),
        ):
            growth = max(now, 0) - max(then, 0)
            if growth > 0:
                booking.count(names.LINES_CHANGED, (kind, self._project(names.LINES_CHANGED, fact)), growth, leaves)

    def _turn(self, fact: Partial, settled: Settled, leaves: bool) -> None:
        status = STATUS_NAMES[settled.status]
        self.booking.count(names.TURNS, (status, self._project(names.TURNS, fact)), 1, leaves)
        milliseconds = fact.reported_ms
        if milliseconds is None and fact.occurred_at is not None and fact.ended_at is not None:
            milliseconds = fact.ended_at - fact.occurred_at
        if milliseconds is not None:
            self.booking.observe(names.TURN_DURATION, (status,), milliseconds / 1_000, leaves)

    def _api_error(self, before: Partial | None, fact: Partial, closing: bool, leaves: bool) -> None:
        failure = self._admit(names.ERRORS, "failure_class", fact.failure or "unknown")
        if closing:
            self.booking.count(names.ERRORS, (failure,), 1, leaves)
        growth = (fact.attempts or 0) - ((before.attempts or 0) if before is not None else 0)
        if growth > 0:
            self.booking.count(names.REQUEST_RETRIES, (failure,), growth, leaves)

    def _written(self, fact: Partial, leaves: bool) -> None:
        booking = self.booking
        if fact.type == EventType.PROMPT:
            kind = self._admit(names.PROMPTS, "type", fact.label or "other")
            booking.count(names.PROMPTS, (kind, self._project(names.PROMPTS, fact)), 1, leaves)
            if fact.label == "human" and fact.size is not None:
                booking.observe(names.PROMPT_LENGTH, (), fact.size, leaves)
        elif fact.type == EventType.COMPACTION:
            trigger = self._admit(names.COMPACTIONS, "type", fact.name or "inferred")
            booking.count(names.COMPACTIONS, (trigger,), 1, leaves)
        elif fact.type == EventType.SUBAGENT_RUN:
            kind = self._admit(names.AGENT_INVOCATIONS, "agent_type", fact.label or "")
            booking.count(names.AGENT_INVOCATIONS, (kind,), 1, leaves)
        elif fact.type == EventType.UNKNOWN:
            # an unknown record has a fact of its own; one with a label tells of something new in a session
            kind = fact.label or "record"
            if fact.label != "record" and kind in UNKNOWN_TYPES:
                booking.count(names.PARSER_UNKNOWN, (kind,), 1, True)


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
