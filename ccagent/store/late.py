"""Changes of many facts at once, some of which lie in sealed rollups: these follow by the difference (store/sealed.py)."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

from ccagent.facts.keys import fact_key
from ccagent.facts.model import EventType
from ccagent.facts.partial import Partial
from ccagent.metrics import names as metric
from ccagent.store import rows
from ccagent.store.ingest import Ingest
from ccagent.store.sealed import following
from ccagent.store.work import TIED_MS


class Late:
    """The facts of one page of a transaction: `meet` their sessions, `note` what each was and is, then write them
    within `followed`. Without retention all of it is nothing."""

    def __init__(self, state: Ingest) -> None:
        self._state = state
        self._known: dict[str, bool] = {}
        self._changed: set[bytes] = set()
        self._concerned: set[bytes] = set()
        self._sessions: set[str] = set()

    def meet(self, sessions: Iterable[str | None]) -> None:
        """A page begins, with facts of these sessions: look which of their points are sealed."""
        self._changed.clear()
        self._concerned.clear()
        self._sessions.clear()
        if not self._state.pruning:
            return
        own = {
            fact_key(EventType.SESSION, each): each for each in sessions if each is not None and each not in self._known
        }
        if own:
            dialect = self._state.conn.dialect
            sql = f"SELECT p.key FROM {dialect.blobs} JOIN pruned p ON p.key = k.value"
            found = self._state.conn.execute(sql, (dialect.listed(sorted(own)),)).fetchall()
            removed = {own[bytes(row[0])] for row in found}
            self._known |= {session: session in removed for session in own.values()}

    def note(self, row: rows.Row, fact: Partial) -> None:
        """A fact that changes, as it was or as it will be."""
        state, key = self._state, bytes(row[rows.KEY])
        if not state.pruning:
            return
        at, session = fact.occurred_at, fact.context.session
        sealed = session is not None and self._known.get(session, False)
        early = at is not None and 0 <= at < state.sealed_before
        if early or sealed:
            self._changed.add(key)
        elif at is None or at >= state.sealed_before + TIED_MS:
            return
        self._concerned.add(key)
        if row[rows.REQUEST] is not None:
            self._concerned.add(bytes(row[rows.REQUEST]))
        if sealed and session is not None:
            self._sessions.add(session)
        elif early:
            state.mark_session(fact)  # no hour that is made anew leads to its point

    def followed(self, born: Iterable[bytes] = ()) -> AbstractContextManager[None]:
        """Around the writing of what was noted; `born` are keys of facts that are new."""
        state = self._state
        if not self._concerned:
            return nullcontext()
        new = sum(bytes(key) in self._changed for key in born)
        state.booking.count(metric.ROLLUP_LATE, ("new",), new)
        state.booking.count(metric.ROLLUP_LATE, ("changed",), len(self._changed) - new)
        sessions = [state.names.id(session) for session in sorted(self._sessions)]
        return following(state.conn, self._concerned, state.sealed_before, sessions)
