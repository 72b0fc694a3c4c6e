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
STARTS: Final = "starts"
BUILD_INFO: Final = "build.info"
CONFIG_LAST_RELOAD_SUCCESS: Final = "config.last_reload_success"
