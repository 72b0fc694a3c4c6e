"""Names of the metrics: the one place where they are spelled, without their prefix.

Everything else (booking, gauges, boards' tests, documents) refers to these constants, so that a renamed metric is a
change of one line and a mistyped one does not import.
"""

from __future__ import annotations

from typing import Final

# of facts: usage and cost
TOKENS: Final = "tokens"
COST_USD: Final = "cost.usd"
UNPRICED_TOKENS: Final = "unpriced.tokens"
NONFINAL_TOKENS: Final = "nonfinal.tokens"
CACHE_HIT_RATIO: Final = "cache.hit_ratio"

# of facts: requests, turns, sessions
REQUESTS: Final = "requests"
REQUEST_DURATION: Final = "request.duration"
REQUEST_RETRIES: Final = "request.retries"
STOP_REASONS: Final = "stop_reasons"
ERRORS: Final = "errors"
COMPACTIONS: Final = "compactions"
SESSIONS: Final = "sessions"
SESSIONS_ACTIVE: Final = "sessions.active"
TURNS: Final = "turns"
TURN_DURATION: Final = "turn.duration"
PROMPTS: Final = "prompts"
PROMPT_LENGTH: Final = "prompt.length_characters"
AGENT_INVOCATIONS: Final = "agent.invocations"

# of facts: tools and files
TOOL_CALLS: Final = "tool.calls"
TOOL_CALLS_RELAYED: Final = "tool.calls_relayed"
TOOL_DURATION: Final = "tool.duration"
TOOL_FAILURES: Final = "tool.failures"
MCP_CALLS: Final = "mcp.calls"
FILE_WRITES: Final = "file.writes"
LINES_CHANGED: Final = "lines.changed"
TOOL_RETRIES: Final = "tool.retries"
TOOL_DECISIONS: Final = "tool.decisions"
EDIT_DECISIONS: Final = "edit.decisions"
DANGEROUS_CALLS: Final = "dangerous.calls"
SKILL_ACTIVATIONS: Final = "skill.activations"
HOOK_DURATION: Final = "hook.duration"

# of facts: how sessions and turns went
AGENT_REQUESTS: Final = "agent.requests"
TRUNCATED_MESSAGES: Final = "truncated.messages"
CONTEXT_UTILIZATION: Final = "context.utilization_ratio"
MICROCOMPACTIONS: Final = "microcompactions"
ACTIVE: Final = "active"
TURN_TOOL_CALLS: Final = "turn.tool_calls"
PERMISSION_MODE_TURNS: Final = "permission_mode.turns"
STALLS: Final = "stalls"
SESSION_DURATION: Final = "session.duration"
SESSION_FANOUT: Final = "session.fanout"
SESSION_DEPTH: Final = "session.depth"
LINK_CONFIDENCE: Final = "link.confidence_ratio"

# of facts: what came of it
COMMITS: Final = "commits"
PULL_REQUESTS: Final = "pull_requests"
DELIVERY: Final = "delivery"
QUALITY_RUNS: Final = "quality.runs"
TASKS_COMPLETED: Final = "tasks.completed"

# of facts: what stands now
TASKS_KNOWN: Final = "tasks.known"
FEATURE_PROGRESS: Final = "feature.progress_ratio"
THREADS_UNRESOLVED: Final = "threads.unresolved"
THREADS_ORPHANED: Final = "threads.orphaned"
LINKS_LOW_CONFIDENCE: Final = "links.low_confidence"
COST_FORECAST: Final = "cost.forecast_usd"
COST_BY_HOUR: Final = "cost.by_hour_usd"
COST_ANOMALY: Final = "cost.anomaly_ratio"

# of ccagent itself: following and parsing
INGEST_RECORDS: Final = "ingest.records"
INGEST_BYTES: Final = "ingest.bytes"
INGEST_DURATION: Final = "ingest.duration"
INGEST_LAG: Final = "ingest.lag"
INGEST_PENDING: Final = "ingest.pending"
INGEST_LOST: Final = "ingest.lost"
PARSER_FAILURES: Final = "parser.failures"
PARSER_UNKNOWN: Final = "parser.unknown"
PARSER_FALLBACKS: Final = "parser.fallbacks"
INVARIANT_MISMATCHES: Final = "invariant.mismatches"
QUARANTINE_LINES: Final = "quarantine.lines"
WATCH_MISSED: Final = "watch.missed"

# of ccagent itself: store, booking, rollups
STORE_WRITE_HOLD: Final = "store.write_hold"
STORE_WAL: Final = "store.wal"
STORE_SIZE: Final = "store.size"
STORE_FAILURES: Final = "store.failures"
TOTALS_RELABELLED: Final = "totals.relabelled"
METRICS_OVERFLOW: Final = "metrics.overflow"
ROLLUP_DURATION: Final = "rollup.duration"
ROLLUP_LAST_SUCCESS: Final = "rollup.last_success_timestamp"
ROLLUP_LATE: Final = "rollup.late_facts"
RETENTION_REMOVED: Final = "retention.removed"
LEDGER_START: Final = "ledger.start_timestamp"

# of ccagent itself: exports and process
EXPORTS: Final = "exports"
EXPORTS_DROPPED: Final = "exports.dropped"
EXPORTS_STALE: Final = "exports.stale"
EXPORT_DURATION: Final = "export.duration"
EXPORT_BACKLOG: Final = "export.backlog"
EXPORT_STATE: Final = "export.state"
ALERTS_FIRING: Final = "alerts.firing"
ALERT_EVALUATIONS: Final = "alert.evaluations"
ALERT_NOTIFICATIONS: Final = "alert.notifications"
STARTS: Final = "starts"
BUILD_INFO: Final = "build.info"
CONFIG_LAST_RELOAD_SUCCESS: Final = "config.last_reload_success"
