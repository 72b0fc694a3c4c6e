"""What is wrong with a rule that cannot be taken."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

_NEAREST: Final = 3
"""Of a long list only the nearest are told."""
_LIKE: Final = 0.5
"""How alike names are (0 to 1) that may have been meant."""


class AlertRuleError(ValueError):
    """Raised for a rule, metric or expression that cannot be taken. Edges make their own error of it.

    `where`: the key within the document (`and.metric`), or what was read. `right`: the values that would be taken, or those of
    a long list that are nearest; empty where they cannot be listed.
    """

    def __init__(self, where: str, what: str, right: Iterable[str] = ()) -> None:
        self.where = where
        self.what = what
        self.right = tuple(right)
        listed = f"; right are: {', '.join(self.right)}" if self.right else ""
        super().__init__(f"{where}: {what}{listed}" if where else f"{what}{listed}")

    def within(self, where: str) -> AlertRuleError:
        """The same fault, seen from the document that holds this one under the key `where`."""
        return AlertRuleError(f"{where}.{self.where}" if self.where else where, self.what, self.right)


def nearest(name: str, names: Iterable[str], *, limit: int = _NEAREST) -> tuple[str, ...]:
    """Of `names` those most like `name`, the likest first; none where nothing is alike."""
    return tuple(get_close_matches(name, tuple(names), n=limit, cutoff=_LIKE))
