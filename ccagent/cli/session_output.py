"""How `ccagent session` shows a session: as text in sections, and as one JSON document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from ccagent.cli.output import clean, money, rfc3339, terminal_width
from ccagent.facts.model import KEY_PREFIXES, EventType
from ccagent.facts.trace_ids import span_id, trace_id

if TYPE_CHECKING:
    from ccagent.store.session import Event, SessionView
    from ccagent.store.threads import Run
    from ccagent.store.turns import Amounts, Turn

RECENT_TURNS: Final = 10
"""Turns that are shown unless all are asked for: the last ones are those that one has in mind."""

FILES_SHOWN: Final = 15
ID_SHOWN: Final = 8
LABEL_WIDTH: Final = 10


class Section(NamedTuple):
    """A part of the text: a heading ("" for none) and its lines."""

    heading: str
    lines: Sequence[str]


def print_sections(found: Sequence[Section]) -> None:
    """Print sections one below the other, without the empty ones, cut to the terminal."""
    width = terminal_width()
    for number, section in enumerate(section for section in found if section.lines):
        if number:
            click.echo()
        if section.heading:
            click.echo(section.heading)
        for line in section.lines:
            click.echo(line[:width].rstrip())


def sections(view: SessionView, *, turns: bool, timeline: bool) -> list[Section]:
    """The parts of a session's page, in order."""
    shown = view.turns if turns else view.turns[-RECENT_TURNS:]
    heading = f"Turns ({len(view.turns)}" + (f", the last {RECENT_TURNS})" if len(shown) < len(view.turns) else ")")
    return [
        Section("", list(_head(view))),
        Section(heading, list(_turns(shown))),
        Section(f"Sub-agents ({len(view.threads.runs)})", list(_agents(view))),
        Section(f"Files ({len(view.files)})", list(_files(view))),
        Section("Errors", list(_errors(view))),
        Section("Timeline", [_moment(event) for event in view.timeline] if timeline else []),
    ]


def _head(view: SessionView) -> Iterator[str]:
    amounts = view.amounts
    kind = view.origin.kind
    if view.origin.parent is not None:
        kind += f" from {clean(view.origin.parent)} ({view.origin.strategy})"
    yield _line("session", f"{clean(view.id)}  {kind}, {view.state}" + (f", {view.outcome}" if view.outcome else ""))
    yield _line("project", clean(view.project or "—"))
    yield _line("branches", ", ".join(map(clean, view.branches)) or "—")
    yield _line("from", f"{rfc3339(view.started_at) or '—'} to {rfc3339(view.ended_at) or '—'}")
    yield _line("time", f"{span(view.wall_ms)} in all, {span(view.active_ms)} active")
    yield _line("tools", f"{amounts.tool_calls} calls, {amounts.tool_errors} failed, {amounts.rejected} rejected,"
                f" {amounts.retries} retries, {amounts.repeated} repeated")  # fmt: skip
    tokens = amounts.tokens
    yield _line("tokens", f"{tokens['input']:,} input, {tokens['output']:,} output, {tokens['cache_read']:,} cache read,"
                f" {tokens['cache_write_5m'] + tokens['cache_write_1h']:,} cache write")  # fmt: skip
    yield _line("cost", f"{_cost(amounts)} in {amounts.requests} requests")


def _turns(turns: Sequence[Turn]) -> Iterator[str]:
    if not turns:
        return
    yield (
        f"{'began':<20} {'status':<11} {'time':>8} {'model':>8} {'tools':>8} {'people':>8} {'rest':>8}"
        f" {'calls':>5} {'cost':>9}"
    )
    for turn in turns:
        parts = turn.parts
        marks = " loop" * turn.loop + " stall" * turn.stall
        yield (
            f"{_second(turn.started_at):<20} {turn.status:<11} {span(parts.wall):>8} {span(parts.model):>8}"
            f" {span(parts.tools):>8} {span(parts.human):>8} {span(parts.rest):>8} {turn.amounts.tool_calls:>5}"
            f" {_cost(turn.amounts):>9}{marks}"
        )


def _agents(view: SessionView) -> Iterator[str]:
    runs = view.threads.runs
    known = {run.agent for run in runs}
    below: dict[str | None, list[Run]] = {}
    for run in runs:
        below.setdefault(run.parent if run.parent in known and run.parent != run.agent else None, []).append(run)
    shown: set[str] = set()
    for top in below.get(None, ()):
        yield from _tree(top, below, 0, shown)
    for run in runs:  # what claims to have launched itself
        if run.agent not in shown:
            yield from _tree(run, below, 0, shown)


def _tree(run: Run, below: Mapping[str | None, list[Run]], indent: int, shown: set[str]) -> Iterator[str]:
    if run.agent in shown:
        return
    shown.add(run.agent)
    marks = " background" * run.background + " orphaned" * run.orphaned + " unresolved" * run.unresolved
    took = (run.ended_at or 0) - (run.started_at or 0)
    yield (
        f"{'  ' * indent}{clean(run.type)} {clean(run.agent[:ID_SHOWN])}  {run.status}{marks}, {span(took)},"
        f" {run.amounts.requests} requests, {run.amounts.tool_calls} calls, {_cost(run.amounts)}"
    )
    for child in below.get(run.agent, ()):
        yield from _tree(child, below, indent + 1, shown)


def _files(view: SessionView) -> Iterator[str]:
    for file in view.files[:FILES_SHOWN]:
        marks = " created" * file.created + " rewritten" * file.rewritten + " deleted" * file.deleted
        yield f"{file.writes:>4}x +{file.added} -{file.removed}  {clean(file.path)}{marks}"
    if len(view.files) > FILES_SHOWN:
        yield f"      and {len(view.files) - FILES_SHOWN} more"


def _errors(view: SessionView) -> Iterator[str]:
    for failure, count in sorted(view.amounts.failures.items(), key=lambda pair: (-pair[1], pair[0])):
        yield f"{count:>4}x {failure}"
    for failure, count in sorted(view.api_errors.items(), key=lambda pair: (-pair[1], pair[0])):
        yield f"{count:>4}x API {failure}"


def _moment(event: Event) -> str:
    said = " ".join(clean(word) for word in (event.name, event.detail) if word)
    took = "" if event.duration_ms is None else f" {span(event.duration_ms)}"
    failure = f" ({event.failure})" if event.failure else ""
    agent = f" [{clean(event.agent[:ID_SHOWN])}]" if event.agent else ""
    return f"{_second(event.at):<20} {event.event:<17} {said} {event.status}{failure}{took}{agent}"


def span(milliseconds: int) -> str:
    """Give a duration as 340ms, 12.3s, 4m05s or 2h10m."""
    if milliseconds < 1_000:
        return f"{milliseconds}ms"
    seconds = milliseconds / 1_000
    if seconds < 59.95:  # what rounds to a minute is one
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def _line(label: str, text: str) -> str:
    return f"{label:<{LABEL_WIDTH}} {text}"


def _second(moment_ms: int | None) -> str:
    text = rfc3339(moment_ms)
    return "—" if text is None else text[:19] + "Z"


def _cost(amounts: Amounts) -> str:
    if amounts.cost_microusd is None:
        return "—"
    return money(amounts.cost_microusd) + ("+" if amounts.unpriced_requests else "")


# ---- JSON --------------------------------------------------------------------------------------------------------


def session_document(view: SessionView, *, timeline: bool) -> dict[str, object]:
    """Give the document of `ccagent session --json` (docs/json.md)."""
    threads = view.threads
    document: dict[str, object] = {
        "schema_version": 1,
        "session": view.id,
        "kind": view.origin.kind,
        "parent": view.origin.parent,
        "parent_strategy": view.origin.strategy,
        "project": view.project,
        "branches": list(view.branches),
        "state": view.state,
        "outcome": view.outcome,
        "started_at": rfc3339(view.started_at),
        "ended_at": rfc3339(view.ended_at),
        "wall_seconds": view.wall_ms / 1_000,
        "active_seconds": view.active_ms / 1_000,
        "compactions": view.compactions,
        "api_errors": dict(view.api_errors),
        **_amounts(view.amounts),
        "turns": [_turn_object(turn) for turn in view.turns],
        "threads": {
            "fan_out": threads.fan_out, "depth": threads.depth, "unresolved": threads.unresolved,
            "orphaned": threads.orphaned,
        },
        "agents": [_run_object(run) for run in threads.runs],
        "files": [file._asdict() for file in view.files],
    }  # fmt: skip
    if timeline:
        document["timeline"] = [_event_object(event) for event in view.timeline]
    return document


def _amounts(amounts: Amounts) -> dict[str, object]:
    return {
        "requests": amounts.requests,
        "tokens": dict(amounts.tokens),
        "cost_microusd": amounts.cost_microusd,
        "unpriced_requests": amounts.unpriced_requests,
        "tool_calls": amounts.tool_calls,
        "tool_errors": amounts.tool_errors,
        "rejected": amounts.rejected,
        "timeouts": amounts.timeouts,
        "retries": amounts.retries,
        "repeated": amounts.repeated,
        "lines_added": amounts.lines_added,
        "lines_removed": amounts.lines_removed,
        "failures": dict(amounts.failures),
    }


def _turn_object(turn: Turn) -> dict[str, object]:
    parts = turn.parts
    key = KEY_PREFIXES[EventType.TURN] + turn.id
    return {
        "turn": turn.id,
        "trace_id": trace_id(key).hex(),
        "span_id": span_id(key).hex(),
        "started_at": rfc3339(turn.started_at),
        "ended_at": rfc3339(turn.ended_at),
        "status": turn.status,
        "seconds": parts.wall / 1_000,
        "model_seconds": parts.model / 1_000,
        "tool_seconds": parts.tools / 1_000,
        "human_seconds": parts.human / 1_000,
        "rest_seconds": parts.rest / 1_000,
        "reported_seconds": None if turn.reported_ms is None else turn.reported_ms / 1_000,
        "main_tool_calls": turn.calls,
        "loop": turn.loop,
        "stall": turn.stall,
        **_amounts(turn.amounts),
    }


def _run_object(run: Run) -> dict[str, object]:
    key = KEY_PREFIXES[EventType.SUBAGENT_RUN] + run.agent
    return {
        "agent": run.agent,
        "type": run.type,
        "parent": run.parent,
        "depth": run.depth,
        "turn": run.turn,
        "trace_id": trace_id(key if run.turn is None else KEY_PREFIXES[EventType.TURN] + run.turn).hex(),
        "span_id": span_id(key).hex(),
        "started_at": rfc3339(run.started_at),
        "ended_at": rfc3339(run.ended_at),
        "status": run.status,
        "background": run.background,
        "orphaned": run.orphaned,
        "unresolved": run.unresolved,
        **_amounts(run.amounts),
    }


def _event_object(event: Event) -> dict[str, object]:
    return {
        "at": rfc3339(event.at),
        "event": event.event,
        "name": event.name,
        "detail": event.detail,
        "status": event.status,
        "failure_class": event.failure,
        "seconds": None if event.duration_ms is None else event.duration_ms / 1_000,
        "agent": event.agent,
        "turn": event.turn,
    }
