"""When to try a destination again: back-off with full jitter, and a breaker after five failures in a row."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from random import uniform
from typing import Final

from ccagent.export.otlp.recent import Recent
from ccagent.export.otlp.verdict import Kind, Verdict

BREAKER_FAILURES: Final = 5
"""Failures in a row that open the circuit."""

COOLDOWNS_MS: Final = (60_000, 120_000, 240_000, 480_000, 600_000)
"""How long the circuit stays open: doubled with each failed trial, at most ten minutes."""

BACKOFF_MS: Final = 1_000
"""First ceiling of the jitter; doubled with each failure."""

BACKOFF_CAP_MS: Final = 60_000

BACKOFF_FLOOR_MS: Final = 100
"""Full jitter may come out as nothing, which would be a busy loop."""

CONFIG_BACKOFF_MS: Final = (30_000, 60_000, 120_000, 300_000)
"""After "address or credentials are wrong": somebody has to act, and need not wait more than five minutes for it."""

HINT_CAP_MS: Final = 3_600_000
"""A receiver's own wish is honoured up to an hour; beyond that it is more likely a mistake."""

HISTORY: Final = 3
"""Transitions that are kept for the status."""


class State(StrEnum):
    """How it stands with one destination and signal."""

    DISABLED = "disabled"
    ACTIVE = "active"
    DEGRADED = "degraded"
    CIRCUIT_OPEN = "circuit_open"
    HALF_OPEN = "half_open"


ALLOWED: Final[dict[State, frozenset[State]]] = {
    State.DISABLED: frozenset({State.ACTIVE, State.DEGRADED}),
    State.ACTIVE: frozenset({State.DEGRADED, State.CIRCUIT_OPEN, State.DISABLED}),
    State.DEGRADED: frozenset({State.ACTIVE, State.CIRCUIT_OPEN, State.DISABLED}),
    State.CIRCUIT_OPEN: frozenset({State.HALF_OPEN, State.DEGRADED, State.DISABLED}),
    State.HALF_OPEN: frozenset({State.ACTIVE, State.CIRCUIT_OPEN, State.DISABLED}),
}
"""Which state may follow which; anything else is a defect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One change of state, at `at_ms`, with the receiver's or network's reason."""

    at_ms: int
    before: State
    after: State
    reason: str


class Circuit:
    """Decides when the next request may go out. Times are wall-clock milliseconds, handed in.

    A wall clock that jumps ahead (sleep) makes the next try due at once; one that jumps back never lengthens a wait
    beyond what was decided. `history` holds the last transitions, `recent` the requests of the last hour and day.
    """

    def __init__(self, *, jitter: Callable[[float, float], float] = uniform) -> None:
        self.state = State.ACTIVE
        self.failures = 0
        self.problem = ""
        self.history: deque[Transition] = deque(maxlen=HISTORY)
        self.recent = Recent()
        self._jitter = jitter
        self._cooldowns = 0
        self._until = 0
        self._wait = 0
        self._now = 0

    def wait_ms(self, now_ms: int) -> int:
        """Milliseconds until the next request may go out, 0 when it may now."""
        self._now = now_ms
        if self.state is State.DISABLED:
            return HINT_CAP_MS
        if self._until - now_ms > self._wait:
            self._until = now_ms + self._wait
        return max(0, self._until - now_ms)

    def ready(self, now_ms: int) -> bool:
        """Whether a request may go out; an open circuit whose time is up becomes half-open for one trial."""
        if self.wait_ms(now_ms) > 0:
            return False
        if self.state is State.CIRCUIT_OPEN:
            self._move(State.HALF_OPEN, now_ms, "cool-down over, one trial")
        return True

    def succeeded(self, now_ms: int, *, taken: bool = True) -> None:
        """The receiver answered usefully: everything is reset. Not `taken`: it works, but refused this request."""
        self.recent.count("succeeded" if taken else "failed", now_ms)
        self.failures = self._cooldowns = self._until = self._wait = 0
        self.problem = ""
        self._move(State.ACTIVE, now_ms, "the receiver answers")

    def failed(self, now_ms: int, verdict: Verdict) -> None:
        """The request did not get through: wait, and open the circuit when that keeps happening."""
        self.failures += 1
        self.recent.count("failed", now_ms)
        self.problem = verdict.message
        hint = min(HINT_CAP_MS, int((verdict.delay_seconds or 0.0) * 1_000))
        trial_failed = self.state is State.HALF_OPEN
        if verdict.kind is Kind.CONFIG:
            wait = CONFIG_BACKOFF_MS[min(self.failures, len(CONFIG_BACKOFF_MS)) - 1]
            after = State.CIRCUIT_OPEN if trial_failed else State.DEGRADED
        elif trial_failed or self.failures >= BREAKER_FAILURES:
            wait = COOLDOWNS_MS[min(self._cooldowns, len(COOLDOWNS_MS) - 1)]
            self._cooldowns += 1
            after = State.CIRCUIT_OPEN
        else:
            ceiling = min(BACKOFF_CAP_MS, BACKOFF_MS << (self.failures - 1))
            wait = max(BACKOFF_FLOOR_MS, int(self._jitter(0, ceiling)))
            after = State.DEGRADED
        self._wait = max(wait, hint)
        self._until = now_ms + self._wait
        self._move(after, now_ms, verdict.message)

    def dropped(self, items: int) -> None:
        """`items` that should have arrived never will; called in the step that last asked `wait_ms`."""
        self.recent.count("dropped", self._now, items)

    def disable(self, now_ms: int, reason: str) -> None:
        """Send nothing until the next start."""
        self.problem = reason
        self._move(State.DISABLED, now_ms, reason)

    def _move(self, after: State, now_ms: int, reason: str) -> None:
        if after is self.state:
            return
        if after not in ALLOWED[self.state]:
            raise ValueError(f"no way from {self.state} to {after}")
        self.history.append(Transition(at_ms=now_ms, before=self.state, after=after, reason=reason))
        self.state = after
