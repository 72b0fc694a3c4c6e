"""The configuration keys of alerts; rules and channels stand in tables of their own below them."""

from __future__ import annotations

from typing import Final

from ccagent.config_kinds import Key, Kind

DEFAULT_INTERVAL_SECONDS: Final = 15.0
"""Soon enough for whoever watches what a session costs; work is bounded by what changed."""

DEFAULT_GROUP_SECONDS: Final = 10.0
"""What begins to fire together goes in one message; nobody notices so short a wait."""

RULES: Final = "alerts.rules"
"""Rules: an array of tables, or a table of tables by id."""

CHANNELS: Final = "alerts.channels"
"""Below it each table is a channel."""

ALERT_KEYS: Final[tuple[Key, ...]] = (
    Key(
        name="alerts.enabled",
        kind=Kind.FLAG,
        purpose="Whether rules are evaluated.",
        default=True,
    ),
    Key(
        name="alerts.interval_seconds",
        kind=Kind.NUMBER,
        purpose="Seconds between two evaluations while something changes; a minute where nothing does.",
        default=DEFAULT_INTERVAL_SECONDS,
        minimum=1,
    ),
    Key(
        name="alerts.default_channels",
        kind=Kind.CHOICES,
        purpose="Where rules are told that name no channels of their own: log, desktop, otlp, or a table below "
        "[alerts.channels].",
        default=("log",),
    ),
    Key(
        name="alerts.quiet_hours",
        kind=Kind.TEXT,
        purpose="Hours in which only critical alerts are told; the others wait for their end.",
        unset="none",
        example='"22:00-07:00"',
    ),
    Key(
        name="alerts.group_seconds",
        kind=Kind.NUMBER,
        purpose="What changes within so many seconds goes to a channel as one message.",
        default=DEFAULT_GROUP_SECONDS,
        minimum=0,
    ),
    Key(
        name="alerts.daily_budget_usd",
        kind=Kind.NUMBER,
        purpose="What a day may cost, in API-equivalent USD, before an alert fires.",
        unset="no budget",
        example="25.0",
        minimum=0,
    ),
    Key(
        name="alerts.weekly_budget_usd",
        kind=Kind.NUMBER,
        purpose="What a week may cost.",
        unset="no budget",
        example="100.0",
        minimum=0,
    ),
    Key(
        name="alerts.monthly_budget_usd",
        kind=Kind.NUMBER,
        purpose="What a month may cost.",
        unset="no budget",
        example="250.0",
        minimum=0,
    ),
    Key(
        name="alerts.project_budgets",
        kind=Kind.AMOUNTS,
        purpose="What a day may cost by project, named by its path or its last folder.",
        default={},
        unset="no budgets",
        example="{ shop = 5.0 }",
        minimum=0,
    ),
)
"""In the order of the default file."""
