"""Laws that hold within the tables, whatever the transcripts say: every reference leads somewhere, change numbers
stay behind their host's, no fact lies behind what was read, and every key is that of its content."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ccagent.facts.keys import fact_key
from ccagent.facts.model import KEY_PREFIXES, EventType
from ccagent.store.connection import Connection, scalar

EXAMPLES: Final = 5
"""Rows that a broken law names."""

PAGE: Final = 5_000
"""Rows of one question."""

_GONE: Final = 1
"""State of a file whose path is gone. Its unfinished last line was taken in with a newline that it never had."""


@dataclass(slots=True, kw_only=True)
class Law:
    """What came of one law: the rows that it was held against, those that it could not be held against (`excluded`),
    those that break it, and some of these by name."""

    name: str
    checked: int = 0
    excluded: int = 0
    broken: int = 0
    examples: list[str] = field(default_factory=list)

    def breaks(self, example: str) -> None:
        """One row breaks the law."""
        self.broken += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(example)


def _names(table: str, alias: str, columns: tuple[str, ...], none: str = "IS NOT NULL") -> tuple[str, ...]:
    """Rows whose number of a text is nobody's; one FROM and WHERE a column."""
    return tuple(
        f"{table} {alias} LEFT JOIN name n ON n.id = {alias}.{column} WHERE {alias}.{column} {none} AND n.id IS NULL"
        for column in columns
    )


_CONTEXT: Final = (
    "session", "project", "cwd", "branch", "version", "entrypoint", "permission_mode", "agent", "skill", "provider",
)  # fmt: skip
_REQUEST: Final = int(EventType.LLM_REQUEST)

_LAWS: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    # law → the table whose rows it is held against, what names a row, and what finds the rows that break it
    "texts of facts": ("fact", "f.key", _names("fact", "f", ("turn", "name", "failure", "stop", "price"))),
    "texts of contexts": ("context", "c.id", _names("context", "c", _CONTEXT)),
    "texts of sub-agents": ("agent", "a.agent", _names("agent", "a", ("agent", "turn"))),
    "texts of rollups": (
        "rollup", "r.bucket", _names("rollup", "r", ("project", "branch", "name", "agent", "skill"), "<> 0"),
    ),
    "texts of measured hours": ("measured", "m.hour", _names("measured", "m", ("session", "project"), "<> 0")),
    "texts of links": ("link", "l.source", _names("link", "l", ("source", "target"))),
    "contexts of facts": ("fact", "f.key", ("fact f LEFT JOIN context c ON c.id = f.context WHERE c.id IS NULL",)),
    "transcripts of facts": (
        "fact", "f.key", ("fact f LEFT JOIN file x ON x.id = f.file WHERE f.file IS NOT NULL AND x.id IS NULL",),
    ),
    "copies of facts": (
        "contributor", "f.key",
        (
            "contributor f LEFT JOIN file x ON x.id = f.file WHERE x.id IS NULL",
            "contributor f LEFT JOIN fact o ON o.key = f.key LEFT JOIN pruned p ON p.key = f.key"
            " WHERE o.key IS NULL AND p.key IS NULL",
        ),
    ),
    "requests of tool calls": (
        "fact", "f.key",
        (
            "fact f LEFT JOIN fact o ON o.key = f.request LEFT JOIN pruned p ON p.key = f.request"
            " WHERE f.request IS NOT NULL AND o.key IS NULL AND p.key IS NULL",
            f"fact f JOIN fact o ON o.key = f.request WHERE f.request IS NOT NULL AND o.type <> {_REQUEST}",
        ),
    ),
    "links of sub-agents": (
        "agent", "a.agent",
        (
            "agent a LEFT JOIN fact o ON o.key = a.tool LEFT JOIN pruned p ON p.key = a.tool"
            " WHERE a.linked_at IS NOT NULL AND o.key IS NULL AND p.key IS NULL",
        ),
    ),
    "hosts": (
        "host", "f.host",
        tuple(
            f"{table} f LEFT JOIN host h ON h.id = f.{column} WHERE f.{column} IS NOT NULL AND h.id IS NULL"
            for table, column in (
                ("fact", "host"), ("fact", "closed_host"), ("file", "host"), ("total", "host"), ("histogram", "host"),
                ("export_cursor", "host"),
            )
        ),
    ),
    "change numbers": (
        "fact", "f.key",
        (
            "fact f JOIN host h ON h.id = f.host WHERE f.seq > h.seq",
            "fact f JOIN host h ON h.id = f.closed_host WHERE f.closed_seq > h.seq",
            "fact f WHERE (f.closed_seq IS NULL AND f.closed_host IS NOT NULL)"
            " OR (f.closed_seq IS NOT NULL AND f.closed_host IS NULL)",
        ),
    ),
    "numbers of closed facts": (
        # An exporter that stops between two facts of one number would lose the second.
        "fact", "f.number",
        (
            "(SELECT closed_seq AS number FROM fact WHERE closed_seq IS NOT NULL"
            " GROUP BY closed_host, closed_seq HAVING COUNT(*) > 1) f",
        ),
    ),
    "export cursors": (
        "export_cursor", "f.destination",
        ("export_cursor f JOIN host h ON h.id = f.host WHERE f.closed_seq > h.seq",),
    ),
    "offsets of transcripts": ("file", "f.id", ('file f WHERE f."offset" > f.size OR f."offset" < 0',)),
    "places of facts": (
        "fact", "f.key",
        (
            f'fact f JOIN file x ON x.id = f.file WHERE x.generation = 0 AND f."offset" + f.length >'
            f' x."offset" + CASE WHEN x.state = {_GONE} THEN 1 ELSE 0 END',
        ),
    ),
    "facts kept and removed": ("pruned", "f.key", ("pruned p JOIN fact f ON f.key = p.key",)),
}  # fmt: skip


def laws(reader: Connection) -> Iterator[Law]:
    """Hold every law against the store; a few seconds a million facts."""
    sizes: dict[str, int] = {}
    for name, (table, named, conditions) in _LAWS.items():
        if table not in sizes:
            sizes[table] = int(scalar(reader, f"SELECT COUNT(*) FROM {table}"))
        law = Law(name=name, checked=sizes[table])
        for condition in conditions:
            found = int(scalar(reader, f"SELECT COUNT(*) FROM {condition}"))
            if found:
                law.broken += found
                room = EXAMPLES - len(law.examples)
                rows = reader.execute(f"SELECT {named} FROM {condition} LIMIT {room}").fetchall()
                law.examples += [_shown(row[0]) for row in rows]
        yield law
    yield _content_keys(reader)


def _content_keys(reader: Connection) -> Law:
    """A fact's key is the hash of its kind and its native id, so nothing can be there twice."""
    law = Law(name="keys of facts")
    after = b""
    sql = f"SELECT key, type, native FROM fact WHERE key > ? ORDER BY key LIMIT {PAGE}"
    while page := reader.execute(sql, (after,)).fetchall():
        for key, kind, native in page:
            if kind not in KEY_PREFIXES or fact_key(kind, native) != key:
                law.breaks(_shown(key))
        law.checked += len(page)
        after = bytes(page[-1][0])
    return law


def _shown(value: object) -> str:
    return bytes(value).hex() if isinstance(value, bytes | bytearray | memoryview) else str(value)
