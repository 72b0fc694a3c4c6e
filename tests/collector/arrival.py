"""Whether what the backends answer is what ccagent says itself: sums by model, trees of spans, log records."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

from ccagent.export.otlp.log_facts import LOG_TYPES
from ccagent.export.otlp.logs import EVENT_PREFIX
from ccagent.facts.model import EVENT_NAMES, KEY_PREFIXES, EventType
from ccagent.facts.trace_ids import trace_id
from tests.collector.stage import Logs, Metrics, Stack, Traces
from tests.daemon.collector import expected, open_facts
from tests.daemon.rig import Ground, until

ARRIVAL_SECONDS = 60.0
"""Sessions settle, intervals pass, a retry waits up to half a minute."""

POLL_SECONDS = 0.2

PARENTS = {
    "execute_tool Agent": "invoke_agent claude-code",
    "invoke_agent Explore": "execute_tool Agent",
    "invoke_agent Plan": "execute_tool Agent",
    "execute_tool Grep": "invoke_agent Explore",
    "execute_tool Glob": "invoke_agent Plan",
}
"""Spans of the rich session, and what stands above each."""


def tokens_by_model(ground: Ground) -> dict[tuple[str, ...], float]:
    """(model, kind) → tokens, as `usage --by model --json` says; kinds without tokens are left out."""
    done = ground.verb("usage", "--by", "model", "--json")
    if done.returncode:
        return {}
    rows = json.loads(done.stdout)["rows"]
    return {(row["key"], kind): float(count) for row in rows for kind, count in row["tokens"].items() if count}


def stored_tokens(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """The same, from the store of metrics."""
    return metrics.sums("sum by (model, type) (ccagent_tokens_total) > 0", "model", "type")


def turns(ground: Ground) -> list[str]:
    """Trace ids (hex) of all closed turns."""
    rows = ground.rows("SELECT native FROM fact WHERE type = ? AND closed_seq IS NOT NULL", int(EventType.TURN))
    return [trace_id(KEY_PREFIXES[EventType.TURN] + native).hex() for (native,) in rows]


def wanted_spans(ground: Ground) -> set[str]:
    """Span ids (hex) of all closed facts."""
    return {one.hex() for one in expected(ground)}


def stored_spans(ground: Ground, traces: Traces) -> list[dict[str, Any]]:
    """All spans of this ground's turns in the store of traces."""
    return [span for turn in turns(ground) for span in traces.trace(turn)]


def parent(span: dict[str, Any]) -> str | None:
    """The id of the span above; None for a root."""
    above = [
        one["spanID"]
        for one in span["references"]
        if one["refType"] == "CHILD_OF" and one["traceID"] == span["traceID"]
    ]
    return above[0] if above else None


def check_trees(ground: Ground, traces: Traces) -> None:
    """Each trace is one tree with one root, and the sub-agents stand below the calls that launched them."""
    spans = stored_spans(ground, traces)
    by_id = {span["spanID"]: span for span in spans}
    above = {span["operationName"]: by_id[up]["operationName"] for span in spans if (up := parent(span)) in by_id}
    roots = Counter(span["traceID"] for span in spans if parent(span) is None)

    assert roots == Counter(turns(ground))
    assert [span["operationName"] for span in spans if parent(span) not in {None, *by_id}] == []
    assert {name: above.get(name) for name in PARENTS} == PARENTS


def wanted_logs(ground: Ground) -> Counter[str]:
    """Event name → how many facts that an operator searches for are closed."""
    kinds = ",".join(str(int(kind)) for kind in LOG_TYPES)
    rows = ground.rows(
        f"SELECT type, count(*) FROM fact WHERE type IN ({kinds}) AND closed_seq IS NOT NULL GROUP BY type"
    )
    return Counter({EVENT_PREFIX + EVENT_NAMES[EventType(kind)]: count for kind, count in rows})


def stored_logs(logs: Logs) -> Counter[str]:
    """Event name → records in the store of logs."""
    return Counter(record["event_name"] for record in logs.all())


def missing(ground: Ground, stack: Stack) -> str:
    """What has not arrived yet at the backends; "" once all has. More log records than facts are none too few."""
    if count := open_facts(ground):
        return f"{count} facts are open"
    if absent := wanted_spans(ground) - {span["spanID"] for span in stored_spans(ground, stack.traces)}:
        return f"{len(absent)} spans"
    if lines := wanted_logs(ground) - stored_logs(stack.logs):
        return f"log records: {dict(lines)}"
    if (stored := stored_tokens(stack.metrics)) != (wanted := tokens_by_model(ground)) or not wanted:
        return f"tokens: {stored} of {wanted}"
    return ""


def until_arrived(ground: Ground, stack: Stack) -> None:
    """Wait until nothing is missing."""
    last = "all"

    def all_there() -> bool:
        nonlocal last
        time.sleep(POLL_SECONDS)  # asking costs
        last = missing(ground, stack)
        return not last

    try:
        until(all_there, "everything is at the backends", ARRIVAL_SECONDS)
    except AssertionError as error:
        said = "\n".join(stack.collector.words.splitlines()[-5:])
        raise AssertionError(f"{error}: {last}\n{ground.started[-1].words}\n{said}") from error
