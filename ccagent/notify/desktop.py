"""A note on the desktop: `notify-send` where there is a Linux desktop, `osascript` on macOS."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from ccagent.alerts.message import Message
from ccagent.alerts.rendering import one_line, title
from ccagent.alerts.rule import Severity
from ccagent.alerts.states import State
from ccagent.notify.channel import Verdict, retry
from ccagent.notify.program import Program

MESSAGES: Final = 5
"""Lines of one note; a desktop shows no more."""

_URGENCY: Final = {Severity.CRITICAL: "critical", Severity.WARNING: "normal", Severity.INFO: "low"}

_SCRIPT: Final = (
    "on run argv",
    "display notification (item 2 of argv) with title (item 1 of argv)",
    "end run",
)
"""The text of a note comes as an argument of the script, and is never a part of it."""


class DesktopChannel:
    """Shows a note. Where its program is not installed it says so, and tries again later."""

    most = 20

    def __init__(self, environment: Mapping[str, str], *, timeout_seconds: float, platform: str = sys.platform) -> None:
        self._mac = platform == "darwin"
        self._path = environment.get("PATH")
        self._program = Program(environment, timeout_seconds)

    def deliver(self, messages: Sequence[Message]) -> Verdict:
        """One note for all of them."""
        name = "osascript" if self._mac else "notify-send"
        found = shutil.which(name, path=self._path)
        if found is None:
            hint = (
                "it belongs to macOS" if self._mac else "install libnotify, or take the desktop out of alerts' channels"
            )
            return retry(f"there is no program {name} on this machine's PATH; {hint}")
        head, body = note(messages)
        return self._program.run([found, *(_mac(head, body) if self._mac else _linux(head, body, messages))])

    def close(self) -> None:
        """End the program that runs."""
        self._program.close()


def note(messages: Sequence[Message]) -> tuple[str, str]:
    """Title and text of a note. Neither begins with a dash, which a program could take for an option."""
    if len(messages) == 1:
        message = messages[0]
        word = "resolved" if message.state is State.RESOLVED else message.severity.value
        return f"ccagent: {word}", _undashed(message.summary)
    lines = [one_line(message) for message in messages[:MESSAGES]]
    if len(messages) > MESSAGES:
        lines.append(f"and {len(messages) - MESSAGES} more")
    return title(messages), "\n".join(lines)


def _linux(head: str, body: str, messages: Sequence[Message]) -> list[str]:
    worst = max(
        (message.severity for message in messages if message.state is State.FIRING),
        key=list(Severity).index,
        default=Severity.INFO,
    )
    # Desktops read the text as markup.
    plain = body.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return ["--app-name=ccagent", f"--urgency={_URGENCY[worst]}", "--", head, plain]


def _mac(head: str, body: str) -> list[str]:
    return [word for line in _SCRIPT for word in ("-e", line)] + [head, body]


def _undashed(text: str) -> str:
    return f" {text}" if text.startswith("-") else text
