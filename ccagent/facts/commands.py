"""What a slash command led to: a request to a model, or something that the client did by itself."""

from __future__ import annotations

from typing import Final, NamedTuple

from ccagent.facts.model import Status

ASKING: Final = frozenset(("/compact",))
"""Commands whose output follows at once although they lead to a request."""

_PRINTED: Final = "<local-command-stdout>"
_FAILED: Final = "<local-command-stderr>"


class CommandEnd(NamedTuple):
    """How a command ended. `local`: it led to no request."""

    status: Status
    local: bool


def command_end(name: str, text: str) -> CommandEnd | None:
    """What the line behind a command says of it; None where it is no output of a local command.

    Rule: a command whose output follows (`<local-command-stdout>`, `-stderr`) before any reply is local, and an error
    if it is stderr; but `/compact` is not local. Reason: the client prints an output only for what it did itself; the
    summary of a compaction is a request, which it writes into another file or nowhere. A list of names would be wrong
    with the next client and with every command of a user. A command that is followed by neither stays open.
    """
    start = text.lstrip()[:32]
    if start.startswith(_PRINTED):
        return CommandEnd(Status.OK, name not in ASKING)
    if start.startswith(_FAILED):
        return CommandEnd(Status.ERROR, name not in ASKING)
    return None
