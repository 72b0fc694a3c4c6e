"""The spans of one session as a tree, with the ids under which a trace store has them; also of what is still open."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from ccagent.export.otlp.attributes import span_name
from ccagent.export.otlp.closed import ClosedFact
from ccagent.export.otlp.placing import NANOSECONDS, interval, parent_key, trace_key
from ccagent.facts.trace_ids import span_id, trace_id
from ccagent.store.closed import session_facts
from ccagent.store.connection import Connection
from ccagent.store.session_facts import session_number


@dataclass(slots=True, kw_only=True)
class Node:
    """One span. Times in ms UTC; ids as trace stores show them, in hexadecimal."""

    fact: ClosedFact
    name: str
    trace_id: str
    span_id: str
    started_at: int
    ended_at: int
    children: list[Node] = field(default_factory=list)


def session_tree(conn: Connection, session: str) -> list[Node]:
    """The roots of a session's traces by time, with all that lies below them; empty where it is not known."""
    number = session_number(conn, session)
    return [] if number is None else tree_of(session_facts(conn, None, number))


def tree_of(facts: Sequence[ClosedFact]) -> list[Node]:
    """These facts as trees by time. What lies below a span that is not among them is a root; nothing is left out."""
    nodes: dict[str, Node] = {}
    for fact in facts:
        times = interval(fact)
        if times is not None:
            nodes[fact.source_key] = Node(
                fact=fact,
                name=span_name(fact),
                trace_id=trace_id(trace_key(fact)).hex(),
                span_id=span_id(fact.source_key).hex(),
                started_at=times[0] // NANOSECONDS,
                ended_at=times[1] // NANOSECONDS,
            )
    below: dict[str | None, list[Node]] = defaultdict(list)
    for key in nodes:
        parent = parent_key(nodes[key].fact)
        below[parent if parent in nodes and not _above(nodes, key, parent) else None].append(nodes[key])
    for above, children in below.items():
        children.sort(key=lambda node: (node.started_at, node.fact.event_type, node.span_id))
        if above is not None:
            nodes[above].children = children
    return below[None]


def _above(nodes: dict[str, Node], key: str, parent: str | None) -> bool:
    """Whether the way up from `parent` leads back to `key`."""
    seen: set[str] = set()
    while parent is not None and parent in nodes and parent not in seen:
        if parent == key:
            return True
        seen.add(parent)
        parent = parent_key(nodes[parent].fact)
    return False
