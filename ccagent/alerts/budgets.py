"""Rules about what the owner wants to spend: made of the configuration, and not active without it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

from ccagent.alerts.rule import RULE_ID_LENGTH
from ccagent.metrics import names

Document = Mapping[str, Any]
"""A rule as TOML and JSON have it; `parsing.parse` makes a rule of it."""

DAILY_USD: Final = 25.0
WEEKLY_USD: Final = 100.0
MONTHLY_USD: Final = 250.0
PROJECT_USD: Final = 20.0
"""Thresholds of budgets that nobody has set; such a rule is not active. A day in ten of those read here cost more."""

BUDGET_DAY: Final = "budget-daily"
BUDGET_WEEK: Final = "budget-weekly"
BUDGET_MONTH: Final = "budget-monthly"
BUDGET_PROJECT: Final = "budget-project"
"""Also the beginning of the ids of the projects' own."""
BURN_RATE: Final = "burn-rate"

_SLUG_LENGTH: Final = RULE_ID_LENGTH - len(BUDGET_PROJECT) - 1
_DIGEST: Final = 6
"""Characters that tell two projects apart whose names make the same id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """What may be spent before somebody is told, in USD; None where nothing was set. `projects`: a day, by project."""

    daily: float | None = None
    weekly: float | None = None
    monthly: float | None = None
    projects: Mapping[str, float] = field(default_factory=dict)


def set_budgets(
    daily: float | None, weekly: float | None, monthly: float | None, projects: Mapping[str, float]
) -> Budgets:
    """The budgets of a configuration; one of nothing is none."""
    return Budgets(
        daily=daily or None,
        weekly=weekly or None,
        monthly=monthly or None,
        projects={project: amount for project, amount in projects.items() if amount},
    )


def budget_rules(given: Budgets) -> Iterator[Document]:
    """The rules of budgets; those that were set are active, with their amount as threshold."""
    for id, name, window, amount, default, seen in (
        (
            BUDGET_DAY, "Daily budget", "daily", given.daily, DAILY_USD,
            "Half of the days read here cost less than 9 USD, one in ten more than 25 USD.",
        ),
        (
            BUDGET_WEEK, "Weekly budget", "weekly", given.weekly, WEEKLY_USD,
            "The busiest week read here cost 111 USD.",
        ),
        (
            BUDGET_MONTH, "Monthly budget", "monthly", given.monthly, MONTHLY_USD,
            "The months read here cost up to 187 USD.",
        ),
    ):  # fmt: skip
        yield {
            "id": id,
            "name": name,
            "metric": "session_cost",
            "window": window,
            "operator": ">",
            "threshold": default if amount is None else amount,
            "severity": "warning",
            "enabled": amount is not None,
            "reason": f"The owner's own limit, in API-equivalent USD; without one in the configuration it is off. {seen}",
        }
    yield {
        "id": BUDGET_PROJECT,
        "name": "Daily budget of a project",
        "metric": "session_cost",
        "window": "daily",
        "operator": ">",
        "threshold": PROJECT_USD,
        "scope": "project",
        "severity": "warning",
        "enabled": False,
        "reason": "One project that eats the day. One in twenty of the days of a project read here cost more than 23 USD."
        " Projects with a budget of their own in the configuration have a rule of their own.",
    }
    taken: set[str] = set()
    for project, amount in sorted(given.projects.items(), key=_by_name):
        id = project_rule(project, taken)
        taken.add(id)
        yield {
            "id": id,
            "name": f"Daily budget of {_called(project)}",
            "metric": "session_cost",
            "window": "daily",
            "operator": ">",
            "threshold": amount,
            "scope": "project",
            "only": [project],
            "severity": "warning",
            "enabled": True,
            "reason": "The owner's own limit for this project, in API-equivalent USD.",
        }


def project_rule(project: str, taken: set[str] | frozenset[str] = frozenset()) -> str:
    """The id of a project's own budget rule: made of its name, and never of its path; with a digest where that is not enough."""
    slug = re.sub(r"[^a-z0-9]+", "-", _called(project).lower()).strip("-")
    if slug and len(slug) <= _SLUG_LENGTH and f"{BUDGET_PROJECT}-{slug}" not in taken:
        return f"{BUDGET_PROJECT}-{slug}"
    digest = blake2b(project.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
    kept = slug[-(_SLUG_LENGTH - _DIGEST - 1) :].strip("-")
    return "-".join(part for part in (BUDGET_PROJECT, kept, digest) if part)


def _by_name(project: tuple[str, float]) -> tuple[bool, str]:
    """Names before paths: a name keeps its id when a path with the same last folder comes."""
    return "/" in project[0], project[0]


def _called(project: str) -> str:
    """The last folder: name and id of a rule leave the machine with its messages."""
    return project.rstrip("/").rpartition("/")[2] or project


def burn_rate(given: Budgets) -> Document:
    """What the month is heading for, held against its budget."""
    return {
        "id": BURN_RATE,
        "name": "Month heads over its budget",
        "metric": names.COST_FORECAST,
        "where": {"type": ["month"]},
        "aggregation": "last",
        "operator": ">",
        "threshold": MONTHLY_USD if given.monthly is None else given.monthly,
        "for": "1h",
        "cooldown": "24h",
        "severity": "warning",
        "enabled": False,
        "reason": "The forecast of the month is above the monthly budget while there is still time to do something. An hour"
        " of waiting, since the first request of a day moves the line.",
    }
