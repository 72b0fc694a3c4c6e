"""The catalogue: every metric declared once, with its unit, labels, closed values, buckets and source."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ccagent.facts.model import QUALITY_NAMES, STATUS_NAMES
from ccagent.facts.naming import PROVIDERS
from ccagent.metrics import names
from ccagent.metrics.compat import COMPAT
from ccagent.metrics.happenings import AGENT_BUCKETS as AGENT_BUCKETS
from ccagent.metrics.happenings import HAPPENINGS
from ccagent.metrics.spec import PROJECT, Kind, MetricSpec
from ccagent.metrics.standing import STANDING

INGEST_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Seconds of one ingest batch: a line takes a millisecond, a first start's batch some seconds."""
HOLD_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
"""Seconds that a transaction holds the write lock; 0.05 is the limit that it must keep."""
LENGTH_BUCKETS: Final = (10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000)
"""Characters of a prompt."""

MICRO: Final = 1_000_000
"""Micro-dollars in a dollar."""

TOKEN_KINDS: Final = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
UNKNOWN_PROVIDER: Final = "unknown"
SESSION_TYPES: Final = ("resumed", "forked", "fresh")
STOP_REASONS: Final = (
    "end_turn", "tool_use", "max_tokens", "stop_sequence", "pause_turn", "refusal", "none", "other",
)  # fmt: skip
COMPACTION_TYPES: Final = ("auto", "manual", "inferred")
PROMPT_TYPES: Final = ("human", "command", "shell", "notification", "other")
LINE_TYPES: Final = ("added", "removed")
TOOL_FAILURES: Final = (
    "nonzero_exit", "timeout", "rejected", "denied", "interrupted", "cancelled", "invalid_input", "not_found",
    "mcp_error", "other",
)  # fmt: skip
API_FAILURES: Final = (
    "rate_limit", "usage_limit", "overloaded", "server_error", "timeout", "auth", "invalid_request", "refusal",
    "unknown",
)  # fmt: skip
RECORD_TYPES: Final = (
    "assistant", "user", "system", "progress", "attachment", "queue-operation", "file-history-snapshot",
    "file-history-delta", "summary", "task-summary", "last-prompt", "ai-title", "custom-title", "mode",
    "permission-mode", "pr-link", "bridge-session", "atis-latch", "agent-name", "agent-color", "agent-setting",
    "frame-link", "worktree-state", "tag", "attribution-snapshot", "content-replacement", "line", "other",
)  # fmt: skip
"""Types of records as the transcript has them; `line` is a broken piece without a record."""
RECORD_STATUSES: Final = ("new", "merged", "ignored", "unknown", "quarantined")
"""Every object and every broken piece counts once, under its best outcome (the conservation law)."""
PARSERS: Final = ("claude", "codex")
UNKNOWN_TYPES: Final = ("tool", "skill", "mcp", "block", "attachment", "record")
FALLBACKS: Final = ("fallback", "nul", "other")
"""`fallback`: a field of the wrong shape, the rest of the record kept. `nul`: a record between NUL bytes."""
QUARANTINE_REASONS: Final = ("garbage", "truncated", "spliced", "oversize", "refused", "crash", "other")
"""`refused`: the line is sound, but the database does not take what it says. `crash`: it ended the process thrice."""
PARSER_FAILURES: Final = ("garbage", "truncated", "spliced", "exception", "other")
STORE_FAILURES: Final = ("busy", "full", "readonly", "io", "corrupt", "other")
RELABELLED: Final = (
    "model",
    "type",
    "tool",
    "status",
    "mcp_server",
    "agent_type",
    "project",
    "cost",
    "link",
    "session",
    "other",
)
"""What changed after its amount was booked; "cost" is a price that fell, "link" a link of a session that had closed,
"session" one that was taken up again after it had closed."""
BATCH_STATUSES: Final = ("ok", "error")
SIGNALS: Final = ("traces", "metrics", "logs")
EXPORT_STATUSES: Final = ("ok", "partial", "retry", "too_large", "config", "poison")
DROP_REASONS: Final = ("tier", "history", "rejected", "too_large", "poison", "expired", "self", "other")
"""`self`: spans of ccagent's own work, which are not kept for a receiver that is away."""
EXPORT_STATES: Final = ("disabled", "active", "degraded", "circuit_open", "half_open")
TIERS: Final = ("0", "1", "2")
PERIODS: Final = ("hourly", "daily", "weekly", "point")
LATE_TYPES: Final = ("new", "changed")
INVARIANTS: Final = ("tool_count", "token_sum")
EVALUATIONS: Final = ("ok", "error")
CHANNEL_TYPES: Final = ("log", "desktop", "webhook", "slack", "command", "otlp")
NOTIFICATIONS: Final = ("sent", "withheld", "retry", "refused", "given_up")
REMOVED_TYPES: Final = ("fact", "payload", "line")
"""What retention removes: facts, raw payloads of facts that stay, notes of bad lines."""

_STATUS: Final = ("status",)
_REASON: Final = ("reason",)
_TYPE: Final = ("type",)
_EXPORT: Final = ("destination", "signal")


def _closed(**lists: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    return MappingProxyType(lists)


def _fact(
    name: str,
    unit: str,
    source: str,
    text: str,
    labels: tuple[str, ...] = (),
    closed: Mapping[str, tuple[str, ...]] | None = None,
    *,
    fill: tuple[str, ...] = (),
    kind: Kind = Kind.COUNTER,
    buckets: tuple[float, ...] | None = None,
    scale: int = 1,
) -> MetricSpec:
    """A metric that is derived from facts."""
    return MetricSpec(
        name=name, kind=Kind.HISTOGRAM if buckets else kind, unit=unit, help=text, source=source, labels=labels,
        closed=closed or _closed(), fill=fill, buckets=buckets, scale=scale, from_facts=True,
    )  # fmt: skip


def _own(
    name: str,
    unit: str,
    source: str,
    text: str,
    labels: tuple[str, ...] = (),
    closed: Mapping[str, tuple[str, ...]] | None = None,
    *,
    fill: tuple[str, ...] = (),
    valid: tuple[tuple[str, ...], ...] | None = None,
    kind: Kind = Kind.COUNTER,
    buckets: tuple[float, ...] | None = None,
) -> MetricSpec:
    """A metric of ccagent's own work; shown from the first moment."""
    return MetricSpec(
        name=name, kind=Kind.HISTOGRAM if buckets else kind, unit=unit, help=text, source=source, labels=labels,
        closed=closed or _closed(), fill=fill, valid=valid, buckets=buckets, exported="own" if kind is Kind.GAUGE else "",
    )  # fmt: skip


_FACTS: Final = (
    # usage and cost
    _fact(names.TOKENS, "{token}", "llm.request", "Tokens of API responses, each response counted once.",
          ("model", "type", PROJECT), _closed(type=TOKEN_KINDS), fill=_TYPE),
    _fact(names.COST_USD, "{USD}", "llm.request and dated prices", "API-equivalent cost in USD at list prices.",
          ("model", "type", PROJECT), _closed(type=TOKEN_KINDS), fill=_TYPE, scale=MICRO),
    _fact(names.UNPRICED_TOKENS, "{token}", "llm.request without price",
          "Tokens of models that the price table does not know; they have no cost.", ("model",)),
    _fact(names.NONFINAL_TOKENS, "{token}", "llm.request, quality",
          "Tokens of requests whose usage is not final; type is the quality.", ("model", "type"),
          _closed(type=QUALITY_NAMES[1:]), fill=_TYPE),
    _fact(names.CACHE_HIT_RATIO, "1", "hourly rollup",
          "Cache reads as a share of all input tokens over the last 24 hours; absent without input.",
          ("model",), kind=Kind.GAUGE),
    # requests, turns, sessions
    _fact(names.REQUESTS, "{request}", "llm.request", "API requests by model, provider and outcome.",
          ("model", "provider", "status"), _closed(provider=(*PROVIDERS, UNKNOWN_PROVIDER), status=STATUS_NAMES), fill=_STATUS),
    _fact(names.REQUEST_DURATION, "s", "llm.request",
          "Transcript time from the record that triggered a request to the last line of its message.",
          ("model",), buckets=AGENT_BUCKETS),
    _fact(names.REQUEST_RETRIES, "{attempt}", "api.error attempts", "Attempts at API requests that were repeated.",
          ("failure_class",), _closed(failure_class=API_FAILURES), fill=("failure_class",)),
    _fact(names.STOP_REASONS, "{request}", "llm.request", "API requests by stop reason.",
          _TYPE, _closed(type=STOP_REASONS), fill=_TYPE),
    _fact(names.ERRORS, "{error}", "api.error", "API error incidents; a run of retries is one.",
          ("failure_class",), _closed(failure_class=API_FAILURES), fill=("failure_class",)),
    _fact(names.COMPACTIONS, "{compaction}", "compaction", "Compactions of the context by what caused them.",
          _TYPE, _closed(type=COMPACTION_TYPES), fill=_TYPE),
    _fact(names.SESSIONS, "{session}", "session.lifecycle",
          "Sessions that ended (half an hour after their last record), by how they began.",
          ("type", PROJECT), _closed(type=SESSION_TYPES), fill=_TYPE),
    _fact(names.TURNS, "{turn}", "turn", "Turns that closed, by outcome.",
          ("status", PROJECT), _closed(status=STATUS_NAMES), fill=_STATUS),
    _fact(names.TURN_DURATION, "s", "turn", "Time from a turn's prompt to its end.",
          _STATUS, _closed(status=STATUS_NAMES), fill=_STATUS, buckets=AGENT_BUCKETS),
    _fact(names.PROMPTS, "{prompt}", "prompt", "Prompts by kind.",
          ("type", PROJECT), _closed(type=PROMPT_TYPES), fill=_TYPE),
    _fact(names.PROMPT_LENGTH, "{character}", "prompt", "Length of human prompts in characters.",
          buckets=LENGTH_BUCKETS),
    _fact(names.AGENT_INVOCATIONS, "{invocation}", "subagent.run", "Sub-agents that were started, by type.",
          ("agent_type",)),
    # tools and files
    _fact(names.TOOL_CALLS, "{call}", "tool.call", "Tool calls that closed, by outcome; one with no result is open.",
          ("tool", "status", PROJECT), _closed(status=STATUS_NAMES), fill=_STATUS),
    _fact(names.TOOL_CALLS_RELAYED, "{call}", "tool.call", "Tool calls seen only in a sub-agent's progress records.",
          ("tool",)),
    _fact(names.TOOL_DURATION, "s", "tool.call with result",
          "Transcript time from a tool call to its result; waiting for permission is part of it.",
          ("tool", "status"), _closed(status=STATUS_NAMES), buckets=AGENT_BUCKETS),
    _fact(names.TOOL_FAILURES, "{call}", "tool.call", "Tool calls that failed, by class.",
          ("tool", "failure_class"), _closed(failure_class=TOOL_FAILURES), fill=("failure_class",)),
    _fact(names.MCP_CALLS, "{call}", "tool.call", "Calls of MCP tools by server and outcome.",
          ("mcp_server", "tool", "status"), _closed(status=STATUS_NAMES), fill=_STATUS),
    _fact(names.FILE_WRITES, "{write}", "file.update", "File edits that succeeded, by tool.", ("tool",)),
    _fact(names.LINES_CHANGED, "{line}", "file.update", "Lines that edits added and removed.",
          ("type", PROJECT), _closed(type=LINE_TYPES), fill=_TYPE),
    _fact(names.LEDGER_START, "s", "first fact", "Time of the earliest fact that the totals hold, as Unix time.",
          kind=Kind.GAUGE),
)  # fmt: skip

_FOLLOWING: Final = (
    _own(names.INGEST_RECORDS, "{record}", "line read",
         "Records and broken pieces read from transcripts, each under its best outcome.",
         ("type", "status"), _closed(type=RECORD_TYPES, status=RECORD_STATUSES), fill=_STATUS),
    _own(names.INGEST_BYTES, "By", "file offsets", "Transcript bytes taken in."),
    _own(names.INGEST_DURATION, "s", "ingest batch", "Time from reading a batch to its commit.",
         _STATUS, _closed(status=BATCH_STATUSES), fill=_STATUS, buckets=INGEST_BUCKETS),
    _own(names.INGEST_LAG, "s", "oldest unread byte", "Age of the oldest change that is not taken in; 0 when none is.",
         kind=Kind.GAUGE),
    _own(names.INGEST_PENDING, "By", "files", "Bytes of last lines that have no end yet.", kind=Kind.GAUGE),
    _own(names.INGEST_LOST, "By", "files", "Bytes that vanished with their file before they could be read."),
    _own(names.PARSER_FAILURES, "{failure}", "line", "Fields and records that a parser could not take.",
         ("parser", "failure_class"), _closed(parser=PARSERS, failure_class=PARSER_FAILURES),
         fill=("parser", "failure_class")),
    _own(names.PARSER_UNKNOWN, "{item}", "record.unknown", "Things read that ccagent has no name for.",
         _TYPE, _closed(type=UNKNOWN_TYPES), fill=_TYPE),
    _own(names.PARSER_FALLBACKS, "{record}", "line", "Records read by a second-best rule.",
         ("parser", "reason"), _closed(parser=PARSERS, reason=FALLBACKS), fill=("parser", "reason")),
    _own(names.INVARIANT_MISMATCHES, "{mismatch}", "llm.request",
         "Messages that contradict themselves: a tool call that could not be told from others (tool_count), cache writes"
         " whose parts are more than their sum (token_sum): then the parts count.",
         _TYPE, _closed(type=INVARIANTS), fill=_TYPE),
    _own(names.QUARANTINE_LINES, "{line}", "reader", "Lines put aside because they could not be read whole.",
         _REASON, _closed(reason=QUARANTINE_REASONS), fill=_REASON),
    _own(names.WATCH_MISSED, "{change}", "scan", "File changes that the scan found and no event had announced."),
)  # fmt: skip

_KEEPING: Final = (
    _own(names.STORE_WRITE_HOLD, "s", "store", "Time that a transaction held the write lock.", buckets=HOLD_BUCKETS),
    _own(names.STORE_WAL, "By", "store", "Size of the write-ahead log.", kind=Kind.GAUGE),
    _own(names.STORE_SIZE, "By", "store", "Size of the database.", kind=Kind.GAUGE),
    _own(names.STORE_FAILURES, "{failure}", "store error", "Writes to the database that failed.",
         _REASON, _closed(reason=STORE_FAILURES), fill=_REASON),
    _own(names.TOTALS_RELABELLED, "{change}", "booking",
         "Facts whose label changed after their amount was booked; booked amounts stay where they are.",
         ("label",), _closed(label=RELABELLED), fill=("label",)),
    _own(names.ROLLUP_DURATION, "s", "scheduler run", "Time that a slice of rollups took.",
         ("period",), _closed(period=PERIODS), fill=("period",), buckets=AGENT_BUCKETS),
    _own(names.ROLLUP_LAST_SUCCESS, "s", "scheduler run", "When rollups were last up to date, as Unix time.",
         ("period",), _closed(period=PERIODS), kind=Kind.GAUGE),
    _own(names.ROLLUP_LATE, "{fact}", "late facts",
         "Facts that came or changed after their rollups were sealed, and were added as a difference.",
         _TYPE, _closed(type=LATE_TYPES), fill=_TYPE),
    _own(names.RETENTION_REMOVED, "{item}", "retention", "What retention has removed.",
         _TYPE, _closed(type=REMOVED_TYPES), fill=_TYPE),
)  # fmt: skip

_SENDING: Final = (
    _own(names.EXPORTS, "{request}", "export cursor", "Export requests by answer.",
         (*_EXPORT, "status"), _closed(signal=SIGNALS, status=EXPORT_STATUSES), fill=_STATUS),
    _own(names.EXPORTS_DROPPED, "{item}", "export cursor", "Items that were due and are not sent, by reason.",
         (*_EXPORT, "reason"), _closed(signal=SIGNALS, reason=DROP_REASONS), fill=_REASON),
    _own(names.EXPORTS_STALE, "{fact}", "closed facts that changed", "Facts that changed after they were sent.",
         _EXPORT, _closed(signal=SIGNALS)),
    _own(names.EXPORT_DURATION, "s", "export", "Time from building an export request to its answer.",
         _EXPORT, _closed(signal=SIGNALS), buckets=AGENT_BUCKETS),
    _own(names.EXPORT_BACKLOG, "{item}", "export cursor", "Items closed and not yet sent.",
         _EXPORT, _closed(signal=SIGNALS), kind=Kind.GAUGE),
    _own(names.EXPORT_STATE, "", "breaker", "1 for the state that the export is in, 0 for the others.",
         (*_EXPORT, "state"), _closed(signal=SIGNALS, state=EXPORT_STATES), fill=("state",), kind=Kind.GAUGE),
    _own(names.ALERT_EVALUATIONS, "{evaluation}", "evaluation", "Evaluations of alert rules, by outcome.",
         _STATUS, _closed(status=EVALUATIONS), fill=_STATUS),
    _own(names.ALERT_NOTIFICATIONS, "{notification}", "notification",
         "Alerts told on a channel, by its kind and by what became of it; one that is tried again counts each time.",
         ("type", "status"), _closed(type=CHANNEL_TYPES, status=NOTIFICATIONS), fill=("type", "status")),
    _own(names.STARTS, "{start}", "process start", "Starts of the daemon by privacy tier.",
         ("tier",), _closed(tier=TIERS), fill=("tier",)),
    _own(names.BUILD_INFO, "", "process", "1 while the daemon runs; its version is service.version in OTLP.",
         kind=Kind.GAUGE),
    _own(names.CONFIG_LAST_RELOAD_SUCCESS, "", "process",
         "1 when the configuration was last read without fault, 0 when the old one was kept.", kind=Kind.GAUGE),
)  # fmt: skip

_BUDGETED: Final = tuple(
    (spec.name, label)
    for spec in (*_FACTS, *HAPPENINGS, *_FOLLOWING, *_KEEPING, *_SENDING)
    for label in spec.open_labels
)
_OVERFLOW: Final = _own(
    names.METRICS_OVERFLOW,
    "{booking}",
    "registry",
    "Bookings under a label value beyond its budget; they are shown as _overflow_.",
    ("metric", "label"),
    _closed(
        # the compatible set has budgets too, and its own registry
        metric=(
            *dict.fromkeys(metric for metric, _ in _BUDGETED),
            *(name for name in COMPAT if COMPAT[name].open_labels),
        ),
        label=tuple(dict.fromkeys(label for _, label in _BUDGETED)),
    ),
    fill=("metric", "label"),
    valid=_BUDGETED,
)

METRICS: Final[Mapping[str, MetricSpec]] = MappingProxyType(
    {spec.name: spec for spec in (*_FACTS, *HAPPENINGS, *STANDING, *_FOLLOWING, *_KEEPING, _OVERFLOW, *_SENDING)}
)
"""All metrics by name (without prefix), in the order in which they are shown."""
