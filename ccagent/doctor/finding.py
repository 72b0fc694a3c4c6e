"""One line of the doctor's report: what was looked at, how it is, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class State(StrEnum):
    """From well to broken; `_ORDER` compares them."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


_ORDER: Final = tuple(State)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`said` is one sentence of our own words and numbers; `todo` the next step, "" where nothing is to be done."""

    check: str
    state: State
    said: str
    todo: str = ""

    def document(self) -> dict[str, Any]:
        """As docs/json.md has it."""
        return {"check": self.check, "state": self.state.value, "said": self.said, "todo": self.todo or None}


def ok(check: str, said: str) -> Finding:
    """All is well."""
    return Finding(check=check, state=State.OK, said=said)


def warn(check: str, said: str, todo: str) -> Finding:
    """It works, or could, but somebody ought to do something."""
    return Finding(check=check, state=State.WARN, said=said, todo=todo)


def fail(check: str, said: str, todo: str) -> Finding:
    """Something that was asked for does not work."""
    return Finding(check=check, state=State.FAIL, said=said, todo=todo)


def worst(findings: Iterable[Finding]) -> State:
    """The worst state among them; ok where there are none."""
    return max((finding.state for finding in findings), key=_ORDER.index, default=State.OK)


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 file", "3 files"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


_SIZES: Final = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def amount(size: int) -> str:
    """Bytes for eyes: "778 B", "50.5 kB", "85.3 MB"."""
    for unit, name in _SIZES:
        if size >= unit:
            return f"{size / unit:,.1f} {name}"
    return f"{size} B"


_TIMES: Final = ((86_400, "day"), (3_600, "hour"), (60, "minute"))


def duration(seconds: float) -> str:
    """A time for eyes, in its greatest unit: "3 minutes", "1 hour"."""
    for unit, name in _TIMES:
        if seconds >= unit:
            return counted(int(seconds // unit), name)
    return counted(max(0, int(seconds)), "second")
