"""The durable outbox of a signal: closed facts leave in order, and the cursor moves only after the answer.

At least once, with stable ids: a crash between the answer and the cursor sends one batch again, item for item the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

from ccagent.export.otlp.attributes import AttributeValue
from ccagent.export.otlp.batch import MAX_BYTES, MAX_ITEMS, Batch
from ccagent.export.otlp.circuit import Circuit
from ccagent.export.otlp.encoding import Encoding, Policies
from ccagent.export.otlp.observe import NEVER_MEANT, DropReason, Observe, Step, export_status
from ccagent.export.otlp.payload import Envelope
from ccagent.export.otlp.picking import Past, Picker
from ccagent.export.otlp.sender import Sender
from ccagent.export.otlp.verdict import Kind, Verdict
from ccagent.failpoints import hit
from ccagent.store import outbox as store
from ccagent.store.connection import Connection

CURSOR_STRIDE: Final = 1_000
"""The cursor of an idle outbox is written only this often: most of what closes may not concern the signal."""

STRIKES: Final = 10
"""How often an answer that may mean an outage is believed to be one, before the batch is narrowed down."""

BURIED_IN_A_ROW: Final = 3
"""So many facts refused one after the other: more likely the receiver refuses everything. Then a fact is set aside
only when another one is taken."""

PROBES: Final = 64
"""Facts among which another one is sought that the receiver takes."""

GROW_AFTER: Final = 100
"""Taken batches after which a reduced size is doubled again."""

BACKLOG_LIMIT: Final = 1_000_000
"""Counting the backlog stops here."""

Reader = Callable[[], AbstractContextManager[Connection]]
Write = Callable[[Callable[[Connection], None]], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """What `drain_once` reached: items taken, facts that still wait, and why ("" when nothing is wrong)."""

    sent: int
    backlog: int
    problem: str


class Outbox:
    """Sends one host's closed facts to one destination, as one signal. Driven by `tick(now_ms)`, from one thread.

    `encoding` makes items of facts; `reader` opens a read connection for the length of a `with`; `write(job)` runs
    `job(connection)` inside one write transaction; `policy` tells what a folder allows; `epoch` changes when the
    store's numbers began anew, behind what was looked through. Several facts of one batch may be refused: the batch is
    halved until the fact is found, which is set aside (`export_dead`), and everything else goes on.
    """

    def __init__(
        self,
        destination: str,
        sender: Sender,
        *,
        encoding: Encoding,
        host: int,
        resource: Mapping[str, AttributeValue],
        version: str,
        reader: Reader,
        write: Write,
        policy: Policies,
        observe: Observe,
        circuit: Circuit | None = None,
        epoch: Callable[[], int] = lambda: 0,
        stopwatch: Callable[[], float] = time.monotonic,
        max_items: int = MAX_ITEMS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.destination = destination
        self.signal = encoding.signal
        self.circuit = circuit or Circuit()
        self._encoding = encoding
        self._sender = sender
        self._host = host
        self._envelope = Envelope(resource, version)
        self._reader = reader
        self._write = write
        self._observe = observe
        self._stopwatch = stopwatch
        self._max_items = max_items
        self._picker = Picker(encoding, policy, host, max_items=max_items)
        self._max_bytes = self._bytes = max_bytes
        self._epoch = epoch
        self._since = epoch()
        self._scanned = 0
        self._taken = 0
        self._narrow: int | None = None
        self._narrow_until = 0
        self._strikes = 0
        self._buried = 0
        self._probing = False
        self._proved = False
        self._probe = 0

    def name(self, now_ms: int) -> store.Cursor:
        """The destination's cursor; the first time, what the destination missed before now becomes history."""
        with self._reader() as conn:
            cursor = store.read_cursor(conn, self.destination, self.signal, self._host)
        if cursor is not None:
            return cursor
        self._write(lambda conn: store.create_cursor(conn, self.destination, self.signal, self._host, now_ms))
        return self.name(now_ms)

    def backlog(self, now_ms: int) -> int:
        """Facts that wait for the destination; counting stops at a million."""
        cursor = self.name(now_ms)
        with self._reader() as conn:
            return store.backlog(
                conn,
                cursor,
                BACKLOG_LIMIT,
                types=self._encoding.types,
                not_before=self._picker.not_before(cursor, now_ms),
            )

    def drain_once(self, now_ms: int) -> Drain:
        """Send all that is due, until nothing is left or the receiver has to be waited for."""
        sent = 0
        while True:
            step = self.tick(now_ms)
            sent += step.sent
            if step.outcome in ("idle", "waiting", "failed"):
                return Drain(sent=sent, backlog=self.backlog(now_ms), problem=self.circuit.problem)

    def tick(self, now_ms: int) -> Step:
        """One request at most, with all that follows from its answer."""
        step = self._step(now_ms)
        self._observe.state(self.destination, self.signal, self.circuit.state)
        return step

    def _step(self, now_ms: int) -> Step:
        wait = self.circuit.wait_ms(now_ms)
        if wait > 0:
            return Step(outcome="waiting", wait_ms=wait)
        cursor = self.name(now_ms)
        if self._probing:
            step = self._probe_another(cursor, now_ms)
            if step is not None:
                return step
        if self._epoch() != self._since:
            self._since, self._scanned = self._epoch(), 0
        after = max(cursor.closed_seq, self._scanned)
        with self._reader() as conn:
            picked = self._picker.pick(conn, cursor, after, now_ms, limit=self._narrow, max_bytes=self._bytes)
        batch, past, top = picked.batch, picked.past, picked.top
        if not batch.items:
            return self._skip(cursor, batch, past, top, now_ms)
        if not self.circuit.ready(now_ms):
            return Step(outcome="waiting", wait_ms=self.circuit.wait_ms(now_ms))
        return self._judge(cursor, batch, past, self._send(batch), now_ms)

    def _send(self, batch: Batch) -> Verdict:
        began = self._stopwatch()
        verdict = self._sender.send(self.signal, self._envelope.around(batch.encoded))
        self._observe.duration(self.destination, self.signal, self._stopwatch() - began)
        hit("after_post")
        self._observe.exported(self.destination, self.signal, export_status(verdict))
        return verdict

    def _skip(self, cursor: store.Cursor, batch: Batch, past: Past, top: int, now_ms: int) -> Step:
        """Nothing to send in this stretch: remember that, durably where something was left out."""
        left_out = batch.withheld + batch.unfit + past.history + past.expired
        if left_out or batch.end - cursor.closed_seq >= CURSOR_STRIDE:
            self._move(cursor, batch.end, now_ms)
            self._count_left_out(batch, past)
        self._scanned = max(self._scanned, batch.end)
        return Step(outcome="skipped" if batch.end < top else "idle")

    def _judge(self, cursor: store.Cursor, batch: Batch, past: Past, verdict: Verdict, now_ms: int) -> Step:
        alone = len(batch.facts) == 1
        if verdict.kind is Kind.ADVANCE:
            return self._advance(cursor, batch, past, verdict, now_ms)
        if verdict.kind is Kind.CONFIG or (verdict.kind is Kind.RETRY and not verdict.bounded):
            self._proved = False
            return self._failed(verdict, now_ms)
        if alone:
            return self._refused_alone(cursor, batch, past, verdict, now_ms)
        if verdict.kind is Kind.RETRY:
            self._strikes += 1
            if self._strikes >= STRIKES:
                self._narrow_to(batch)
            return self._failed(verdict, now_ms)
        if verdict.kind is Kind.TOO_LARGE:
            self._bytes, self._taken = max(1, batch.size // 2), 0
        else:
            self._narrow_to(batch)
        self.circuit.succeeded(now_ms, taken=False)
        return Step(outcome="narrowed")

    def _advance(self, cursor: store.Cursor, batch: Batch, past: Past, verdict: Verdict, now_ms: int) -> Step:
        # A receiver that counts more rejected than it was sent would make the sum of sent items fall.
        rejected = min(verdict.rejected, len(batch.items))
        sent = len(batch.items) - rejected
        self._move(cursor, batch.end, now_ms, sent=sent, rejected=rejected)
        self._count_left_out(batch, past)
        if rejected:
            self._drop("rejected", rejected)
        self._buried = 0
        self._probing = self._proved = False
        if self._narrow is None or batch.end >= self._narrow_until:
            self._strikes, self._narrow = 0, None
        elif self._strikes:
            # It may have been an outage: trust grows again, but one more failure in this stretch narrows at once.
            self._narrow = min(self._max_items, self._narrow * 2)
        self._taken += 1
        if self._taken >= GROW_AFTER and self._bytes < self._max_bytes:
            self._bytes, self._taken = min(self._max_bytes, self._bytes * 2), 0
        self.circuit.succeeded(now_ms)
        if verdict.message:
            self.circuit.problem = verdict.message
        return Step(outcome="sent", sent=sent)

    def _failed(self, verdict: Verdict, now_ms: int) -> Step:
        self.circuit.failed(now_ms, verdict)
        return Step(outcome="failed", wait_ms=self.circuit.wait_ms(now_ms))

    def _narrow_to(self, batch: Batch) -> None:
        """Halve what is read until the stretch of this batch is behind us."""
        self._narrow = max(1, len(batch.facts) // 2)
        self._narrow_until = max(self._narrow_until, batch.end)

    def _refused_alone(self, cursor: store.Cursor, batch: Batch, past: Past, verdict: Verdict, now_ms: int) -> Step:
        """One fact, refused: set it aside, unless the receiver may be refusing everything."""
        if not self._proved and (verdict.bounded or self._buried >= BURIED_IN_A_ROW):
            self._strikes += 1
            self._probing = not verdict.bounded or self._strikes >= STRIKES
            return self._failed(verdict, now_ms)
        if self._proved:
            self._strikes = self._buried = 0
            self._proved = False
        reason: DropReason = "too_large" if verdict.kind is Kind.TOO_LARGE else "poison"
        self._bury(cursor, batch, reason, verdict.message, now_ms)
        self._count_left_out(batch, past)
        self.circuit.succeeded(now_ms, taken=False)
        self.circuit.problem = verdict.message
        return Step(outcome="buried")

    def _probe_another(self, cursor: store.Cursor, now_ms: int) -> Step | None:
        """Send another fact than the suspect: if it is taken, the receiver works, and the suspect gets its last try.

        The other fact is sent again in its turn, with the same ids. None: there is no other fact to ask with.
        """
        self._probing = False
        with self._reader() as conn:
            rows = store.closed_facts(
                conn, self._host, cursor.closed_seq, PROBES,
                not_before=self._picker.not_before(cursor, now_ms), types=self._encoding.types,
            )  # fmt: skip
        others = [row for row in rows if self._picker.alone(row).items][1:]
        if not others or not self.circuit.ready(now_ms):
            return None
        other = others[self._probe % len(others)]
        self._probe += 1
        verdict = self._send(self._picker.alone(other))
        if verdict.kind is not Kind.ADVANCE:
            return self._failed(verdict, now_ms)
        self._proved = True
        self._narrow, self._narrow_until = 1, max(self._narrow_until, other[0])
        self.circuit.succeeded(now_ms)
        return Step(outcome="narrowed")

    def _move(self, cursor: store.Cursor, end: int, now_ms: int, *, sent: int = 0, rejected: int = 0) -> None:
        def job(conn: Connection) -> None:
            hit("before_cursor")
            store.advance_cursor(conn, cursor, end, now_ms, sent=sent, rejected=rejected)

        self._write(job)

    def _bury(self, cursor: store.Cursor, batch: Batch, reason: DropReason, message: str, now_ms: int) -> None:
        fact = batch.facts[0][1]

        def job(conn: Connection) -> None:
            store.bury(conn, cursor, [fact.key], f"{reason}: {message}", now_ms)
            hit("before_cursor")
            store.advance_cursor(conn, cursor, batch.end, now_ms)

        self._write(job)
        self._buried += 1
        self._narrow = None
        self._drop(reason, len(batch.items))

    def _count_left_out(self, batch: Batch, past: Past) -> None:
        self._drop("tier", batch.withheld)
        self._drop("other", batch.unfit)
        self._drop("history", past.history)
        self._drop("expired", past.expired)

    def _drop(self, reason: DropReason, items: int) -> None:
        if items:
            if reason not in NEVER_MEANT:
                self.circuit.dropped(items)
            self._observe.dropped(self.destination, self.signal, reason, items)
