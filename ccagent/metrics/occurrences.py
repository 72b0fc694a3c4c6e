"""What single facts other than requests and tool calls book: one method a kind, found by a table.

A kind whose fact is written by one line closes with it; turns and sessions close when nothing more is expected of them.
What no single fact tells (the active time of a session, its tree, its links, the time behind a delivery) is noted here
for the store, which measures it when the transaction is written and books it then: each subject closes once, in one
transaction, so it is booked once whatever was read before or after.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from ccagent.facts.lineage import kind_of
from ccagent.facts.model import STATUS_NAMES, EventType, Flag
from ccagent.facts.partial import Partial
from ccagent.facts.prompts import PromptKind
from ccagent.facts.rework import STALL_MS
from ccagent.facts.settle import Settled
from ccagent.facts.tasks import state_of
from ccagent.metrics import names
from ccagent.metrics.booked import Booking
from ccagent.metrics.catalogue import UNKNOWN_TYPES
from ccagent.metrics.happenings import MILLI
from ccagent.metrics.labels import project_label

PERCENT_SURE: Final = 95
"""A commit of less is a hash that was only seen: `attempts` of commits is their confidence in percent."""

TYPED: Final = frozenset((PromptKind.HUMAN.value, PromptKind.COMMAND.value, PromptKind.SHELL.value))
"""Prompts that a person gave: the pause before them was theirs."""

_DELIVERED: Final = {int(EventType.COMMIT): "commit", int(EventType.PULL_REQUEST): "pull_request"}

Admit = Callable[[str, str, str], str]
"""Metric, label, value → the value to book it under."""

Kind = Callable[[Partial | None, Partial, Settled, bool, bool], None]
"""Row before, fact, what follows from it, whether it closes with this change, whether it may leave the machine."""

Noted = list[tuple[Partial, bool]]
"""Facts that closed, and whether what they tell may leave the machine."""


class Occurrences:
    """Books facts of these kinds into a `Booking`; those that have to be measured wait in lists.

    `ended`: sessions. `long`: turns in which there may be time that does not count as active. `delivered`: commits and pull requests.
    """

    def __init__(self, booking: Booking, admit: Admit) -> None:
        self.booking = booking
        self._admit = admit
        self.ended: Noted = []
        self.long: Noted = []
        self.delivered: Noted = []
        self._kinds: dict[int, Kind] = {
            EventType.SESSION: self._session,
            EventType.TURN: self._turn,
            EventType.PROMPT: self._prompt,
            EventType.FILE_UPDATE: self._file_update,
            EventType.SUBAGENT_RUN: self._subagent_run,
            EventType.COMPACTION: self._compaction,
            EventType.API_ERROR: self._api_error,
            EventType.UNKNOWN: self._unknown,
            EventType.SKILL: self._skill,
            EventType.HOOK: self._hook,
            EventType.MICROCOMPACTION: self._microcompaction,
            EventType.TASK: self._task,
            EventType.QUALITY: self._quality,
            EventType.COMMIT: self._commit,
            EventType.PULL_REQUEST: self._pull_request,
        }

    def clear(self) -> None:
        """Forget what waits."""
        self.ended.clear()
        self.long.clear()
        self.delivered.clear()

    def change(self, before: Partial | None, fact: Partial, settled: Settled, closing: bool, leaves: bool) -> None:
        """Book what `fact` is more than `before`, its row until now."""
        book = self._kinds.get(fact.type)
        if book is not None:
            book(before, fact, settled, closing, leaves)

    # ---- sessions and turns ----------------------------------------------------------------------------------------

    def _session(self, before: Partial | None, fact: Partial, settled: Settled, closing: bool, leaves: bool) -> None:
        """How a session began is known when it ends: the records that tell it may come late. One that closed as fresh
        and is resumed afterwards stays what it was."""
        if closing:
            labels = self._admit(names.SESSIONS, "type", kind_of(fact.label)), self._project(names.SESSIONS, fact)
            self.booking.count(names.SESSIONS, labels, 1, leaves)
            self.ended.append((fact, leaves))

    def _turn(self, before: Partial | None, fact: Partial, settled: Settled, closing: bool, leaves: bool) -> None:
        if not closing:
            return
        booking, status = self.booking, STATUS_NAMES[settled.status]
        booking.count(names.TURNS, (status, self._project(names.TURNS, fact)), 1, leaves)
        milliseconds = fact.reported_ms
        if milliseconds is None and fact.occurred_at is not None and fact.ended_at is not None:
            milliseconds = fact.ended_at - fact.occurred_at
        if milliseconds is not None:
            booking.observe(names.TURN_DURATION, (status,), milliseconds / MILLI, leaves, fact)
        if fact.attempts is not None:
            booking.observe(names.TURN_TOOL_CALLS, (), fact.attempts, leaves, fact)
        mode = self._admit(names.PERMISSION_MODE_TURNS, "permission_mode", fact.context.permission_mode or "other")
        booking.count(names.PERMISSION_MODE_TURNS, (mode,), 1, leaves)
        if fact.flags & Flag.LOOP:
            booking.count(names.STALLS, ("loop",), 1, leaves)
        if fact.flags & Flag.STALL:
            booking.count(names.STALLS, ("stall",), 1, leaves)
        span = worked(fact)
        if span is not None:
            if span[1] - span[0] > STALL_MS:
                self.long.append((fact, leaves))
            else:  # too short for a gap that would not count
                booking.count(names.ACTIVE, ("cli",), span[1] - span[0], leaves)

    def _prompt(self, before: Partial | None, fact: Partial, settled: Settled, closing: bool, leaves: bool) -> None:
        if not closing:
            return
        booking = self.booking
        kind = self._admit(names.PROMPTS, "type", fact.label or "other")
        booking.count(names.PROMPTS, (kind, self._project(names.PROMPTS, fact)), 1, leaves)
        if fact.label == PromptKind.HUMAN and fact.size is not None:
            booking.observe(names.PROMPT_LENGTH, (), fact.size, leaves, fact)
        if fact.pause_ms and fact.label in TYPED:
            booking.count(names.ACTIVE, ("user",), fact.pause_ms, leaves)

    def _subagent_run(
        self, before: Partial | None, fact: Partial, settled: Settled, closing: bool, leaves: bool
    ) -> None:
        if closing:
            kind = self._admit(names.AGENT_INVOCATIONS, "agent_type", fact.label or "")
            self.booking.count(names.AGENT_INVOCATIONS, (kind,), 1, leaves)

    def _compaction(self, before: Partial | None, fact: Partial, settled: Settled, closing: bool, leaves: bool) -> None:
        if closing:
            trigger = self._admit(names.COMPACTIONS, "type", fact.name or "inferred")
            self.booking.count(names.COMPACTIONS, (trigger,), 1, leaves)

    def _microcompaction(
        self, before: Partial | None, fact: Partial, settled: Settled, closing: bool, leaves: bool
    ) -> None:
        if closing:
            self.booking.count(names.MICROCOMPACTIONS, (), 1, leaves)

    def _api_error(self, before: Partial | None, fact: Partial, settled: Settled, closing: bool, leaves: bool) -> None:
        failure = self._admit(names.ERRORS, "failure_class", fact.failure or "unknown")
        if closing:
            self.booking.count(names.ERRORS, (failure,), 1, leaves)
        growth = (fact.attempts or 0) - ((before.attempts or 0) if before is not None else 0)
        if growth > 0:
            self.booking.count(names.REQUEST_RETRIES, (failure,), growth, leaves)

    def _unknown(self, before: Partial | None, fact: Partial, settled: Settled, closing: bool, leaves: bool) -> None:
        # an unknown record has a fact of its own; one with a label tells of something new in a session
        kind = fact.label or "record"
        if closing and fact.label != "record" and kind in UNKNOWN_TYPES:
            self.booking.count(names.PARSER_UNKNOWN, (kind,), 1, True)

    # ---- tools -----------------------------------------------------------------------------------------------------

    def _file_update(
        self, before: Partial | None, fact: Partial, settled: Settled, closing: bool, leaves: bool
    ) -> None:
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

    def _skill(self, before: Partial | None, fact: Partial, settled: Settled, closing: bool, leaves: bool) -> None:
        if closing and fact.name is not None:
            skill = self._admit(names.SKILL_ACTIVATIONS, "skill", fact.name)
            self.booking.count(names.SKILL_ACTIVATIONS, (skill,), 1, leaves)

    def _hook(self, before: Partial | None, fact: Partial, settled: Settled, closing: bool, leaves: bool) -> None:
        result = fact.result
        if closing and result is not None and result.reported_ms >= 0:
            event = self._admit(names.HOOK_DURATION, "type", fact.name or "other")
            labels = event, STATUS_NAMES[settled.status]
            self.booking.observe(names.HOOK_DURATION, labels, result.reported_ms / MILLI, leaves, fact)

    # ---- what came of it -------------------------------------------------------------------------------------------

    def _task(self, before: Partial | None, fact: Partial, settled: Settled, closing: bool, leaves: bool) -> None:
        state = state_of(fact.name or "")
        if closing and state is not None and state.finished:
            labels = state.value, self._project(names.TASKS_COMPLETED, fact)
            self.booking.count(names.TASKS_COMPLETED, labels, 1, leaves)

    def _quality(self, before: Partial | None, fact: Partial, settled: Settled, closing: bool, leaves: bool) -> None:
        if closing:
            kind = self._admit(names.QUALITY_RUNS, "type", fact.label or "")
            self.booking.count(names.QUALITY_RUNS, (kind, STATUS_NAMES[settled.status]), 1, leaves)

    def _commit(self, before: Partial | None, fact: Partial, settled: Settled, closing: bool, leaves: bool) -> None:
        """A commit counts as soon as it is sure: confidence only grows, so that happens once."""
        if sure_commit(fact) and not (before is not None and sure_commit(before)):
            self.booking.count(names.COMMITS, (self._project(names.COMMITS, fact),), 1, leaves)
        if closing:
            self.delivered.append((fact, leaves))

    def _pull_request(
        self, before: Partial | None, fact: Partial, settled: Settled, closing: bool, leaves: bool
    ) -> None:
        if before is None and has_address(fact):
            self.booking.count(names.PULL_REQUESTS, (self._project(names.PULL_REQUESTS, fact),), 1, leaves)
        if closing:
            self.delivered.append((fact, leaves))

    # ---- what the store has measured -------------------------------------------------------------------------------

    def worked(self, milliseconds: int, leaves: bool) -> None:
        """The agent worked so long in one of the long turns."""
        self.booking.count(names.ACTIVE, ("cli",), milliseconds, leaves)

    def session_ended(
        self, fact: Partial, leaves: bool, active_ms: int, fanout: int, depth: int, links: Iterable[tuple[str, float]]
    ) -> None:
        """A session closed: its active time, sub-agents, their levels, and its links (type, confidence from 0 to 1)."""
        booking = self.booking
        project = self._project(names.SESSION_DURATION, fact)
        booking.observe(names.SESSION_DURATION, (project,), active_ms / MILLI, leaves)
        booking.observe(names.SESSION_FANOUT, (), fanout, leaves)
        booking.observe(names.SESSION_DEPTH, (), depth, leaves)
        for kind, confidence in links:
            booking.observe(names.LINK_CONFIDENCE, (kind,), confidence, leaves)

    def took(self, fact: Partial, milliseconds: int, leaves: bool) -> None:
        """The work behind a delivery took so long."""
        self.booking.observe(names.DELIVERY, (_DELIVERED[fact.type],), milliseconds / MILLI, leaves)

    def _project(self, metric: str, fact: Partial) -> str:
        return self._admit(metric, "project", project_label(fact.context.project))


def worked(turn: Partial) -> tuple[int, int] | None:
    """First and last moment (ms UTC) at which the agent worked for a turn: its prompt, and its last reply or failure.

    What is written later (a title, a hook at the next start of the client) is no work. None where nothing was answered.
    """
    last = max(turn.result_at or 0, turn.error_at or 0)
    if turn.occurred_at is None or last <= turn.occurred_at:
        return None
    return turn.occurred_at, last


def sure_commit(fact: Partial) -> bool:
    """Whether the hash is known and the client, or git itself, said that the commit was made."""
    return fact.attempts is not None and fact.attempts >= PERCENT_SURE


def has_address(fact: Partial) -> bool:
    """Whether a pull request is known by its URL, not by its number alone."""
    return not fact.native.startswith("#")
