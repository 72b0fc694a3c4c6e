"""A program of the owner's own for each transition: what it is told stands in arguments, variables and on standard input."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from ccagent.alerts.message import Message, words
from ccagent.alerts.rendering import document, one_line, plain
from ccagent.alerts.template import PLACEHOLDERS
from ccagent.errors import ConfigError
from ccagent.notify.channel import Verdict
from ccagent.notify.program import Program

VARIABLE: Final = "CCAGENT_ALERT_"
"""Before the name of each variable."""

ARGUMENTS: Final = (*PLACEHOLDERS, "key", "summary", "line", "text", "unit")
"""What an argument between braces may name."""

_WHOLE: Final = re.compile(r"\{([a-z_]+)\}")
_PART: Final = re.compile(r"\{[a-z_]+\}")


class CommandChannel:
    """Runs `command` once a transition. An argument that is a placeholder and nothing else becomes one argument; nothing is
    put together with others, split or interpreted.

    Raises ConfigError for a placeholder that does not exist or is only a part of an argument.
    """

    most = 1

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], *, timeout_seconds: float
    ) -> None:
        check(name, command)
        self._command = tuple(command)
        self._program = Program(environment, timeout_seconds)

    def deliver(self, messages: Sequence[Message]) -> Verdict:
        """Run it for the one message."""
        message = messages[0]
        told = facts(message)
        command = [told[found[1]] if (found := _WHOLE.fullmatch(word)) else word for word in self._command]
        stdin = json.dumps(document(messages)["alerts"][0], ensure_ascii=False).encode("utf-8", "replace")
        return self._program.run(
            command,
            stdin=stdin + b"\n",
            variables={VARIABLE + key.upper(): text for key, text in variables(message).items()},
        )

    def close(self) -> None:
        """End the program that runs."""
        self._program.close()


def check(name: str, command: Sequence[str]) -> None:
    """Raises ConfigError where the command cannot be run as it is meant."""
    if not command or not command[0] or _PART.search(command[0]):
        raise ConfigError(
            f'alerts.channels.{name}.command begins with a program, such as ["/usr/bin/logger", "{{line}}"]'
        )
    for word in command[1:]:
        whole = _WHOLE.fullmatch(word)
        if whole is None and _PART.search(word):
            raise ConfigError(
                f"alerts.channels.{name}.command: a placeholder is an argument of its own, not a part of {word!r}; "
                f"or use the variables {VARIABLE}…"
            )
        if whole is not None and whole[1] not in ARGUMENTS:
            raise ConfigError(
                f"alerts.channels.{name}.command: there is no placeholder {word!r}; there are {', '.join(ARGUMENTS)}"
            )


def facts(message: Message) -> dict[str, str]:
    """What each placeholder of an argument stands for, as people read it."""
    return words(message) | {
        "key": message.key, "summary": message.summary, "line": one_line(message), "text": plain([message]),
        "unit": message.unit,
    }  # fmt: skip


def variables(message: Message) -> dict[str, str]:
    """The same for variables; amounts are plain numbers there, in the unit that stands beside them."""
    bare = {"value": message.value, "threshold": message.threshold}
    numbers = {name: "" if amount is None else repr(amount) for name, amount in bare.items()}
    return (
        facts(message)
        | numbers
        | {"reason": message.reason.value, "episode": str(message.episode), "subject": message.subject}
    )
