"""The facts of one session, read once, for all that is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from ccagent.facts.model import EventType, Flag, Status
from ccagent.store.connection import Connection

KINDS: Final = (
    EventType.SESSION, EventType.TURN, EventType.PROMPT, EventType.LLM_REQUEST, EventType.TOOL_CALL,
    EventType.FILE_UPDATE, EventType.SUBAGENT_RUN, EventType.COMPACTION, EventType.API_ERROR, EventType.TASK,
    EventType.COMMIT, EventType.PUSH, EventType.PULL_REQUEST, EventType.QUALITY,
)  # fmt: skip
"""What a session is told by; the rest happens beside it."""


class SessionFact(NamedTuple):
    """One fact, as the tables hold it, names as texts. Times are ms UTC; `turn` is a sub-agent's too, by its link."""

    key: bytes
    type: int
    native: str
    turn: str | None
    agent: str | None
    name: str | None
    label: str | None
    occurred_at: int | None
    ended_at: int | None
    result_at: int | None
    status: int
    flags: int
    failure: str | None
    attempts: int | None
    reported_ms: int | None
    size: int | None
    added: int | None
    removed: int | None
    tokens: tuple[int, int, int, int, int]
    cost: int | None
    extra: str | None
    branch: str | None
    project: str | None
    rank: int

    def has(self, flag: Flag) -> bool:
        """Whether some line said so."""
        return bool(self.flags & flag)

    @property
    def started(self) -> int | None:
        """When it began: a request, when it was asked for."""
        if self.type == EventType.LLM_REQUEST and self.result_at is not None and self.occurred_at is not None:
            return min(self.result_at, self.occurred_at)
        return self.occurred_at

    @property
    def is_call(self) -> bool:
        """A tool call that stands outside agent_progress."""
        return self.type == EventType.TOOL_CALL and self.name is not None and self.has(Flag.DIRECT)

    @property
    def ok(self) -> bool:
        return self.status == Status.OK


_COLUMNS: Final = (
    "f.key, f.type, f.native, turn.value, agent.value, n.value, stop.value, f.occurred_at, f.ended_at, f.result_at,"
    " f.status, f.flags, failure.value, f.attempts, f.reported_ms, f.size, f.added, f.removed,"
    " COALESCE(f.token_input, 0), COALESCE(f.token_output, 0), COALESCE(f.token_cache_read, 0),"
    " COALESCE(f.token_cache_write, 0) - COALESCE(f.token_cache_write_1h, 0), COALESCE(f.token_cache_write_1h, 0),"
    " f.cost, f.extra, branch.value, project.value, c.rank"
)
_FACTS: Final = (
    f"SELECT {_COLUMNS} FROM context c JOIN fact f ON f.context = c.id LEFT JOIN agent link ON link.agent = c.agent"
    " LEFT JOIN name turn ON turn.id = COALESCE(f.turn, link.turn) LEFT JOIN name agent ON agent.id = c.agent"
    " LEFT JOIN name n ON n.id = f.name LEFT JOIN name stop ON stop.id = f.stop"
    " LEFT JOIN name failure ON failure.id = f.failure LEFT JOIN name branch ON branch.id = c.branch"
    " LEFT JOIN name project ON project.id = c.project"
    f" WHERE c.session = ? AND f.type IN ({', '.join(str(int(kind)) for kind in KINDS)})"
    " ORDER BY COALESCE(f.occurred_at, f.ended_at, f.result_at, 0), f.type, f.native"
)
_TOKENS: Final = 18
_KINDS_OF_TOKENS: Final = 5
"""Where the five kinds of tokens stand in a row."""


def session_facts(reader: Connection, session: str) -> list[SessionFact]:
    """All facts of the session that owns them, by time; empty where it is not known."""
    number = session_number(reader, session)
    if number is None:
        return []
    return [_fact(row) for row in reader.execute(_FACTS, (number,))]


def session_number(reader: Connection, session: str) -> int | None:
    """The session's number in `name`."""
    row = reader.execute("SELECT id FROM name WHERE value = ?", (session,)).fetchone()
    return None if row is None else int(row[0])


def _fact(row: Sequence[Any]) -> SessionFact:
    return SessionFact._make(
        (
            bytes(row[0]),
            *row[1:_TOKENS],
            tuple(row[_TOKENS : _TOKENS + _KINDS_OF_TOKENS]),
            *row[_TOKENS + _KINDS_OF_TOKENS :],
        )
    )


def sessions_like(reader: Connection, prefix: str, limit: int = 5) -> list[str]:
    """Ids of sessions that begin with `prefix`, in order, at most `limit`; the whole id goes before longer ones."""
    found = reader.execute(
        f"SELECT f.native FROM fact f WHERE f.type = {int(EventType.SESSION)} AND substr(f.native, 1, CAST(? AS INTEGER)) = ?"
        " ORDER BY f.native LIMIT ?",
        (len(prefix), prefix, limit),
    )
    return [str(row[0]) for row in found]
