"""Where a line of a transcript stands: session, turn, sub-agent and attributes, carried from line to line.

The rules for each kind of record (replies, users, systems, relayed) are written against this.
"""

from __future__ import annotations

from typing import Final

from msgspec import Raw

from ccagent.facts.batch import Batch
from ccagent.facts.evidence import DEFAULT, Conventions
from ccagent.facts.keys import content_native
from ccagent.facts.model import Context, EventType, Flag, Rank
from ccagent.facts.partial import NO_TIME, Partial, least, most
from ccagent.facts.projects import project_of
from ccagent.facts.rework import pause_of, request_stalled
from ccagent.facts.times import parse_ms
from ccagent.sources.claude import evidence
from ccagent.sources.claude.carry import Carry
from ccagent.sources.claude.lineage import trace
from ccagent.sources.claude.lines import decode
from ccagent.sources.claude.records import Companion, Record
from ccagent.sources.claude.sides import enter_side

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

_NOTHING_NEW: Final[tuple[bool, bool]] = (False, False)

SYNTHETIC: Final = "<synthetic>"
"""Model of messages that the client wrote itself; no API call."""

KNOWN_TYPES: Final = IGNORED | {"assistant", "user", "system", "progress"}


class Standing:
    """The place of the current line, and what the rules do with it. `carry` is changed in place.

    `agent` is the id that the file's name gives (`agent-<id>.jsonl`), else None; `file` the caller's number of the
    chunk. Facts of a sub-agent's file rank behind the same facts in a main file.
    """

    conventions: Conventions = DEFAULT
    """What ids of tasks look like; set on the class, once a process."""

    def __init__(self, batch: Batch, carry: Carry, *, file: int, agent: str | None) -> None:
        self.batch = batch
        self.carry = carry
        self.file = file
        self.agent = agent
        self.at: int = NO_TIME
        self.undated = False
        """Whether the current line has no time of its own: `at` is that of the line before, if there is one."""
        self.offset = 0
        self.length = 0
        self.raw = b""
        self.rank: int = Rank.MAIN
        """Rank of the current line's copy."""
        self.chain_agent: str | None = None
        """The sub-agent that the current line belongs to."""
        self.gap_ms = 0
        """Time since the record before this one."""
        self.noted = (-1, 0)
        """Offset of the last line that held something unknown, and how often that was noted of it (drift.py)."""
        self._place: tuple[str | None, ...] = ()
        self.turn: Partial | None = None
        self._contexts: dict[tuple[str | None, str | None, int], Context] = {}
        self._session: Partial | None = None
        self._agents: dict[str, Partial] = {}
        self._to_tell = _NOTHING_NEW
        """Of this line: whether its branch or session, its project or session are new."""

    def stand(self, record: Record) -> None:
        """Move the carried place to this record, and the ends of its session, turn and sub-agent with it."""
        carry = self.carry
        at, before = parse_ms(record.timestamp), carry.last_at
        self.undated = at is None
        if at is not None:
            carry.last_at = at
        else:
            at = before
        self.at = NO_TIME if at is None else at
        self.gap_ms = at - before if at is not None and before is not None else 0
        place = (record.sessionId, record.cwd, record.gitBranch, record.version, record.entrypoint)
        if place != self._place:
            self._place = place
            self._move(record)
        if self.agent is not None:
            self.rank, self.chain_agent = 1, self.agent
        elif record.isSidechain:
            self.rank, self.chain_agent = 1, record.agentId or enter_side(self, record)
        else:
            self.rank, self.chain_agent = 0, None
        if carry.session is not None:
            self._touch(at)
            if self.rank == 0 and (record.type == "user" or record.type == "assistant"):
                self._listen(record)
        if self._to_tell is not _NOTHING_NEW:
            evidence.moved(self, *self._to_tell)
            self._to_tell = _NOTHING_NEW

    def _move(self, record: Record) -> None:
        carry = self.carry
        moved = False
        if record.sessionId is not None and record.sessionId != carry.session:
            carry.session, moved = record.sessionId, True
            self._session = None
            self._to_tell = True, True
        if record.cwd is not None and record.cwd != carry.cwd:
            carry.cwd, moved = record.cwd, True
            if carry.project is None:
                carry.project = project_of(record.cwd)
                self._to_tell = self._to_tell[0], True
        if record.gitBranch is not None and record.gitBranch != carry.branch:
            carry.branch, moved = record.gitBranch, True
            self._to_tell = True, self._to_tell[1]
        if record.version is not None and record.version != carry.version:
            carry.version, moved = record.version, True
        if record.entrypoint is not None and record.entrypoint != carry.entrypoint:
            carry.entrypoint, moved = record.entrypoint, True
        if moved:
            self._contexts.clear()

    def _listen(self, record: Record) -> None:
        """The main chain's model was asked, or answers: then the wait may have been a stall of the turn."""
        carry = self.carry
        if record.type == "user":
            carry.awaiting = True
        elif record.message is not None and record.message.model != SYNTHETIC:
            if carry.awaiting and request_stalled(self.gap_ms):
                turn = self.turn or self.open_turn()
                if turn is not None:
                    turn.flags |= Flag.STALL
            carry.awaiting = False
        if record.session_id is not None or carry.line_session != carry.session or record.forkedFrom:
            trace(self, record)
        carry.line_uuid = record.uuid

    def mark_session(self, kind: str) -> None:
        """The current line's session is of that kind (a label of facts.lineage), or of a stronger one."""
        session = self._session
        if session is not None and (session.label is None or kind > session.label):
            session.label = kind

    def date(self, fact: Partial) -> None:
        """The fact was there when this line was written."""
        if self.at != NO_TIME:
            fact.occurred_at = least(fact.occurred_at, self.at)

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
                None,
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

    def companion(self, data: bytes) -> None:
        """What the file beside a sub-agent's says of it: its type, and the call that launched it."""
        said = decode(Companion, Raw(data))
        if said is None or self.agent is None:
            return
        self.carry.companion_read = True
        run = self.touch_agent(self.agent, NO_TIME, Rank.RELAYED)
        if said.agentType is not None and (run.label is None or said.agentType > run.label):
            run.label = said.agentType
        if said.toolUseId is not None:
            self.batch.link(self.agent, said.toolUseId)

    @property
    def chain(self) -> str:
        """The chain of the current line: "" the main one, else its sub-agent, "~" for sidechains without a name."""
        return "" if self.rank == 0 else self.chain_agent or "~"

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
        carry.turn_calls = 0
        carry.tried.pop("", None)
        self.turn = None
        turn = self.open_turn()
        assert turn is not None
        turn.attempts = most(turn.attempts, 0)
        if carry.session is not None:
            self.batch.turn_sessions.setdefault(native, set()).add(carry.session)
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
            if self.undated:
                partial.flags |= Flag.TIME_INFERRED
        partial.closing = True
        if event_type == EventType.PROMPT:
            partial.pause_ms = max(partial.pause_ms, pause_of(self.gap_ms))
        return partial, born

    def unknown(self, name: str, record: Record) -> tuple[Partial, ...]:
        """A record that this version does not know: kept by type, counted, never a failure."""
        native = record.uuid or content_native(name, self.carry.session, self.raw)
        self.written(EventType.UNKNOWN, native, record, name[:128])
        self.batch.count(record.type if record.type in KNOWN_TYPES else "other", "unknown")
        return COUNTED
