"""`telemetry_events`, `analytics_entries` and the canonical dump."""

from __future__ import annotations

import json
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ccagent.facts.model import EventType, Flag, Quality, Status
from ccagent.facts.naming import mcp_parts
from ccagent.store import rollups
from ccagent.store.view import CANONICAL_COLUMNS, CANONICAL_EXCLUDED, canonical_dump, event_columns, statements
from tests.store.builder import Builder

AT = 1_772_000_000_000


def event(store: Builder, key: str) -> dict[str, Any]:
    """The row of one fact by column name."""
    cursor = store.conn.execute("SELECT * FROM telemetry_events WHERE source_key = ?", (key,))
    columns = [column for column, *_ in cursor.get_description()]
    return dict(zip(columns, next(iter(cursor)), strict=True))


def test_a_request_is_shown_with_its_texts_and_amounts(store: Builder) -> None:
    place = store.context(session="s1", project="/p", cwd="/p/sub", branch="main", version="2.1.0", skill="review")
    store.request(
        "msg_1", context=place, name="claude-opus-4-6", stop="end_turn", turn="u1", occurred_at=AT, ended_at=AT + 500,
        token_input=3, token_output=5, token_cache_read=7, token_cache_write=11, token_cache_write_1h=4, cost=90,
        price="2026-01", quality=int(Quality.PARTIAL), extra='{"a":1}',
    )  # fmt: skip

    row = event(store, "llm:msg_1")

    expected = {
        "event_type": "llm.request", "session_id": "s1", "root_session_id": "s1", "project_id": "/p", "cwd": "/p/sub",
        "git_branch": "main", "client_version": "2.1.0", "skill": "review", "model": "claude-opus-4-6",
        "provider": "anthropic", "turn_key": "turn:u1", "status": "ok", "is_error": 0, "duration_ms": 500,
        "token_input": 3, "token_output": 5, "token_cache_read": 7, "token_cache_write_5m": 7,
        "token_cache_write_1h": 4, "cost_microusd": 90, "cost_source": "computed", "price_version": "2026-01",
        "quality": "partial",
        "occurred_at": AT, "source": "live", "payload_json": '{"a":1}', "detail": "end_turn", "tool_name": None,
    }  # fmt: skip
    assert {column: row[column] for column in expected} == expected


def test_a_request_without_a_price_says_so(store: Builder) -> None:
    store.request("msg_1", name="home-made", cost=None, occurred_at=AT)

    row = event(store, "llm:msg_1")

    assert (row["cost_microusd"], row["cost_source"], row["provider"]) == (None, "unpriced", None)


@pytest.mark.parametrize(
    ("tool", "server", "name"),
    [
        ("mcp__github__create_issue", "github", "create_issue"),
        ("mcp__linear-server__list_issues", "linear-server", "list_issues"),
        ("mcp__my_own_server__get_one_thing", "my_own_server", "get_one_thing"),
        ("mcp__plugin_a_b__run__all", "plugin_a_b", "run__all"),
        ("mcp__a___b", "a", "_b"),
        ("mcp__alone", None, None),
        ("mcp____orphan", None, None),
        ("mcp__server__", None, None),
        ("mcp__", None, None),
        ("mcp_server__tool", None, None),
        ("MCP__server__tool", None, None),
        ("Bash", None, None),
    ],
)
def test_server_and_tool_are_taken_from_the_name_of_an_mcp_tool(
    store: Builder, tool: str, server: str | None, name: str | None
) -> None:
    store.call("t1", name=tool, occurred_at=AT)

    row = event(store, "tool:t1")

    assert (row["tool_name"], row["mcp_server"], row["mcp_tool"]) == (tool, server, name)
    assert mcp_parts(tool) == (None if server is None else (server, name))


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("claude-opus-4-5-20251101", "anthropic"),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", "aws.bedrock"),
        ("anthropic.claude-3-haiku", "aws.bedrock"),
        ("claude-opus-4@20250514", "gcp.vertex_ai"),
        ("gpt-5.1", "openai"),
        ("glm-5", None),
    ],
)
def test_the_provider_follows_from_the_form_of_the_model(store: Builder, model: str, provider: str | None) -> None:
    store.request("m", name=model, occurred_at=AT)

    assert event(store, "llm:m")["provider"] == provider


def test_an_open_call_has_no_outcome(store: Builder) -> None:
    store.call("t1", name="Bash", status=int(Status.OPEN), flags=int(Flag.DIRECT), occurred_at=AT, ended_at=AT)

    row = event(store, "tool:t1")

    assert (row["status"], row["is_error"], row["timeout_flag"], row["duration_ms"]) == ("open", None, None, None)


def test_a_call_names_the_request_that_made_it(store: Builder) -> None:
    request = store.request("msg_1", occurred_at=AT)
    store.call("t1", name="Read", request=request, occurred_at=AT, result_at=AT + 20)

    row = event(store, "tool:t1")

    assert (row["request_key"], row["duration_ms"], row["relayed"]) == ("llm:msg_1", 20, 0)


def test_facts_of_a_sub_agent_belong_to_the_turn_of_its_link(store: Builder) -> None:
    agent = store.name("a7")
    store.conn.execute("INSERT INTO agent(agent, turn) VALUES (?, ?)", (agent, store.name("u9")))
    store.request("msg_1", context=store.context(session="s1", agent="a7", rank=1), occurred_at=AT)

    row = event(store, "llm:msg_1")

    assert (row["agent_id"], row["turn_key"], row["confidence"]) == ("a7", "turn:u9", 1)


def test_backfilled_facts_say_so(store: Builder) -> None:
    store.fact(EventType.PROMPT, "p", flags=int(Flag.BACKFILL), name="/review", occurred_at=AT)

    row = event(store, "prompt:p")

    assert (row["source"], row["command"]) == ("backfill", "/review")


def test_the_dump_is_ordered_and_leaves_out_how_facts_came_in(store: Builder) -> None:
    store.request("b", occurred_at=AT, seq=5, closed_seq=6, file=1, offset=10, length=3)
    store.request("a", occurred_at=AT, seq=9, flags=int(Flag.BACKFILL))
    first = list(canonical_dump(store.conn))
    store.conn.execute(
        'UPDATE fact SET seq = seq + 40, closed_seq = NULL, file = 7, "offset" = 99, length = 1, flags = 0'
    )

    second = list(canonical_dump(store.conn))

    assert first == second
    assert [json.loads(line)[CANONICAL_COLUMNS.index("source_key")] for line in first] == ["llm:a", "llm:b"]


def test_the_dump_shows_a_change_of_an_amount(store: Builder) -> None:
    store.request("a", occurred_at=AT, token_output=1)
    first = list(canonical_dump(store.conn))

    store.request("a", occurred_at=AT, token_output=2)

    assert list(canonical_dump(store.conn)) != first


def test_the_columns_of_the_dump_are_those_of_the_view(store: Builder) -> None:
    store.request("a")
    shown = list(event(store, "llm:a"))

    assert [column for column in shown if column not in CANONICAL_EXCLUDED] == list(CANONICAL_COLUMNS)
    assert set(shown) > CANONICAL_EXCLUDED


def test_both_dialects_have_the_same_columns() -> None:
    assert list(event_columns("sqlite")) == list(event_columns("postgres"))
    assert all("instr(" not in statement for statement in statements("postgres"))


def test_entries_are_one_row_a_metric_period_and_dimension(store: Builder) -> None:
    place = store.context(session="s1", project="/p", branch="main")
    store.request("m1", context=place, name="claude-opus-4-6", occurred_at=AT, token_input=3, token_output=5, cost=90)
    store.call("t1", context=place, name="Bash", occurred_at=AT + 60_000, result_at=AT + 61_000)
    rollups.rebuild(store.conn, ZoneInfo("UTC"))

    rows = store.conn.execute(
        """SELECT metric_id, value, count, project, branch, session, model, tool, session_type, metadata_json
           FROM analytics_entries WHERE period = 'daily' AND metric_id IN
           ('session_cost', 'session_tokens', 'session_duration', 'session_count', 'tool_success_rate')"""
    )
    entries = {row[0]: row[1:] for row in rows}

    kinds = '{"input":3,"output":5,"cache_read":0,"cache_write_5m":0,"cache_write_1h":0}'
    assert entries == {
        "session_cost": (90, 1, "/p", "main", None, "claude-opus-4-6", None, "main", '{"unpriced":0}'),
        "session_tokens": (8, 1, "/p", "main", None, "claude-opus-4-6", None, "main", kinds),
        "session_duration": (61_000, 1, "/p", "main", "s1", None, None, "main", "{}"),
        "session_count": (1, 2, "/p", "main", "s1", None, None, "main", "{}"),
        "tool_success_rate": (1, 1, "/p", "main", None, None, "Bash", "main", "{}"),
    }


def test_points_are_entries_of_their_session_without_a_bucket(store: Builder) -> None:
    store.request("m1", context=store.context(session="s9"), name="x", token_input=3)
    rollups.rebuild(store.conn, ZoneInfo("UTC"))

    rows = store.conn.execute(
        "SELECT period, bucket_start, session, value FROM analytics_entries WHERE metric_id = 'session_tokens'"
    )

    assert list(rows) == [("point", None, "s9", 3)]
