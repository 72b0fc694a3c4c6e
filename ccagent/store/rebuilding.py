"""The swap of a rebuild: what was derived anew takes the place of what was there, in one transaction.

A fact is taken as the fresh tables have it, if every transcript that holds lines of it was read anew. Where one of them
is gone, was rewritten, lies elsewhere or is another host's, what was there is kept, or merged with what the others say.
Who closed a fact, and with which number, stays for ever: exporters have sent it.

Only what differs is written, and only that moves the totals, which begin a new generation.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ccagent.errors import StoreError
from ccagent.facts.model import EventType, Flag
from ccagent.facts.partial import Partial, merge
from ccagent.failpoints import hit
from ccagent.store import rollups, rows
from ccagent.store.closing import release_agent
from ccagent.store.connection import Connection, scalar
from ccagent.store.generation import OF_FACTS, Correction
from ccagent.store.ingest import Ingest
from ccagent.store.late import Late
from ccagent.store.provenance import follow_prices, keep_provenance
from ccagent.store.sent import Sent
from ccagent.store.side import CONTEXT_COLUMNS, DONE, made_id
from ccagent.store.writer import set_meta

PAGE: Final = 1_000
"""Facts in memory at once."""

LAUNCHERS: Final = ("Task", "Agent")
"""Tools whose calls launch sub-agents."""

_BACKFILL: Final = int(Flag.BACKFILL)

_COMPARED: Final = (
    "context", "owner_at", "turn", "name", "request", "occurred_at", "ended_at", "result_at", "error_at", "status",
    "quality", "failure", "stop", "exit_code", "attempts", "reported_ms", "size", "added", "removed", "token_input",
    "token_output", "token_cache_read", "token_cache_write", "token_cache_write_1h", "token_thinking", "cost", "extra",
)  # fmt: skip
"""Columns that say what a fact is; the others tell how it came in."""

_DIFFERS: Final = " OR ".join(
    (
        *(f"f.{column} IS DISTINCT FROM s.{column}" for column in _COMPARED),
        f"(f.flags & ~{_BACKFILL}) <> (s.flags & ~{_BACKFILL})",
        "f.cost_booked IS NOT NULL",
        "(f.closed_seq IS NULL AND s.closed_seq IS NOT NULL)",
    )
)

_KEYS: Final = "CREATE TEMP TABLE rebuild_keys (key {blob} NOT NULL PRIMARY KEY)"

_APART: Final = frozenset(
    (rows.FILE, rows.OFFSET, rows.LENGTH, rows.PARSER, rows.HOST, rows.SEQ, rows.PRICE, rows.COST_BOOKED)
)
"""Columns that tell nothing of what a fact is."""


@dataclass(slots=True, kw_only=True)
class Swapped:
    """What a swap did, in facts."""

    added: int = 0
    changed: int = 0
    merged: int = 0
    """Of the changed: those of which a transcript is gone."""
    dropped: int = 0
    kept: int = 0
    """That no transcript which is still there gives."""
    stale: int = 0
    """Changed after they were sent: a span leaves once."""


class Swap:
    """One swap; `run` is the work of a transaction, and may be run again where that one failed.

    `prefix` is what stands before the names of the fresh tables on the store's connection.
    """

    def __init__(self, prefix: str) -> None:
        self._side = prefix
        # transcripts that were read anew as far as they had been read before, and never were anything else
        self._again = (
            f'(SELECT r.id FROM {prefix}file r JOIN file o ON o.id = r.id WHERE r."offset" = o."offset"'
            " AND o.generation = 0)"
        )
        self._gone_copy = f"SELECT 1 FROM contributor c WHERE c.key = f.key AND c.file NOT IN {self._again}"
        self.counts = Swapped()

    def run(self, state: Ingest) -> Swapped:
        """Exchange everything within the caller's transaction."""
        conn = state.conn
        self.counts = Swapped()
        self._take_texts(state)
        again = {int(row[0]) for row in conn.execute(self._again[1:-1])}
        blob = "BYTEA" if conn.dialect.shared else "BLOB"
        conn.execute(_KEYS.format(blob=blob))
        self._find(conn)
        links = self._links(conn)
        correction = Correction(state)
        moved = self._facts(state, correction, again)
        hit("rebuild_in_swap")
        self._uniform(conn)
        self._copies(conn)
        self._transcripts(conn)
        self._relink(state, links, moved)
        correction.restart(OF_FACTS)
        rollups.mark_everything(conn)
        prices = state.prices.version
        uniform = follow_prices(conn, state.host, state.names.id(prices))
        keep_provenance(conn, state.host, parser=rows.PARSER_VERSION, prices=prices if uniform else None)
        set_meta(conn, DONE, made_id(conn, self._side))
        conn.execute("DROP TABLE rebuild_keys")
        state.wrote = True
        return self.counts

    # ---- what there is to do ---------------------------------------------------------------------------------------

    def _take_texts(self, state: Ingest) -> None:
        """SQLite: texts and contexts that only the fresh tables have."""
        conn = state.conn
        if conn.dialect.shared:
            return
        for table in ("name", "context"):
            last = int(scalar(conn, f"SELECT COALESCE(MAX(id), 0) FROM {table}"))
            clash = f"SELECT COUNT(*) FROM {table} o LEFT JOIN {self._side}{table} s ON s.id = o.id WHERE s.id IS NULL"
            if scalar(conn, clash):
                raise StoreError("the database was written to while it was rebuilt; run `ccagent backfill --rebuild` again")
            columns = "id, value" if table == "name" else CONTEXT_COLUMNS
            conn.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {self._side}{table} WHERE id > ?", (last,))
        state.names.forget()
        state.contexts.forget()

    def _find(self, conn: Connection) -> None:
        """Enter the keys of all facts that may have to change."""
        side = self._side
        conn.execute(
            f"INSERT INTO rebuild_keys SELECT s.key FROM {side}fact s LEFT JOIN fact f ON f.key = s.key"
            f" WHERE ((f.key IS NULL AND s.key NOT IN (SELECT key FROM pruned)) OR (f.key IS NOT NULL AND ({_DIFFERS}"
            f" OR (f.file IN {self._again} AND f.file <> s.file AND NOT EXISTS (SELECT 1 FROM {side}contributor c"
            " WHERE c.key = s.key AND c.file = f.file)))))"
        )
        conn.execute(
            f"INSERT INTO rebuild_keys SELECT f.key FROM fact f WHERE f.file IN {self._again}"
            f" AND NOT EXISTS (SELECT 1 FROM {side}fact s WHERE s.key = f.key) AND NOT EXISTS ({self._gone_copy})"
        )

    # ---- facts -----------------------------------------------------------------------------------------------------

    def _facts(self, state: Ingest, correction: Correction, again: Collection[int]) -> list[bytes]:
        """Exchange the facts; keys of launching calls that changed."""
        moved: list[bytes] = []
        last = b""
        sql = f"SELECT key FROM rebuild_keys WHERE key > ? ORDER BY key LIMIT {PAGE}"
        sent, late = Sent(state), Late(state)
        while page := [bytes(row[0]) for row in state.conn.execute(sql, (last,))]:
            last = page[-1]
            exchange = _Page(state, self._side, page)
            late.meet(exchange.sessions())
            inserts, updates, deletes = [], [], []
            for key in page:
                old, new = exchange.old.get(key), exchange.new.get(key)
                files = exchange.files_of(old)
                whole = bool(files) and all(file in again for file in files)
                if old is None:
                    if new is not None:
                        row = self._fresh(state, new)
                        fact = _read(state, row)
                        correction.comes(row, fact)
                        late.note(row, fact)
                        inserts.append(row)
                    continue
                if new is None:
                    if whole:
                        fact = _read(state, old)
                        correction.goes(old, fact)
                        state.touch(fact)
                        late.note(old, fact)
                        deletes.append((key,))
                        moved += [key] if fact.name in LAUNCHERS else []
                    continue
                found = self._exchanged(state, old, new, whole=whole, exchange=exchange, again=again)
                if found is None:
                    continue
                row, told = found
                updates.append(row)
                before, after = _read(state, old), _read(state, row)
                correction.goes(old, before)
                correction.comes(row, after)
                state.touch(before)
                late.note(old, before)
                late.note(row, after)
                if before.context.session != after.context.session:
                    state.mark_session(before)
                if told:
                    self.counts.changed += 1
                    self.counts.merged += not whole
                    self.counts.stale += sent.changed(after, old)
                if after.type == EventType.TOOL_CALL and (after.name in LAUNCHERS or before.name in LAUNCHERS):
                    moved.append(key)
            self.counts.added += len(inserts)
            self.counts.dropped += len(deletes)
            with late.followed(row[rows.KEY] for row in inserts):
                state.conn.executemany(rows.INSERT, inserts)
                state.conn.executemany(rows.UPDATE, updates)
                state.conn.executemany("DELETE FROM fact WHERE key = ?", deletes)
        self.counts.kept = int(
            scalar(
                state.conn,
                f"SELECT COUNT(*) FROM fact f WHERE NOT EXISTS (SELECT 1 FROM {self._side}fact s WHERE s.key = f.key)",
            )
        )
        return moved

    def _fresh(self, state: Ingest, new: rows.Row) -> rows.Row:
        """The row of a fact that was not there before."""
        seq = state.next_seq()
        closed = new[rows.CLOSED_SEQ] is not None
        return _replaced(
            new,
            {
                rows.COST_BOOKED: None, rows.HOST: state.host, rows.SEQ: seq,
                rows.CLOSED_HOST: state.host if closed else None, rows.CLOSED_SEQ: seq if closed else None,
            },
        )  # fmt: skip

    def _exchanged(
        self,
        state: Ingest,
        old: rows.Row,
        new: rows.Row,
        *,
        whole: bool,
        exchange: _Page,
        again: Collection[int],
    ) -> tuple[rows.Row, bool] | None:
        """The row that takes the place of `old`, and whether it says anything else; None where nothing changes."""
        row = new if whole else _merged(state, old, new)
        closes = old[rows.CLOSED_SEQ] is None and new[rows.CLOSED_SEQ] is not None
        closed = closes or old[rows.CLOSED_SEQ] is not None
        given = exchange.fresh_files(new)
        stays = old[rows.FILE] not in again or old[rows.FILE] in given
        place = old if stays else new
        row = _replaced(
            row,
            {
                rows.FLAGS: row[rows.FLAGS] & ~_BACKFILL | old[rows.FLAGS] & _BACKFILL,
                rows.COST_BOOKED: None,
                rows.FILE: place[rows.FILE], rows.OFFSET: place[rows.OFFSET], rows.LENGTH: place[rows.LENGTH],
                rows.PARSER: rows.PARSER_VERSION, rows.HOST: old[rows.HOST], rows.SEQ: old[rows.SEQ],
                rows.CLOSED_HOST: old[rows.CLOSED_HOST], rows.CLOSED_SEQ: old[rows.CLOSED_SEQ],
                rows.ENDED: 1 if closed or 1 in (old[rows.ENDED], new[rows.ENDED]) else None,
            },
        )  # fmt: skip
        told = any(one != two for column, (one, two) in enumerate(zip(old, row, strict=True)) if column not in _APART)
        if not told and not closes and stays and old[rows.COST_BOOKED] is None:
            return None
        seq = state.next_seq()
        changes = {rows.HOST: state.host, rows.SEQ: seq}
        if closes:
            changes |= {rows.CLOSED_HOST: state.host, rows.CLOSED_SEQ: seq}
        return _replaced(row, changes), told

    # ---- what goes with them ---------------------------------------------------------------------------------------

    def _uniform(self, conn: Connection) -> None:
        """Facts that say what they said follow today's rules and prices too."""
        side = self._side
        conn.execute(
            f"UPDATE fact SET parser = ? WHERE parser <> ? AND key IN (SELECT key FROM {side}fact)",
            (rows.PARSER_VERSION, rows.PARSER_VERSION),
        )
        conn.execute(
            f"UPDATE fact SET price = s.price FROM {side}fact s WHERE s.key = fact.key"
            " AND s.price IS DISTINCT FROM fact.price AND s.cost IS NOT DISTINCT FROM fact.cost"
        )

    def _copies(self, conn: Connection) -> None:
        """Which further transcripts hold a fact: what was found anew, and what cannot be."""
        side = self._side
        same = "{table} s WHERE s.key = contributor.key AND s.file = contributor.file"
        fresh, copied = same.format(table=f"{side}fact"), same.format(table=f"{side}contributor")
        conn.execute(
            f"DELETE FROM contributor WHERE file IN {self._again} AND NOT EXISTS (SELECT 1 FROM {fresh})"
            f" AND NOT EXISTS (SELECT 1 FROM {copied})"
        )
        conn.execute(
            f"INSERT INTO contributor (key, file) SELECT u.key, u.file FROM (SELECT key, file FROM {side}fact"
            f" UNION ALL SELECT key, file FROM {side}contributor) u JOIN fact f ON f.key = u.key"
            " WHERE f.file IS DISTINCT FROM u.file ON CONFLICT DO NOTHING"
        )
        conn.execute(f"DELETE FROM contributor WHERE EXISTS (SELECT 1 FROM {same.format(table='fact')})")

    def _transcripts(self, conn: Connection) -> None:
        """What later lines need of earlier ones, and the lines that are bad by today's rules."""
        side = self._side
        complete = f'(SELECT r.id FROM {side}file r JOIN file o ON o.id = r.id WHERE r."offset" = o."offset")'
        conn.execute(
            f'UPDATE file SET carry = s.carry FROM {side}file s WHERE s.id = file.id AND s."offset" = file."offset"'
            ' AND s."offset" > 0'
        )
        conn.execute(
            f"DELETE FROM quarantine WHERE file IN {self._again} AND NOT EXISTS (SELECT 1 FROM {side}quarantine s"
            ' WHERE s.file = quarantine.file AND s."offset" = quarantine."offset" AND s.hash = quarantine.hash)'
        )
        conn.execute(
            'INSERT INTO quarantine (file, "offset", length, hash, reason, recovered, seen_at)'
            f' SELECT file, "offset", length, hash, reason, recovered, seen_at FROM {side}quarantine'
            f' WHERE file IN {complete} ON CONFLICT (file, "offset", hash) DO UPDATE SET'
            " length = excluded.length, reason = excluded.reason, recovered = excluded.recovered"
        )

    def _links(self, conn: Connection) -> list[tuple[int, bytes | None, bool]]:
        """What becomes of the links of sub-agents: (agent, call or None for none, whether it is to be resolved anew).

        Asked before facts change. A link stays, if the call that it names may have been seen in what is gone.
        """
        kept = (
            f"f.key IS NULL OR f.file IS NULL OR f.file NOT IN {self._again} OR EXISTS ({self._gone_copy})"
        )
        known = {
            int(agent): (tool, turn, bool(stays))
            for agent, tool, turn, stays in conn.execute(
                f"SELECT a.agent, a.tool, a.turn, CASE WHEN {kept} THEN 1 ELSE 0 END"
                " FROM agent a LEFT JOIN fact f ON f.key = a.tool"
            )
        }
        fresh = {int(row[0]): (row[1], row[2]) for row in conn.execute(f"SELECT agent, tool, turn FROM {self._side}agent")}
        found = []
        for agent in sorted(known.keys() | fresh.keys()):
            tool, turn, stays = known.get(agent, (None, None, False))
            tools = [bytes(each) for each in (tool if stays else None, fresh.get(agent, (None,))[0]) if each is not None]
            now = min(tools, default=None)
            again = now != (None if tool is None else bytes(tool)) or (agent in fresh and fresh[agent][1] != turn)
            if again or (now is None and agent in known):
                found.append((agent, now, True))
        return found

    def _relink(self, state: Ingest, links: Iterable[tuple[int, bytes | None, bool]], moved: list[bytes]) -> None:
        """Write the links, resolve those that changed, and close what only waited for its link."""
        conn = state.conn
        for agent, tool, _ in links:
            if tool is None:
                conn.execute("DELETE FROM agent WHERE agent = ?", (agent,))
            else:
                conn.execute(
                    "INSERT INTO agent (agent, tool) VALUES (?1, ?2) ON CONFLICT (agent) DO UPDATE SET"
                    " tool = excluded.tool, turn = NULL, depth = NULL, linked_at = NULL",
                    (agent, tool),
                )
        if moved:
            conn.execute(
                f"UPDATE agent SET linked_at = NULL WHERE tool IN (SELECT value FROM {conn.dialect.blobs})",
                (conn.dialect.listed(moved),),
            )
        state.resolve_links()
        waiting = conn.execute(
            "SELECT DISTINCT a.agent FROM fact f JOIN context c ON c.id = f.context JOIN agent a ON a.agent = c.agent"
            " WHERE f.closed_seq IS NULL AND f.ended = 1 AND a.linked_at IS NOT NULL ORDER BY a.agent"
        ).fetchall()
        for (agent,) in waiting:
            release_agent(state, int(agent))


class _Page:
    """Some facts on both sides, with the transcripts that hold them."""

    def __init__(self, state: Ingest, side: str, keys: list[bytes]) -> None:
        self._state = state
        conn = state.conn
        dialect = conn.dialect
        listed = (dialect.listed(keys),)
        mine = rows.fetch(conn, f"JOIN {dialect.blobs} ON f.key = k.value ORDER BY f.key{dialect.locking}", listed)
        theirs = conn.execute(
            rows.SELECT.replace("FROM fact f", f"FROM {side}fact f") + f" JOIN {dialect.blobs} ON f.key = k.value", listed
        ).fetchall()
        self.old = {bytes(row[rows.KEY]): row for row in mine}
        self.new = {bytes(row[rows.KEY]): row for row in theirs}
        found = (*mine, *theirs)
        state.contexts.learn(row[rows.CONTEXT] for row in found)
        state.names.learn(row[column] for row in found for column in rows.NAMED)
        copies = f"SELECT c.key, c.file FROM {{table}} c JOIN {dialect.blobs} ON c.key = k.value"
        self._copies = _by_key(conn.execute(copies.format(table="contributor"), listed))
        self._fresh_copies = _by_key(conn.execute(copies.format(table=f"{side}contributor"), listed))

    def sessions(self) -> set[str | None]:
        """The sessions of all these facts."""
        contexts = self._state.contexts
        return {contexts.value(row[rows.CONTEXT]).session for rows_ in (self.old, self.new) for row in rows_.values()}

    def files_of(self, old: rows.Row | None) -> set[int | None]:
        """The transcripts of a fact as it was: None among them is one that is not known."""
        return set() if old is None else {old[rows.FILE], *self._copies.get(bytes(old[rows.KEY]), ())}

    def fresh_files(self, new: rows.Row) -> set[int]:
        """The transcripts that gave a fact anew."""
        return {new[rows.FILE], *self._fresh_copies.get(bytes(new[rows.KEY]), ())}


def _merged(state: Ingest, old: rows.Row, new: rows.Row) -> rows.Row:
    """What a fact was, of which a transcript is gone, with what the others say of it by today's rules."""
    fact, other = _read(state, old), _read(state, new)
    owner = _owner(fact)
    merge(fact, other)
    request = old[rows.REQUEST] if old[rows.REQUEST] is not None else new[rows.REQUEST]
    if _owner(fact) != owner:
        request = new[rows.REQUEST]
    settled = state.settle(fact)
    price = old[rows.PRICE] if settled.cost == old[rows.COST] else state.names.id(state.prices.version)
    return rows.write(
        fact, settled, state.names, state.contexts, key=old[rows.KEY], request=request, booked=settled.cost or 0,
        price=price, flags=int(fact.flags), file=old[rows.FILE], ended=old[rows.ENDED],
        change=rows.Change(old[rows.HOST], old[rows.SEQ], old[rows.CLOSED_HOST], old[rows.CLOSED_SEQ]),
    )  # fmt: skip


def _owner(fact: Partial) -> tuple[object, ...]:
    return fact.rank, fact.owner_at, fact.context, fact.turn, fact.name


def _read(state: Ingest, row: rows.Row) -> Partial:
    return rows.read(row, state.names, state.contexts)


def _replaced(row: rows.Row, values: Mapping[int, object]) -> rows.Row:
    """The row with some columns changed."""
    changed = list(row)
    for column, value in values.items():
        changed[column] = value
    return tuple(changed)


def _by_key(found: Iterable[tuple[bytes, int]]) -> dict[bytes, set[int]]:
    files: dict[bytes, set[int]] = {}
    for key, file in found:
        files.setdefault(bytes(key), set()).add(int(file))
    return files
