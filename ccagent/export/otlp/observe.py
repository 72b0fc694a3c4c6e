"""What the senders tell of themselves: booked as metrics and shown in `status` by whoever listens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol

from ccagent.export.otlp.circuit import State
from ccagent.export.otlp.sender import Signal
from ccagent.export.otlp.verdict import Kind, Verdict

ExportStatus = Literal["ok", "partial", "retry", "too_large", "config", "poison"]
DropReason = Literal["tier", "history", "rejected", "too_large", "poison", "expired", "self", "other"]

NEVER_MEANT: Final[frozenset[DropReason]] = frozenset({"tier", "history"})
"""Reasons that are no loss: such items were never to leave."""


class Observe(Protocol):
    """Takes every event of an export, by destination and signal."""

    def exported(self, destination: str, signal: Signal, status: ExportStatus) -> None:
        """One request was answered, or was not."""

    def dropped(self, destination: str, signal: Signal, reason: DropReason, items: int) -> None:
        """`items` (spans, records, points; facts that were not built) will never be at the destination."""

    def duration(self, destination: str, signal: Signal, seconds: float) -> None:
        """How long one request took, answer included."""

    def state(self, destination: str, signal: Signal, state: State) -> None:
        """The state after a step; called at every step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one tick did: `sent` items were taken by the receiver, the next tick is of use after `wait_ms`."""

    outcome: Literal["idle", "sent", "skipped", "waiting", "failed", "narrowed", "buried"]
    sent: int = 0
    wait_ms: int = 0


def export_status(verdict: Verdict) -> ExportStatus:
    """How a request is booked: by its verdict, a success with rejected items as `partial`."""
    match verdict.kind:
        case Kind.ADVANCE:
            return "partial" if verdict.rejected else "ok"
        case Kind.RETRY:
            return "retry"
        case Kind.TOO_LARGE:
            return "too_large"
        case Kind.CONFIG:
            return "config"
        case _:
            return "poison"
