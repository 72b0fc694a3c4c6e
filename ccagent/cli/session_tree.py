"""The tree of a session: its turns, and below them requests, calls and sub-agents, as traces show them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ccagent.cli.output import clean, rfc3339
from ccagent.cli.session_output import ID_SHOWN, RECENT_TURNS, Section, span
from ccagent.facts.model import STATUS_NAMES

if TYPE_CHECKING:
    from ccagent.export.otlp.tree import Node


def tree_section(roots: Sequence[Node], *, everything: bool) -> Section:
    """The tree as text, each trace with its id; the last ones only unless `everything` is wanted."""
    shown = roots if everything else roots[-RECENT_TURNS:]
    heading = f"Traces ({len(roots)}" + (f", the last {RECENT_TURNS})" if len(shown) < len(roots) else ")")
    return Section(heading, [line for root in shown for line in _trace(root)])


def _trace(root: Node) -> Iterator[str]:
    began = (rfc3339(root.started_at) or "")[:19] + "Z"
    yield f"{began}  {_said(root)}  trace {root.trace_id}"
    for child in root.children:
        yield from _lines(child, 1)


def _lines(node: Node, indent: int) -> Iterator[str]:
    yield "  " * indent + _said(node)
    for child in node.children:
        yield from _lines(child, indent + 1)


def _said(node: Node) -> str:
    fact = node.fact
    agent = f" {clean(fact.native[:ID_SHOWN])}" if fact.agent == fact.native else ""
    failure = f" ({clean(fact.failure)})" if fact.failure else ""
    return f"{clean(node.name)}{agent}  {STATUS_NAMES[fact.status]}{failure}, {span(node.ended_at - node.started_at)}"


def tree_document(roots: Sequence[Node]) -> list[dict[str, object]]:
    """The tree in the JSON of `ccagent session --tree --json` (docs/json.md)."""
    return [_object(root) for root in roots]


def _object(node: Node) -> dict[str, object]:
    return {
        "span": node.name,
        "event": node.fact.source_key.partition(":")[0],
        "trace_id": node.trace_id,
        "span_id": node.span_id,
        "started_at": rfc3339(node.started_at),
        "ended_at": rfc3339(node.ended_at),
        "status": STATUS_NAMES[node.fact.status],
        "failure_class": node.fact.failure,
        "children": [_object(child) for child in node.children],
    }
