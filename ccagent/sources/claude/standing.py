"""Where a line of a transcript stands: session, turn, sub-agent and attributes, carried from line to line.

The rules for each kind of record (replies, users, systems, relayed) are written against this.
"""

from __future__ import annotations

from typing import Final

from ccagent.facts.batch import Batch
from ccagent.facts.keys import content_native
from ccagent.facts.model import Context, EventType, Flag, Rank
from ccagent.facts.partial import NO_TIME, Partial, least, most
from ccagent.facts.times import parse_ms
from ccagent.sources.claude.carry import Carry
from ccagent.sources.claude.records import Record

IGNORED: Final = frozenset(
    (
        "file-history-snapshot",
        "file-history-delta",
        "queue-operation",
        "last-prompt",
        "ai-title",
        "custom-title",
        "mode",
        "permission-mode",
        "summary",
        "pr-link",
        "bridge-session",
        "atis-latch",
        "attachment",
        "agent-name",
        "agent-color",
        "agent-setting",
        "frame-link",
        "worktree-state",
        "tag",
        "task-summary",
        "attribution-snapshot",
        "content-replacement",
    )
)
"""Known records that yield no fact of their own here; their times still move the session's end."""

COUNTED: Final[tuple[Partial, ...]] = (Partial(0, ""),)
"""Given by a rule that has already counted its record."""

KNOWN_TYPES: Final = IGNORED | {"assistant", "user", "system", "progress"}


class Standing:
    """The place of the current line, and what the rules do with it. `carry` is changed in place.

    `agent` is the id that the file's name gives (`agent-<id>.jsonl`), else None; `file` the caller's number of the
    chunk. Facts of a sub-agent's file rank behind the same facts in a main file.
    """

    def __init__(self, batch: Batch, carry: Carry, *, file: int, agent: str | None) -> None:
        self.batch = batch
        self.carry = carry
        self.file = file
        self.agent = agent
        self.at: int = NO_TIME
        self.offset = 0
        self.length = 0
        self.raw = b""
        self.rank: int = Rank.MAIN
        """Rank of the current line's copy."""
        self.chain_agent: str | None = None
        """The sub-agent that the current line belongs to."""
        self._place: tuple[str | None, ...] = ()
        self.turn: Partial | None = None
        self._contexts: dict[tuple[str | None, str | None, int], Context] = {}
        self._session: Partial | None = None
        self._agents: dict[str, Partial] = {}

    def stand(self, record: Record) -> None:
        """Move the carried place to this record, and the ends of its session, turn and sub-agent with it."""
        carry = self.carry
        at = parse_ms(record.timestamp)
        if at is not None:
            carry.last_at = at
        else:
            at = carry.last_at
        self.at = NO_TIME if at is None else at
        place = (record.sessionId, record.cwd, record.gitBranch, record.version, record.entrypoint)
        if place != self._place:
            self._place = place
            self._move(record)
        if self.agent is not None:
            self.rank, self.chain_agent = 1, self.agent
        elif record.isSidechain:
            self.rank, self.chain_agent = 1, record.agentId
        else:
            self.rank, self.chain_agent = 0, None
        if carry.session is not None:
            self._touch(at)

    def _move(self, record: Record) -> None:
        carry = self.carry
        moved = False
        if record.sessionId is not None and record.sessionId != carry.session:
            carry.session, moved = record.sessionId, True
            self._session = None
        if record.cwd is not None and record.cwd != carry.cwd:
            carry.cwd, moved = record.cwd, True
            if carry.project is None:
                carry.project = record.cwd
        if record.gitBranch is not None and record.gitBranch != carry.branch:
            carry.branch, moved = record.gitBranch, True
        if record.version is not None and record.version != carry.version:
            carry.version, moved = record.version, True
        if record.entrypoint is not None and record.entrypoint != carry.entrypoint:
            carry.entrypoint, moved = record.entrypoint, True
        if moved:
            self._contexts.clear()

    def _permission(self, mode: str) -> None:
        if mode != self.carry.permission_mode:
            self.carry.permission_mode = mode
            self._contexts.clear()

    def permission(self, mode: str | None) -> None:
        """The permission mode that a user line states; None leaves the last one."""
        if mode:
            self._permission(mode)

    def context(self, rank: int, agent: str | None, skill: str | None = None) -> Context:
        """The interned attributes of the current line."""
        key = (agent, skill, rank)
        context = self._contexts.get(key)
        if context is None:
            carry = self.carry
            context = self._contexts[key] = Context(
                carry.session,
                carry.project,
                carry.cwd,
                carry.branch or None,
                carry.version,
                carry.entrypoint,
                carry.permission_mode,
                agent,
                skill,
                rank,
            )
        return context

    def _touch(self, at: int | None) -> None:
        """Session, sub-agent and turn of this line live until now at least."""
        rank, agent, carry = self.rank, self.chain_agent, self.carry
        session = self._session
        if session is None:
            assert carry.session is not None
            session, _ = self.batch.get(EventType.SESSION, carry.session, self.file, self.offset, self.length)
            self._session = session
        stamp = self.at
        if rank < session.rank or (rank == session.rank and stamp <= session.owner_at):
            session.claim(rank, stamp, self.context(rank, agent), None, None)
        if at is None:
            return
        if session.ended_at is None or at > session.ended_at:
            session.ended_at = at
        if session.occurred_at is None or at < session.occurred_at:
            session.occurred_at = at
        if agent is not None:
            self.touch_agent(agent, at, rank)
        elif rank == 0 and carry.turn is not None:
            turn = self.turn or self.open_turn()
            if turn is not None and (turn.ended_at is None or at > turn.ended_at):
                turn.ended_at = at

    def touch_agent(self, agent: str, at: int, rank: int) -> Partial:
        """The run of that sub-agent, alive at that time."""
        run = self._agents.get(agent)
        if run is None:
            run, _ = self.batch.get(EventType.SUBAGENT_RUN, agent, self.file, self.offset, self.length)
            self._agents[agent] = run
        if rank < run.rank or (rank == run.rank and at <= run.owner_at):
            run.claim(rank, at, self.context(rank, agent), None, None)
        if at != NO_TIME:
            run.occurred_at = least(run.occurred_at, at)
            run.ended_at = most(run.ended_at, at)
        return run

    # ---- turns ---------------------------------------------------------------------------------------------------

    def open_turn(self) -> Partial | None:
        """The partial fact of the carried turn; None outside of turns."""
        native = self.carry.turn
        if native is None:
            return None
        turn, _ = self.batch.get(EventType.TURN, native, self.file, self.offset, self.length)
        self.turn = turn
        return turn

    def begin_turn(self, native: str, at: int) -> Partial:
        """The prompt `native` opens a turn; the one before it is over."""
        carry = self.carry
        if carry.turn is not None and carry.turn != native:
            self.close_turn(carry.turn)
        carry.turn, carry.waiting_prompt, carry.waiting_at = native, None, None
        self.turn = None
        turn = self.open_turn()
        assert turn is not None
        # only here: a later line may be older, and which line is the first of a batch depends on the cut
        turn.claim(Rank.MAIN, self.at, self.context(Rank.MAIN, None), None, None)
        if at != NO_TIME:
            turn.occurred_at = least(turn.occurred_at, at)
            turn.ended_at = most(turn.ended_at, at)
        return turn

    def close_turn(self, native: str) -> None:
        """Nothing more is expected of that turn; what is still open in it closes with it."""
        self.batch.turn_closes[native] = None

    # ---- the request in progress on a chain -----------------------------------------------------------------------

    def advance(self, agent: str | None, request: str | None, stopped: bool, *, reply: bool) -> None:
        """A record stands on the chain of `agent`: the request before it closes if its stop reason is known, or if
        this record begins another message."""
        chain = agent or ""
        open_requests = self.carry.requests
        before = open_requests.get(chain)
        if before is not None:
            native, known = before
            if native == request:
                stopped = stopped or known
            elif known or reply:
                self.close(EventType.LLM_REQUEST, native)
                del open_requests[chain]
        if request is not None:
            open_requests[chain] = (request, stopped)

    def close(self, event_type: int, native: str) -> None:
        """That fact is complete; if it was read in an earlier batch the store closes it."""
        self.batch.closes[event_type, native] = None

    # ---- facts that are written at once ---------------------------------------------------------------------------

    def written(self, event_type: int, native: str, record: Record, name: str | None) -> tuple[Partial, bool]:
        """A fact that one line says whole; it closes when it is written."""
        rank, agent = self.rank, self.chain_agent
        partial, born = self.batch.get(event_type, native, self.file, self.offset, self.length)
        turn = self.carry.turn if agent is None else None
        partial.claim(rank, self.at, self.context(rank, agent), turn, name)
        partial.flags |= Flag.DIRECT
        if self.at != NO_TIME:
            partial.occurred_at = least(partial.occurred_at, self.at)
        partial.closing = True
        return partial, born

    def unknown(self, name: str, record: Record) -> tuple[Partial, ...]:
        """A record that this version does not know: kept by type, counted, never a failure."""
        native = record.uuid or content_native(name, self.carry.session, self.raw)
        self.written(EventType.UNKNOWN, native, record, name[:128])
        self.batch.count(record.type if record.type in KNOWN_TYPES else "other", "unknown")
        return COUNTED
