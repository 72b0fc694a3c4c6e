"""What `verify` asks of the store: how far each transcript was taken in, and every fact that a recount can meet.

All takes a reader; `connection.snapshot` holds one moment still while several questions are asked. Facts come in the
order of their keys, a page a question, so that memory stays bounded however many there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from ccagent.facts.model import EventType, Flag
from ccagent.store.connection import Connection, scalar
from ccagent.store.hosts import Host, read_host

PAGE: Final = 5_000
"""Rows of one question: a few MB, and some ten milliseconds."""

TEXTS_HELD: Final = 50_000
"""Numbers of texts that are remembered; sessions come again and again, other texts are few."""

MIGRATED_HOST: Final = 1
"""The one writer of databases that are older than the table `host`."""

RECOUNTED: Final = (EventType.SESSION, EventType.LLM_REQUEST, EventType.TOOL_CALL, EventType.COMPACTION)
"""The kinds of facts that a recount meets."""

_FILES: Final = """
    SELECT id, path, device, inode, size, mtime_ns, "offset", head, head_length, marker, generation, lines, state
    FROM file WHERE host = ? ORDER BY path"""

_FACTS: Final = f"""
    SELECT f.key, f.type, c.session, f.name, f.occurred_at, f.flags, f.file, f.host, f.seq, f.token_input,
        f.token_output, f.token_cache_read, f.token_cache_write, f.token_cache_write_1h
    FROM fact f LEFT JOIN context c ON c.id = f.context
    WHERE f.key > ? AND f.type IN ({", ".join(str(int(kind)) for kind in RECOUNTED)})
        AND NOT (f.type = {int(EventType.COMPACTION)} AND f.flags & {int(Flag.INFERRED)} <> 0)
    ORDER BY f.key LIMIT {PAGE}"""
"""What no record says, a recount cannot meet."""

_CONTRIBUTORS: Final = "SELECT key, file FROM contributor WHERE key >= ? AND key <= ?"
_PRUNED: Final = f"SELECT key FROM pruned WHERE key > ? ORDER BY key LIMIT {PAGE}"
_QUARANTINED: Final = """
    SELECT q.file, COUNT(*) FILTER (WHERE q.reason NOT IN ('derive', 'refused', 'crash')),
        COUNT(*) FILTER (WHERE q.reason IN ('derive', 'refused', 'crash'))
    FROM quarantine q JOIN file x ON x.id = q.file WHERE x.host = ? GROUP BY 1"""

_SUMS: Final = f"""
    SELECT type, COUNT(*) FILTER (WHERE type <> {int(EventType.FILE_UPDATE)} OR flags & {int(Flag.INFERRED)} = 0),
        COUNT(closed_seq), COALESCE(SUM(COALESCE(cost_booked, cost)), 0)
    FROM fact GROUP BY 1"""
"""Deletions by shell commands are no file writes, which their facts are counted for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """One transcript as the store knows it; all bytes before `offset` have been taken in."""

    file_id: int
    path: bytes
    device: int
    inode: int
    size: int
    mtime_ns: int
    offset: int
    head: bytes
    head_length: int
    marker: bytes
    generation: int
    lines: int
    state: int


class StoredFact(NamedTuple):
    """What a recount can know of a fact. `session` and `name` are numbers of texts, `files` those that hold lines of it.

    Tokens as the transcripts count them: input, output, cache reads, all cache writes, those for an hour among them.
    """

    key: bytes
    type: int
    session: int | None
    name: int | None
    at: int | None
    flags: int
    files: tuple[int, ...]
    host: int
    seq: int
    tokens: tuple[int, int, int, int, int]


class TypeSums(NamedTuple):
    """Facts of one kind, those of them that are closed, and the micro-dollars booked for them."""

    facts: int
    closed: int
    booked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the store says of itself. `sealed_before` in ms UTC: buckets before it are no longer recomputed.

    Facts of host MIGRATED_HOST with change numbers up to `migrated_seq` come from a schema that kept only the first of
    their transcripts.
    """

    host: Host | None
    zone: ZoneInfo
    """Of the rollups; UTC while they have none."""
    sealed_before: int | None
    pruned: bool
    migrated_seq: int


def standing(reader: Connection, host_id: str | None) -> Standing:
    """The host of that name (without one the only host there is), and what retention and migrations have done."""
    sealed = meta(reader, "sealed_before")
    return Standing(
        host=read_host(reader, host_id),
        zone=ZoneInfo(meta(reader, "zone") or "UTC"),
        sealed_before=None if sealed is None else int(sealed),
        pruned=scalar(reader, "SELECT 1 FROM pruned LIMIT 1") is not None,
        migrated_seq=int(meta(reader, "contributors_since") or 0),
    )


def meta(reader: Connection, name: str) -> str | None:
    """A value of the table `meta`, None where it is not set."""
    value = scalar(reader, "SELECT value FROM meta WHERE name = ?", (name,))
    return None if value is None else str(value)


def files(reader: Connection, host: int) -> list[StoredFile]:
    """All files that a host has read, in the order of their paths; gone ones too."""
    return [
        StoredFile(
            file_id=file_id, path=bytes(path), device=device, inode=inode, size=size, mtime_ns=mtime_ns, offset=offset,
            head=bytes(head), head_length=head_length, marker=bytes(marker), generation=generation, lines=lines,
            state=state,
        )
        for file_id, path, device, inode, size, mtime_ns, offset, head, head_length, marker, generation, lines, state
        in reader.execute(_FILES, (host,))
    ]  # fmt: skip


def facts(reader: Connection) -> Iterator[StoredFact]:
    """Every fact of the RECOUNTED kinds, in the order of the keys."""
    after = b""
    while page := reader.execute(_FACTS, (after,)).fetchall():
        after = bytes(page[-1][0])
        copies: dict[bytes, list[int]] = {}
        for key, file in reader.execute(_CONTRIBUTORS, (bytes(page[0][0]), after)):
            copies.setdefault(bytes(key), []).append(file)
        for key, kind, session, name, at, flags, file, host, seq, *tokens in page:
            key = bytes(key)
            known = () if file is None else (file,)
            more = tuple(copies[key]) if key in copies else ()
            counted = tuple([value or 0 for value in tokens])
            yield StoredFact(key, kind, session, name, at, flags, known + more, host, seq, counted)  # type: ignore[arg-type]
        if len(page) < PAGE:
            return


def pruned_keys(reader: Connection) -> Iterator[bytes]:
    """The keys of all facts that retention has removed, in their order."""
    after = b""
    while page := reader.execute(_PRUNED, (after,)).fetchall():
        for row in page:
            yield bytes(row[0])
        after = bytes(page[-1][0])
        if len(page) < PAGE:
            return


def quarantined(reader: Connection, host: int) -> dict[int, tuple[int, int]]:
    """By file of that host: its bad lines, and its sound lines that are missing: a rule failed on them, the database refused
    their facts, or they end the process."""
    return {file: (bad, failed) for file, bad, failed in reader.execute(_QUARANTINED, (host,))}


def sums(reader: Connection) -> dict[int, TypeSums]:
    """Number of facts and what is booked of their cost, by kind."""
    return {kind: TypeSums(*amounts) for kind, *amounts in reader.execute(_SUMS)}


def source_keys(reader: Connection, keys: list[bytes]) -> dict[bytes, tuple[int, str]]:
    """Kind and native id of the facts with these keys."""
    if not keys:
        return {}
    sql = f"SELECT f.key, f.type, f.native FROM {reader.dialect.blobs} JOIN fact f ON f.key = k.value"
    return {bytes(key): (kind, native) for key, kind, native in reader.execute(sql, (reader.dialect.listed(keys),))}


class TextNumbers:
    """Texts and their numbers in a store, looked up once each."""

    def __init__(self, reader: Connection) -> None:
        self._reader = reader
        self._texts: dict[int, str | None] = {}
        self._numbers: dict[str, int | None] = {}

    def text(self, number: int | None) -> str | None:
        """The text of a number; None for None, and for a number that no text has."""
        if number is None:
            return None
        if number not in self._texts:
            _make_room(self._texts)
            value = scalar(self._reader, "SELECT value FROM name WHERE id = ?", (number,))
            self._texts[number] = None if value is None else str(value)
        return self._texts[number]

    def number(self, text: str) -> int | None:
        """The number of a text, None where the store has none."""
        if text not in self._numbers:
            _make_room(self._numbers)
            self._numbers[text] = scalar(self._reader, "SELECT id FROM name WHERE value = ?", (text,))
        return self._numbers[text]


def _make_room(held: dict[Any, Any]) -> None:
    if len(held) >= TEXTS_HELD:
        held.clear()
