"""Which facts a SELECT is about: those that begin in given spans, of given sessions, with given keys, or without a time.

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


def searched(dialect: Dialect, alias: str, condition: str, *, left: bool = False) -> str:
    """A join with `fact` under an alias: a search in an index for each row before it, whatever a planner thinks of it.

    Bounds that come out of a join tell a planner nothing, and before the first ANALYZE it knows nothing at all: then it
    likes to read all facts. SQLite keeps to the order of a CROSS JOIN and of a LEFT JOIN; Postgres does not look through
    an OFFSET.
    """
    if dialect.shared:
        kind = "LEFT" if left else "INNER"
        return f" {kind} JOIN LATERAL (SELECT * FROM fact {alias} WHERE {condition} OFFSET 0) {alias} ON TRUE"
    return f" {'LEFT' if left else 'CROSS'} JOIN fact {alias} ON {condition}"


def undated() -> Facts:
    """Facts without a first time."""
    return Facts("fact f", "f.occurred_at IS NULL", "0")


def of_sessions(dialect: Dialect, sessions: Collection[int]) -> Facts:
    """Facts of the sessions (name ids, at least one); `bucket` is the session."""
    source = f"{dialect.numbers} JOIN context place ON place.session = k.value"
    return Facts(source + searched(dialect, "f", "f.context = place.id"), "1 = 1", "k.value", (dialect.listed(sessions),))


def with_keys(dialect: Dialect, keys: Collection[bytes], bucket: int = 0) -> Facts:
    """The facts with these keys (at least one), all in one bucket."""
    return Facts(dialect.blobs + searched(dialect, "f", "f.key = k.value"), "1 = 1", str(bucket), (dialect.listed(keys),))
