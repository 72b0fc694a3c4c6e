"""The swap of a rebuild: what was derived anew takes the place of what was there, in one transaction.

A fact is taken as the fresh tables have it, if every transcript that holds lines of it was read anew. Where one of them
is gone, was rewritten, lies elsewhere or is another host's, what was there is kept, or merged with what the others say.
Who closed a fact, and with which number, stays for ever: exporters have sent it.

Only what differs is written, and only that moves the totals, which begin a new generation.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ccagent.errors import StoreError
from ccagent.failpoints import hit
from ccagent.store import rollups, rows
from ccagent.store.closing import release_agent
from ccagent.store.connection import Connection, scalar
from ccagent.store.exchanging import BACKFILL, Exchange, Swapped
from ccagent.store.generation import OF_FACTS, Correction
from ccagent.store.held import keep_held
from ccagent.store.ingest import Ingest
from ccagent.store.links import relink_everything, take_branches
from ccagent.store.provenance import follow_prices, keep_provenance
from ccagent.store.recounting import recounted, to_recount
from ccagent.store.side import CONTEXT_COLUMNS, DONE, made_id
from ccagent.store.writer import set_meta

COMPARED: Final = (
    "context", "owner_at", "turn", "name", "request", "occurred_at", "ended_at", "result_at", "error_at", "status",
    "quality", "failure", "stop", "exit_code", "attempts", "reported_ms", "size", "added", "removed", "token_input",
    "token_output", "token_cache_read", "token_cache_write", "token_cache_write_1h", "token_thinking", "cost", "extra",
)  # fmt: skip
"""Columns that say what a fact is; the others tell how it came in."""

_DIFFERS: Final = " OR ".join(
    (
        *(f"f.{column} IS DISTINCT FROM s.{column}" for column in COMPARED),
        f"(f.flags & ~{BACKFILL}) <> (s.flags & ~{BACKFILL})",
        "f.cost_booked IS NOT NULL",
        "(f.closed_seq IS NULL AND (s.closed_seq IS NOT NULL OR (f.ended IS NULL AND s.ended IS NOT NULL)))",
    )
)

_KEYS: Final = "CREATE TEMP TABLE rebuild_keys (key {blob} NOT NULL PRIMARY KEY)"


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
        self._take_texts(state)
        again = {int(row[0]) for row in conn.execute(self._again[1:-1])}
        blob = "BYTEA" if conn.dialect.shared else "BLOB"
        conn.execute(_KEYS.format(blob=blob))
        self._find(conn)
        links = self._links(conn)
        correction = Correction(state)
        exchange = Exchange(state, self._side, again, correction)
        self.counts = exchange.run()
        hit("rebuild_in_swap")
        self._uniform(conn)
        self._copies(conn)
        self._transcripts(conn)
        self._relink(state, links, exchange.moved)
        take_branches(conn, self._side)
        relink_everything(state)
        anew = to_recount(state)
        correction.replace(anew, *recounted(state, self._side, anew))
        correction.restart(OF_FACTS)
        keep_held(conn, state.host, OF_FACTS)
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
                raise StoreError(
                    "the database was written to while it was rebuilt; run `ccagent backfill --rebuild` again"
                )
            columns = "id, value" if table == "name" else CONTEXT_COLUMNS
            conn.execute(
                f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {self._side}{table} WHERE id > ?", (last,)
            )
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
        # Of a line that ends no process any more the notes of its copies go, too, where their files are gone: as long as
        # one of them stands the line is left out everywhere.
        conn.execute(
            "DELETE FROM quarantine WHERE reason = 'crash' AND hash IN (SELECT q.hash FROM quarantine q"
            f" WHERE q.reason = 'crash' AND q.file IN {self._again} AND NOT EXISTS"
            f" (SELECT 1 FROM {side}quarantine s WHERE s.hash = q.hash AND s.reason = 'crash'))"
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

    def _links(self, conn: Connection) -> list[tuple[int, bytes | None]]:
        """The links of sub-agents that change: (agent, call, or None where no link is left).

        Asked before facts change. A link stays, if the call that it names may have been seen in what is gone.
        """
        kept = f"f.key IS NULL OR f.file IS NULL OR f.file NOT IN {self._again} OR EXISTS ({self._gone_copy})"
        known = {
            int(agent): (tool, turn, bool(stays))
            for agent, tool, turn, stays in conn.execute(
                f"SELECT a.agent, a.tool, a.turn, CASE WHEN {kept} THEN 1 ELSE 0 END"
                " FROM agent a LEFT JOIN fact f ON f.key = a.tool"
            )
        }
        fresh = {
            int(row[0]): (row[1], row[2]) for row in conn.execute(f"SELECT agent, tool, turn FROM {self._side}agent")
        }
        found = []
        for agent in sorted(known.keys() | fresh.keys()):
            tool, turn, stays = known.get(agent, (None, None, False))
            tools = [
                bytes(each) for each in (tool if stays else None, fresh.get(agent, (None,))[0]) if each is not None
            ]
            now = min(tools, default=None)
            again = now != (None if tool is None else bytes(tool)) or (agent in fresh and fresh[agent][1] != turn)
            if again or (now is None and agent in known):
                found.append((agent, now))
        return found

    def _relink(self, state: Ingest, links: Iterable[tuple[int, bytes | None]], moved: list[bytes]) -> None:
        """Write the links, resolve those that changed, and close what only waited for its link."""
        conn = state.conn
        for agent, tool in links:
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
