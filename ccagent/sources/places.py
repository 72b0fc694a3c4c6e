"""What rules that every source shares write facts with: the current line, and the place that it stands in."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from ccagent.facts.batch import Batch
from ccagent.facts.model import Context
from ccagent.facts.partial import NO_TIME, Partial, Result


class Remembered(Protocol):
    """What a file remembers from line to line, as far as shared rules need it."""

    @property
    def project(self) -> str | None:
        """The project of the file's session."""

    @property
    def pulls(self) -> dict[str, str]:
        """Pull requests that it has named: number or branch → URL."""


class Held(Protocol):
    """The current line of a file, and the batch that it is derived into. `at` in ms UTC, NO_TIME for none."""

    @property
    def batch(self) -> Batch:
        """Where facts go."""

    @property
    def file(self) -> int:
        """The caller's number of the chunk."""

    @property
    def offset(self) -> int:
        """Where the line begins."""

    @property
    def length(self) -> int:
        """Bytes of the line."""

    @property
    def at(self) -> int:
        """When it was written."""

    @property
    def carry(self) -> Remembered:
        """What the file remembers."""


class Place(NamedTuple):
    """Where the line stands that says it; `id` names the call, or the line."""

    context: Context
    rank: int
    turn: str | None
    id: str


def time_of(held: Held) -> int | None:
    """The line's time; None without one."""
    return None if held.at == NO_TIME else held.at


def conclude(fact: Partial, result: Result) -> None:
    """The fact's result, if it is larger than what is known."""
    if fact.result is None or result > fact.result:
        fact.result = result
