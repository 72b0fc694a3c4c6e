"""The end of sub-agents, and what a task notification says of those that were sent to the background."""

from __future__ import annotations

import re
from typing import Final

from ccagent.facts.model import Status
from ccagent.facts.partial import NO_TIME, Result
from ccagent.sources.claude.calls import shell_ended
from ccagent.sources.claude.standing import Standing

_TASK_ID: Final = re.compile(r"<task-id>\s*([^<\s]{1,128})\s*</task-id>")
_TASK_STATUS: Final = re.compile(r"<status>\s*([^<\s]{1,32})\s*</status>")
_TASK_STATUSES: Final = {"completed": Status.OK, "failed": Status.ERROR, "killed": Status.INTERRUPTED}
_HEAD: Final = 4_096
"""Characters of a notification in which its tags are looked for; what the agent said comes after them."""


def notified(deriver: Standing, text: str) -> None:
    """The end of a sub-agent that was sent to the background.

    Of a background shell, whose call was over when it had started, the call's end is moved to now.
    """
    found = _TASK_ID.search(text[:_HEAD])
    if found:
        shell_ended(deriver, found.group(1))
    background = deriver.carry.background
    if not found or found.group(1) not in background:
        return
    agent = found.group(1)
    background.remove(agent)
    said = _TASK_STATUS.search(text[:_HEAD])
    status = _TASK_STATUSES.get(said.group(1) if said else "completed", Status.ERROR)
    agent_ended(deriver, agent, Result(status, -1 if deriver.at == NO_TIME else deriver.at))


def agent_ended(deriver: Standing, agent: str, result: Result) -> None:
    """That sub-agent's run is over."""
    run = deriver.touch_agent(agent, deriver.at, 2)
    if run.result is None or result > run.result:
        run.result = result
    run.closing = True
