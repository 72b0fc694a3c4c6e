"""Evidence of what a session works on: its branch and folder, documents that tools are given, arguments of commands.

What becomes of it: ccagent/sources/evidence.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from ccagent.facts import evidence
from ccagent.facts.evidence import WEIGHTS, Mention
from ccagent.facts.model import Context
from ccagent.sources.claude.lines import decode
from ccagent.sources.evidence import of_folder, write
from ccagent.sources.places import Place

if TYPE_CHECKING:  # standing tells these rules where it has moved to
    from ccagent.sources.claude.occasions import Call
    from ccagent.sources.claude.standing import Standing

_WORTH: Final = re.compile(rb"\.m[da]|/pull/|gh pr |[A-Z]-\d|merge_requests")
"""What the input of a shell call must hold to be worth decoding."""

_ARGUMENTS: Final = "<command-args>", "</command-args>"


class ShellInput(Struct):
    command: str | None = None


class PlaceInput(Struct, rename={"plan_file": "planFilePath"}):
    """Where a tool reads, searches or writes."""

    file_path: str | None = None
    notebook_path: str | None = None
    path: str | None = None
    pattern: str | None = None
    glob: str | None = None
    plan_file: str | None = None


class SkillInput(Struct):
    args: str | None = None


class PromptInput(Struct):
    prompt: str | None = None


def moved(deriver: Standing, branch: bool, folder: bool) -> None:
    """The file's session or branch has changed, or its project has just been found."""
    carry = deriver.carry
    rank, agent = deriver.rank, deriver.chain_agent
    if branch and carry.branch:
        _write(deriver, evidence.of_branch(carry.branch), deriver.context(rank, agent), rank, None)
    if folder:
        _write(deriver, of_folder(carry.cwd, carry.project), deriver.context(rank, agent), rank, None)


def commanded(deriver: Standing, text: str) -> None:
    """A slash command that a person gave, as its line has it."""
    begin, end = _ARGUMENTS
    arguments, closed, _ = text.partition(begin)[2].partition(end)
    if closed and arguments.strip():
        rank, agent = deriver.rank, deriver.chain_agent
        turn = deriver.carry.turn if agent is None else None
        mentions = evidence.of_arguments(arguments, deriver.conventions)
        _write(deriver, mentions, deriver.context(rank, agent), rank, turn)


def shell(deriver: Standing, call: Call) -> None:
    """A shell command."""
    raw = call.block.input
    if not raw or (deriver.conventions is evidence.DEFAULT and not _WORTH.search(bytes(raw))):
        return
    given = decode(ShellInput, raw)
    if given is not None and given.command:
        _write(deriver, evidence.of_shell(given.command, deriver.conventions), call.context, call.rank, call.turn)


def created(deriver: Standing, call: Call) -> None:
    """A file that is written whole."""
    _touched(deriver, call, "create")


def edited(deriver: Standing, call: Call) -> None:
    """A file that is edited."""
    _touched(deriver, call, "write")


def read(deriver: Standing, call: Call) -> None:
    """A file that is read."""
    _touched(deriver, call, "read")


def searched(deriver: Standing, call: Call) -> None:
    """Files that are searched, or searched for."""
    _touched(deriver, call, "search")


def planned(deriver: Standing, call: Call) -> None:
    """A plan that is put before the user, by its file."""
    _touched(deriver, call, "other")


def launched(deriver: Standing, call: Call) -> None:
    """A sub-agent whose prompt names documents."""
    raw = call.block.input
    if raw and b".m" in bytes(raw):
        given = decode(PromptInput, raw)
        if given is not None and given.prompt:
            mentions = [each for each in evidence.of_arguments(given.prompt) if each.path is not None]
            other = [
                each._replace(strategy="other", weight=WEIGHTS["other"])
                for each in mentions
                if each.strategy == "command"
            ]
            _write(deriver, other, call.context, call.rank, call.turn)


def activated(deriver: Standing, call: Call) -> None:
    """A skill or command that the model calls with arguments."""
    raw = call.block.input
    if raw and b'"args"' in bytes(raw):
        given = decode(SkillInput, raw)
        if given is not None and given.args:
            mentions = evidence.of_arguments(given.args, deriver.conventions)
            _write(deriver, mentions, call.context, call.rank, call.turn)


def _touched(deriver: Standing, call: Call, strategy: str) -> None:
    raw = call.block.input
    if not raw or b".m" not in bytes(raw):
        return
    path = call.call.path
    if path is not None:
        _write(deriver, evidence.of_path(path, strategy), call.context, call.rank, call.turn)
        return
    given = decode(PlaceInput, raw)
    if given is None:
        return
    for place in (given.file_path, given.path, given.notebook_path, given.pattern, given.glob, given.plan_file):
        if place:
            _write(deriver, evidence.of_path(place, strategy), call.context, call.rank, call.turn)


def _write(deriver: Standing, mentions: Iterable[Mention], context: Context, rank: int, turn: str | None) -> None:
    write(deriver, deriver.carry.session, mentions, Place(context, rank, turn, ""))
