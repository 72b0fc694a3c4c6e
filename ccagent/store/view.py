"""The views that a user queries: `telemetry_events`, one row a fact, and `analytics_entries`, one row an amount.

The tables underneath hold numbers; the views join the texts back. Both are made of one text for every dialect: what
differs (substring search, JSON, times) stands in `WORDS`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from ccagent.facts.model import EVENT_NAMES, KEY_PREFIXES, QUALITY_NAMES, STATUS_NAMES, EventType, Flag, Status
from ccagent.facts.naming import MCP_PREFIX, PROVIDER_FORMS
from ccagent.rollups.metrics import METRICS, PERIODS, SESSION_TYPES, Period
from ccagent.store.expressions import DURATION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ccagent.store.connection import Connection

WORDS: Final[dict[str, dict[str, str]]] = {
    "sqlite": {
        "find": "instr",
        "object": "json_object",
        "null_text": "NULL",
        "null_int": "NULL",
        "time": "{}",
        "text": "",
    },
    "postgres": {
        "find": "strpos",
        "object": "json_build_object",
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
    server = f"CASE WHEN {split} > 0 THEN substr({rest}, 1, {split} - 1) ELSE {rest} END"
    llm, tool, agent, turn = (
        _is(EventType.LLM_REQUEST), _is(EventType.TOOL_CALL), _is(EventType.SUBAGENT_RUN), _is(EventType.TURN),
    )  # fmt: skip
    mcp = f"{tool} AND substr(n.value, 1, {len(MCP_PREFIX)}) = '{MCP_PREFIX}'"
    null_text, null_int = words["null_text"], words["null_int"]
    return {
        "seq": "f.seq",
        "closed_seq": "f.closed_seq",
        "source_key": f"({_case('f.type', KEY_PREFIXES)}) || f.native",
        "event_type": _case("f.type", EVENT_NAMES),
        "project_id": "project.value",
        "session_id": "session.value",
        "root_session_id": "session.value",
        "parent_session_id": null_text,
        "turn_key": f"'{KEY_PREFIXES[EventType.TURN]}' || CASE WHEN {turn} THEN f.native ELSE turn.value END",
        "agent_id": f"CASE WHEN {agent} THEN f.native ELSE agent.value END",
        "feature_id": null_text,
        "task_id": null_text,
        "commit_hash": null_text,
        "pr_number": null_int,
        "phase": null_text,
        "git_branch": "branch.value",
        "cwd": "cwd.value",
        "tool_name": _when(tool, "n.value"),
        "mcp_server": _when(mcp, server),
        "skill": "skill.value",
        "agent": _when(agent, "stop.value"),
        "command": _when(_is(EventType.PROMPT), "n.value"),
        "model": _when(llm, "n.value"),
        "provider": _when(llm, provider_case("n.value")),
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
        "retry_count": "f.attempts",
        "timeout_flag": (
            f"CASE WHEN f.status = {int(Status.OPEN)} THEN NULL WHEN f.status = {int(Status.TIMEOUT)} THEN 1 ELSE 0 END"
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
        "confidence": _when(f"{turn} OR turn.value IS NOT NULL", "1"),
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
        "request_key": f"'{KEY_PREFIXES[EventType.LLM_REQUEST]}' || request.native",
        "relayed": _when(tool, f"CASE WHEN {_flag(Flag.DIRECT)} THEN 0 ELSE 1 END"),
        "detail": "stop.value",
        "result_at": time("f.result_at"),
        "size": "f.size",
        "lines_added": "f.added",
        "lines_removed": "f.removed",
    }


def events_select(dialect: str = "sqlite", *, times: str | None = None) -> str:
    """The SELECT behind `telemetry_events`.

    `detail` is the stop reason of a request, the kind of a prompt, the change of a file. `turn_key` of a sub-agent's
    facts comes from the link of its agent. `agent` is the type, on `subagent.run` rows; all its facts have `agent_id`.
    """
    columns = ",\n  ".join(f"{sql} AS {name}" for name, sql in event_columns(dialect, times=times).items())
    interned = "\n".join(
        f"LEFT JOIN name {alias} ON {alias}.id = {on}"
        for alias, on in (
            ("session", "c.session"), ("project", "c.project"), ("cwd", "c.cwd"), ("branch", "c.branch"),
            ("version", "c.version"), ("entrypoint", "c.entrypoint"), ("mode", "c.permission_mode"),
            ("agent", "c.agent"), ("skill", "c.skill"), ("turn", "COALESCE(f.turn, link.turn)"), ("n", "f.name"),
            ("failure", "f.failure"), ("stop", "f.stop"), ("price", "f.price"),
        )
    )  # fmt: skip
    return (
        f"SELECT\n  {columns}\nFROM fact f\nJOIN context c ON c.id = f.context\n"
        f"LEFT JOIN agent link ON link.agent = c.agent\nLEFT JOIN fact request ON request.key = f.request\n"
        f"LEFT JOIN host ON host.id = f.host\n{interned}"
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
    """The statements that create both views in `dialect` ("sqlite" or "postgres")."""
    return [
        f"CREATE VIEW telemetry_events AS\n{events_select(dialect)}",
        f"CREATE VIEW analytics_entries AS\n{entries_select(dialect)}",
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
