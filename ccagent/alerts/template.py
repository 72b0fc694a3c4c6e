"""The first line of a message as its owner words it: `{subject} cost {value}, more than {threshold}`.

A placeholder is one of the names below between braces and nothing else: no attribute, no index, no format, so a template
can show what a message holds and reach nothing behind it. `{{` and `}}` are braces.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

PLACEHOLDERS: Final = (
    "subject", "value", "threshold", "operator", "rule", "name", "severity", "state", "reason", "scope", "metric",
    "window", "time",
)  # fmt: skip
"""What may stand between braces."""

TEMPLATE_LENGTH: Final = 500
"""Characters of a template: it is a line, not a letter."""

_PIECE: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class TemplateError(ValueError):
    """Raised for a template with a placeholder that does not exist, a brace that stands alone, or too many characters."""


def check(template: str) -> None:
    """Raises TemplateError, which lists the right placeholders, for a template that cannot be filled."""
    if len(template) > TEMPLATE_LENGTH:
        raise TemplateError(f"a template has at most {TEMPLATE_LENGTH} characters, not {len(template)}")
    for match in _PIECE.finditer(template):
        if match[0] in ("{{", "}}"):
            continue
        if match[1] is None:
            raise TemplateError(f"{match[0]!r} stands alone; write {match[0] * 2!r} for a brace")
        if match[1] not in PLACEHOLDERS:
            raise TemplateError(f"there is no placeholder {match[0]!r}; there are {', '.join(PLACEHOLDERS)}")


def fill(template: str, words: Mapping[str, str]) -> str:
    """The template with each placeholder's word in its place. What was checked cannot fail; what was not stays as it is."""

    def word(match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0][0]
        return match[0] if match[1] is None else words.get(match[1], match[0])

    return _PIECE.sub(word, template)
