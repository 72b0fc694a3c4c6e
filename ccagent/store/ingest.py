"""One batch into the tables: merge with what is there, book what grew, close what is over, link sub-agents.

Runs inside the store's write transaction. Work is bounded by the batch: each fact is looked up by its key once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Final

from ccagent.facts.batch import Batch
from ccagent.facts.keys import fact_key
from ccagent.facts.model import EventType, Flag
from ccagent.facts.partial import Partial, merge
from ccagent.facts.settle import settle
from ccagent.metrics import names as metric
from ccagent.rollups.buckets import quarter_of
from ccagent.store import rows
from ccagent.store.closing import close_rows, close_turns, release_agent
from ccagent.store.copies import note_copies
from ccagent.store.links import name_branches, relink, speaks
from ccagent.store.sealed import following
from ccagent.store.work import Work

DEEPEST: Final = 16
"""Levels of nested sub-agents that one batch resolves; clients allow 5. A ring of forged links ends here."""

_BACKFILL: Final = int(Flag.BACKFILL)

_CONTRIBUTE: Final = "INSERT INTO contributor (key, file) VALUES (?, ?) ON CONFLICT DO NOTHING"

_RECORD_TYPES: Final = {"line": "broken"}
_KNOWN: Final = frozenset(
    ("assistant", "user", "system", "progress", "attachment", "queue-operation", "summary", "other")
)
_REASONS: Final = frozenset(("garbage", "truncated", "spliced", "oversize", "refused", "crash"))


class Ingest(Work):
    """Takes batches in. One per store; `begin` before each transaction, `forget` after a rollback."""

    # ---- facts ---------------------------------------------------------------------------------------------------

    def facts(self, batch: Batch) -> None:
        """Merge, book, close and write the batch's facts; then link its sub-agents and close its turns."""
        note_copies(self.conn, batch)
        keyed = sorted(
            ((fact_key(kind, native), fact) for kind, facts in batch.facts.items() for native, fact in facts.items()),
            key=_first,
        )
        stored = self._stored([key for key, _ in keyed])
        gone = self._removed(keyed, stored, batch) if self.pruning else set()
        fresh: dict[int, bool] = {}
        inserts: list[rows.Row] = []
        updates: list[rows.Row] = []
        turn_closes, closes = batch.turn_closes, batch.closes
        self._whole.clear()
        self._copies.clear()
        self._unlinked.clear()
        price = self.names.id(self.prices.version)
        for key, fact in keyed:
            row = stored.get(key)
            if fact.extra is not None and fact.occurred_at is not None and fact.occurred_at < self.payloads_before:
                fact.extra = None
            closing = (
                fact.closing
                or (fact.turn is not None and fact.turn in turn_closes)
                or (fact.type, fact.native) in closes
                or (fact.type == EventType.TURN and fact.native in turn_closes)
            )
            if row is None:
                if key in gone:
                    continue
                fresh[id(fact)] = True
                if fact.type == EventType.TURN:
                    self._whole.add(fact.native)
                inserts.append(self._insert(key, fact, closing, price))
            else:
                changed = self._update(key, row, fact, closing, price)
                if changed is not None:
                    updates.append(changed)
        with self._following(inserts, updates):
            self.conn.executemany(rows.INSERT, inserts)
            self.conn.executemany(rows.UPDATE, updates)
        for kind, native, number in batch.copies:
            key, file = fact_key(kind, native), self.file_ids[number]
            row = stored.get(key)
            if (
                key not in gone
                and file is not None
                and file != (self.file_ids[batch.facts[kind][native].file] if row is None else row[rows.FILE])
            ):
                self._copies.add((key, file))
        if self._copies:
            self.conn.executemany(_CONTRIBUTE, sorted(self._copies))
        self._mark_ties(stored, (*inserts, *updates))
        self._records(batch, fresh)
        self._close_earlier(batch)
        self._links(batch, gone)
        close_turns(self, [native for native in turn_closes if native not in self._whole])
        # links behind all facts, so that hosts take their rows in one order
        self._name_branches(keyed)
        relink(self, self._unlinked)

    def refused(self, batch: Batch, judge: Callable[[BaseException], bool]) -> list[tuple[int, str]]:
        """Facts (kind, native id) of the batch that the database does not take, each tried by itself; `judge` tells such
        an error from others. To be followed by a rollback."""
        found = []
        for kind, native in [(kind, native) for kind, facts in batch.facts.items() for native in facts]:
            alone = Batch()
            alone.facts[kind][native] = batch.facts[kind][native]
            self.conn.execute("SAVEPOINT fact")
            try:
                self.facts(alone)
            except Exception as error:
                if not judge(error):
                    raise
                found.append((kind, native))
                self.conn.execute("ROLLBACK TO SAVEPOINT fact")
                self.names.forget()
                self.contexts.forget()
            self.conn.execute("RELEASE SAVEPOINT fact")
        return found

    def _stored(self, keys: list[bytes]) -> dict[bytes, rows.Row]:
        """The rows of these keys, locked in the order of the keys where other hosts write too."""
        if not keys:
            return {}
        dialect = self.conn.dialect
        order = f" ORDER BY f.key{dialect.locking}" if dialect.shared else ""
        found = rows.fetch(self.conn, f"JOIN {dialect.blobs} ON f.key = k.value{order}", (dialect.listed(keys),))
        if dialect.shared:
            self.contexts.learn(row[rows.CONTEXT] for row in found)
            self.names.learn(row[column] for row in found for column in rows.NAMED)
        return {row[rows.KEY]: row for row in found}

    def _removed(self, keyed: list[tuple[bytes, Partial]], stored: dict[bytes, rows.Row], batch: Batch) -> set[bytes]:
        """Keys among the batch's, its calls' and its sessions' whose facts retention has removed. Which sessions are
        sealed by that is remembered."""
        self._late.clear()
        self._beside.clear()
        self._sealed.clear()
        sessions = {fact.context.session for _, fact in keyed}
        sessions |= {self.contexts.value(row[rows.CONTEXT]).session for row in stored.values()}
        own = {session: fact_key(EventType.SESSION, session) for session in sessions if session is not None}
        wanted = {key for key, _ in keyed if key not in stored} | set(own.values()) | set(batch.links.values())
        if not wanted:
            return set()
        dialect = self.conn.dialect
        sql = f"SELECT p.key FROM {dialect.blobs} JOIN pruned p ON p.key = k.value"
        gone = {bytes(row[0]) for row in self.conn.execute(sql, (dialect.listed(sorted(wanted)),))}
        self._sealed |= {session: key for session, key in own.items() if key in gone}
        return gone

    def _following(self, inserts: list[rows.Row], updates: list[rows.Row]) -> AbstractContextManager[None]:
        """Around the writing of these rows: what is sealed follows those of them that it holds."""
        concerned = self._late | self._beside
        if not concerned:
            return nullcontext()
        born = sum(row[rows.KEY] in self._late for row in inserts)
        self.booking.count(metric.ROLLUP_LATE, ("new",), born)
        self.booking.count(metric.ROLLUP_LATE, ("changed",), len(self._late) - born)
        requests = {
            row[rows.REQUEST] for row in (*inserts, *updates)
            if row[rows.REQUEST] is not None and row[rows.KEY] in concerned
        }  # fmt: skip
        sessions = [self.names.id(session) for session in self._sealed]
        return following(self.conn, concerned | requests, self.sealed_before, sessions)

    def _mark_ties(self, stored: dict[bytes, rows.Row], written: Iterable[rows.Row]) -> None:
        """Mark the hours of what shares amounts with a written fact whose own marks do not lead there: the requests of
        calls that were parted from them or have no time, the calls of requests without a time."""
        requests, calls = set(), set()
        for row in written:
            if row[rows.TYPE] == EventType.TOOL_CALL:
                old = stored.get(row[rows.KEY])
                if old is not None and old[rows.REQUEST] is not None and old[rows.REQUEST] != row[rows.REQUEST]:
                    requests.add(old[rows.REQUEST])
                if row[rows.OCCURRED_AT] is None and row[rows.REQUEST] is not None:
                    requests.add(row[rows.REQUEST])
            elif row[rows.OCCURRED_AT] is None and row[rows.TYPE] == EventType.LLM_REQUEST:
                calls.add(row[rows.KEY])
        for column, keys in (("key", requests), ("request", calls)):
            if keys:
                dialect = self.conn.dialect
                sql = f"SELECT f.occurred_at FROM {dialect.blobs} JOIN fact f ON f.{column} = k.value"
                found = self.conn.execute(f"{sql} WHERE f.occurred_at >= 0", (dialect.listed(sorted(keys)),))
                self._dirty |= {quarter_of(int(row[0])) for row in found}

    def _name_branches(self, keyed: list[tuple[bytes, Partial]]) -> None:
        """Branches that this process sees for the first time name their features."""
        branches = {fact.context.branch for _, fact in keyed} - self._branches
        if branches:
            name_branches(self, (branch for branch in branches if branch is not None))
            self._branches |= branches

    def _insert(self, key: bytes, fact: Partial, closing: bool, price: int) -> rows.Row:
        settled = settle(fact, self.prices)
        agent = fact.context.agent
        held = closing and agent is not None and not self.linked(agent)
        booked = self.ledger.change(None, fact, settled, closing and not held)
        self.touch(fact)
        self._note_evidence(fact)
        seq = self.next_seq()
        closed = closing and not held
        return rows.write(
            fact,
            settled,
            self.names,
            self.contexts,
            key=key,
            request=_request(fact),
            booked=booked,
            price=price,
            flags=int(fact.flags) if self.live else int(fact.flags) | _BACKFILL,
            file=self.file_ids[fact.file],
            change=rows.Change(self.host, seq, self.host if closed else None, seq if closed else None),
            ended=1 if closing else None,
        )

    def _update(self, key: bytes, row: rows.Row, fact: Partial, closing: bool, price: int) -> rows.Row | None:
        """The row with `fact` merged into it; None where nothing changed (the same lines again)."""
        file = self.file_ids[fact.file]
        if file is not None and file != row[rows.FILE]:
            self._copies.add((key, file))
        before = rows.read(row, self.names, self.contexts)
        after = rows.read(row, self.names, self.contexts)
        merge(after, fact)
        closing = closing or row[rows.ENDED] == 1
        agent = after.context.agent
        closes = row[rows.CLOSED_SEQ] is None and closing and (agent is None or self.linked(agent))
        settled, old = settle(after, self.prices), settle(before, self.prices)
        request = row[rows.REQUEST]
        if after.request is not None or _owner(after) != _owner(before):
            request = _request(after)  # the owner's, taken whole: None where it names none
        booked = row[rows.COST_BOOKED] if row[rows.COST_BOOKED] is not None else row[rows.COST] or 0
        closed = row[rows.CLOSED_SEQ]
        written = partial(
            rows.write,
            after,
            settled,
            self.names,
            self.contexts,
            key=key,
            request=request,
            price=row[rows.PRICE] if settled.cost == row[rows.COST] else price,
            flags=int(after.flags),
            file=row[rows.FILE],
            ended=1 if closing else row[rows.ENDED],
        )
        same = written(booked=booked, change=rows.Change(row[rows.HOST], row[rows.SEQ], row[rows.CLOSED_HOST], closed))
        if same == row and not closes:
            return None
        if closed is not None:
            self.stale(after, row[rows.CLOSED_HOST], closed)
            self.resumed(before, after)
        booked = self.ledger.change((before, old, booked), after, settled, closes)
        self.touch(before)
        self.touch(after)
        self._note_evidence(before)
        self._note_evidence(after)
        if before.context.session != after.context.session:
            self.mark_session(before)
        seq = self.next_seq()
        closing_host, closing_seq = (self.host, seq) if closes else (row[rows.CLOSED_HOST], closed)
        return written(booked=booked, change=rows.Change(self.host, seq, closing_host, closing_seq))

    def _note_evidence(self, fact: Partial) -> None:
        if fact.context.session is not None and speaks(fact):
            self._unlinked.add(fact.context.session)

    # ---- closing and linking ---------------------------------------------------------------------------------------

    def _close_earlier(self, batch: Batch) -> None:
        """Facts of earlier batches that this batch's lines close."""
        keys = [fact_key(kind, native) for kind, native in batch.closes if native not in batch.facts[kind]]
        if keys:
            found = list(self._stored(sorted(keys)).values())
            close_rows(self, [row for row in found if not self._hold(row)])

    def _hold(self, row: rows.Row) -> bool:
        agent = self.contexts.value(row[rows.CONTEXT]).agent
        if agent is None or self.linked(agent):
            return False
        self.conn.execute("UPDATE fact SET ended = 1 WHERE key = ?", (row[rows.KEY],))
        return True

    def _links(self, batch: Batch, gone: set[bytes]) -> None:
        """Remember which call launched which sub-agent; resolve what can be resolved, nested ones too. Calls in `gone`
        were removed: they add no launch."""
        conn = self.conn
        for launched, tool in batch.links.items():
            if tool in gone:
                continue
            conn.execute(
                "INSERT INTO agent (agent, tool) VALUES (?1, ?2) ON CONFLICT (agent) DO UPDATE SET"
                " tool = excluded.tool, linked_at = NULL WHERE agent.tool IS NULL OR agent.tool > excluded.tool",
                (self.names.id(launched), tool),
            )
        moved = [
            fact_key(EventType.TOOL_CALL, native) for native, fact in batch.facts[EventType.TOOL_CALL].items()
            if fact.name in ("Task", "Agent") and fact_key(EventType.TOOL_CALL, native) not in gone
        ]  # fmt: skip
        if moved:
            conn.execute(
                f"UPDATE agent SET linked_at = NULL WHERE tool IN (SELECT value FROM {conn.dialect.blobs})",
                (conn.dialect.listed(moved),),
            )
        if batch.facts[EventType.TOOL_CALL] or batch.links:
            self.resolve_links()

    def resolve_links(self) -> int:
        """Link the sub-agents whose call is known by now, nested ones too; how many. Repeated by a timer: of two hosts
        that write a call and its link at the same moment neither sees the other's half."""
        conn = self.conn
        self._linked.clear()
        linked = 0
        for _ in range(DEEPEST):
            progress = 0
            waiting: list[tuple[int, int | None, int | None]] = conn.execute(
                "SELECT a.agent, f.turn, c.agent FROM agent a JOIN fact f ON f.key = a.tool JOIN context c ON"
                " c.id = f.context WHERE a.linked_at IS NULL AND a.tool IS NOT NULL AND f.name IS NOT NULL"
                " ORDER BY a.agent"
            ).fetchall()
            for agent, turn, parent in waiting:
                depth = 1
                if parent is not None and parent != agent:
                    above = conn.execute(
                        "SELECT turn, depth, linked_at FROM agent WHERE agent = ?", (parent,)
                    ).fetchone()
                    if above is None or above[2] is None:
                        continue
                    turn, depth = above[0] if turn is None else turn, (above[1] or 1) + 1
                conn.execute(
                    "UPDATE agent SET turn = ?, depth = ?, linked_at = ? WHERE agent = ?",
                    (turn, depth, self.now_ms, agent),
                )
                conn.execute("UPDATE agent SET linked_at = NULL WHERE agent <> ?1 AND tool IN (SELECT f.key FROM fact f"
                             " JOIN context c ON c.id = f.context WHERE c.agent = ?1 AND f.type = ?2)"
                             " AND (turn IS DISTINCT FROM ?3)", (agent, EventType.TOOL_CALL.value, turn))  # fmt: skip
                self._linked.clear()
                if turn is not None:
                    self._whole.discard(self.names.text(turn) or "")
                release_agent(self, agent)
                progress += 1
            if not progress:
                break
            linked += progress
        return linked

    # ---- what was read ---------------------------------------------------------------------------------------------

    def _records(self, batch: Batch, fresh: dict[int, bool]) -> None:
        """Each object once, by its best outcome; and the lines that were bad."""
        leaves = self._may_leave(batch)
        counts = dict(batch.records)
        for kind, born in batch.births:
            status = "new" if any(id(fact) in fresh for fact in born) else "merged"
            counts[kind, status] = counts.get((kind, status), 0) + 1
        for (kind, status), amount in counts.items():
            label = _RECORD_TYPES.get(kind, kind if kind in _KNOWN else "metadata")
            self.booking.count(metric.INGEST_RECORDS, (label, status), amount, leaves)
        for source, amount in batch.fallbacks.items():
            self.booking.count(metric.PARSER_FALLBACKS, (source, "other"), amount, leaves)
        for source, amount in batch.failures.items():
            self.booking.count(metric.PARSER_FAILURES, (source, "exception"), amount, leaves)
        self.booking.count(metric.INVARIANT_MISMATCHES, ("tool_count",), batch.nameless_calls, leaves)
        self.booking.count(metric.INGEST_BYTES, (), batch.bytes, leaves)

    def _may_leave(self, batch: Batch) -> bool:
        """Whether what was read may be counted elsewhere: it names folders, and each of them allows that."""
        contexts = (fact.context for facts in batch.facts.values() for fact in facts.values())
        places = {(one.cwd, one.project) for one in contexts if one.cwd is not None}
        return bool(places) and all(self.ledger.leaves(*place) for place in places)

    def quarantine(self, lines: Iterable[tuple[int, int, int, bytes, str, int]]) -> None:
        """Bad lines: (file id, offset, length, hash, reason, objects recovered). The same line again adds nothing."""
        for file, offset, length, digest, reason, recovered in lines:
            added = self.conn.execute(
                'INSERT INTO quarantine (file, "offset", length, hash, reason, recovered, seen_at)'
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING 1",
                (file, offset, length, digest, reason, recovered, self.now_ms),
            ).fetchone()
            if added is not None:
                self.booking.count(metric.QUARANTINE_LINES, (reason if reason in _REASONS else "other",))


def _request(fact: Partial) -> bytes | None:
    """The key of the request that made the call: kept also while that request is not known."""
    return None if fact.request is None else fact_key(EventType.LLM_REQUEST, fact.request)


def _owner(fact: Partial) -> tuple[object, ...]:
    return fact.rank, fact.owner_at, fact.context, fact.turn, fact.name


def _first(pair: tuple[bytes, Partial]) -> bytes:
    return pair[0]
