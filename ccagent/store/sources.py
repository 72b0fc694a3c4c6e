"""Which facts a SELECT is about: those that begin in given spans, of given sessions, or without a time.

Rollups and queries ask the same questions of all of these, so the questions are written over a `Facts` and name its
`fact f`, its parameters and its `bucket`: what a row of the answer belongs to.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ccagent.rollups.spans import Span
    from ccagent.store.dialect import Dialect


@dataclass(frozen=True, slots=True)
class Facts:
    """`SELECT … FROM {source} WHERE {where}` reads the facts, as `f`; `values` are the parameters in it, in order."""

    source: str
    where: str
    bucket: str
    values: tuple[Any, ...] = ()


def span_rows(spans: Iterable[Span]) -> str:
    """`(start, end), …` for a VALUES clause. Not for no spans."""
    return ", ".join(f"({start}, {end})" for start, end in spans)


def in_spans(dialect: Dialect, spans: Collection[Span]) -> Facts:
    """Facts that begin in one of the spans (at least one); `bucket` is the start of theirs."""
    rows = f"(WITH span(start, until) AS (VALUES {span_rows(spans)}) SELECT start, until FROM span) s"
    begun = "f.occurred_at >= s.start AND f.occurred_at < s.until"
    return Facts(rows + searched(dialect, "f", begun), "1 = 1", "s.start")


def searched(dialect: Dialect, alias: str, condition: str, *, table: str = "fact", left: bool = False) -> str:
    """A join with a table under an alias: a search in an index for each row before it, whatever a planner thinks of it.

    Bounds that come out of a join tell a planner nothing, and before the first ANALYZE it knows nothing at all: then it
    likes to read the whole table. SQLite keeps to the order of a CROSS JOIN and of a LEFT JOIN; Postgres does not look
    through an OFFSET.
    """
    if dialect.shared:
        kind = "LEFT" if left else "INNER"
        return f" {kind} JOIN LATERAL (SELECT * FROM {table} {alias} WHERE {condition} OFFSET 0) {alias} ON TRUE"
    return f" {'LEFT' if left else 'CROSS'} JOIN {table} {alias} ON {condition}"


def undated() -> Facts:
    """Facts without a first time."""
    return Facts("fact f", "f.occurred_at IS NULL", "0")


def of_sessions(dialect: Dialect, sessions: Collection[int]) -> Facts:
    """Facts of the sessions (name ids, at least one); `bucket` is the session."""
    places = searched(dialect, "place", "place.session = k.value", table="context")
    facts = searched(dialect, "f", "f.context = place.id")
    return Facts(dialect.numbers + places + facts, "1 = 1", "k.value", (dialect.listed(sessions),))
