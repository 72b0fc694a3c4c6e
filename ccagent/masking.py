"""Secrets in texts that are not ours: receivers repeat what they refuse."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

MASK: Final = "****"

SECRET_LENGTH: Final = 6
"""Shorter parts of a URL or header are words; taking them out of a reason would make it unreadable."""


def long_enough(parts: Iterable[str]) -> list[str]:
    """Those that are long enough to be secrets, the longest first."""
    return sorted((part for part in parts if len(part) >= SECRET_LENGTH), key=len, reverse=True)


def hidden(text: str, secrets: Iterable[str]) -> str:
    """The text with a mask for each of the secrets (as `long_enough` gives them), and for the beginning of one at its end:
    words are cut to a length."""
    for secret in secrets:
        text = _without(text, secret)
    return text


def _without(text: str, secret: str) -> str:
    text = text.replace(secret, MASK)
    for length in range(len(secret) - 1, SECRET_LENGTH - 1, -1):
        if text.endswith(secret[:length]):
            return text[:-length] + MASK
    return text
