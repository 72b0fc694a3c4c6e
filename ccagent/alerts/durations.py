"""Lengths of time as rules write them: "90s", "10m", "1h30m", "2d"."""

from __future__ import annotations

import re
from typing import Final

from ccagent.alerts.faults import AlertRuleError

_MS: Final = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000}
_SHOWN: Final = ("d", "h", "m", "s")
"""Weeks are read and shown as days: people say 7d and 30d."""
_PART: Final = re.compile(r"([0-9]{1,9})([wdhms])")
_WHOLE: Final = re.compile(r"(?:[0-9]{1,9}[wdhms])+")

LONGEST_MS: Final = 366 * _MS["d"]
"""More than a year is a mistake."""
EXAMPLES: Final = ('"90s"', '"10m"', '"1h30m"', '"2d"')


def parse(text: object, where: str = "") -> int:
    """Milliseconds of a length such as "1h30m"; units w, d, h, m, s, each at most once and the larger first.

    Raises AlertRuleError for anything else (a number without a unit among them), and beyond LONGEST_MS.
    """
    if not isinstance(text, str) or not _WHOLE.fullmatch(text):
        raise AlertRuleError(where, f"is a length of time with a unit, not {text!r}", EXAMPLES)
    parts = _PART.findall(text)
    sizes = [_MS[unit] for _, unit in parts]
    if sizes != sorted(set(sizes), reverse=True):
        raise AlertRuleError(where, f"has each unit once and the larger first, not {text!r}", EXAMPLES)
    total = sum(int(number) * _MS[unit] for number, unit in parts)
    if total > LONGEST_MS:
        raise AlertRuleError(where, f"is at most {shown(LONGEST_MS)}, not {text!r}")
    return total


def shown(length_ms: int) -> str:
    """The text of a length in whole seconds (less is cut): "1h30m", "2d", "0s"."""
    parts = []
    for unit in _SHOWN:
        number, length_ms = divmod(length_ms, _MS[unit])
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"
