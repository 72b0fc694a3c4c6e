"""What the table of an alert channel may hold: [alerts.channels.NAME]."""

from __future__ import annotations

from typing import Final

from ccagent.config_kinds import Key, Kind

TYPES: Final = ("log", "desktop", "webhook", "slack", "command", "otlp")
"""Kinds of channels."""

ALWAYS: Final = ("log", "desktop", "otlp")
"""Those that are there by name without a table."""

SEVERITIES: Final = ("info", "warning", "critical")

QUIET_OFF: Final = "off"
"""A channel that keeps no quiet hours."""

DEFAULT_TIMEOUT_SECONDS: Final = 10.0
"""What a receiver that works needs a fraction of; a worker waits so long at most."""

_KEYS: Final[tuple[Key, ...]] = (
    Key(
        name="type",
        kind=Kind.TEXT,
        purpose="What kind of channel it is.",
        unset="the channel's name, where that is one of them",
        choices=TYPES,
    ),
    Key(
        name="url",
        kind=Kind.TEXT,
        purpose="Where a webhook or Slack is told. A secret in it is written as ${VARIABLE}, ${file:PATH} or "
        "${credential:NAME}; the URL of Slack is one as a whole.",
        unset="none",
    ),
    Key(
        name="headers",
        kind=Kind.TABLE,
        purpose="Headers of each request of a webhook or Slack.",
        default={},
        unset="none",
    ),
    Key(
        name="certificate",
        kind=Kind.PATH,
        purpose="PEM file of the authority that signed the receiver's certificate.",
        unset="the system's authorities",
    ),
    Key(
        name="insecure",
        kind=Kind.FLAG,
        purpose="Whether plain text may be sent beyond this machine.",
        default=False,
    ),
    Key(
        name="command",
        kind=Kind.CHOICES,
        purpose="A program and its arguments, run without a shell; an argument such as {summary} is replaced as a whole.",
        default=(),
        unset="none",
    ),
    Key(
        name="timeout_seconds",
        kind=Kind.NUMBER,
        purpose="How long one request or run may take.",
        default=DEFAULT_TIMEOUT_SECONDS,
        minimum=0.1,
    ),
    Key(
        name="min_severity",
        kind=Kind.TEXT,
        purpose="The least severe alert that is told here.",
        default="info",
        choices=SEVERITIES,
    ),
    Key(
        name="send_resolved",
        kind=Kind.FLAG,
        purpose="Whether it is told, too, that an alert no longer fires.",
        default=True,
    ),
    Key(
        name="quiet_hours",
        kind=Kind.TEXT,
        purpose='Quiet hours of this channel, "off" for none.',
        unset="alerts.quiet_hours",
    ),
)

CHANNEL_KEYS: Final[dict[str, Key]] = {key.name: key for key in _KEYS}
"""By name."""

BELONGS: Final[dict[str, tuple[str, ...]]] = {
    "url": ("webhook", "slack"),
    "headers": ("webhook", "slack"),
    "certificate": ("webhook", "slack"),
    "insecure": ("webhook", "slack"),
    "command": ("command",),
    "timeout_seconds": ("webhook", "slack", "command", "desktop"),
}
"""Keys that only some types have."""
