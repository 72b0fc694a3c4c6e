"""One batch into the tables: merge with what is there, book what grew, close what is over, link sub-agents.

Runs inside the store's write transaction. Work is bounded by the batch: each fact is looked up by its key once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import apsw

from ccagent.facts.batch import Batch
from ccagent.facts.keys import fact_key
from ccagent.facts.model import EventType, Flag
from ccagent.facts.partial import Partial, merge
from ccagent.facts.settle import settle
from ccagent.metrics import names as metric
from ccagent.store import rows
from ccagent.store.closing import close_rows, close_turns, release_agent
from ccagent.store.work import Work

DEEPEST: Final = 16
"""Levels of nested sub-agents that one batch resolves; clients allow 5. A ring of forged links ends here."""

_RECORD_TYPES: Final = {"line": "broken"}
_KNOWN: Final = frozenset(
    ("assistant", "user", "system", "progress", "attachment", "queue-operation", "summary", "other")
)
_REASONS: Final = {"garbage": "not_json", "truncated": "truncated", "spliced": "spliced", "oversize": "oversize"}


class Ingest(Work):
    """Takes batches in. One per store; `begin` before each transaction, `forget` after a rollback."""

    # ---- facts ---------------------------------------------------------------------------------------------------

    def facts(self, batch: Batch) -> None:
        """Merge, book, close and write the batch's facts; then link its sub-agents and close its turns."""
        keyed = sorted(
            ((fact_key(kind, native), fact) for kind, facts in batch.facts.items() for native, fact in facts.items()),
            key=_first,
        )
        stored = self._stored([key for key, _ in keyed])
        fresh: dict[int, bool] = {}
        numbers = self._numbers(keyed, stored)
        inserts: list[rows.Row] = []
        updates: list[rows.Row] = []
        turn_closes, closes = batch.turn_closes, batch.closes
        self._whole.clear()
        price = self.names.id(self.prices.version)
        for key, fact in keyed:
            row = stored.get(key)
            closing = (
                fact.closing
                or (fact.turn is not None and fact.turn in turn_closes)
                or (fact.type, fact.native) in closes
                or (fact.type == EventType.TURN and fact.native in turn_closes)
            )
            if row is None:
                fresh[id(fact)] = True
                if fact.type == EventType.TURN:
                    self._whole.add(fact.native)
                inserts.append(self._insert(key, fact, closing, numbers, price))
            else:
                changed = self._update(key, row, fact, closing, numbers, price)
                if changed is not None:
                    updates.append(changed)
        self.conn.executemany(rows.INSERT, inserts)
        self.conn.executemany(rows.UPDATE, updates)
        self._records(batch, fresh)
        self._close_earlier(batch)
        self._links(batch)
        close_turns(self, [native for native in turn_closes if native not in self._whole])

    def _stored(self, keys: list[bytes]) -> dict[bytes, rows.Row]:
        if not keys:
            return {}
        found = rows.fetch(self.conn, "JOIN carray(?) k ON f.key = k.value", (apsw.carray(tuple(keys)),))
        return {row[rows.KEY]: row for row in found}

    def _numbers(self, keyed: list[tuple[bytes, Partial]], stored: dict[bytes, rows.Row]) -> dict[str, int]:
        """Ids of the batch's requests, new ones given now: a tool call points to the request that made it."""
        numbers: dict[str, int] = {}
        for key, fact in keyed:
            if fact.type == EventType.LLM_REQUEST:
                row = stored.get(key)
                numbers[fact.native] = self._give() if row is None else row[rows.ID]
        return numbers

    def _give(self) -> int:
        number = self._next_id
        self._next_id = number + 1
        return number

    def _request(self, fact: Partial, numbers: dict[str, int]) -> int | None:
        if fact.request is None:
            return None
        known = numbers.get(fact.request)
        if known is None:
            found = self.conn.execute(
                "SELECT id FROM fact WHERE key = ?", (fact_key(EventType.LLM_REQUEST, fact.request),)
            ).fetchone()
            if found is None:
                return None
            known = numbers[fact.request] = int(found[0])
        return known

    def _insert(self, key: bytes, fact: Partial, closing: bool, numbers: dict[str, int], price: int) -> rows.Row:
        settled = settle(fact, self.prices)
        fact.file = self.file_ids[fact.file]
        if not self.live:
            fact.flags |= Flag.BACKFILL
        agent = fact.context.agent
        held = closing and agent is not None and not self.linked(agent)
        booked = self.ledger.change(None, fact, settled, closing and not held)
        self.touch(fact)
        seq = self.next_seq()
        number = numbers[fact.native] if fact.type == EventType.LLM_REQUEST else self._give()
        return rows.write(
            fact,
            settled,
            self.names,
            self.contexts,
            number=number,
            key=key,
            request=self._request(fact, numbers),
            booked=booked,
            price=price,
            seq=seq,
            closed_seq=seq if closing and not held else None,
            ended=1 if closing else None,
        )

    def _update(
        self,
        key: bytes,
        row: rows.Row,
        fact: Partial,
        closing: bool,
        numbers: dict[str, int],
        price: int,
    ) -> rows.Row | None:
        """The row with `fact` merged into it; None where nothing changed (the same lines again)."""
        before = rows.read(row, self.names, self.contexts)
        after = rows.read(row, self.names, self.contexts)
        merge(after, fact)
        closing = closing or row[rows.ENDED] == 1
        agent = after.context.agent
        closes = row[rows.CLOSED_SEQ] is None and closing and (agent is None or self.linked(agent))
        settled, old = settle(after, self.prices), settle(before, self.prices)
        request = row[rows.REQUEST]
        if after.request is not None or _owner(after) != _owner(before):
            request = self._request(after, numbers)  # the owner's, taken whole: None where it names none
        booked = row[rows.COST_BOOKED] if row[rows.COST_BOOKED] is not None else row[rows.COST] or 0
        closed = row[rows.CLOSED_SEQ]
        ended = 1 if closing else row[rows.ENDED]
        same = rows.write(
            after,
            settled,
            self.names,
            self.contexts,
            number=row[rows.ID],
            key=key,
            request=request,
            booked=booked,
            price=row[rows.PRICE] if settled.cost == row[rows.COST] else price,
            seq=row[rows.SEQ],
            closed_seq=closed,
            ended=ended,
        )
        if same == row and not closes:
            return None
        if closed is not None:
            self.stale(after, closed)
        booked = self.ledger.change((before, old, booked), after, settled, closes)
        self.touch(before)
        self.touch(after)
        if before.context.session != after.context.session:
            self.mark_session(before)
        seq = self.next_seq()
        return rows.write(
            after,
            settled,
            self.names,
            self.contexts,
            number=row[rows.ID],
            key=key,
            request=request,
            booked=booked,
            price=row[rows.PRICE] if settled.cost == row[rows.COST] else price,
            seq=seq,
            closed_seq=seq if closes else closed,
            ended=ended,
        )

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
        self.conn.execute("UPDATE fact SET ended = 1 WHERE id = ?", (row[rows.ID],))
        return True

    def _links(self, batch: Batch) -> None:
        """Remember which call launched which sub-agent; resolve what can be resolved, nested ones too."""
        conn = self.conn
        for launched, tool in batch.links.items():
            conn.execute(
                "INSERT INTO agent (agent, tool) VALUES (?1, ?2) ON CONFLICT (agent) DO UPDATE SET"
                " tool = ?2, linked_at = NULL WHERE tool IS NULL OR tool > ?2",
                (self.names.id(launched), tool),
            )
        moved = [
            fact_key(EventType.TOOL_CALL, native) for native, fact in batch.facts[EventType.TOOL_CALL].items()
            if fact.name in ("Task", "Agent")
        ]  # fmt: skip
        if moved:
            conn.execute("UPDATE agent SET linked_at = NULL WHERE tool IN carray(?)", (apsw.carray(tuple(moved)),))
        if not batch.facts[EventType.TOOL_CALL] and not batch.links:
            return
        self._linked.clear()
        for _ in range(DEEPEST):
            progress = False
            waiting: list[tuple[int, int | None, int | None]] = list(
                conn.execute(
                    "SELECT a.agent, f.turn, c.agent FROM agent a JOIN fact f ON f.key = a.tool JOIN context c ON"
                    " c.id = f.context WHERE a.linked_at IS NULL AND a.tool IS NOT NULL AND f.name IS NOT NULL"
                )
            )
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
                             " AND (turn IS NOT ?3)", (agent, EventType.TOOL_CALL.value, turn))  # fmt: skip
                self._linked.clear()
                if turn is not None:
                    self._whole.discard(self.names.text(turn) or "")
                release_agent(self, agent)
                progress = True
            if not progress:
                break

    # ---- what was read ---------------------------------------------------------------------------------------------

    def _records(self, batch: Batch, fresh: dict[int, bool]) -> None:
        """Each object once, by its best outcome; and the lines that were bad."""
        counts = dict(batch.records)
        for kind, born in batch.births:
            status = "new" if any(id(fact) in fresh for fact in born) else "merged"
            counts[kind, status] = counts.get((kind, status), 0) + 1
        for (kind, status), amount in counts.items():
            label = _RECORD_TYPES.get(kind, kind if kind in _KNOWN else "metadata")
            self.booking.count(metric.INGEST_RECORDS, (label, status), amount)
        for amount in batch.fallbacks.values():
            self.booking.count(metric.PARSER_FALLBACKS, ("claude", "other"), amount)
        self.booking.count(metric.PARSER_FAILURES, ("claude", "derive"), batch.failures)
        self.booking.count(metric.INGEST_BYTES, (), batch.bytes)

    def quarantine(self, lines: Iterable[tuple[int, int, int, bytes, str, int]]) -> None:
        """Bad lines: (file id, offset, length, hash, reason, objects recovered). The same line again adds nothing."""
        before = self.conn.total_changes()
        for file, offset, length, digest, reason, recovered in lines:
            self.conn.execute(
                'INSERT INTO quarantine (file, "offset", length, hash, reason, recovered, seen_at)'
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (file, offset, length, digest, reason, recovered, self.now_ms),
            )
            if self.conn.total_changes() != before:
                before = self.conn.total_changes()
                self.booking.count(metric.QUARANTINE_LINES, (_REASONS.get(reason, "other"),))


def _owner(fact: Partial) -> tuple[object, ...]:
    return fact.rank, fact.owner_at, fact.context, fact.turn, fact.name


def _first(pair: tuple[bytes, Partial]) -> bytes:
    return pair[0]
