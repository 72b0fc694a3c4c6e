"""Both sides beside each other: for each session what Claude Code's own telemetry has caught of the transcripts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ccagent.reconcile.sides import KINDS, NO_TOKENS, Side


@dataclass(slots=True)
class Tallied:
    """Counts of one session, or of all."""

    both: int = 0
    transcript_only: int = 0
    native_only: int = 0
    differing: int = 0
    """Requests seen by both whose tokens differ."""
    tools_both: int = 0
    tools_transcript_only: int = 0
    tools_native_only: int = 0
    transcript: list[int] = field(default_factory=lambda: list(NO_TOKENS))
    native: list[int] = field(default_factory=lambda: list(NO_TOKENS))
    transcript_cost: int = 0
    native_cost: int = 0

    def add(self, other: Tallied) -> None:
        """Add another's counts."""
        for name in ("both", "transcript_only", "native_only", "differing", "tools_both", "tools_transcript_only",
                     "tools_native_only", "transcript_cost", "native_cost"):  # fmt: skip
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for place in range(len(KINDS)):
            self.transcript[place] += other.transcript[place]
            self.native[place] += other.native[place]

    def document(self) -> dict[str, Any]:
        """As docs/json.md has it."""
        shown = self.both + self.transcript_only
        return {
            "requests": {
                "both": self.both, "transcript_only": self.transcript_only, "native_only": self.native_only,
                "differing": self.differing,
            },
            "caught": None if not shown else self.both / shown,
            "tokens": {
                "transcript": dict(zip(KINDS, self.transcript, strict=True)),
                "native": dict(zip(KINDS, self.native, strict=True)),
            },
            "cost_microusd": {"transcript": self.transcript_cost, "native": self.native_cost},
            "tools": {
                "both": self.tools_both, "transcript_only": self.tools_transcript_only,
                "native_only": self.tools_native_only,
            },
        }  # fmt: skip


def compare(transcript: Side, native: Side) -> tuple[dict[str, Tallied], Tallied]:
    """Counts by session, the busiest first, and of all. The session of what both know is the transcript's."""
    sessions: dict[str, Tallied] = {}

    def of(*named: str | None) -> Tallied:
        return sessions.setdefault(next((name for name in named if name), ""), Tallied())

    for id, request in transcript.requests.items():
        known = native.requests.get(id)
        tallied = of(request.session, known.session if known is not None else None)
        for place, amount in enumerate(request.tokens):
            tallied.transcript[place] += amount
        tallied.transcript_cost += request.cost or 0
        if known is None:
            tallied.transcript_only += 1
            continue
        tallied.both += 1
        tallied.differing += known.tokens != request.tokens
        for place, amount in enumerate(known.tokens):
            tallied.native[place] += amount
        tallied.native_cost += known.cost or 0
    for id, request in native.requests.items():
        if id not in transcript.requests:
            tallied = of(request.session)
            tallied.native_only += 1
            for place, amount in enumerate(request.tokens):
                tallied.native[place] += amount
            tallied.native_cost += request.cost or 0
    for id, tool in transcript.tools.items():
        seen = native.tools.get(id)
        tallied = of(tool.session, seen.session if seen is not None else None)
        if seen is None:
            tallied.tools_transcript_only += 1
        else:
            tallied.tools_both += 1
    for id, tool in native.tools.items():
        if id not in transcript.tools:
            of(tool.session).tools_native_only += 1
    total = Tallied()
    for tallied in sessions.values():
        total.add(tallied)
    ordered = sorted(sessions.items(), key=lambda item: (-(item[1].both + item[1].transcript_only), item[0]))
    return dict(ordered), total
