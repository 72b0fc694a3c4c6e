"""Sidechains inside a main file: which sub-agent a line belongs to, where the client gave it no name.

Old clients wrote sub-agents' lines into the file of their session, marked `isSidechain` and nothing more. The first of
them repeats the prompt of the call that launched it, the others follow it by `parentUuid`.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from ccagent.sources.claude.carry import SIDE_LINES
from ccagent.sources.claude.lines import text_of
from ccagent.sources.claude.records import Record

if TYPE_CHECKING:
    from ccagent.sources.claude.standing import Standing

LAUNCHES: Final = 32
"""Prompts of launching calls that a file remembers; a client keeps fewer sub-agents at work at once."""

PROMPT_TEXT: Final = 1_000_000
"""Characters of a prompt that are compared."""


def prompt_digest(text: str) -> bytes:
    """What stands for a prompt, whose text is not kept."""
    return blake2b(text.strip().encode("utf-8", "surrogatepass"), digest_size=8).digest()


def enter_side(standing: Standing, record: Record) -> str | None:
    """The sub-agent of a sidechain's line without agentId: named by the uuid of its first line, linked to the call whose
    prompt that line repeats. None where no such call is known."""
    carry = standing.carry
    uuid = record.uuid
    agent = carry.sides.get(record.parentUuid) if record.parentUuid is not None else None
    if agent is None and uuid is not None and carry.launches and record.type == "user":
        tool = carry.launches.get(prompt_digest(_text(record)))
        if tool is not None:
            agent = uuid
            _launched(standing, agent, tool)
    if agent is not None and uuid is not None:
        carry.sides[uuid] = agent
        if len(carry.sides) > SIDE_LINES:
            del carry.sides[next(iter(carry.sides))]
    return agent


def _launched(standing: Standing, agent: str, tool: str) -> None:
    call = standing.carry.calls.get(tool)
    standing.batch.link(agent, tool)
    run = standing.touch_agent(agent, standing.at, 1)
    if call is not None:
        call.side = agent
        if call.agent_type is not None and (run.label is None or call.agent_type > run.label):
            run.label = call.agent_type


def _text(record: Record) -> str:
    content = record.message.content if record.message is not None else None
    if isinstance(content, str):
        return content
    for block in content or ():
        if block.type == "text":
            return text_of(block.text, PROMPT_TEXT)
    return ""
