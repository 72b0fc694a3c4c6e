"""Trees of transcripts as Hypothesis draws them: sessions, copies under a new id, sub-agents, retries, damage."""

from __future__ import annotations

import random
from dataclasses import dataclass

import orjson
from hypothesis import strategies as st

from tests.sources.delivering import DELIVERIES, deliver
from tests.sources.feed import files_of
from tests.sources.happenings import HAPPENINGS, happen
from tests.transcripts import Line, Session, Usage, nul_run, spliced, text, thinking, tool_use, truncated

VERSIONS = ("1.0.108", "2.0.76", "2.1.30", "2.1.41", "2.1.229")
MODELS = ("claude-opus-4-6", "claude-haiku-4-5-20251001", "glm-5", "claude-sonnet-4-5-20250929")

ACTIONS = (
    "prompt", "reply", "streamed", "bash", "failed", "edit", "mcp", "rejected", "slash", "interrupt", "relayed agent",
    "agent", "nested agent", "background agent", "inline agent", "retries", "gave up", "compaction", "turn end",
    "back in time", "splice", "truncate", "nuls", "unknown", "metadata", "gateway", "advisor", "branch", "mode", "again",
    "blank", "no time", "bad usage", "no usage", "huge usage", "call by user", "redacted", "no id", "result only",
    "made again", "stall", "kill", "background shell", "checked", "forked from", "other process", "own clock", "matched sidechain",
    "news", "chosen line",
    *HAPPENINGS, *DELIVERIES,
    "microcompaction", "summary only", "long wait", "loaded skill", "miss reported", "copied line",
)  # fmt: skip


@dataclass(frozen=True)
class Copy:
    """A fork: the first lines of a session under a new session id, whatever it does afterwards."""

    of: int
    share: float
    actions: tuple[str, ...]
    keep_id: bool


SESSIONS = st.lists(
    st.tuples(st.sampled_from(VERSIONS), st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=14)),
    min_size=1,
    max_size=2,
)
COPIES = st.lists(
    st.builds(
        Copy,
        st.integers(0, 1),
        st.floats(0.2, 1),
        st.lists(st.sampled_from(ACTIONS), max_size=4).map(tuple),
        st.booleans(),
    ),
    max_size=2,
)


@st.composite
def trees(draw: st.DrawFn) -> dict[str, bytes]:
    """Path → bytes of a tree."""
    sessions = []
    for number, (version, actions) in enumerate(draw(SESSIONS)):
        session = Session(f"session-{number}", version=version, seed=number, start=1_770_714_000_000 + number * 500)
        session.title()
        act(session, actions, random.Random(number))
        sessions.append(session)
    found = files_of(*sessions)
    for number, copy in enumerate(draw(COPIES)):
        original = sessions[copy.of % len(sessions)]
        fork = Session(f"fork-{number}", version="2.1.229", seed=100 + number, start=original.now, branch="fork")
        kept = original.lines[: max(1, int(len(original.lines) * copy.share))]
        fork.lines = [line if copy.keep_id else renamed(line, fork.session_id) for line in kept]
        act(fork, copy.actions, random.Random(1_000 + number))
        found |= files_of(fork)
    return found


def renamed(line: Line, session_id: str) -> Line:
    """The line as a fork copies it: under its own session id."""
    try:
        record = orjson.loads(line.raw)
    except orjson.JSONDecodeError:
        return line
    if not isinstance(record, dict) or "sessionId" not in record:
        return line
    return Line(at_ms=line.at_ms, raw=orjson.dumps(record | {"sessionId": session_id}) + b"\n")


def act(session: Session, actions: list[str] | tuple[str, ...], chance: random.Random) -> None:
    """Write what the actions say."""
    for action in actions:
        _act(session, action, chance)


def _usage(chance: random.Random) -> Usage:
    write = chance.randrange(0, 2_000)
    return Usage(
        input=chance.randrange(0, 900), output=chance.randrange(1, 3_000), cache_read=chance.randrange(0, 90_000),
        cache_write=write, cache_write_1h=chance.randrange(0, write + 1), split=chance.random() < 0.8,
        speed=chance.choice((None, "fast")),
    )  # fmt: skip


def _act(session: Session, action: str, chance: random.Random) -> None:
    usage, model = _usage(chance), chance.choice(MODELS)
    match action:
        case "prompt":
            session.prompt("please " + "x" * chance.randrange(40))
        case "reply":
            session.assistant(text("a reply"), usage=usage, model=model)
        case "streamed":
            blocks = [thinking("hm"), text("so"), tool_use(session.ids.tool(), "Read", {"file_path": "/a"})]
            session.assistant(*blocks, usage=usage, model=model)
        case "bash":
            session.bash("ls", usage=usage)
        case "failed":
            session.bash("false", exit_code=chance.randrange(1, 130), usage=usage)
        case "edit":
            session.edit("/a.py", added=chance.randrange(9), removed=chance.randrange(9), usage=usage)
        case "mcp":
            session.tool("mcp__some_server__find", {"q": 1}, usage=usage, is_error=chance.random() < 0.3)
        case "rejected":
            session.rejected()
        case "slash":
            session.slash("/review")
        case "interrupt":
            session.interrupt(for_tool=chance.random() < 0.5)
        case "gateway":
            session.assistant(text("hi"), usage=usage, model="glm-5", message_id="gateway-1", request_id=None)
        case "advisor":
            step = {"type": "advisor_message", "model": model, "input_tokens": 7, "output_tokens": 9}
            message = orjson.loads(_said(session, usage, model))
            said = message["message"]["usage"]
            names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
            first = {"type": "message"} | {name: said[name] // 3 for name in names}
            last = {"type": "message"} | {name: said[name] - first[name] for name in names}
            said["iterations"] = [
                first,
                step,
                last,
                *([{**step, "type": "compaction"}] if chance.random() < 0.5 else []),
            ]
            session.lines[-1] = Line(at_ms=session.now, raw=orjson.dumps(message) + b"\n")
        case "retries":
            for attempt in range(1, chance.randrange(2, 5)):
                session.api_error(attempt=attempt, status=chance.choice((529, 500, 429)))
        case "gave up":
            session.api_error(attempt=1)
            session.api_failure()
        case "microcompaction":
            session.microcompaction(chance.randrange(50_000, 90_000), chance.randrange(9_000, 40_000))
        case "summary only":
            session.record("user", {"message": {"role": "user", "content": "In short."}, "isCompactSummary": True})
        case "long wait":
            session.wait(chance.choice((299_000, 301_000, 3_601_000)))
        case "loaded skill":
            session.tool("Skill", {"skill": "review"}, usage=usage)
        case "compaction":
            session.compaction(chance.randrange(80_000, 170_000))
        case "turn end":
            session.turn_duration(chance.randrange(1, 90_000), pending_agents=chance.choice((None, 0, 1)))
        case "branch":
            session.branch = chance.choice(("main", "topic", ""))
        case "mode":
            session.permission_mode = chance.choice(("plan", "default", "acceptEdits"))
        case "back in time":
            session.now -= chance.randrange(1, 262_000)
        case "metadata":
            session.title()
            session.summary()
            session.snapshot()
            session.queue()
            session.attachment("task_reminder")
        case "made again" | "stall" | "kill" | "background shell" | "checked" | "own clock":
            _course(session, action, chance)
        case "forked from":
            session.prompt("copied", forkedFrom={"sessionId": f"session-{chance.randrange(3)}"})
        case "other process":
            session.prompt("on", session_id=f"session-{chance.randrange(3)}")
        case "unknown":
            session.unknown()
        case "news":
            _news(session, chance, usage)
        case "blank":
            session.raw(b"\n")
        case _ if action in DELIVERIES:
            deliver(session, action, chance)
        case _ if action in HAPPENINGS:
            happen(session, action, chance)
        case _:
            kind = _damage if action in DAMAGE else _odd if action in ODD else _agent
            kind(session, action, chance)


DAMAGE = ("splice", "truncate", "nuls", "again")
ODD = (
    "no time",
    "bad usage",
    "no usage",
    "huge usage",
    "call by user",
    "redacted",
    "no id",
    "result only",
    "chosen line",
    "miss reported",
    "copied line",
)


def _news(session: Session, chance: random.Random, usage: Usage) -> None:
    """What no reader knows yet."""
    match chance.randrange(6):
        case 0:
            session.tool(chance.choice(("Teleport", "mcp__alone", "two words")), {"to": "x"}, usage=usage)
        case 1:
            session.attachment(chance.choice(("brand_new", "task_reminder")), note="x" * chance.randrange(9))
        case 2:
            session.assistant({"type": "hologram", "size": chance.randrange(9)}, usage=usage, stop_reason="bored")
        case 3:
            session.progress("dream_progress", session.ids.tool(), {"depth": chance.randrange(9)})
        case 4:
            session.system("brand_new", payload=chance.randrange(9))
        case _:
            session.assistant(text("hi"), usage=usage, request_id=None)


def _course(session: Session, action: str, chance: random.Random) -> None:
    """Calls that are repeated, last long, go on in the background, or have a clock of their own."""
    match action:
        case "made again":
            for _ in range(chance.randrange(2, 5)):
                session.bash("make", exit_code=chance.randrange(2))
        case "stall":
            session.prompt("well?")
            session.wait(chance.choice((1_000, 400_000)))
            session.request()
        case "kill":
            tool = session.ids.tool()
            session.assistant(tool_use(tool, "Bash", {"command": "sleep 9", "timeout": 5_000}))
            session.progress("bash_progress", tool, {"elapsedTimeSeconds": chance.randrange(5), "timeoutMs": 6_000})
            session.result(tool, "Exit code 143", is_error=True, after_ms=chance.choice((5_500, 6_500)))
        case "checked":
            command = chance.choice(
                ("pytest", "ruff check . && pytest | tail", "cd x && rm a b; make test", "rm -rf build")
            )
            output = chance.choice(("3 passed in 0.1s", "Exit code 1\n1 failed in 0.1s", "rm: a: No such file", ""))
            session.tool("Bash", {"command": command}, output, is_error=output.startswith("Exit"))
        case "background shell":
            details = {"backgroundTaskId": "shell", "persistedOutputSize": chance.randrange(9_000)}
            session.tool("Bash", {"command": "serve", "run_in_background": True}, details=details)
            session.notification("shell")
        case _:
            session.tool("Glob", {"pattern": "*"}, details={"durationMs": chance.randrange(99)})
            session.tool("AskUserQuestion", {"questions": []}, details={"interrupted": True})


def _said(session: Session, usage: Usage, model: str) -> bytes:
    session.assistant(text("advised"), usage=usage, model=model)
    return session.lines[-1].raw


def _odd(session: Session, action: str, chance: random.Random) -> None:
    """Change the last line to what clients, gateways and redaction tools also write."""
    if action == "call by user":
        block = tool_use(session.ids.tool(), "Task", {"prompt": "p"})
        session.record("user", {"message": {"role": "user", "content": [block]}})
        return
    if action == "result only":
        session.result(session.ids.tool(), "fine", details={"filePath": "/b", "structuredPatch": [], "type": "update"})
        return
    line = session.lines[-1]
    try:
        record = orjson.loads(line.raw)
    except orjson.JSONDecodeError:
        return
    if not isinstance(record, dict):
        return
    message = record.get("message")
    match action:
        case "chosen line":
            record |= {"novel": chance.randrange(3)} | (
                {"uuid": record["uuid"][:-2] + "c0"} if "uuid" in record else {}
            )
        case "no time":
            record.pop("timestamp", None)
        case "copied line":
            record["forkedFrom"] = {"sessionId": "elsewhere", "messageUuid": "m"}
        case "miss reported":
            if isinstance(message, dict):
                kind = chance.choice(("tools_changed", "messages_changed", "unavailable", None))
                reason = {"type": kind, "cache_missed_input_tokens": chance.randrange(9_000)}
                message["diagnostics"] = {"cache_miss_reason": reason}
        case "no id":
            record.pop("uuid", None)
        case "redacted":
            if isinstance(message, dict) and isinstance(message.get("content"), str):
                again = record | {"message": message | {"content": "<bash-input>REDACTED</bash-input>"}}
                session.raw(orjson.dumps(again) + b"\n")
        case _:
            if isinstance(message, dict) and isinstance(message.get("usage"), dict):
                message["usage"] = {
                    "bad usage": "many", "no usage": None, "huge usage": message["usage"] | {"output_tokens": 2**63},
                }[action]  # fmt: skip
    session.lines[-1] = Line(at_ms=line.at_ms, raw=orjson.dumps(record) + b"\n")


def _damage(session: Session, action: str, chance: random.Random) -> None:
    lines = session.lines
    if action == "nuls":
        session.raw(nul_run(chance.randrange(1, 40)))
    elif action == "again" and lines:
        session.raw(chance.choice(lines).raw)
    elif action == "splice" and len(lines) > 1:
        second, first = lines.pop(), lines.pop()
        lines.append(Line(at_ms=second.at_ms, raw=spliced(first.raw, second.raw)))
    elif action == "truncate" and lines:
        last = lines.pop()
        lines.append(Line(at_ms=last.at_ms, raw=truncated(last.raw)))


def _agent(session: Session, action: str, chance: random.Random) -> None:
    tool_id = session.launch(kind=chance.choice(("explore", "general-purpose")), usage=_usage(chance))
    inline = action in ("inline agent", "matched sidechain")
    child = session.agent(inline=inline, model=chance.choice(MODELS))
    child.prompt("look into it" if action == "matched sidechain" else "look")
    child.bash("ls", usage=_usage(chance))
    if action == "nested agent":
        inner_tool = child.launch(usage=_usage(chance))
        inner = child.agent()
        inner.assistant(text("deep"), usage=_usage(chance))
        child.landed(inner_tool, inner)
    last = child.assistant(text("found"), usage=_usage(chance))
    if inline:
        session.adopt(child)
        if action == "matched sidechain":
            session.result(tool_id, "looked")
        return
    if action == "background agent":
        details = {"status": "async_launched", "agentId": child.agent_id, "isAsync": True}
        session.result(tool_id, "launched", details=details)
        session.assistant(text("meanwhile"), usage=_usage(chance))
        session.notification(str(child.agent_id))
        return
    if action == "relayed agent":
        relayed_tool = session.ids.tool()
        agent_id = str(child.agent_id)
        blocks = (text("found"), tool_use(relayed_tool, "Grep", {"pattern": "x"}))
        session.agent_progress(tool_id, agent_id, *blocks, usage=_usage(chance), message_id=last)
        session.agent_progress_result(tool_id, agent_id, relayed_tool, is_error=chance.random() < 0.3)
        if chance.random() < 0.4:
            session.agents.remove(child)
    session.landed(tool_id, child)
