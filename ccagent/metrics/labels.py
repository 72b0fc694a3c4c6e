"""Label values: made harmless, held to closed lists and budgets.

An open label (model, tool, project …) takes as many values a metric as its budget allows; what comes later is booked
under `_overflow_` and counted. Which values were admitted is kept in the store, so a restart shows the same series.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from ccagent.facts.naming import shown_model
from ccagent.metrics.catalogue import METRICS
from ccagent.metrics.compat import COMPAT

OVERFLOW: Final = "_overflow_"
"""Stands for every value beyond the budget."""

EMPTY: Final = "unknown"
"""Stands for a value that is empty: an empty label is the same as none to Prometheus."""

MAX_LENGTH: Final = 128
"""Characters of a label value. The longest plugin tool name seen has 74; receivers cut at 1,024 or more."""

BUDGETS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "model": 20,
        "tool": 50,
        "mcp_server": 30,
        "skill": 50,
        "agent_type": 30,
        "project": 50,
        "destination": 10,
        "rule": 50,
    }
)
"""Values that an open label may take, a metric. Together they keep the page below 5,000 series."""

_ESCAPE_SEQUENCE: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_UNPRINTABLE: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)

Place = tuple[str, str]
"""Metric and label."""


def sanitised(value: str) -> str:
    """`value` as it may stand in a label: no terminal sequences, controls or direction marks, at most MAX_LENGTH."""
    if len(value) <= MAX_LENGTH and value.isascii() and value.isprintable():
        return value or EMPTY
    # A value of megabytes is cut before it is searched; sequences that are removed leave room for some of the rest.
    clean = _UNPRINTABLE.sub("_", _ESCAPE_SEQUENCE.sub("", value[: 4 * MAX_LENGTH]))
    return clean[:MAX_LENGTH] or EMPTY


@lru_cache(maxsize=2_048)
def project_label(project: str | None) -> str:
    """The last folder of a project's path; never the path."""
    return (project or "").replace("\\", "/").rstrip("/").rpartition("/")[2] or EMPTY


class Budget:
    """Decides under which value something is booked, and remembers what has to be kept.

    `admitted`: what was admitted before, as loaded from the store. `limits`: budgets that the configuration changes,
    by label. `fresh` holds admissions and `overflowed` counts that the next transaction must write; `settle` empties
    both once it has.
    """

    def __init__(self, admitted: Mapping[Place, Iterable[str]] = MappingProxyType({}),
                 limits: Mapping[str, int] = MappingProxyType({})) -> None:  # fmt: skip
        self._limits = {**BUDGETS, **limits}
        self._admitted: dict[Place, set[str]] = {place: set(values) for place, values in admitted.items()}
        self._known: dict[tuple[str, str, str], str] = {}
        self.fresh: list[tuple[str, str, str]] = []
        self.overflowed: dict[Place, int] = {}

    def admit(self, metric: str, label: str, value: str) -> str:
        """The value to book `value` under: itself, `_overflow_`, or the last of a closed list that lacks it.

        KeyError when the catalogue has no such metric, ValueError when the metric has no such label.
        """
        known = self._known.get((metric, label, value))
        if known is not None:
            return known
        spec = METRICS.get(metric) or COMPAT[metric]
        if label not in spec.labels:
            raise ValueError(f"{metric} has no label {label!r}; it has {spec.labels}")
        closed = spec.closed.get(label)
        if closed is not None:
            if value not in closed:
                return closed[-1]
            self._known[metric, label, value] = value
            return value
        clean = sanitised(shown_model(value) if label == "model" else value)
        place = (metric, label)
        taken = self._admitted.setdefault(place, set())
        if clean not in taken:
            if clean == OVERFLOW or len(taken) >= self._limits[label]:
                self.overflowed[place] = self.overflowed.get(place, 0) + 1
                return OVERFLOW
            taken.add(clean)
            self.fresh.append((metric, label, clean))
        # Only admitted values are remembered: what lies beyond the budget has no bound.
        self._known[metric, label, value] = clean
        return clean

    def settle(self) -> None:
        """Forget what had to be written, after the transaction that wrote it."""
        self.fresh.clear()
        self.overflowed.clear()

    def withdraw(self) -> None:
        """Take back the admissions that were not written, after a transaction that failed."""
        for metric, label, value in self.fresh:
            self._admitted[metric, label].discard(value)
        self._known.clear()
        self.settle()

    def renew(self, admitted: Mapping[Place, Iterable[str]]) -> None:
        """Start from what the store holds by now."""
        self._admitted = {place: set(values) for place, values in admitted.items()}
        self._known.clear()
        self.settle()

    def use(self) -> dict[Place, tuple[int, int]]:
        """Admitted values and budget of each place that has any: `tool 23 of 50`."""
        return {place: (len(values), self._limits[place[1]]) for place, values in self._admitted.items() if values}
