"""What one write transaction works with: interning, booking, change numbers, and what became stale."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from ccagent.facts.keys import fact_key
from ccagent.facts.model import EventType
from ccagent.facts.partial import Partial
from ccagent.facts.pricing import PriceTable
from ccagent.facts.settle import Settled, settle
from ccagent.metrics import names as metric
from ccagent.metrics.booked import Booking
from ccagent.metrics.labels import Budget
from ccagent.metrics.ledger import Exportable, Ledger
from ccagent.rollups.buckets import HOUR_MS, IDLE_CUTOFF_MS, quarters_around, session_mark
from ccagent.rollups.spans import FIRST
from ccagent.store import rows
from ccagent.store.connection import Connection
from ccagent.store.interning import Contexts, Names
from ccagent.store.measures import measure, types_of
from ccagent.store.outbox import sent_up_to

SPAN_TYPES: Final = frozenset((EventType.TURN, EventType.LLM_REQUEST, EventType.TOOL_CALL, EventType.SUBAGENT_RUN))
"""Kinds of facts that are sent as spans."""

SENT_TYPES: Final[Mapping[str, frozenset[EventType]]] = {
    "traces": SPAN_TYPES,
    "logs": frozenset(EventType) - {EventType.TURN, EventType.FILE_UPDATE, EventType.QUEUE, EventType.ARTIFACT},
}
"""Kinds of facts that are sent one by one, by signal."""

SESSION_IDLE_MS: Final = 30 * 60 * 1_000
"""A session is over so long after its last record; a later record re-opens it without another closing."""

TIED_MS: Final = HOUR_MS
"""A call begins so soon after its request: later ones share no amounts with what is sealed."""


class Work:
    """What a transaction works with. One per store; `begin` before each transaction, `forget` after a rollback."""

    def __init__(self, conn: Connection, host: int, prices: PriceTable, budget: Budget, exportable: Exportable) -> None:
        self.conn = conn
        self.host = host
        self.names = Names(conn)
        self.contexts = Contexts(conn, self.names)
        self.booking = Booking()
        self.budget = budget
        self.ledger = Ledger(self.booking, budget, exportable)
        self.ledger.types_of = self.agent_types
        self.prices = prices
        self.live = False
        self.seq = 0
        self.now_ms = 0
        self._dirty: set[int] = set()
        self._near: set[int] = set()  # stretches of IDLE_CUTOFF_MS that are marked already; three make a quarter
        self._linked: dict[str, bool] = {}
        self._whole: set[str] = set()  # turns of which no earlier batch knows anything, not even a sub-agent
        self._unlinked: set[str] = set()  # sessions whose evidence the batch changes
        self._branches: set[str | None] = set()  # that are known to name their features
        self._copies: set[tuple[bytes, int]] = set()  # keys seen in a further transcript
        self.wrote = False
        """Whether the transaction changed rows that neither booking nor change number tells of."""
        self.pruning = False
        """Whether retention has removed facts: then every new key is looked up among the removed ones."""
        self.sealed_before = FIRST
        """Rollups of hours before this instant (ms UTC) are not recomputed; see store/sealed.py."""
        self.payloads_before = FIRST
        """Facts that began before this instant (ms UTC) keep no payload."""
        self._sealed: dict[str, bytes] = {}  # sessions of the batch whose own fact was removed, with its key
        self._late: set[bytes] = set()  # facts that are in sealed rollups, or were
        self._beside: set[bytes] = set()  # facts so near to them that they may share amounts
        self.file_ids: dict[int, int | None] = {}
        """Rows of `file` by the batch's numbers; NO_FILE has none."""
        self.destinations: tuple[tuple[str, str], ...] = ()
        """Where closed facts are sent to, by destination and signal; what changes in them later is not sent again but
        counted."""

    def forget(self) -> None:
        """After a rollback: nothing that was given out in the transaction holds."""
        self.names.forget()
        self.contexts.forget()
        self.booking.clear()
        self.ledger.clear()
        self._dirty.clear()
        self._near.clear()
        self._linked.clear()
        self._branches.clear()

    def begin(self, seq: int, now_ms: int) -> None:
        """A transaction starts: the host's last change number, and the time of the transaction."""
        self.seq, self.now_ms = seq, now_ms
        self.wrote = False
        self.booking.clear()
        self._dirty.clear()
        self._near.clear()
        self._linked.clear()

    def seal(self, sealed_before: int | None, payloads_before: int | None) -> None:
        """What retention has written into the table `meta`, read at the beginning of each transaction."""
        self.pruning = self.pruning or sealed_before is not None
        self.sealed_before = FIRST if sealed_before is None else sealed_before
        self.payloads_before = FIRST if payloads_before is None else payloads_before

    def reconnected(self, conn: Connection) -> None:
        """Go on with another connection to the same database."""
        self.conn = self.names.conn = self.contexts.conn = conn

    @property
    def mine(self) -> str:
        """A condition on `fact f` that leaves only facts of this host's transcripts."""
        return f" AND f.file IN (SELECT id FROM file WHERE host = {self.host})" if self.conn.dialect.shared else ""

    def next_seq(self) -> int:
        """The next change number of this host."""
        self.seq += 1
        return self.seq

    def settle(self, fact: Partial) -> Settled:
        """Derived values of a fact under the current prices."""
        return settle(fact, self.prices)

    def touch(self, fact: Partial) -> None:
        """The rollups around this fact's times are stale, or its session's where it has no time."""
        near = self._near
        result = fact.result
        for at in (fact.occurred_at, fact.ended_at, fact.result_at, None if result is None else result.at):
            if at is not None and at >= 0 and at // IDLE_CUTOFF_MS not in near:
                near.add(at // IDLE_CUTOFF_MS)
                self._dirty |= quarters_around(at)
        if fact.occurred_at is None:
            self.mark_session(fact)
        if self.pruning:
            self._look_for_seal(fact)

    def _look_for_seal(self, fact: Partial) -> None:
        """Note a fact whose amounts sealed rollups hold, or may share."""
        at, session = fact.occurred_at, fact.context.session
        early = at is not None and 0 <= at < self.sealed_before
        sealed = session in self._sealed
        if early or sealed:
            self._late.add(fact_key(fact.type, fact.native))
        elif at is not None and at < self.sealed_before + TIED_MS:
            self._beside.add(fact_key(fact.type, fact.native))
        if early and not sealed:
            self.mark_session(fact)  # no hour that is made anew leads to its point

    def stale(self, fact: Partial, closed_host: int, closed_seq: int) -> None:
        """A fact changed after it closed: whoever has its span or log record has an older one."""
        concerned = [one for one in self.destinations if fact.type in SENT_TYPES[one[1]]]
        if concerned and self.ledger.leaves(fact.context.cwd, fact.context.project):
            for destination, signal in concerned:
                # what lies behind the cursor was sent; what is still before it goes out as it is now
                if closed_seq <= sent_up_to(self.conn, destination, signal, closed_host):
                    self.booking.count(metric.EXPORTS_STALE, (destination, signal))

    def resumed(self, before: Partial, after: Partial) -> None:
        """A fact changed after it closed: what was measured of a session, or said of its kind, stays as it was."""
        if after.type != EventType.SESSION:
            return
        if after.label != before.label:
            self.booking.count(metric.TOTALS_RELABELLED, ("type",))
        if (after.ended_at or 0) - (before.ended_at or 0) > SESSION_IDLE_MS:
            self.booking.count(metric.TOTALS_RELABELLED, ("session",))

    def mark_session(self, fact: Partial) -> None:
        session = fact.context.session
        if session is not None:
            self._dirty.add(session_mark(self.names.id(session)))

    def dirty(self) -> list[int]:
        """Marks of the rollups that this transaction made stale: quarter hours (ms UTC), and sessions."""
        return sorted(self._dirty)

    def row_of(self, event_type: int, native: str) -> rows.Row | None:
        """The row of a fact, None where there is none."""
        found = rows.fetch(self.conn, "WHERE f.key = ?", (fact_key(event_type, native),))
        return found[0] if found else None

    def linked(self, agent: str) -> bool:
        """Whether the call that launched this sub-agent is known and read."""
        known = self._linked.get(agent)
        if known is None:
            row = self.conn.execute("SELECT linked_at FROM agent WHERE agent = ?", (self.names.id(agent),)).fetchone()
            known = self._linked[agent] = row is not None and row[0] is not None
        return known

    def agent_types(self, agents: Collection[str]) -> Mapping[str, str]:
        """The types of these sub-agents, as far as they are known."""
        return types_of(self, agents)

    def book(self) -> None:
        """At the end of a transaction: measure what has closed in it, and give what it books its labels."""
        measure(self)
        self.ledger.post()

    def agent_turn(self, agent: str) -> int | None:
        """The turn that a linked sub-agent works for, as a number of `name`."""
        row = self.conn.execute("SELECT turn FROM agent WHERE agent = ?", (self.names.id(agent),)).fetchone()
        return None if row is None else row[0]
