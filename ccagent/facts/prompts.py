"""What a user line without a tool result is: a person's prompt, a command, or something the client wrote itself."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final


class PromptKind(StrEnum):
    HUMAN = "human"
    COMMAND = "command"
    SHELL = "shell"  # `!` typed by the user; leads to no request
    NOTIFICATION = "notification"  # a background task reports its end
    INTERRUPT = "interrupt"
    META = "meta"
    SUMMARY = "summary"  # the text that a compaction leaves
    OUTPUT = "output"  # output of a local command or of the user's shell
    IDE = "ide"


PROMPT_FACTS: Final = frozenset((PromptKind.HUMAN, PromptKind.COMMAND, PromptKind.SHELL, PromptKind.NOTIFICATION))
"""The kinds that become a `prompt` fact; the others are known and ignored."""

_PREFIXES: Final[tuple[tuple[str, PromptKind], ...]] = (
    ("<command-name>", PromptKind.COMMAND),
    ("<command-message>", PromptKind.COMMAND),
    ("<command-args>", PromptKind.COMMAND),
    ("<local-command-", PromptKind.OUTPUT),
    ("<bash-input>", PromptKind.SHELL),
    ("<bash-stdout>", PromptKind.OUTPUT),
    ("<bash-stderr>", PromptKind.OUTPUT),
    ("<task-notification>", PromptKind.NOTIFICATION),
    ("<ide_", PromptKind.IDE),
    ("<user-memory-input>", PromptKind.OUTPUT),
    ("<system-reminder>", PromptKind.META),
    ("[Request interrupted", PromptKind.INTERRUPT),
)
_BEFORE: Final = re.compile(r"\s*<(ide_\w+|system-reminder)\b[^>]*>.*?</\1>", re.DOTALL)
"""What an editor or the client puts before the words that were typed, in the same record."""

_COMMAND: Final = re.compile(r"<command-name>\s*(/?[^<\s]{1,128})\s*</command-name>")


def classify(text: str, *, is_meta: bool, is_summary: bool, origin: str | None, source: str | None) -> PromptKind:
    """The kind of a user line, by the client's own flags first and the text's first characters last.

    `origin` is origin.kind and `source` promptSource, where the client writes them. Order of tests:
    docs/transcripts.md, "Prompts and turns".
    """
    if is_meta:
        return PromptKind.META
    if is_summary:
        return PromptKind.SUMMARY
    if origin == "task-notification":
        return PromptKind.NOTIFICATION
    head = text.lstrip()[:64]
    for prefix, kind in _PREFIXES:
        if head.startswith(prefix):
            return kind
    if source == "system":
        return PromptKind.META
    return PromptKind.HUMAN


def typed_words(texts: Iterable[str]) -> str:
    """What was typed of a user line's texts: the first in which something stands behind what was put before it.

    Editors add the open file and the selection to a prompt, in its own text or in one before it. Where nothing else
    stands anywhere it is the first text as it is, and then nobody typed it.
    """
    first: str | None = None
    for text in texts:
        rest = text
        while (before := _BEFORE.match(rest)) is not None:
            rest = rest[before.end() :]
        if rest is text or rest.strip():
            return rest if rest is text else rest.lstrip()
        first = text if first is None else first
    return first or ""


def command_name(text: str) -> str | None:
    """`/name` (or `/plugin:name`) of a slash command's line."""
    found = _COMMAND.search(text[:4_096])
    if not found:
        return None
    name = found.group(1)
    return name if name.startswith("/") else "/" + name
