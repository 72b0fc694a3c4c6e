"""Which totals of the compatible set a change of a fact moves, by the rules of the ledger that it stands beside.

What counts, and when, is what counts there, so that each sum equals ccagent's own. Facts of other clients than Claude
Code are none of this set's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import orjson

from ccagent.facts.decisions import decision_of
from ccagent.facts.lineage import FRESH, kind_of
from ccagent.facts.model import Context, EventType, Flag, Rank
from ccagent.facts.partial import Partial
from ccagent.facts.rework import STALL_MS
from ccagent.facts.settle import Settled
from ccagent.metrics import compat
from ccagent.metrics.booked import Booking
from ccagent.metrics.labels import EMPTY, Budget
from ccagent.metrics.ledger import clipped, token_kinds
from ccagent.metrics.occurrences import TYPED, has_address, sure_commit, worked

LLM_REQUEST: Final = int(EventType.LLM_REQUEST)
TOOL_CALL: Final = int(EventType.TOOL_CALL)
FILE_UPDATE: Final = int(EventType.FILE_UPDATE)

Growth = tuple[int, int, int, int, int]
TextOf = Callable[[str], str | None]
"""What is known of the tool call with this id, None where nothing is."""


class CompatLedger:
    """Books the compatible set beside the ledger, into the same booking and with the same budgets of labels.

    What one fact of an edit does not say itself is asked for in `post`, once for each edit, when all facts of the
    batch are written: `model_of` the model that made a call, `extra_of` the metadata of the file's change that it led to.
    """

    def __init__(self, booking: Booking, budget: Budget, model_of: TextOf, extra_of: TextOf) -> None:
        self.booking = booking
        self._admit = budget.admit
        self._model_of = model_of
        self._extra_of = extra_of
        self._lines: list[tuple[str, str, int, bool]] = []
        self._decisions: list[tuple[str, tuple[str, str], str, bool]] = []

    def clear(self) -> None:
        """Forget what was not posted, after a rollback."""
        self._lines.clear()
        self._decisions.clear()

    def change(
        self,
        old: tuple[Partial, Settled, int] | None,
        fact: Partial,
        settled: Settled,
        closing: bool,
        leaves: bool,
        booked: int,
    ) -> None:
        """Book what `fact` is more than `old` (its row before, with what was booked of its cost); `closing` when it
        closes with this change. `booked`: what is booked of its cost by now, micro-dollars."""
        if not of_claude_code(fact.context):
            return
        kind, before = fact.type, None if old is None else old[0]
        if kind == LLM_REQUEST:
            then = None if before is None else token_kinds(before)
            now = token_kinds(fact)
            growth = now if then is None else clipped(then, now)
            self._usage(fact, growth, booked - (0 if old is None else old[2]), leaves)
        elif kind == TOOL_CALL:
            if closing:
                self._decision(fact, settled, leaves)
        elif kind == FILE_UPDATE:
            self._file_update(before, fact, leaves)
        elif kind == EventType.SESSION:
            if closing:
                start = "fresh" if kind_of(fact.label) == FRESH else "resume"
                self.booking.count(compat.SESSION_COUNT, (start,), 1, leaves)
        elif kind == EventType.COMMIT:
            if sure_commit(fact) and not (before is not None and sure_commit(before)):
                self.booking.count(compat.COMMIT_COUNT, (), 1, leaves)
        elif kind == EventType.PULL_REQUEST:
            if before is None and has_address(fact):
                self.booking.count(compat.PULL_REQUEST_COUNT, (), 1, leaves)
        elif closing:
            self._active(fact, leaves)

    def worked(self, turn: Partial, milliseconds: int, leaves: bool) -> None:
        """The agent worked so long in one of the long turns, as the store has measured."""
        if of_claude_code(turn.context):
            self.booking.count(compat.ACTIVE_TIME, ("cli",), milliseconds, leaves)

    def post(self) -> None:
        """Give the lines their model and the decisions their language, and put them into the booking."""
        for kind, native, amount, leaves in self._lines:
            model = self._admit(compat.LINES_OF_CODE, "model", self._model_of(native) or EMPTY)
            self.booking.count(compat.LINES_OF_CODE, (kind, model), amount, leaves)
        for tool, decided, native, leaves in self._decisions:
            labels = (tool, *decided, compat.language_of(path_in(self._extra_of(native))))
            self.booking.count(compat.EDIT_DECISION, labels, 1, leaves)
        self.clear()

    def _usage(self, fact: Partial, growth: Growth, cost: int, leaves: bool) -> None:
        source, model = query_source(fact.context), fact.name or ""
        amounts = (growth[0], growth[1], growth[2], growth[3] + growth[4])
        for kind, amount in zip(compat.TOKEN_TYPES, amounts, strict=True):
            if amount:
                labels = kind, self._admit(compat.TOKEN_USAGE, "model", model), source
                self.booking.count(compat.TOKEN_USAGE, labels, amount, leaves)
        if cost:
            priced = self._admit(compat.COST_USAGE, "model", model), source
            self.booking.count(compat.COST_USAGE, priced, cost, leaves)

    def _file_update(self, before: Partial | None, fact: Partial, leaves: bool) -> None:
        new, old = fact.result, before.result if before is not None else None
        if new is None:
            return
        for kind, now, then in (
            ("added", new.added, 0 if old is None else old.added),
            ("removed", new.removed, 0 if old is None else old.removed),
        ):
            growth = max(now, 0) - max(then, 0)
            if growth > 0:
                self._lines.append((kind, fact.native, growth, leaves))

    def _decision(self, fact: Partial, settled: Settled, leaves: bool) -> None:
        if fact.name not in compat.EDIT_TOOLS or not fact.flags & Flag.DIRECT:
            return
        failure = None if fact.result is None else fact.result.failure
        decided = decision_of(fact.name, settled.status, failure, fact.flags, fact.context.permission_mode)
        if decided is not None:
            self._decisions.append((fact.name, decided, fact.native, leaves))

    def _active(self, fact: Partial, leaves: bool) -> None:
        if fact.type == EventType.TURN:
            span = worked(fact)
            if span is not None and span[1] - span[0] <= STALL_MS:  # longer ones are measured by the store
                self.booking.count(compat.ACTIVE_TIME, ("cli",), span[1] - span[0], leaves)
        elif fact.type == EventType.PROMPT and fact.pause_ms and fact.label in TYPED:
            self.booking.count(compat.ACTIVE_TIME, ("user",), fact.pause_ms, leaves)


@lru_cache(maxsize=2_048)
def query_source(context: Context) -> str:
    """Who asked: main, subagent, or auxiliary for what the client started for itself."""
    return compat.query_source(context.agent, side=context.rank != Rank.MAIN)


@lru_cache(maxsize=2_048)
def of_claude_code(context: Context) -> bool:
    """Whether the transcript is one of Claude Code's."""
    return compat.of_claude_code(context.provider, context.entrypoint)


def path_in(extra: str | None) -> str | None:
    """The path in a fact's metadata, None without one."""
    if extra is None or '"path"' not in extra:
        return None
    try:
        path = orjson.loads(extra).get("path")
    except (orjson.JSONDecodeError, AttributeError):
        return None
    return path if isinstance(path, str) else None
