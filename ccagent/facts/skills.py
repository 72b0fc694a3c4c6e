"""What is a skill among commands and calls, by the marks that clients leave."""

from __future__ import annotations

from typing import Final

_BASE: Final = "Base directory for this skill"
_FORMAT: Final = "<skill-format>true"
_HEAD: Final = 4_096
_NAME: Final = 256


def brings_skill(text: str, *, called_by: str | None) -> bool:
    """Whether a line that no user wrote brings the text of a skill that was typed.

    Rule: it begins with "Base directory for this skill", and names no call (`sourceToolUseID`). Reason: a call of the
    tool Skill brings the same text, and it is counted by the call. Commands of a plugin that merely tell the model to
    use a skill begin otherwise; there the call follows.
    """
    return called_by is None and text.startswith(_BASE)


def marked_as_skill(text: str) -> bool:
    """Whether a command's own line says that it is a skill, as newer clients write it."""
    return _FORMAT in text[:_HEAD]


def same_skill(one: str, two: str) -> bool:
    """Whether two names mean one skill.

    Rule: the part behind the plugin is equal. Reason: within one turn `/sew` and `pack:sew` are the same skill, once
    typed and once called; asked of two different turns the answer would be a guess, so it is not asked there.
    """
    return one.rpartition(":")[2] == two.rpartition(":")[2]


def skill_name(text: str) -> str:
    """The name without the slash of a typed one, bounded."""
    return text.strip().removeprefix("/")[:_NAME]
