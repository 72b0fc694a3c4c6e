"""Where a line of a rollout stands: session, turn, attributes, and whether it is a copy of an ancestor's history.

A fork begins with a copy of the history of the session that it was forked from, line by line, with the times of the
copying. Nothing marks where the copy ends. Rule: a `forked_from_id` or a foreign session_meta begins a copy. A turn's
id is a UUID of version 7, which holds the time at which it was made: a turn older than the session is copied, the
first that is not is the session's own. Ids that tell no time leave one sign: a copy is written in one go, so a pause
of REPLAY_PAUSE_MS ends it. What is copied makes no fact; it only moves the baseline of the token counts.
"""

from __future__ import annotations

from typing import Final

import orjson
from msgspec import Raw

from ccagent.facts.batch import Batch
from ccagent.facts.evidence import DEFAULT, Conventions, of_branch
from ccagent.facts.lineage import FORKED, RESUMED
from ccagent.facts.model import Context, EventType, Flag, Rank, Status
from ccagent.facts.partial import NO_TIME, Partial, Result, least, most
from ccagent.facts.projects import project_of
from ccagent.facts.times import parse_ms
from ccagent.sources.codex.carry import BY_META, BY_TURN, NOT_REPLAYING, Carry
from ccagent.sources.codex.identity import time_of, turn_native
from ccagent.sources.codex.records import Payload, Policy, SourceOf, Subagent
from ccagent.sources.evidence import of_folder, write
from ccagent.sources.lines import decode
from ccagent.sources.places import Place

REPLAY_PAUSE_MS: Final = 1_000
"""Copies of hundreds of lines were seen to take 50 ms; a model's first answer takes longer than a second."""

SUBAGENT: Final = "subagent"
"""Role of a sub-agent that has no other."""


class Standing:
    """The place of the current line, and what the rules do with it. `carry` is changed in place.

    `named` is the session that the file's name tells: it stands in where the first session_meta was not read.
    """

    conventions: Conventions = DEFAULT
    """What ids of tasks look like; set on the class, once a process."""

    def __init__(self, batch: Batch, carry: Carry, *, file: int, named: str | None) -> None:
        self.batch = batch
        self.carry = carry
        self.file = file
        self.named = named
        self.at: int = NO_TIME
        self.offset = 0
        self.length = 0
        self.raw = b""
        self.gap_ms = 0
        """Milliseconds since the line before."""
        self.paused = False
        """Whether a pause lies between this line and the one before."""
        self._context: Context | None = None
        self._session: Partial | None = None
        self._run: Partial | None = None
        self._turn: Partial | None = None

    # ---- time and session ------------------------------------------------------------------------------------------

    def stand(self, timestamp: str | None) -> None:
        """Move to a line of that time."""
        carry = self.carry
        at, before = parse_ms(timestamp), carry.last_at
        if at is None:
            at = before
        self.gap_ms = at - before if at is not None and before is not None else 0
        self.paused = at is not None and before is not None and at - before >= REPLAY_PAUSE_MS
        carry.last_at = at
        self.at = NO_TIME if at is None else at
        if self.paused and carry.replaying == BY_META:
            carry.replaying = NOT_REPLAYING

    def touch(self) -> None:
        """Session, sub-agent and turn of this line live until now at least."""
        carry = self.carry
        if carry.session is None:
            if self.named is None:
                return
            carry.session = carry.root = self.named
            carry.born_at = time_of(self.named)
            self._context = None
        if self._session is None:
            self._session = self._get(EventType.SESSION, carry.session)
        self._extend(self._session)
        if carry.subagent is not None:
            if self._run is None:
                self._run = self._get(EventType.SUBAGENT_RUN, carry.session)
                self._run.label = carry.subagent
            self._extend(self._run)
        if carry.turn is not None and self.at != NO_TIME:
            turn = self.turn()
            if turn is not None:
                turn.ended_at = most(turn.ended_at, self.at)

    def _get(self, kind: EventType, native: str) -> Partial:
        return self.batch.get(kind, native, self.file, self.offset, self.length)[0]

    def _extend(self, fact: Partial) -> None:
        at = self.at
        if fact.rank != Rank.MAIN or at <= fact.owner_at:
            fact.claim(Rank.MAIN, at, self.context(), None, None)
        fact.flags |= Flag.DIRECT
        if at != NO_TIME:
            fact.occurred_at = least(fact.occurred_at, at)
            fact.ended_at = most(fact.ended_at, at)

    def meta(self, said: Payload) -> tuple[Partial, ...]:
        """A session_meta: the first gives the file its identity, a foreign one begins a copy of its session."""
        carry = self.carry
        native = said.id or said.session_id
        ancestor, role = ancestor_of(said)
        if not carry.introduced:
            if native is None:
                return ()
            carry.introduced = True
            carry.session, carry.root = native, ancestor or native
            self._session = self._run = None
            carry.heir, carry.subagent = ancestor is not None, role
            carry.born_at = time_of(native) or parse_ms(said.timestamp)
            if carry.born_at is None and self.at != NO_TIME:
                carry.born_at = self.at
            carry.cwd = said.cwd
            carry.project = project_of(said.cwd) if said.cwd is not None else None
            carry.branch = said.git.branch if said.git is not None else None
            self._attributes(said)
            if said.forked_from_id is not None:
                carry.replaying = BY_META
            self.touch()
            self._moved(branch=True, folder=True)
            return self._links(said, ancestor)
        if native == carry.session:  # the session was resumed
            carry.replaying = NOT_REPLAYING
            self._attributes(said)
            moved = said.git is not None and said.git.branch is not None and said.git.branch != carry.branch
            if moved and said.git is not None:
                carry.branch = said.git.branch
            self.touch()
            self._mark(RESUMED)
            self._moved(branch=moved, folder=False)
        elif native is not None:
            if native == carry.root and ancestor is not None:
                carry.root = ancestor
            carry.heir = True
            carry.replaying = BY_META
            carry.turn = carry.turn_id = None
            self._turn = None
        return ()

    def _moved(self, *, branch: bool, folder: bool) -> None:
        """Branch or project of the session have just been told: what they are evidence of."""
        carry = self.carry
        found = (*of_branch(carry.branch),) if branch and carry.branch else ()
        if folder:
            found += of_folder(carry.cwd, carry.project)
        if found:
            write(self, carry.session, found, Place(self.context(), Rank.MAIN, None, ""))

    def _mark(self, label: str) -> None:
        """How the session began, or went on."""
        assert self._session is not None
        known = self._session.label
        self._session.label = label if known is None else max(known, label)

    def _attributes(self, said: Payload) -> None:
        carry = self.carry
        carry.version = said.cli_version or carry.version
        carry.entrypoint = said.originator or carry.entrypoint
        carry.provider = said.model_provider or carry.provider
        self._context = None

    def _links(self, said: Payload, ancestor: str | None) -> tuple[Partial, ...]:
        """The session that this one was forked from, or that launched it."""
        if ancestor is None:
            return ()
        born: tuple[Partial, ...] = ()
        forked = said.forked_from_id
        if forked is not None:
            self._mark(FORKED)
        for strategy, other in (("forked_from", forked), ("spawned", None if forked == ancestor else ancestor)):
            if other is not None:
                native = f"{self.carry.session}/session/{other}/{strategy}"
                link, made = self.written(EventType.ARTIFACT, native, "session", {"target": other})
                link.label = strategy
                if made:
                    born += (link,)
        return born

    # ---- attributes ------------------------------------------------------------------------------------------------

    def context(self) -> Context:
        """The interned attributes of the current line."""
        context = self._context
        if context is None:
            carry = self.carry
            context = self._context = Context(
                session=carry.session, project=carry.project, cwd=carry.cwd, branch=carry.branch or None,
                version=carry.version, entrypoint=carry.entrypoint, permission_mode=carry.permission_mode, agent=None,
                skill=None, provider=carry.provider, rank=Rank.MAIN,
            )  # fmt: skip
        return context

    def settings(self, said: Payload) -> None:
        """A turn_context: model, effort, folder and permissions hold until the next one."""
        carry = self.carry
        carry.model = said.model or carry.model
        carry.effort = said.effort
        policies = [policy_of(raw) for raw in (said.approval_policy, said.sandbox_policy) if raw]
        mode = "/".join(policy for policy in policies if policy) or carry.permission_mode
        cwd = said.cwd or carry.cwd
        if (mode, cwd) != (carry.permission_mode, carry.cwd):
            carry.permission_mode, carry.cwd = mode, cwd
            self._context = None
            if carry.project is None and cwd is not None:
                carry.project = project_of(cwd)
                if not carry.replaying:
                    self._moved(branch=False, folder=True)

    # ---- turns -----------------------------------------------------------------------------------------------------

    def turn_named(self, turn_id: str | None) -> None:
        """A record names the turn that it belongs to: it opens there, unless it is a copy or open already."""
        carry = self.carry
        made = time_of(turn_id)
        if carry.heir and made is not None and carry.born_at is not None:
            carry.replaying = BY_TURN if made < carry.born_at else NOT_REPLAYING
        if turn_id is None:
            return
        carry.turn_id = turn_id
        if not carry.replaying:
            self.begin_turn(turn_native(turn_id, carry.session))

    def begin_turn(self, native: str) -> None:
        """That turn is open from here on; the one before it is over."""
        carry = self.carry
        if carry.turn == native:
            return
        if carry.turn is not None:
            self.batch.turn_closes[carry.turn] = None
        carry.turn = native
        carry.pending.clear()
        self._turn = None
        turn = self.turn()
        assert turn is not None
        turn.claim(Rank.MAIN, self.at, self.context(), None, None)
        if self.at != NO_TIME:
            turn.occurred_at = least(turn.occurred_at, self.at)
            turn.ended_at = most(turn.ended_at, self.at)

    def turn(self) -> Partial | None:
        """The partial fact of the open turn; None outside of turns."""
        if self._turn is None and self.carry.turn is not None:
            self._turn = self._get(EventType.TURN, self.carry.turn)
        return self._turn

    def heard(self) -> None:
        """The model answered in the open turn."""
        turn = self.turn()
        if turn is not None and self.at != NO_TIME:
            turn.result_at = most(turn.result_at, self.at)

    def end_turn(self, turn_id: str | None, reported_ms: int | None, *, aborted: bool) -> None:
        """A turn is over: the named one, else the open one."""
        carry = self.carry
        native = carry.turn if turn_id is None else turn_native(turn_id, carry.session)
        if native is None or native != carry.turn:
            return
        turn = self.turn()
        assert turn is not None
        turn.reported_ms = most(turn.reported_ms, reported_ms)
        if aborted:
            turn.flags |= Flag.INTERRUPTED
        elif self._run is not None:
            result = Result(Status.OK, -1 if self.at == NO_TIME else self.at)
            if self._run.result is None or result > self._run.result:
                self._run.result = result
        self.batch.turn_closes[native] = None
        carry.turn = carry.turn_id = None
        carry.pending.clear()
        self._turn = None

    # ---- facts that are written at once ----------------------------------------------------------------------------

    def written(
        self, kind: EventType, native: str, name: str | None, extra: dict[str, object] | None = None
    ) -> tuple[Partial, bool]:
        """A fact that one line says whole, and whether this line made it; it closes when it is written."""
        fact, made = self.batch.get(kind, native, self.file, self.offset, self.length)
        text = orjson.dumps(extra).decode() if extra else None
        fact.claim(Rank.MAIN, self.at, self.context(), self.carry.turn, name, None, text)
        fact.flags |= Flag.DIRECT
        if self.at != NO_TIME:
            fact.occurred_at = least(fact.occurred_at, self.at)
        fact.closing = True
        return fact, made


def ancestor_of(said: Payload) -> tuple[str | None, str | None]:
    """The session that a session_meta names as the one before it (that it was forked from goes first), and the role of
    a sub-agent's session."""
    parent, role = said.parent_thread_id, said.agent_role
    source = decode(SourceOf, said.source) if said.source else None
    if source is not None and source.subagent:
        spawned = decode(Subagent, source.subagent)
        if spawned is not None and spawned.thread_spawn is not None:
            parent = parent or spawned.thread_spawn.parent_thread_id
            role = role or spawned.thread_spawn.agent_role
        elif bytes(source.subagent)[:1] == b'"':
            role = role or bytes(source.subagent).decode("utf-8", "replace").strip('"')[:64]
        role = role or SUBAGENT
    elif said.forked_from_id is None and parent is not None:
        role = role or SUBAGENT
    return said.forked_from_id or parent, role


def policy_of(raw: Raw) -> str:
    """The word of a policy: itself, or that of an object."""
    data = bytes(raw)
    if data[:1] == b'"':
        return data.decode("utf-8", "replace").strip('"')[:64]
    said = decode(Policy, raw)
    return ((said.type or said.mode) if said is not None else None) or ""
