"""The views that a user queries: `telemetry_events`, one row a fact, and `analytics_entries`, one row an amount.

The tables underneath hold numbers; the views join the texts back. Both are made of one text for every dialect: what
differs (substring search, JSON, times) stands in `WORDS`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from ccagent.facts.model import EVENT_NAMES, KEY_PREFIXES, QUALITY_NAMES, STATUS_NAMES, EventType, Flag, Status
from ccagent.facts.naming import MCP_PREFIX, PROVIDER_FORMS, UNNAMED_PROVIDER
from ccagent.facts.titles import TITLE_NAMES
from ccagent.rollups.metrics import METRICS, PERIODS, SESSION_TYPES, Period
from ccagent.store.expressions import DURATION
from ccagent.store.link_view import TARGET, linked, links_select
from ccagent.store.window import HELD, PROMPT, REAL, STATED, USED, part, source_case, window_case

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ccagent.store.connection import Connection

WORDS: Final[dict[str, dict[str, str]]] = {
    "sqlite": {
        "find": "instr",
        "object": "json_object",
        "member": "json_extract({}, '$.{}')",
        "null_text": "NULL",
        "null_int": "NULL",
        "time": "{}",
        "text": "",
    },
    "postgres": {
        "find": "strpos",
        "object": "json_build_object",
        "member": "({}::json ->> '{}')",
        "null_text": "NULL::text",
        "null_int": "NULL::bigint",
        "time": "to_timestamp({} / 1000.0)",
        "text": "::text",
    },
}

CANONICAL_EXCLUDED: Final = frozenset(
    {"seq", "closed_seq", "source", "host_id", "file_id", "byte_offset", "byte_length", "sequence_no"}
)
"""Columns that tell how a fact came in, not what it says: they may differ after another order of reading."""


def _case(subject: str, names: Mapping[int, str]) -> str:
    arms = " ".join(f"WHEN {number} THEN '{name}'" for number, name in names.items())
    return f"CASE {subject} {arms} END"


def _flag(flag: Flag) -> str:
    return f"(f.flags & {int(flag)}) <> 0"


def _when(condition: str, value: str) -> str:
    return f"CASE WHEN {condition} THEN {value} END"


def _is(event: EventType) -> str:
    return f"f.type = {int(event)}"


def provider_case(model: str) -> str:
    """SQL that names the provider of the model id in the expression `model`, NULL where the form tells none."""
    arms = " ".join(f"WHEN LOWER({model}) LIKE '{form}' THEN '{provider}'" for form, provider in PROVIDER_FORMS)
    return f"CASE {arms} END"


def event_columns(dialect: str, *, times: str | None = None) -> dict[str, str]:
    """The columns of `telemetry_events` in order: name → SQL expression over the joins of `events_select`.

    `times` is the form of a time, by default the dialect's: `{}` leaves milliseconds.
    """
    words = WORDS[dialect]
    time = (times or words["time"]).format
    rest = f"substr(n.value, {len(MCP_PREFIX) + 1})"
    split = f"{words['find']}({rest}, '__')"
    parted = f"{split} > 1 AND substr({rest}, {split} + 2) <> ''"  # as facts/naming.py, mcp_parts
    server, mcp_tool = _when(parted, f"substr({rest}, 1, {split} - 1)"), _when(parted, f"substr({rest}, {split} + 2)")
    llm, tool, agent, turn = (
        _is(EventType.LLM_REQUEST), _is(EventType.TOOL_CALL), _is(EventType.SUBAGENT_RUN), _is(EventType.TURN),
    )  # fmt: skip
    task, artifact, run = _is(EventType.TASK), _is(EventType.ARTIFACT), _is(EventType.QUALITY)
    commit, push, pull = _is(EventType.COMMIT), _is(EventType.PUSH), _is(EventType.PULL_REQUEST)
    delivered = f"f.type BETWEEN {int(EventType.COMMIT)} AND {int(EventType.PULL_REQUEST)}"
    forge = f"{pull} AND substr(f.native, 1, 1) <> '#'"  # one known by its number alone has no address
    mcp = f"{tool} AND substr(n.value, 1, {len(MCP_PREFIX)}) = '{MCP_PREFIX}'"
    compaction, micro, miss = (
        _is(EventType.COMPACTION), _is(EventType.MICROCOMPACTION), _is(EventType.CACHE_MISS),
    )  # fmt: skip
    window = window_case("n.value", "f.occurred_at", PROMPT, STATED)
    return {
        "seq": "f.seq",
        "closed_seq": "f.closed_seq",
        "source_key": f"({_case('f.type', KEY_PREFIXES)}) || f.native",
        "event_type": _case("f.type", EVENT_NAMES),
        "project_id": "project.value",
        "session_id": "session.value",
        "root_session_id": "root.value",
        "parent_session_id": "parent.value",
        "turn_key": f"'{KEY_PREFIXES[EventType.TURN]}' || CASE WHEN {turn} THEN f.native ELSE turn.value END",
        "agent_id": f"CASE WHEN {agent} THEN f.native ELSE agent.value END",
        "feature_id": "feature.value",
        "task_id": f"CASE WHEN {task} THEN stop.value WHEN {artifact} AND n.value = 'task' THEN {TARGET} END",
        "commit_hash": _when(f"{commit} AND f.attempts IS NOT NULL", "f.native"),
        "pr_number": _when(pull, "f.size"),
        "phase": _when(f"{artifact} AND n.value = 'phase'", TARGET),
        "git_branch": "branch.value",
        "cwd": "cwd.value",
        "tool_name": _when(tool, "n.value"),
        "mcp_server": _when(mcp, server),
        "skill": f"CASE WHEN {_is(EventType.SKILL)} THEN n.value ELSE skill.value END",
        "agent": _when(agent, "stop.value"),
        "command": _when(f"{_is(EventType.PROMPT)} OR {_is(EventType.COMMAND)}", "n.value"),
        "model": _when(llm, "n.value"),
        "provider": (
            f"COALESCE(provider.value, CASE WHEN {llm} THEN {provider_case('n.value')} WHEN asked.value IS NOT NULL"
            f" THEN {provider_case('asked.value')} ELSE '{UNNAMED_PROVIDER}' END)"
        ),
        "permission_mode": "mode.value",
        "client_version": "version.value",
        "entrypoint": "entrypoint.value",
        "status": _case("f.status", dict(enumerate(STATUS_NAMES))),
        "is_error": (
            f"CASE WHEN {_flag(Flag.ERROR)} THEN 1 WHEN f.status = {int(Status.OPEN)} THEN NULL"
            f" WHEN NOT ({tool}) AND f.status IN ({int(Status.ERROR)}, {int(Status.TIMEOUT)}) THEN 1 ELSE 0 END"
        ),
        "failure_class": "failure.value",
        "exit_code": "f.exit_code",
        "retry_count": _when(
            f"NOT ({llm} OR {turn} OR {compaction} OR {micro} OR {delivered} OR {_is(EventType.SESSION)})", "f.attempts"
        ),
        "timeout_flag": (
            f"CASE WHEN f.status = {int(Status.TIMEOUT)} OR {_flag(Flag.TIMED_OUT)} THEN 1"
            f" WHEN f.status <> {int(Status.OPEN)} THEN 0 END"
        ),
        "duration_ms": DURATION,
        "token_input": "f.token_input",
        "token_output": "f.token_output",
        "token_cache_read": "f.token_cache_read",
        "token_cache_write_5m": "f.token_cache_write - COALESCE(f.token_cache_write_1h, 0)",
        "token_cache_write_1h": "f.token_cache_write_1h",
        "token_thinking": "f.token_thinking",
        "cost_microusd": "f.cost",
        "cost_source": _when(llm, "CASE WHEN f.cost IS NULL THEN 'unpriced' ELSE 'computed' END"),
        "price_version": "price.value",
        "quality": _when(llm, _case("f.quality", dict(enumerate(QUALITY_NAMES)))),
        "confidence": (
            f"CASE WHEN {delivered} THEN CAST(f.attempts AS DOUBLE PRECISION) / 100"
            " WHEN feature.value IS NOT NULL THEN"
            " CAST(COALESCE(on_branch.confidence, best.confidence) AS DOUBLE PRECISION) / 1000"
            f" WHEN {turn} OR turn.value IS NOT NULL THEN 1.0 END"
        ),
        "occurred_at": time("f.occurred_at"),
        "ended_at": time("f.ended_at"),
        "sequence_no": 'f."offset"',
        "source": f"CASE WHEN {_flag(Flag.BACKFILL)} THEN 'backfill' ELSE 'live' END",
        "host_id": "host.host_id",
        "file_id": "f.file",
        "byte_offset": 'f."offset"',
        "byte_length": "f.length",
        "parser_version": "f.parser",
        "payload_json": "f.extra",
        # Beyond the seed's columns: what only some kinds of facts have.
        "request_key": f"'{KEY_PREFIXES[EventType.LLM_REQUEST]}' || CASE WHEN {miss} THEN f.native ELSE request.native END",
        "relayed": _when(tool, f"CASE WHEN {_flag(Flag.DIRECT)} THEN 0 ELSE 1 END"),
        "detail": "stop.value",
        "result_at": time("f.result_at"),
        "size": _when(f"NOT ({pull} OR ({llm} AND {STATED} IS NOT NULL))", "f.size"),
        "lines_added": _when(f"NOT ({run} OR {llm})", "f.added"),
        "lines_removed": _when(f"NOT ({run})", "f.removed"),
        "file_path": _when(f"{tool} OR {_is(EventType.FILE_UPDATE)}", words["member"].format("f.extra", "path")),
        "waited_for_human": _when(tool, f"CASE WHEN {_flag(Flag.HUMAN)} THEN 1 ELSE 0 END"),
        "background": _when(f"{tool} OR {agent}", f"CASE WHEN {_flag(Flag.BACKGROUND)} THEN 1 ELSE 0 END"),
        "repeated": _when(tool, f"CASE WHEN {_flag(Flag.REPEATED)} THEN 1 ELSE 0 END"),
        "reported_ms": "f.reported_ms",
        "turn_tool_calls": _when(turn, "f.attempts"),
        "loop": _when(f"{turn} OR {agent}", f"CASE WHEN {_flag(Flag.LOOP)} THEN 1 ELSE 0 END"),
        "stall": _when(turn, f"CASE WHEN {_flag(Flag.STALL)} THEN 1 ELSE 0 END"),
        "session_kind": _when(_is(EventType.SESSION), "COALESCE(substr(stop.value, 3), 'fresh')"),
        "mcp_tool": _when(mcp, mcp_tool),
        "title_kind": _when(_is(EventType.SESSION), _case("f.attempts", TITLE_NAMES)),
        "event_name": _when(
            f"f.type IN ({int(EventType.HOOK)}, {int(EventType.PERMISSION)}, {int(EventType.QUEUE)})", "n.value"
        ),
        "task_state": _when(task, "n.value"),
        "terminal": _when(task, f"CASE WHEN {_flag(Flag.TERMINAL)} THEN 1 ELSE 0 END"),
        "time_inferred": f"CASE WHEN {_flag(Flag.TIME_INFERRED)} THEN 1 ELSE 0 END",
        "local_command": _when(_is(EventType.COMMAND), f"CASE WHEN {_flag(Flag.LOCAL)} THEN 1 ELSE 0 END"),
        "repository": (
            f"CASE WHEN {pull} THEN n.value WHEN {commit} OR {push} THEN"
            f" {words['member'].format('f.extra', 'repository')} END"
        ),
        "pr_url": _when(forge, "'https://' || f.native"),
        "context_tokens": _when(llm, HELD),
        "context_window": _when(llm, window),
        "context_window_source": _when(llm, source_case("n.value", "f.occurred_at", PROMPT, STATED)),
        "context_utilization": _when(llm, f"CAST({HELD} AS {REAL}) / ({window})"),
        "cache_hit_ratio": _when(llm, part("f.token_cache_read", USED)),
        "effort": _when(llm, words["member"].format("f.extra", "effort")),
        "cache_miss_cause": _when(miss, "n.value"),
        "tokens_missed": _when(miss, "f.size"),
        "trigger": _when(f"{compaction} OR {micro}", "n.value"),
        "tokens_before": _when(f"{compaction} OR {micro}", "f.size"),
        "tokens_after": _when(compaction, "f.attempts"),
        "tokens_saved": f"CASE WHEN {compaction} THEN f.size - f.attempts WHEN {micro} THEN f.attempts END",
        "danger": _when(tool, "stop.value"),
        "quality_kind": _when(run, "stop.value"),
        "framework": _when(run, "n.value"),
        "passed": _when(run, "f.added"),
        "failed": _when(run, "f.removed"),
        "skipped": _when(run, "f.size"),
    }


def events_select(dialect: str = "sqlite", *, times: str | None = None) -> str:
    """The SELECT behind `telemetry_events`.

    `detail` is the stop reason of a request, the kind of a prompt, the change of a file. `turn_key` of a sub-agent's
    facts comes from the link of its agent. `agent` is the type, on `subagent.run` rows; all its facts have `agent_id`.
    `feature_id` is the feature that the fact's branch names, else the strongest of its session, and `confidence` that
    link's; without a feature it is that of the turn, which is explicit. `provider` is the one that the transcript
    names, else who serves the model of the request or of the call's request, by the form of its id; Claude Code's facts
    without a model have Anthropic's. `root_session_id`: ANCESTORS levels up at most.
    """
    columns = ",\n  ".join(f"{sql} AS {name}" for name, sql in event_columns(dialect, times=times).items())
    interned = "\n".join(
        f"LEFT JOIN name {alias} ON {alias}.id = {on}"
        for alias, on in (
            ("session", "c.session"), ("project", "c.project"), ("cwd", "c.cwd"), ("branch", "c.branch"),
            ("version", "c.version"), ("entrypoint", "c.entrypoint"), ("mode", "c.permission_mode"),
            ("agent", "c.agent"), ("skill", "c.skill"), ("turn", "COALESCE(f.turn, link.turn)"), ("n", "f.name"),
            ("provider", "c.provider"), ("asked", "request.name"), ("failure", "f.failure"), ("stop", "f.stop"),
            ("price", "f.price"),
            ("feature", "COALESCE(named.target, best.target)"), ("parent", "lineage.parent"),
            ("root", "COALESCE(lineage.root, c.session)"),
        )
    )  # fmt: skip
    return (
        f"SELECT\n  {columns}\nFROM fact f\nJOIN context c ON c.id = f.context\n"
        f"LEFT JOIN agent link ON link.agent = c.agent\nLEFT JOIN fact request ON request.key = f.request\n"
        f"LEFT JOIN host ON host.id = f.host\n{linked()}\n{interned}"
    )


def entries_select(dialect: str = "sqlite") -> str:
    """The SELECT behind `analytics_entries`: long form, one row a metric, period, bucket and set of dimensions.

    `value` and `count` are whole numbers that add up; the metric's unit is `value / scale`. For metrics that combine as
    `ratio` or `sum_count`, what is shown is sum(value) / sum(count); for `distinct`, count the distinct sessions.
    `bucket_start` is NULL for points. Times are ms since the epoch, UTC, in every dialect.
    """
    words = WORDS[dialect]
    point = int(Period.POINT)
    parts = []
    for metric in METRICS:
        pairs = ", ".join(f"'{key}', COALESCE(r.{column}, 0)" for key, column in metric.parts)
        tool = "n.value" if metric.family is EventType.TOOL_CALL else words["null_text"]
        model = "n.value" if metric.family is EventType.LLM_REQUEST else words["null_text"]
        named = "n.value" if metric.family is EventType.SESSION else words["null_text"]
        parts.append(
            f"SELECT {_case('r.period', PERIODS)} AS period,"
            f" CASE WHEN r.period <> {point} THEN r.bucket END AS bucket_start, '{metric.id}' AS metric_id,"
            f" {metric.value} AS value, {metric.count} AS count, project.value AS project, branch.value AS branch,"
            f" CASE WHEN r.period = {point} THEN session.value ELSE {named} END AS session,"
            f" {model} AS model, {tool} AS tool, agent.value AS agent, skill.value AS skill,"
            f" {_case('r.session_type', dict(enumerate(SESSION_TYPES)))} AS session_type,"
            f" {words['object']}({pairs}){words['text']} AS metadata_json\n"
            "FROM rollup r LEFT JOIN name project ON project.id = r.project"
            " LEFT JOIN name branch ON branch.id = r.branch"
            f" LEFT JOIN name session ON r.period = {point} AND session.id = r.bucket"
            " LEFT JOIN name n ON n.id = r.name LEFT JOIN name agent ON agent.id = r.agent"
            f" LEFT JOIN name skill ON skill.id = r.skill\nWHERE r.family = {int(metric.family)} AND ({metric.where})"
        )
    return "\nUNION ALL\n".join(parts)


def statements(dialect: str) -> list[str]:
    """The statements that create the views in `dialect` ("sqlite" or "postgres")."""
    return [
        f"CREATE VIEW telemetry_events AS\n{events_select(dialect)}",
        f"CREATE VIEW analytics_entries AS\n{entries_select(dialect)}",
        f"CREATE VIEW analytics_entity_links AS\n{links_select(dialect)}",
    ]


CANONICAL_COLUMNS: Final = tuple(name for name in event_columns("sqlite") if name not in CANONICAL_EXCLUDED)
"""What must be equal however the same bytes were cut, ordered or repeated."""


def canonical_dump(conn: Connection) -> Iterator[str]:
    """One line a fact, ordered by source_key: a JSON array of `CANONICAL_COLUMNS`, the same from every database.

    Times are ms UTC. Needs no view to exist.
    """
    columns = ", ".join(CANONICAL_COLUMNS)
    select = events_select(conn.dialect.name, times="{}")
    for row in conn.stream(f"SELECT {columns} FROM ({select}) AS events ORDER BY source_key"):
        yield json.dumps(row, ensure_ascii=True, separators=(",", ":"))
