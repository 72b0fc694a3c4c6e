"""Tasks at a moment: how many are known, how many of them are over, and how much of the work is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ccagent.facts.model import EventType, Flag, Status
from ccagent.store.connection import Connection

BY: Final = ("total", "project", "session")

_KEYS: Final = {"total": "0", "project": "c.project", "session": "c.session"}

LATEST: Final = (
    "SELECT {key} AS place, f.flags, f.status, ROW_NUMBER() OVER (PARTITION BY c.session, c.agent, f.stop"
    " ORDER BY f.occurred_at DESC, f.status DESC, f.key DESC) AS turn FROM fact f JOIN context c ON c.id = f.context"
    f" WHERE f.type = {int(EventType.TASK)} AND f.occurred_at <= ?"
)
"""The transitions up to a moment, the last of each task as number 1. A task is known by its session, the sub-agent that
keeps it, and its id; of two transitions in one millisecond the one that ends it is the later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCount:
    """Tasks of one group. `terminal`: all that are over; `dropped`: those of them that were cancelled or deleted."""

    key: str | None
    known: int
    terminal: int
    dropped: int

    @property
    def completion_pct(self) -> float | None:
        """Finished tasks ÷ tasks that were not dropped, in percent; None where there are none.

        A dropped task counts on neither side: nothing was finished, and nothing is left to be done.
        """
        wanted = self.known - self.dropped
        return 100 * (self.terminal - self.dropped) / wanted if wanted else None


def task_counts(conn: Connection, at_ms: int, *, by: str = "total") -> list[TaskCount]:
    """The state of all tasks at `at_ms` (ms UTC), by one of `BY`; ordered by key, groups without a name first.

    Raises ValueError for another `by`. Tasks whose facts have no time, or were removed by retention, are not known.
    """
    if by not in _KEYS:
        raise ValueError(f"tasks are counted by {', '.join(BY)}, not by {by!r}")
    terminal = f"COUNT(*) FILTER (WHERE (t.flags & {int(Flag.TERMINAL)}) <> 0)"
    dropped = f"COUNT(*) FILTER (WHERE t.status = {int(Status.INTERRUPTED)})"
    found = conn.execute(
        f"SELECT n.value, COUNT(*), {terminal}, {dropped} FROM ({LATEST.format(key=_KEYS[by])}) AS t"
        " LEFT JOIN name n ON n.id = t.place WHERE t.turn = 1 GROUP BY n.value",
        (at_ms,),
    )
    counts = [TaskCount(key=key, known=known, terminal=over, dropped=gone) for key, known, over, gone in found]
    return sorted(counts, key=lambda count: (count.key is not None, count.key or ""))
