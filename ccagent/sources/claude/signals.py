"""Which rules hear of what: tool calls, their results, prompts and records, by name.

The rules for single tools and records stand in rooms of their own; here is the one table that calls them, so that a
line costs a look into a dictionary where no rule concerns it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ccagent.facts.naming import MCP_PREFIX
from ccagent.facts.partial import Partial
from ccagent.sources.claude import (
    attachments,
    caching,
    calls,
    commands,
    delivery,
    drift,
    evidence,
    hooks,
    mcp,
    permissions,
    queues,
    shells,
    skills,
    tasks,
    titles,
)
from ccagent.sources.claude.occasions import Answer, Answered, Call, Called, Recorded
from ccagent.sources.claude.standing import Standing

CALLED: Final[Mapping[str, tuple[Called, ...]]] = {
    "Agent": (evidence.launched, calls.called_agent),
    "AskUserQuestion": (calls.called_question,),
    "Bash": (evidence.shell, calls.called_shell, delivery.shell_called, shells.called),
    "Edit": (evidence.edited,),
    "ExitPlanMode": (evidence.planned, calls.called_question),
    "Glob": (evidence.searched,),
    "Grep": (evidence.searched,),
    "MultiEdit": (evidence.edited,),
    "PowerShell": (evidence.shell, calls.called_shell, delivery.shell_called, shells.called),
    "Read": (evidence.read, calls.called_reader),
    "Skill": (evidence.activated, skills.called, caching.skill_called),
    "SlashCommand": (evidence.activated, caching.skill_called),
    "Task": (evidence.launched, calls.called_agent),
    "TaskUpdate": (tasks.task_updated,),
    "TodoWrite": (tasks.todos_written,),
    "ToolSearch": (caching.tools_looked_up,),
    "Write": (evidence.created,),
}
"""Rules for calls, by the tool's name; those for every tool are in `EVERY_CALL`."""

MCP_CALLED: Final[tuple[Called, ...]] = (delivery.mcp_called,)
"""Rules for calls to tools of MCP servers, whose names begin with MCP_PREFIX."""

EVERY_CALL: Final[tuple[Called, ...]] = (calls.every_call,)

ANSWERED: Final[Mapping[str, tuple[Answered, ...]]] = {
    "Agent": (calls.answered_side,),
    "Bash": (calls.answered_shell, delivery.shell_answered, shells.answered),
    "ExitPlanMode": (permissions.plan_approved,),
    "Glob": (calls.answered_timed,),
    "PowerShell": (calls.answered_shell, delivery.shell_answered, shells.answered),
    "Skill": (skills.answered,),
    "Task": (calls.answered_side,),
    "TaskCreate": (tasks.task_created,),
    "TaskUpdate": (tasks.task_answered,),
    "TodoWrite": (tasks.todos_answered,),
    "WebFetch": (calls.answered_timed,),
    "WebSearch": (calls.answered_timed,),
    "exit_plan_mode": (permissions.plan_approved,),
}
"""Rules for results, by the tool's name (needs the call); those for every tool are in `EVERY_ANSWER`."""

MCP_ANSWERED: Final[tuple[Answered, ...]] = (delivery.mcp_answered,)

EVERY_ANSWER: Final[tuple[Answered, ...]] = (drift.tool_name, calls.every_answer)

RECORDED: Final[Mapping[str, Recorded]] = {
    "ai-title": titles.derive_title,
    "attachment": attachments.derive_attachment,
    "custom-title": titles.derive_title,
    "permission-mode": permissions.derive_row,
    "pr-link": delivery.linked,
    "queue-operation": queues.derive_operation,
}
"""Rules for records that are neither messages nor system lines, by type. None: known and ignored; (): known already."""

SYSTEM: Final[Mapping[str, Recorded]] = {
    "local_command": commands.derive_local,
    "stop_hook_summary": hooks.derive_summary,
}
"""Rules for system lines, by subtype."""

PROGRESS: Final[Mapping[str, Recorded]] = {
    "bash_progress": calls.running,
    "hook_progress": hooks.derive_started,
    "mcp_progress": mcp.derive_progress,
}
"""Rules for progress lines, by data.type; agent_progress is derive_relayed's."""


def called(deriver: Standing, call: Call) -> None:
    """Tell every rule that concerns this call."""
    for rule in EVERY_CALL:
        rule(deriver, call)
    for rule in CALLED.get(call.name, ()):
        rule(deriver, call)
    if call.name.startswith(MCP_PREFIX):
        for rule in MCP_CALLED:
            rule(deriver, call)


def answered(deriver: Standing, answer: Answer) -> tuple[Partial, ...]:
    """Tell every rule that concerns this result; the facts that they made."""
    born: tuple[Partial, ...] = ()
    for rule in EVERY_ANSWER:
        born += rule(deriver, answer)
    if answer.call is not None:
        for rule in ANSWERED.get(answer.call.name, ()):
            born += rule(deriver, answer)
        if answer.call.name.startswith(MCP_PREFIX):
            for rule in MCP_ANSWERED:
                born += rule(deriver, answer)
    return born
