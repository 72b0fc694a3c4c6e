"""The rules that come with ccagent, as documents of the same form as those that people write.

A few are active from the start; the others wait for `ccagent alerts enable`. Each says in `reason` why it is there and
what a bound means on real work: the figures are of 76 sessions on 34 days of several people ("the sessions read here").
A rule that would fire every day teaches people to ignore it, so none of those that are active do.
"""

from __future__ import annotations

from typing import Final

from ccagent.alerts.budgets import Budgets, Document, budget_rules, burn_rate
from ccagent.metrics import names

_ONCE: Final = "7d"
"""Cooldown of rules about sessions: one that is taken up again within a week is not news once more."""


def pack(budgets: Budgets | None = None) -> tuple[Document, ...]:
    """All rules, the budgets with what was set: a budget is active when it is set, with its amount as threshold."""
    given = budgets or Budgets()
    return (*budget_rules(given), *_COST, *_SESSIONS, *_TOOLS, *_REQUESTS, *_SAFETY, burn_rate(given), *_OWN)


# ---- cost ----------------------------------------------------------------------------------------------------------

_COST: Final[tuple[Document, ...]] = (
    {
        "id": "cost-spike-hour",
        "name": "Costly hour",
        "metric": "session_cost",
        "window": "hourly",
        "operator": ">",
        "baseline": {"kind": "median", "factor": 4, "against": "any", "windows": 28, "least": 7},
        "floor": 5.0,
        "cooldown": "2h",
        "severity": "warning",
        "enabled": False,
        "reason": "Four times the median of the last 28 hours with work, and at least 5 USD, since four times a few cents is"
        " no spike. Seven of the 112 hours with work read here were such; at three times the median it would be thirteen.",
    },
    {
        "id": "cost-spike-day",
        "name": "Costly day",
        "metric": "session_cost",
        "window": "daily",
        "operator": ">",
        "baseline": {"kind": "median", "factor": 3, "against": "any", "windows": 28, "least": 7},
        "floor": 5.0,
        "severity": "warning",
        "enabled": False,
        "reason": "Three times the median of the last 28 days with work, and at least 5 USD. Of 28 days read here that had"
        " seven before them, four were such.",
    },
    {
        "id": "session-cost",
        "name": "Session cost",
        "metric": "session_cost",
        "window": "session",
        "scope": "session",
        "operator": ">",
        "threshold": 5.0,
        "cooldown": _ONCE,
        "severity": "info",
        "enabled": True,
        "reason": "A session that costs more than an hour of most people's work with it. A third of the sessions read here"
        " (26 of 76) did, so it is a note and no warning; who works in long sessions edits the threshold.",
    },
    {
        "id": "session-cost-high",
        "name": "High session cost",
        "metric": "session_cost",
        "window": "session",
        "scope": "session",
        "operator": ">",
        "threshold": 30.0,
        "cooldown": _ONCE,
        "severity": "warning",
        "enabled": False,
        "reason": "Beyond anything usual: none of the sessions read here came to it, the dearest cost 27 USD.",
    },
)

# ---- sessions ------------------------------------------------------------------------------------------------------

_SESSIONS: Final[tuple[Document, ...]] = (
    {
        "id": "runaway-session",
        "name": "Runaway session",
        "metric": "turns",
        "window": "session",
        "scope": "session",
        "operator": ">",
        "threshold": 200,
        "and": {"metric": "session_cost", "window": "session", "operator": ">", "threshold": 50.0},
        "cooldown": _ONCE,
        "severity": "critical",
        "enabled": False,
        "reason": "More than 200 turns and more than 50 USD: a loop that nobody watches. Both, since a long talk alone is"
        " cheap and one big task alone is dear. The longest session read here had 37 turns.",
    },
    {
        "id": "long-session",
        "name": "Long session",
        "metric": "session_duration",
        "aggregation": "sum",
        "window": "session",
        "scope": "session",
        "operator": ">",
        "threshold": 600,
        "cooldown": _ONCE,
        "severity": "info",
        "enabled": False,
        "reason": "More than ten active minutes; gaps of more than five minutes do not count. 44 of the 76 sessions"
        " read here were longer, so it is for people who want short ones: others raise the threshold first.",
    },
    {
        "id": "context-full",
        "name": "Context almost full",
        "metric": names.CONTEXT_UTILIZATION,
        "aggregation": "max",
        "window": "session",
        "scope": "session",
        "operator": ">",
        "threshold": 0.8,
        "cooldown": _ONCE,
        "severity": "info",
        "enabled": False,
        "reason": "Above 80 % of its window a prompt costs most and a compaction is near. 9 of the 76 sessions read here"
        " came to it. The measure is a histogram in steps of a tenth, of which 80 % is one.",
    },
)

# ---- tools ---------------------------------------------------------------------------------------------------------

_TOOLS: Final[tuple[Document, ...]] = (
    {
        "id": "tool-success",
        "name": "Low tool success",
        "metric": "tool_success_rate",
        "window": "weekly",
        "operator": "<",
        "threshold": 0.7,
        "least": 20,
        "severity": "warning",
        "enabled": False,
        "reason": "Fewer than seven in ten tool calls of the week ended well. The weeks read here lay between 94 % and 97 %;"
        " below twenty calls a share says little.",
    },
    {
        "id": "tool-failure-spike",
        "name": "Tools fail",
        "metric": names.TOOL_FAILURES,
        "per": {"metric": names.TOOL_CALLS},
        "window": "hourly",
        "operator": ">",
        "threshold": 0.15,
        "least": 20,
        "cooldown": "1h",
        "severity": "warning",
        "enabled": False,
        "reason": "More than 15 % of an hour's tool calls failed, of at least twenty: a broken tool, missing rights, a"
        " server that is away. One of the 63 hours read here with so many calls was such.",
    },
    {
        "id": "failing-session",
        "name": "Session fails in most turns",
        "metric": "tool_errors",
        "per": {"metric": "turns"},
        "window": "session",
        "scope": "session",
        "operator": ">",
        "threshold": 0.5,
        "least": 10,
        "cooldown": _ONCE,
        "severity": "warning",
        "enabled": False,
        "reason": "More than one failed tool call for every second turn, from the tenth turn on. One of the nine sessions"
        " read here with so many turns was such.",
    },
    {
        "id": "retry-loop",
        "name": "Loop",
        "metric": names.STALLS,
        "where": {"type": ["loop"]},
        "window": "session",
        "scope": "session",
        "operator": ">=",
        "threshold": 1,
        "cooldown": _ONCE,
        "severity": "warning",
        "enabled": False,
        "reason": "A turn in which one call was made three times with the same input: the third has no new information."
        " None of the turns read here was such.",
    },
    {
        "id": "many-retries",
        "name": "Many retries",
        "metric": names.TOOL_RETRIES,
        "window": "session",
        "scope": "session",
        "operator": ">=",
        "threshold": 10,
        "cooldown": _ONCE,
        "severity": "info",
        "enabled": False,
        "reason": "Ten tool calls that repeat a failed one. The most in a session read here was six.",
    },
)

# ---- requests ------------------------------------------------------------------------------------------------------

_REQUESTS: Final[tuple[Document, ...]] = (
    {
        "id": "cache-collapse",
        "name": "Cache hit rate collapsed",
        "metric": names.TOKENS,
        "where": {"type": ["cache_read"]},
        "per": {"metric": names.TOKENS, "where": {"type": ["input", "cache_read", "cache_write_5m", "cache_write_1h"]}},
        "window": "hourly",
        "operator": "<",
        "threshold": 0.6,
        "least": 500_000,
        "for": "5m",
        "cooldown": "2h",
        "severity": "warning",
        "enabled": False,
        "reason": "Less than 60 % of an hour's input came from the cache, of at least half a million tokens: something"
        " changes the beginning of every prompt, and input costs ten times as much. The worst of 93 such hours read here"
        " had 75 %, the median 96 %.",
    },
    {
        "id": "api-errors",
        "name": "API errors",
        "metric": "api_errors",
        "per": {"metric": "requests"},
        "window": "hourly",
        "operator": ">",
        "threshold": 0.1,
        "least": 10,
        "cooldown": "1h",
        "severity": "warning",
        "enabled": False,
        "reason": "More than one error for ten requests of an hour, from the tenth request on; a run of retries is one. One"
        " hour of 93 read here, in which the API was overloaded.",
    },
    {
        "id": "unpriced-usage",
        "name": "Usage without a price",
        "metric": "unpriced_requests",
        "window": "daily",
        "operator": ">",
        "threshold": 0,
        "severity": "info",
        "enabled": False,
        "reason": "A model that the price table does not know has no cost, so budgets see less than there is. None of the"
        " requests read here was such: a new model is what makes it fire.",
    },
    {
        "id": "no-telemetry",
        "name": "Nothing heard",
        "metric": "requests",
        "window": "24h",
        "absent": True,
        "schedule": {"days": "Tue-Fri", "hours": "09:00-18:00"},
        "severity": "warning",
        "enabled": False,
        "reason": "No request for a day on a working day: transcripts lie elsewhere, or their form has changed. Off, since a"
        " holiday looks the same; Monday's day before is a Sunday.",
    },
)

# ---- safety --------------------------------------------------------------------------------------------------------

_SAFETY: Final[tuple[Document, ...]] = (
    {
        "id": "permission-bypass",
        "name": "Permissions bypassed",
        "metric": names.PERMISSION_MODE_TURNS,
        "where": {"permission_mode": ["bypassPermissions"]},
        "window": "session",
        "scope": "session",
        "operator": ">=",
        "threshold": 1,
        "cooldown": _ONCE,
        "severity": "warning",
        "enabled": False,
        "reason": "A turn in which every tool may run unasked. 11 of the 76 sessions read here had one, so it is for those"
        " whose rules forbid it.",
    },
    {
        "id": "dangerous-command",
        "name": "Dangerous command ran",
        "metric": names.DANGEROUS_CALLS,
        "where": {"status": ["ok", "error", "timeout"]},
        "window": "hourly",
        "operator": ">=",
        "threshold": 1,
        "severity": "critical",
        "enabled": False,
        "reason": "A command that deletes, overwrites or publishes beyond recall, and ran. Seven on four days read here, all"
        " of them removing folders on purpose: for machines where that is news.",
    },
)

# ---- ccagent itself ------------------------------------------------------------------------------------------------

_OWN: Final[tuple[Document, ...]] = (
    {
        "id": "export-broken",
        "name": "Export broken",
        "metric": names.EXPORT_STATE,
        "where": {"state": ["circuit_open", "half_open"]},
        "aggregation": "last",
        "operator": ">=",
        "threshold": 1,
        "for": "10m",
        "keep_firing": "5m",
        "cooldown": "30m",
        "severity": "warning",
        "enabled": True,
        "reason": "A destination has refused or not answered for ten minutes, with all retries. Nothing is lost yet: spans"
        " and records wait for it, as long as retention allows.",
    },
    {
        "id": "export-dropped",
        "name": "Export loses items",
        "metric": names.EXPORTS_DROPPED,
        "where": {"reason": ["rejected", "too_large", "poison", "expired"]},
        "window": "24h",
        "operator": ">",
        "threshold": 0,
        "cooldown": "24h",
        "severity": "warning",
        "enabled": False,
        "reason": "A destination refused items for ever, or was away for longer than they are kept. What privacy tiers hold"
        " back is not counted here.",
    },
    {
        "id": "ingest-stalled",
        "name": "Ingest stalled",
        "metric": names.INGEST_LAG,
        "aggregation": "last",
        "operator": ">",
        "threshold": 300,
        "for": "5m",
        "cooldown": "30m",
        "severity": "critical",
        "enabled": True,
        "reason": "A change of a transcript has not been taken in for five minutes, and five more. Usually that takes a tenth"
        " of a second: the disk is full, the database away, or a file cannot be read.",
    },
    {
        "id": "schema-drift",
        "name": "Transcripts have changed",
        "metric": names.PARSER_UNKNOWN,
        "window": "24h",
        "operator": ">",
        "threshold": 0,
        "cooldown": "24h",
        "severity": "info",
        "enabled": False,
        "reason": "Records, tools or fields that this version does not know: nothing is lost, but something may be counted"
        " too low. `ccagent drift` shows what it is. After an update of the client it fires once a day.",
    },
    {
        "id": "lines-unreadable",
        "name": "Lines could not be read",
        "metric": names.QUARANTINE_LINES,
        "window": "24h",
        "operator": ">",
        "threshold": 0,
        "cooldown": "24h",
        "severity": "info",
        "enabled": False,
        "reason": "Broken lines of transcripts were put aside: a disk that was full, or a client that was killed.",
    },
    {
        "id": "store-failing",
        "name": "Database refuses writes",
        "metric": names.STORE_FAILURES,
        "where": {"reason": ["full", "readonly", "io", "corrupt"]},
        "window": "1h",
        "operator": ">",
        "threshold": 0,
        "cooldown": "1h",
        "severity": "critical",
        "enabled": False,
        "reason": "The disk is full or failing. Nothing is lost while the transcripts stay; `ccagent db check` tells more.",
    },
)

PACK: Final[tuple[Document, ...]] = pack()
"""All rules as they are without a budget in the configuration."""
