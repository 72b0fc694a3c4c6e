"""Facts from archives back into a database.

A fact that retention removed from this database comes back as it was: nothing is booked and no rollup moves, since both
still hold it. A fact that the database has never seen (an archive of another one) is taken in as a line would be, through
store/salvage.py. What is there already stays as it is, so a restore may be repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from ccagent.facts.keys import fact_key
from ccagent.facts.model import KEY_PREFIXES
from ccagent.store import rows, schema
from ccagent.store.archive import Place, Record, context_of, path_of, read, row_of
from ccagent.store.connection import Connection, SqliteConnection, scalar
from ccagent.store.ingest import Ingest
from ccagent.store.interning import Contexts, Names
from ccagent.store.links import name_branches, relink
from ccagent.store.salvage import GONE, carry_over
from ccagent.store.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path

BATCH: Final = 500
"""Facts of one transaction."""

_KEYED: Final = "SELECT t.key FROM {blobs} JOIN {table} t ON t.key = k.value"
_LINK: Final = "INSERT INTO agent (agent, tool, turn, depth, linked_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_ADD_FILE: Final = (
    'INSERT INTO file (host, path, device, inode, size, mtime_ns, "offset", head, head_length, marker, generation, lines,'
    " state) VALUES (?, ?, 0, 0, 0, 0, 0, ?, 0, ?, 1, 0, ?) RETURNING id"
)


@dataclass(slots=True, kw_only=True)
class Restored:
    """What became of the facts of some archives; `before` counts those of the first two that began before a moment."""

    returned: int = 0
    """Removed here once, and back."""
    new: int = 0
    """Never seen here: taken in and booked."""
    known: int = 0
    unreadable: int = 0
    """Records whose key is not that of their kind and id."""
    before: int = 0


def restore(paths: Iterable[Path], store: Writer, *, before: int = 0, dry_run: bool = False) -> Restored:
    """Bring back what these archives hold; with `dry_run` only say what would be. StoreError for what is no archive:
    what was restored until then stays, and a second call goes on."""
    result = Restored()
    for path in paths:
        records = read(path)
        while batch := list(islice(records, BATCH)):
            _restore(batch, store, result, before, dry_run=dry_run)
    return result


def _restore(batch: Sequence[Record], store: Writer, result: Restored, before: int, *, dry_run: bool) -> None:
    sound: dict[bytes, Record] = {}
    for record in batch:
        raw: Record = record["raw"]
        if not _sound(raw):
            result.unreadable += 1
            continue
        sound[bytes.fromhex(raw["key"])] = raw
    known, removed = _among(store, list(sound), "fact"), _among(store, list(sound), "pruned")
    back = {key: raw for key, raw in sound.items() if key in removed and key not in known}
    fresh = [raw for key, raw in sound.items() if key not in removed and key not in known]
    result.known += len(known)
    result.before += sum((raw["occurred_at"] or 0) < before for raw in (*back.values(), *fresh))
    result.returned += len(back)
    if dry_run:
        result.new += len(fresh)
        return
    if back:
        store.run(_returning(back))
    if fresh:
        with _in_memory(fresh) as source:
            result.new += carry_over(source, store).facts


def _sound(raw: Record) -> bool:
    try:
        return bool(raw["type"] in KEY_PREFIXES and fact_key(raw["type"], raw["native"]) == bytes.fromhex(raw["key"]))
    except (KeyError, TypeError, ValueError):
        return False


def _among(store: Writer, keys: list[bytes], table: str) -> set[bytes]:
    if not keys:
        return set()
    dialect = store.conn.dialect
    found = store.ask(_KEYED.format(blobs=dialect.blobs, table=table), (dialect.listed(keys),))
    return {bytes(row[0]) for row in found}


def _returning(back: dict[bytes, Record]) -> Any:
    """Put these removed facts back as they were."""

    def work(state: Ingest) -> None:
        conn = state.conn
        hosts = {
            str(name): (int(number), int(seq))
            for number, name, seq in conn.execute("SELECT id, host_id, seq FROM host")
        }
        files = _Files(conn, state.host, {name: number for name, (number, _) in hosts.items()})
        written = []
        for key in sorted(back):
            raw = back[key]
            if raw["occurred_at"] is not None and raw["occurred_at"] < state.payloads_before:
                raw = raw | {"extra": None}  # it would not go again: what is so old has been looked through
            seq = state.next_seq()
            # What was open when it was archived closed when it was removed.
            closed = _closing(conn, hosts.get(raw["closed_host"]), raw["closed_seq"]) or (state.host, seq)
            own = {
                "file": files.id(raw["file"]), "host": state.host, "seq": seq,
                "closed_host": closed[0], "closed_seq": closed[1],
            }  # fmt: skip
            written.append(row_of(raw, state.names, state.contexts, own))
        _write(conn, state.names, written, [back[key] for key in sorted(back)], files)
        conn.execute(
            f"DELETE FROM pruned WHERE key IN (SELECT k.value FROM {conn.dialect.blobs})",
            (conn.dialect.listed(sorted(back)),),
        )
        contexts = [context_of(raw) for raw in back.values()]
        name_branches(state, {each.branch for each in contexts if each.branch is not None})
        relink(state, {each.session for each in contexts if each.session is not None})
        state.wrote = True

    return work


def _closing(conn: Connection, host: tuple[int, int] | None, closed_seq: int | None) -> tuple[int, int] | None:
    """The closing of a fact as it was: exporters that had it do not send it again. None where it cannot be: there was
    none, the host is not known here, has not come so far, or has given the number to another fact."""
    if host is None or closed_seq is None or closed_seq > host[1]:
        return None
    taken = scalar(conn, "SELECT 1 FROM fact WHERE closed_host = ? AND closed_seq = ?", (host[0], closed_seq))
    return None if taken is not None else (host[0], closed_seq)


@contextmanager
def _in_memory(records: Sequence[Record]) -> Iterator[Connection]:
    """A database with the facts of some records, as a source for salvage."""
    conn = SqliteConnection(":memory:")
    try:
        for statement in schema.statements("sqlite"):
            conn.execute(statement)
        conn.execute(
            "INSERT INTO host (host_id, instance_id, seq, commits, created_at) VALUES ('archive', '', 0, 0, 0)"
        )
        names = Names(conn)
        contexts = Contexts(conn, names)
        files = _Files(conn, 1, {})
        written = []
        for seq, raw in enumerate(records, 1):
            own = {"file": files.id(raw["file"]), "host": 1, "seq": seq, "closed_host": 1, "closed_seq": seq}
            written.append(row_of(raw, names, contexts, own))
        _write(conn, names, written, records, files)
        yield conn
    finally:
        conn.close()


class _Files:
    """Numbers of transcripts; one that is not known is entered as gone, to be read from its start should it return."""

    def __init__(self, conn: Connection, host: int, hosts: dict[str, int]) -> None:
        self._conn = conn
        self._host = host
        self._hosts = hosts

    def id(self, place: Place | None) -> int | None:
        """The number of a transcript, None for None."""
        if place is None:
            return None
        host, path = self._hosts.get(place["host"] or "", self._host), path_of(place)
        found = scalar(self._conn, "SELECT id FROM file WHERE host = ? AND path = ?", (host, path))
        return int(scalar(self._conn, _ADD_FILE, (host, path, b"", b"", GONE)) if found is None else found)


def _write(conn: Connection, names: Names, written: list[rows.Row], records: Sequence[Record], files: _Files) -> None:
    """Insert rows with what belongs to them: their further transcripts, their sub-agents' launches."""
    conn.executemany(rows.INSERT, written)
    conn.executemany(
        "INSERT INTO contributor (key, file) VALUES (?, ?) ON CONFLICT DO NOTHING",
        list(_copies(records, files)),
    )
    links = {raw["link"]["agent"]: raw["link"] for raw in records if raw["link"] is not None}
    conn.executemany(
        _LINK,
        [
            (
                names.id(agent), None if link["tool"] is None else bytes.fromhex(link["tool"]),
                names.optional(link["turn"]), link["depth"], link["linked_at"],
            )
            for agent, link in sorted(links.items())
        ],
    )  # fmt: skip


def _copies(records: Sequence[Record], files: _Files) -> Iterator[tuple[bytes, int | None]]:
    for raw in records:
        for place in raw["copies"]:
            yield bytes.fromhex(raw["key"]), files.id(place)
