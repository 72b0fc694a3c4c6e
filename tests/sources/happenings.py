"""Writes the records of skills, commands, hooks, modes, queues and tasks into a session of the tests' builder."""

from __future__ import annotations

import random
from typing import Final

from tests.transcripts import Json, Session, text, tool_use

HAPPENINGS: Final = (
    "skill", "typed skill", "local command", "system command", "hook", "new hook", "stop hooks", "mode row",
    "typed mode", "plan", "typed ahead", "popped", "handed over", "todos", "task", "mcp wait",
)  # fmt: skip

WORDS: Final = ("write it", "test it", "ship it")
STATES: Final = ("pending", "in_progress", "completed")
MODES: Final = ("default", "plan", "acceptEdits")


def skill_text(session: Session, *, tool_id: str | None = None) -> str:
    """What the client hands to the model for a skill: after a typed command, or after a call."""
    fields: Json = {"message": {"role": "user", "content": [text("Base directory for this skill: /skills/x\n\nDo.")]}}
    if tool_id is not None:
        fields["sourceToolUseID"] = tool_id
    return session.record("user", fields | {"isMeta": True})


def hook_started(session: Session, source: str, event: str, name: str, command: str) -> str:
    """A progress line of a hook, as clients up to 2.1.4x write it."""
    data: Json = {"type": "hook_progress", "hookEvent": event, "hookName": name, "command": command}
    return session.record("progress", {"data": data, "toolUseID": source, "parentToolUseID": source}, after_ms=10)


def hooks_summed_up(session: Session, source: str, *infos: Json, errors: tuple[str, ...] = (), **fields: object) -> str:
    """The line that closes a turn's hooks."""
    said: Json = {"hookCount": len(infos), "hookInfos": list(infos), "hookErrors": list(errors), "toolUseID": source}
    return session.system("stop_hook_summary", **({"preventedContinuation": False} | said | fields))


def mode_row(session: Session, mode: str) -> None:
    """A permission-mode row: no uuid, no time."""
    session.row({"type": "permission-mode", "permissionMode": mode, "sessionId": session.session_id})


def todos(session: Session, new: Json, old: Json | None, *, is_error: bool = False, **fields: object) -> str:
    """A call of TodoWrite with the lists (text → state); `old` None leaves the client's own report out."""
    listed = [{"content": words, "status": state, "activeForm": words} for words, state in new.items()]
    details: Json | None = None
    if old is not None:
        before = [{"content": words, "status": state, "activeForm": words} for words, state in old.items()]
        details = {"oldTodos": before, "newTodos": listed}
    return session.tool("TodoWrite", {"todos": listed}, "Todos have been modified", details=details, is_error=is_error)


def task_created(session: Session, number: str, *, silent: bool = False) -> str:
    """A call of TaskCreate; `silent` leaves the client's own report out, as in a sub-agent's file."""
    details = None if silent else {"task": {"id": number, "subject": "a subject"}}
    return session.tool(
        "TaskCreate", {"subject": "a subject"}, f"Task #{number} created successfully: a subject", details=details
    )


def task_updated(session: Session, number: str, before: str | None, after: str | None, *, silent: bool = False) -> str:
    """A call of TaskUpdate; without `after` it touches something else than the state."""
    details: Json | None = None
    if not silent:
        details = {"success": True, "taskId": number, "updatedFields": ["status" if after else "blockedBy"]}
        if after:
            details["statusChange"] = {"from": before, "to": after}
    given: Json = {"taskId": number} | ({"status": after} if after else {"addBlockedBy": ["2"]})
    return session.tool("TaskUpdate", given, f"Updated task #{number}", details=details)


def happen(session: Session, action: str, chance: random.Random) -> None:
    """Write what `action`, one of HAPPENINGS, says."""
    match action:
        case "skill":
            tool_id = session.tool("Skill", {"skill": "pack:sew"}, is_error=chance.random() < 0.3)
            skill_text(session, tool_id=tool_id)
        case "typed skill":
            session.slash("/sew")
            skill_text(session)
            if chance.random() < 0.5:
                session.tool("Skill", {"skill": "pack:sew"})
        case "local command":
            session.slash(chance.choice(("/exit", "/compact", "/model")))
            session.command_output()
        case "system command":
            session.system("local_command", content="<command-name>/mcp</command-name>")
            session.system("local_command", content="<local-command-stdout>fine</local-command-stdout>")
        case "mode row":
            mode_row(session, chance.choice(MODES))
        case "typed mode":
            session.permission_mode = chance.choice(MODES)
            session.prompt("go on")
        case "plan":
            session.tool("ExitPlanMode", {"plan": "a plan"}, details={"plan": "a plan", "isAgent": False})
        case "typed ahead":
            session.queue("enqueue", "one more thing")
            session.now += chance.randrange(9_000)
            session.queue("dequeue")
            session.prompt("one more thing")
        case "popped":
            session.queue("enqueue", "never mind")
            session.queue(chance.choice(("popAll", "remove")), "never mind")
        case "handed over":
            session.attachment("queued_command", prompt="by the way", commandMode="prompt")
            if chance.random() < 0.5:
                session.prompt("by the way")
        case "todos":
            new: Json = {words: chance.choice(STATES) for words in WORDS if chance.random() < 0.8}
            old: Json = {words: chance.choice(STATES) for words in WORDS if chance.random() < 0.5}
            todos(session, new, chance.choice((old, None)))
        case "task":
            task_created(session, "1", silent=chance.random() < 0.5)
            task_updated(session, "1", "pending", chance.choice((*STATES, None)), silent=chance.random() < 0.5)
        case "mcp wait":
            tool_id = session.ids.tool()
            session.assistant(tool_use(tool_id, "mcp__a_b__find", {}))
            session.progress("mcp_progress", tool_id, {"status": "completed", "elapsedTimeMs": chance.randrange(900)})
            session.result(tool_id)
        case _:
            _hooks(session, action, chance)


def _hooks(session: Session, action: str, chance: random.Random) -> None:
    source = session.ids.uuid()
    match action:
        case "hook":
            hook_started(session, source, "PreToolUse", "PreToolUse:Bash", "check")
        case "new hook":
            session.attachment(
                chance.choice(("hook_success", "hook_non_blocking_error")), hookEvent="PreToolUse", toolUseID=source,
                hookName="PreToolUse:Bash", command="check", exitCode=chance.randrange(2), durationMs=7,
            )  # fmt: skip
        case "stop hooks":
            for command in ("one", "two"):
                hook_started(session, source, "Stop", "Stop", command)
            errors = ("Failed with non-blocking status code: no",) if chance.random() < 0.5 else ()
            hooks_summed_up(session, source, {"command": "one"}, {"command": "two", "durationMs": 5}, errors=errors)
