"""The gauges of facts: what stands now, measured at intervals and never at a scrape."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ccagent.facts.targets import TARGET_NAMES
from ccagent.metrics import names
from ccagent.metrics.spec import PROJECT, Exported, Kind, MetricSpec

ACTIVE_TYPES: Final = ("live", "day")
FORECAST_TYPES: Final = ("month",)
HOURS: Final = tuple(f"{hour:02d}" for hour in range(24))
"""Hours of the day in the zone of the rollups."""
LINK_TYPES: Final = tuple(TARGET_NAMES.values())
"""What links lead to."""

_TYPE: Final = ("type",)
_TOGETHER: Final = (PROJECT,)


def _standing(
    name: str,
    unit: str,
    source: str,
    text: str,
    labels: tuple[str, ...] = (),
    closed: Mapping[str, tuple[str, ...]] | None = None,
    exported: Exported = "",
) -> MetricSpec:
    """A gauge of facts. Values of its closed labels show 0 beside those that were measured."""
    lists = MappingProxyType(dict(closed or {}))
    return MetricSpec(
        name=name, kind=Kind.GAUGE, unit=unit, help=text, source=source, labels=labels, closed=lists,
        fill=tuple(lists), from_facts=True, exported=exported,
    )  # fmt: skip


STANDING: Final = (
    _standing(names.SESSIONS_ACTIVE, "{session}", "latest record of each session",
              "Sessions with a record in the last 30 minutes (live) or 24 hours (day).",
              ("type", PROJECT), {"type": ACTIVE_TYPES}, "permitted"),
    _standing(names.TASKS_KNOWN, "{task}", "task.transition", "Tasks of which a session has told, in any state.",
              _TOGETHER, exported="permitted"),
    _standing(names.FEATURE_PROGRESS, "1", "task.transition and links",
              "Finished share of the tasks of each feature, as the mean over the features that have any; a session's"
              " tasks are those of the feature that it is linked to most strongly.", _TOGETHER),
    _standing(names.THREADS_UNRESOLVED, "{thread}", "subagent.run, tool.call",
              "Sub-agents and background shells that were launched and of which no record tells the end.",
              exported="permitted"),
    _standing(names.THREADS_ORPHANED, "{thread}", "subagent.run and links",
              "Sub-agents whose launching call is not known.", exported="permitted"),
    _standing(names.LINKS_LOW_CONFIDENCE, "{link}", "links", "Links of sessions whose confidence is below 0.6.",
              _TYPE, {"type": LINK_TYPES}),
    _standing(names.COST_FORECAST, "{USD}", "daily rollup",
              "API-equivalent cost in USD that the present month is heading for: what it has cost, and the days left as a"
              " line through the last seven whole days tells; absent below three.",
              _TYPE, {"type": FORECAST_TYPES}),
    _standing(names.COST_BY_HOUR, "{USD}", "hourly rollup",
              "API-equivalent cost in USD of the last 28 days by hour of the day.", ("hour",), {"hour": HOURS}),
    _standing(names.COST_ANOMALY, "1", "daily rollup",
              "Cost of today as a share of the most that is usual, by the last 28 days with work: above 1 is unusual;"
              " absent below seven such days.", _TOGETHER),
    _standing(names.ALERTS_FIRING, "", "alert state", "1 for an alert that fires; absent where there are no alerts.",
              ("rule",)),
)  # fmt: skip
