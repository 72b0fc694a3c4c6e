"""What is new in transcripts: facts of the kind `record.unknown`, grouped by name and client version.

A record of an unknown type, or a system record of an unknown subtype, is a fact by itself and has no label; what else is
new is one fact a session, whose label says of what kind it is (facts/drift.py). Of a record type there are both: the
facts without a label are counted, the other has the shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ccagent.facts.drift import version_order
from ccagent.facts.model import EventType
from ccagent.store.connection import Connection, scalar

NAMES: Final = 1_000
"""Rows (kind, name, version) that are read; a store with more has seen no client but noise."""

_UNKNOWN: Final = int(EventType.UNKNOWN)

_FOUND: Final = (
    "SELECT stop.value, n.value, version.value, MIN(f.occurred_at), MAX(COALESCE(f.ended_at, f.occurred_at)), COUNT(*)"
    " FROM fact f JOIN context c ON c.id = f.context LEFT JOIN name stop ON stop.id = f.stop"
    " LEFT JOIN name n ON n.id = f.name LEFT JOIN name version ON version.id = c.version"
    f" WHERE f.type = {_UNKNOWN} GROUP BY 1, 2, 3 ORDER BY 5 DESC, 2, 3 LIMIT {NAMES}"
)
_SESSIONS: Final = (
    "SELECT stop.value, n.value, COUNT(DISTINCT c.session) FROM fact f JOIN context c ON c.id = f.context"
    " LEFT JOIN name stop ON stop.id = f.stop LEFT JOIN name n ON n.id = f.name"
    f" WHERE f.type = {_UNKNOWN} GROUP BY 1, 2 ORDER BY 1, 2 LIMIT {NAMES}"
)
_SHAPES: Final = (
    "SELECT n.value, MIN(f.extra) FROM fact f JOIN name n ON n.id = f.name"
    f" WHERE f.type = {_UNKNOWN} AND f.stop IS NOT NULL AND f.extra IS NOT NULL GROUP BY 1 ORDER BY 1 LIMIT {NAMES}"
)
_VERSIONS: Final = "SELECT DISTINCT n.value FROM context c JOIN name n ON n.id = c.version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One kind and name in one client version. Times are ms UTC; `facts` are records where `label` is None, else one a
    session."""

    label: str | None
    name: str
    version: str | None
    first: int | None
    last: int | None
    facts: int


def seen(conn: Connection) -> list[Seen]:
    """All that was new when it was read, the latest first."""
    return [
        Seen(label=label, name=str(name or ""), version=version, first=first, last=last, facts=facts)
        for label, name, version, first, last, facts in conn.execute(_FOUND)
    ]


def sessions(conn: Connection) -> dict[tuple[str | None, str], int]:
    """(label, name) → the sessions in which it was met."""
    return {(label, str(name or "")): int(number) for label, name, number in conn.execute(_SESSIONS)}


def shapes(conn: Connection) -> dict[str, str]:
    """Name (`kind/name`) → the payload that holds its shape, where one is kept."""
    return {str(name): str(extra) for name, extra in conn.execute(_SHAPES)}


def newest_version(conn: Connection) -> str | None:
    """The newest client version of which there are facts."""
    return max((str(version) for (version,) in conn.execute(_VERSIONS)), key=version_order, default=None)


def is_empty(conn: Connection) -> bool:
    """Whether the store has no facts at all."""
    return scalar(conn, "SELECT 1 FROM fact LIMIT 1") is None
