"""A session of Codex with a canary in every text: of what is read, and of what is skipped."""

from __future__ import annotations

import json
import random

from tests.canaries import Canaries, shell_lines
from tests.sources.codex_feed import Rollout


def rollout(canaries: Canaries, seed: int = 1, *, start: int = 1_780_000_000_000) -> Rollout:
    """One session of Codex with a word in every text."""
    say, identity = canaries.say, canaries.name
    made = Rollout(random.Random(seed), now=start, cwd=f"/home/{identity('folder of Codex')}")
    git = {
        "commit_hash": "0" * 40,
        "branch": identity("branch of Codex"),
        "repository_url": f"https://x.test/{say('url')}",
    }
    made.meta(
        base_instructions={"text": say("base instructions")}, git=git, dynamic_tools=[{"name": say("dynamic tool")}]
    )
    made.begin(say("prompt of Codex"))
    made.line(
        "turn_context",
        {
            "turn_id": made.turn,
            "cwd": made.cwd,
            "model": made.model,
            "effort": "high",
            "user_instructions": say("user instructions"),
            "approval_policy": "on-request",
            "sandbox_policy": {"type": "workspace-write", "writable_roots": [say("writable root")]},
            "summary": "auto",
            "developer_instructions": say("developer instructions"),
        },
    )
    made.item(
        "reasoning",
        summary=[{"text": say("reasoning summary")}],
        content=say("reasoning"),
        encrypted_content=say("cipher"),
    )
    made.item("message", role="assistant", content=[{"type": "output_text", "text": say("message")}])
    made.event("agent_reasoning", text=say("reasoning event"))
    made.event("agent_message", message=say("agent message"))
    for command, output in shell_lines(say, identity):
        arguments = {"cmd": command, "justification": say("justification")}
        call = made.call_id()
        made.item("function_call", name="exec_command", arguments=json.dumps(arguments), call_id=call)
        made.tokens(50)
        made.event(
            "exec_command_begin", call_id=call, command=["bash", "-lc", command], parsed_cmd=[say("parsed command")]
        )
        words = f"Chunk ID: a1\nWall time: 0.2500 seconds\nProcess exited with code 1\nOutput:\n{output}"
        words += say("output of Codex")
        made.item("function_call_output", call_id=call, output=words)
        made.event(
            "exec_command_end",
            call_id=call,
            exit_code=1,
            stdout=say("stdout of Codex"),
            stderr=say("stderr of Codex"),
            aggregated_output=say("aggregated output"),
            duration={"secs": 1, "nanos": 5},
        )
    path = f"{made.cwd}/{identity('file of a patch')}.py"
    made.patch(
        {
            path: {"type": "update", "unified_diff": f"@@\n+{say('line of a diff')}\n", "move_path": None},
            f"{path}.new": {"type": "add", "content": say("content of a patch")},
        }
    )
    made.item("custom_tool_call", name="apply_patch", input=f"*** Begin Patch\n{say('patch')}", call_id=made.call_id())
    call = made.call_id()
    made.item("function_call", name="mcp__wiki__get", arguments=say("mcp arguments"), call_id=call)
    made.event(
        "mcp_tool_call_end",
        call_id=call,
        duration={"secs": 1, "nanos": 0},
        result={"Err": say("mcp error")},
        invocation={"server": "wiki", "tool": "get", "arguments": {say("k"): say("v")}},
    )
    made.item("web_search_call", status="completed", action={"query": say("web search"), "queries": [say("queries")]})
    made.event("web_search_end", call_id="ws", query=say("web query"), action={"query": say("web action")})
    made.item("local_shell_call", call_id=made.call_id(), status="completed", action={"command": [say("local shell")]})
    made.item("tool_search_call", call_id=made.call_id(), arguments={"query": say("tool query")})
    made.item("tool_search_output", call_id="x", tools=[say("tools found")])
    made.line(
        "compacted", {"message": say("compacted"), "replacement_history": [{"content": [{"text": say("history")}]}]}
    )
    made.event("context_compacted")
    made.event("stream_error", message=f"stream disconnected {say('stream error')}", additional_details=say("details"))
    made.event("error", message=say("error of Codex"), codex_error_info={"other": say("error info")})
    for kind in (
        "turn_diff",
        "background_event",
        "plan_update",
        "thread_name_updated",
        "warning",
        "brand_new_event",
        "item_completed",
        "entered_review_mode",
        "sub_agent_activity",
        "guardian_warning",
    ):
        made.event(
            kind,
            message=say(kind),
            unified_diff=say("diff"),
            thread_name=say("thread name"),
            plan=[{"step": say("step")}],
            brandNew={say(f"key, {kind}"): say("value")},
        )
    made.item("brand_new_item", text=say("unknown item"), nested={say("nested"): 1})
    made.line("world_state", {"state": say("world state")})
    made.line("brand_new_line", {"text": say("unknown line")})
    made.event("user_message", message=say("second prompt of Codex"), images=[say("image of Codex")])
    made.tokens(9)
    made.event("task_complete", turn_id=made.turn, duration_ms=5_000, last_agent_message=say("last message"))
    made.lines.append(
        b'{"timestamp":"2026-05-28T20:26:40.000Z","type":"event_msg","payload":' + say("broken").encode() + b"\n"
    )
    return made
