"""Delivery: commits, pushes, branches and pull requests, from shell calls, tools of MCP servers and `pr-link` records.

What becomes of them: ccagent/sources/delivery.py.
"""

from __future__ import annotations

from typing import Final

from ccagent.facts.delivery import concerns, steps
from ccagent.facts.model import Status
from ccagent.facts.partial import Partial
from ccagent.facts.pulls import pull_of
from ccagent.sources import delivery
from ccagent.sources.claude.lines import decode, text_of
from ccagent.sources.claude.occasions import Answer, Call
from ccagent.sources.claude.records import CommandInput, GitResult, Record
from ccagent.sources.claude.standing import Standing
from ccagent.sources.delivery import OUTPUT_CHARACTERS, Operation
from ccagent.sources.places import Place

_SENT_AWAY: Final = "Command running in background"
"""How the result begins of a call that has only begun."""


# ---- calls ---------------------------------------------------------------------------------------------------------


def shell_called(deriver: Standing, call: Call) -> None:
    """Keep the steps of a shell command for its result."""
    raw = bytes(call.block.input)
    if concerns(raw):
        given = decode(CommandInput, call.block.input)
        if given is not None and given.command:
            call.call.delivery = list(steps(given.command))


def mcp_called(deriver: Standing, call: Call) -> None:
    """Keep which pull request a tool of an MCP server is told to work with."""
    step = delivery.tool_step(call.name, call.block.input)
    if step is not None:
        call.call.delivery = [step]


# ---- results -------------------------------------------------------------------------------------------------------


def shell_answered(deriver: Standing, answer: Answer) -> tuple[Partial, ...]:
    """What a shell command did: by the client's own record, else by what was printed."""
    known = answer.call.delivery if answer.call is not None else None
    if known is None:
        return ()
    operation = _operation(answer.record)
    if not known and operation is None:
        return ()
    status = Status(answer.outcome.status)
    text = text_of(answer.block.content, OUTPUT_CHARACTERS)
    if status == Status.OK and text.startswith(_SENT_AWAY):
        status = Status.OPEN
    return delivery.shell_ended(deriver, _place(answer), known, text, status, operation)


def mcp_answered(deriver: Standing, answer: Answer) -> tuple[Partial, ...]:
    """What a tool of an MCP server did to a pull request."""
    known = answer.call.delivery if answer.call is not None else None
    if not known or answer.outcome.status != Status.OK:
        return ()
    text = text_of(answer.block.content, OUTPUT_CHARACTERS)
    return delivery.tool_ended(deriver, _place(answer), known[0], text)


def linked(deriver: Standing, record: Record) -> tuple[Partial, ...] | None:
    """A `pr-link` record: the client knows a pull request of this session; it is written again at each turn."""
    pull = pull_of(record.prUrl or "")
    if pull is None:
        return None
    context = deriver.context(deriver.rank, deriver.chain_agent)
    turn = deriver.carry.turn if deriver.chain_agent is None else None
    return delivery.linked(deriver, Place(context, deriver.rank, turn, ""), pull)


def _place(answer: Answer) -> Place:
    return Place(answer.context, answer.rank, answer.turn, answer.native)


def _operation(record: Record | None) -> Operation | None:
    """The client's own record of what git or gh did (2.1.220 and later)."""
    if record is None or not record.toolUseResult or b'"gitOperation"' not in bytes(record.toolUseResult):
        return None
    result = decode(GitResult, record.toolUseResult)
    said = result.gitOperation if result is not None else None
    if said is None:
        return None
    commit, pull = said.commit, said.pr
    return Operation(
        (commit.sha or "") if commit is not None else "",
        commit.kind if commit is not None else None,
        said.push.branch if said.push is not None else None,
        (pull.url or "") if pull is not None else "",
        pull.action if pull is not None else None,
    )
