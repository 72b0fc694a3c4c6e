"""Shell calls: dangerous patterns, quality runs and files that were deleted, from command line and output.

What becomes of them: ccagent/sources/shells.py.
"""

from __future__ import annotations

import re
from typing import Final

import orjson
from msgspec import Raw

from ccagent.facts.model import Status
from ccagent.facts.partial import Partial
from ccagent.sources.claude.lines import decode, text_of
from ccagent.sources.claude.occasions import Answer, Call
from ccagent.sources.claude.records import CommandInput
from ccagent.sources.claude.standing import Standing
from ccagent.sources.places import Place
from ccagent.sources.shells import (
    OUTPUT_END,
    OUTPUT_START,
    Ending,
    derive_deletions,
    derive_runs,
    ends_of,
    looked,
    unread,
    warn,
)

OUTPUT_BYTES: Final = 1024 * 1024
"""A longer output is not decoded whole; clients keep far less."""

_LINE_END: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\n")
_SENT_AWAY: Final = b"Command running in background"


def called(deriver: Standing, call: Call) -> None:
    """Mark a dangerous call, and keep for its result what the line runs and deletes."""
    given = decode(CommandInput, call.block.input)
    if given is None or not given.command:
        return
    patterns, found, gone = looked(given.command)
    warn(call.fact, patterns)
    if found:
        call.call.runs = list(found)
    if gone:
        call.call.deletions = list(gone)


def answered(deriver: Standing, answer: Answer) -> tuple[Partial, ...]:
    """The quality runs and deletions of a call, now that its end is known."""
    call = answer.call
    if call is None or (not call.runs and not call.deletions):
        return ()
    outcome, found, gone = answer.outcome, tuple(call.runs or ()), call.deletions or ()
    away = call.background or _SENT_AWAY in bytes(answer.block.content)[:64]
    text, whole = ("", True) if unread(outcome.exit_code, found, gone) else _ends(answer.block.content)
    status = Status(outcome.status)
    ending = Ending(status, outcome.failure, outcome.exit_code, text, whole, away, call.at, call.name)
    place = Place(answer.context, answer.rank, answer.turn, answer.native)
    born = derive_runs(deriver, place, found, ending) if found else ()
    return born + derive_deletions(deriver, place, gone, ending, answer.context.cwd)


def _ends(content: Raw) -> tuple[str, bool]:
    """Start and end of an output, and whether that is all of it."""
    data = bytes(content)
    if len(data) > OUTPUT_BYTES and data[:1] == b'"':
        # whole lines at both ends, so that no escape is cut
        head, tail = data[: OUTPUT_START * 2], data[-OUTPUT_END:]
        cuts = [found.start() for found in _LINE_END.finditer(head)]
        first = _LINE_END.search(tail)
        start = head[: cuts[-1]] + b'"' if cuts else b'""'
        end = b'"' + tail[first.end() :] if first is not None else b'""'
        return "\n".join((text_of(Raw(start), OUTPUT_START), text_of(Raw(end), OUTPUT_END))), False
    try:
        text = orjson.loads(data)
    except orjson.JSONDecodeError:
        text = None
    return ends_of(text if isinstance(text, str) else text_of(content, OUTPUT_BYTES))
