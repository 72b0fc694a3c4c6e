"""What else rollouts say: sessions, turns, prompts, calls, files, compactions, failures, unknown records."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.sources.codex_feed import VERSIONS, Rollout, Version, stamp
from tests.sources.feed import Feed
from tests.transcripts import Session

NEW = VERSIONS[-1]

pytestmark = pytest.mark.usefixtures("either_store")


def rollout(version: Version = NEW, seed: int = 0, **meta: Any) -> Rollout:
    return Rollout(random.Random(seed), version=version).meta(**meta)


def read(*rollouts: Rollout) -> Feed:
    feed = Feed()
    for each in rollouts:
        feed.take((each.path, each.content))
    return feed


def one(feed: Feed, kind: str) -> dict[str, Any]:
    (row,) = feed.events(kind)
    return row


def call(feed: Feed, identity: str) -> dict[str, Any]:
    return feed.event(f"tool:{identity}")


def test_the_first_meta_names_the_session_and_its_attributes() -> None:
    made = rollout()
    made.begin()
    made.tokens(1)

    row = one(read(made), "session.lifecycle")

    assert {name: row[name] for name in ("session_id", "project_id", "git_branch", "client_version", "entrypoint")} == {
        "session_id": made.session, "project_id": "/home/demo/atlas", "git_branch": "main",
        "client_version": "0.146.0", "entrypoint": "codex-tui",
    }  # fmt: skip
    assert row["ended_at"] == made.now


def test_effort_window_and_permissions_come_from_the_turn() -> None:
    made = rollout()
    made.begin()
    made.tokens(90, cached=10, output=20)

    row = one(read(made), "llm.request")

    assert row["permission_mode"] == "on-request/workspace-write"
    assert json.loads(row["payload_json"]) == {"effort": "high"}
    assert (row["context_tokens"], row["context_window"], row["context_window_source"]) == (120, 400_000, "transcript")
    assert (row["context_utilization"], row["effort"]) == (120 / 400_000, "high")
    assert (row["size"], row["retry_count"]) == (None, None)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_a_turn_lasts_from_its_start_to_its_end_as_the_client_measured(version: Version) -> None:
    made = rollout(version)
    start = made.now + 300
    turn = made.begin()
    made.shell()
    made.end(duration_ms=9_876)
    made.begin()
    made.abort()

    feed = read(made)
    done, aborted = feed.events("turn")

    assert done["turn_key"] == f"turn:{turn}" if version.dated_turns else f"turn:{made.session}/1"
    assert (done["occurred_at"], done["status"], done["duration_ms"]) == (start, "ok", 9_876)
    assert aborted["status"] == "interrupted"
    assert feed.closed(done["source_key"])
    assert feed.closed(aborted["source_key"])
    assert {row["turn_key"] for row in feed.events("llm.request")} == {done["turn_key"]}


def test_a_prompt_is_one_fact_though_it_is_written_twice() -> None:
    made = rollout()
    made.begin("twelve chars")
    made.event("user_message", message="<environment_context>\n</environment_context>")
    made.event("user_message", message="and this too")
    made.end()

    first, second = read(made).events("prompt")

    assert [(row["size"], row["detail"]) for row in (first, second)] == [(12, "human"), (12, "human")]
    assert first["turn_key"] == second["turn_key"]


def test_without_events_of_turns_a_prompt_opens_one() -> None:
    made = rollout()
    for text in ("one", "two"):
        made.line("turn_context", {"cwd": made.cwd, "model": "gpt-5-codex", "approval_policy": "never"})
        made.event("user_message", message=text)
        made.tokens(10)

    feed = read(made)

    assert [row["status"] for row in feed.events("turn")] == ["ok", "ok"]
    assert len({row["turn_key"] for row in feed.events("llm.request")}) == 2
    assert {row["permission_mode"] for row in feed.events("llm.request")} == {"never"}


def test_a_request_lasts_from_what_it_answers_to_its_usage() -> None:
    made = rollout()
    made.begin()
    asked = made.now
    made.shell()
    answered = made.now
    made.tokens(3)

    first, second = read(made).events("llm.request")

    assert first["duration_ms"] == first["ended_at"] - asked
    assert second["duration_ms"] == made.now - answered


def test_a_call_belongs_to_the_request_whose_usage_follows_it() -> None:
    made = rollout()
    made.begin()
    calls = [made.shell(), made.shell()]
    feed = read(made)

    requests = [row["source_key"] for row in feed.events("llm.request")]

    assert [call(feed, each)["request_key"] for each in calls] == requests


@pytest.mark.parametrize(
    ("output", "status", "failure", "code", "ms"),
    [
        ("Chunk ID: 1\nWall time: 0.2500 seconds\nProcess exited with code 0\nOutput:\nx", "ok", None, 0, 250),
        ("Wall time: 2 seconds\nProcess exited with code 2\nOutput:\nx", "error", "nonzero_exit", 2, 2_000),
        ("Exit code: 1\nWall time: 0.1 seconds\nOutput:\nExit code: 0", "error", "nonzero_exit", 1, 100),
        ("Exit code: 124\nWall time: 10 seconds\nOutput:\n", "timeout", "timeout", 124, 10_000),
        ('{"output":"Exit code: 9","metadata":{"exit_code":3,"duration_seconds":1.5}}', "error", "nonzero_exit", 3, 1_500),
        ([{"type": "input_text", "text": "Exit code: 4\nOutput:\n"}], "error", "nonzero_exit", 4, None),
        ("aborted by user after 3.1s", "interrupted", "interrupted", None, None),
        ("exec command rejected by user", "rejected", "rejected", None, None),
        ("unsupported call: foo", "error", "not_found", None, None),
        ("words of a tool: Process exited with code 7 is what a page says, far from the beginning of it", "ok", None, None, None),
        ({"content": "no", "success": False}, "error", "other", None, None),
    ],
)  # fmt: skip
def test_the_frame_around_an_output_tells_how_the_call_ended(
    output: object, status: str, failure: str | None, code: int | None, ms: int | None
) -> None:
    made = rollout()
    made.begin()
    identity = made.shell(output)  # type: ignore[arg-type]

    row = call(read(made), identity)

    assert (row["status"], row["failure_class"], row["exit_code"]) == (status, failure, code)
    assert row["is_error"] == (1 if status in ("error", "timeout") else 0)
    assert row["reported_ms"] == ms


def test_a_call_without_an_output_is_open() -> None:
    made = rollout()
    made.begin()
    made.item("function_call", name="exec_command", arguments="{}", call_id="call_" + "a" * 24)

    assert one(read(made), "tool.call")["status"] == "open"


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_a_call_of_an_mcp_server_is_named_after_both_and_has_the_servers_own_outcome(version: Version) -> None:
    made = rollout(version)
    made.begin()
    good, bad = made.mcp(), made.mcp(failed=True)
    feed = read(made)

    rows = [call(feed, each) for each in (good, bad)]

    assert {row["tool_name"] for row in rows} == {"mcp__wiki_docs__get_page"}
    assert {row["mcp_server"] for row in rows} == {"wiki_docs"}
    assert [(row["status"], row["failure_class"], row["reported_ms"]) for row in rows] == [
        ("ok", None, 1_500), ("error", "mcp_error", 1_500),
    ]  # fmt: skip


def test_an_end_event_without_its_call_is_the_call_of_an_mcp_server_and_nothing_else() -> None:
    made = rollout()
    made.begin()
    made.event("mcp_tool_call_end", call_id="call_" + "m" * 20, invocation={"server": "wiki", "tool": "find"},
               duration={"secs": 0, "nanos": 5_000_000}, result={"Ok": {"isError": True}})  # fmt: skip
    made.event("web_search_end", call_id="ws_1", query="x")

    row = one(read(made), "tool.call")

    assert (row["tool_name"], row["status"], row["reported_ms"]) == ("mcp__wiki__find", "error", 5)


def test_a_search_of_the_web_is_over_where_it_stands() -> None:
    made = rollout()
    made.begin()
    made.item("web_search_call", status="completed", action={"type": "search", "query": "x"})

    row = one(read(made), "tool.call")

    assert (row["tool_name"], row["status"]) == ("web_search", "ok")


def test_ids_of_calls_that_only_a_session_keeps_apart_stay_apart() -> None:
    for_both = []
    for seed in (1, 2):
        made = rollout(seed=seed)
        made.begin()
        made.item("function_call", name="shell", arguments="{}", call_id="call_1")
        made.item("function_call_output", call_id="call_1", output="Exit code: 0\nOutput:\n")
        for_both.append(made)

    rows = read(*for_both).events("tool.call")

    assert [row["status"] for row in rows] == ["ok", "ok"]
    assert {row["session_id"] for row in rows} == {made.session for made in for_both}


def test_a_patch_is_a_change_of_each_of_its_files_with_the_lines_of_its_diff() -> None:
    made = rollout()
    made.begin()
    made.patch({
        "/a/new.py": {"type": "add", "content": "one\ntwo\nthree"},
        "/a/old.py": {"type": "delete", "content": "gone\n"},
        "/a/mod.py": {"type": "update", "unified_diff": "@@ -1,3 +1,3 @@\n-a\n--b\n+++c\n keep\n@@ -9 +9 @@\n+d\n", "move_path": None},
    })  # fmt: skip
    made.patch({"/a/failed.py": {"type": "add", "content": "x"}}, success=False)

    rows = read(made).events("file.update")

    told = {
        json.loads(row["payload_json"])["path"]: (row["detail"], row["lines_added"], row["lines_removed"])
        for row in rows
    }
    assert told == {"/a/new.py": ("create", 3, 0), "/a/old.py": ("delete", 0, 1), "/a/mod.py": ("update", 2, 2)}


def test_a_compaction_is_one_fact_though_two_records_tell_of_it() -> None:
    made = rollout()
    made.begin()
    made.tokens(1_000, cached=200, output=10)
    made.compact()
    made.compact()
    made.event("context_compacted")

    rows = read(made).events("compaction")

    assert [row["size"] for row in rows] == [1_210] * 3


def test_retries_are_one_incident_that_ends_with_a_reply_or_is_given_up() -> None:
    made = rollout()
    made.begin()
    for attempt in (1, 2):
        made.event(
            "stream_error", message=f"Reconnecting... {attempt}/5", codex_error_info="response_stream_disconnected"
        )
    made.tokens(4)
    made.event("error", message="You've hit your usage limit.", codex_error_info="usage_limit_exceeded")
    made.begin()

    feed = read(made)
    passed, final = feed.events("api.error")

    assert [row["failure_class"] for row in (passed, final)] == ["server_error", "usage_limit"]
    assert feed.closed(passed["source_key"])
    assert feed.events("turn")[0]["status"] == "error"


def test_a_sub_agent_is_a_session_with_a_parent_whose_prompts_are_nobodys() -> None:
    parent = rollout()
    parent.begin()
    parent.shell()
    agent = parent.agent(replayed=True)
    agent.begin("a task")
    agent.shell()
    agent.end()

    feed = read(agent, parent)

    run = one(feed, "subagent.run")
    link = one(feed, "artifact.linked")
    assert (run["agent_id"], run["agent"], run["status"]) == (agent.session, "worker", "ok")
    assert link["source_key"] == f"artifact:{agent.session}/session/{parent.session}/spawned"
    assert (link["detail"], json.loads(link["payload_json"])) == ("spawned", {"target": parent.session})
    assert [row["session_id"] for row in feed.events("prompt")] == [parent.session]
    assert {row["session_id"] for row in feed.events("tool.call")} == {parent.session, agent.session}


def test_a_fork_names_what_it_was_forked_from() -> None:
    parent = rollout()
    parent.begin()
    fork = parent.fork()

    feed = read(fork, parent)

    assert one(feed, "artifact.linked")["detail"] == "forked_from"
    told = {row["session_id"]: (row["detail"], row["parent_session_id"]) for row in feed.events("session.lifecycle")}
    assert told == {parent.session: (None, None), fork.session: ("3 forked", parent.session)}


def test_a_session_that_goes_on_in_its_own_file_was_resumed() -> None:
    made = rollout()
    made.begin()
    made.meta()

    assert one(read(made), "session.lifecycle")["detail"] == "2 resumed"


def test_nothing_of_a_copied_history_is_a_fact_of_the_fork() -> None:
    parent = rollout()
    parent.begin()
    parent.shell()
    parent.patch({"/a": {"type": "add", "content": "x"}})
    parent.mcp()
    parent.compact()
    parent.event("something_new")
    parent.end()

    kinds = {row["event_type"] for row in read(parent.fork()).events()}

    assert kinds == {"session.lifecycle", "artifact.linked"}


def test_what_nobody_knows_is_kept_by_its_type() -> None:
    made = rollout()
    made.begin()
    made.line("novelty", {"a": 1})
    made.event("new_event")
    made.item("new_item")
    made.line("world_state", {})

    rows = read(made).events("record.unknown")

    assert sorted(row["source_key"].partition(":")[0] for row in rows) == ["unknown"] * 3


def test_the_bare_lines_of_old_clients_are_tolerated_and_counted() -> None:
    session = Rollout(random.Random(0)).session
    lines = [
        {"id": session, "timestamp": stamp(1_750_000_000_000), "instructions": None, "git": {"branch": "dev"}},
        {"record_type": "state"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]},
        {"type": "function_call", "name": "shell", "arguments": "{}", "call_id": "call_1"},
    ]
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    feed = Feed()
    feed.take((f"rollout-2025-06-15T17-06-40-{session}.jsonl", data))

    (begun,) = feed.events("session.lifecycle")

    assert (begun["session_id"], begun["git_branch"]) == (session, "dev")
    assert len(feed.events("record.unknown")) == 3


def test_where_the_first_line_is_broken_the_files_name_tells_the_session() -> None:
    made = rollout()
    made.begin()
    made.tokens(12)
    made.lines[0] = made.lines[0][:50] + b"\n"

    feed = read(made)

    assert one(feed, "llm.request")["session_id"] == made.session
    assert feed.counted("quarantine.lines") or feed.total("parser.fallbacks") == 0


def test_a_field_of_the_wrong_shape_spoils_that_field_only() -> None:
    made = rollout()
    made.begin()
    made.tokens(12)
    record = json.loads(made.lines[-1])
    record["payload"]["name"] = {"no": "text"}
    record["payload"]["info"]["model_context_window"] = "wide"
    made.lines[-1] = json.dumps(record).encode() + b"\n"

    row = one(read(made), "llm.request")

    assert row["token_input"] == 12
    assert (row["context_tokens"], row["context_window_source"], row["size"]) == (12, "table", None)


def test_what_a_parser_could_not_take_is_counted_under_the_source_of_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    made = rollout()
    made.begin()
    made.line("turn_context", {"turn_id": made.turn, "model": {"no": "text"}})
    made.event("user_message", message="hello")
    feed = read(made)
    assert feed.counted("parser.fallbacks") == {'["codex","other"]': 1}
    assert feed.total("parser.failures") == 0

    def broken(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr("ccagent.sources.codex.derive.digest", broken)
    session = Session("s")
    session.prompt("hello")
    feed = Feed()
    feed.take((made.path, made.content), (session.path, session.content))

    assert feed.counted("parser.failures") == {'["codex","exception"]': 2}
