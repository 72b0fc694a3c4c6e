"""Every configuration key, declared once: kind, default, variable, option and one sentence of purpose.

The loader, `ccagent config default`, the command's help and the reference page all read this list.
"""

from __future__ import annotations

from typing import Final

from ccagent.config_alert_keys import ALERT_KEYS
from ccagent.config_export_keys import EXPORT_KEYS, PROTOCOLS, SIGNALS
from ccagent.config_kinds import ENV_PREFIX, Key, Kind

__all__ = ["CONFIG_VARIABLE", "ENV_PREFIX", "KEYS", "KEY_BY_NAME", "OFF", "PROTOCOLS", "SIGNALS", "Key", "Kind"]

CONFIG_VARIABLE: Final = "CCAGENT_CONFIG"
"""Names the configuration file, as `--config` does."""

DEFAULT_LISTEN: Final = "127.0.0.1:9464"
"""The conventional port of a Prometheus exporter in OpenTelemetry, on loopback only."""

OFF: Final = "off"

DEFAULT_MAX_LINE_BYTES: Final = 32 * 1024 * 1024
"""A longer line is streamed past and counted: memory stays bounded, and no real record comes near it."""

MIN_MAX_LINE_BYTES: Final = 1024 * 1024
"""One fair turn of reading; a smaller limit would refuse ordinary tool results."""

DEFAULT_SCAN_INTERVAL_SECONDS: Final = 60.0
"""File events are a hint; a look at every file once a minute is the truth."""

DEFAULT_BATTERY_SCAN_INTERVAL_SECONDS: Final = 300.0
"""Events go on announcing what is written; the look at every file, which wakes the disk, may be rarer."""

DEFAULT_PAYLOAD_DAYS: Final = 90
"""What has no column of its own is for looking into recent work; a quarter of a year covers that."""

DEFAULT_FACT_MONTHS: Final = 13
"""The same month of last year can be looked at request by request; rollups reach further back, for ever."""

DEFAULT_BACKUP_DAYS: Final = 7.0
"""A backup is for what transcripts no longer hold, and those stay for 30 days."""


BUDGETED_LABELS: Final = ("model", "tool", "mcp_server", "skill", "agent_type", "project")
"""Labels whose values come from transcripts; those of ccagent's own making are bounded by it."""

SECTION_PURPOSE: Final[dict[str, str]] = {
    "ingest": "How transcripts are read.",
    "rollups": "How usage is summed by hour, day and week.",
    "retention": "How long what is kept. Rollups and totals stay for ever.",
    "backup": "Copies of a SQLite database, beside it in the folder backups.",
    "git": "What is read of the repositories in which sessions worked.",
    "features": "How sessions are tied to what they worked on.",
    "metrics": "What the metrics tell.",
    "prices": "What tokens cost.",
    "privacy": "What may leave this machine.",
    "otlp": "Where traces, metrics and logs are sent. Nothing is sent unless an endpoint is named here, as an option or "
    "as a variable of ccagent.",
    "compat": "What is made for boards and rules that were written for other telemetry.",
    "alerts": "When you are told of something. Rules stand below [alerts.rules], channels below [alerts.channels].",
    "log": "What ccagent says of itself, on standard error.",
}

KEYS: Final[tuple[Key, ...]] = (
    Key(
        name="sources",
        kind=Kind.PATHS,
        purpose="Transcript trees to follow: claude:DIR (or DIR) is a folder of projects of Claude Code, codex:DIR one of Codex's"
        " rollouts.",
        default=(),
        unset="every root of Claude Code and of Codex there is",
        example='["~/.claude/projects", "codex:~/.codex/sessions"]',
        variable_name="CCAGENT_SOURCE",
        option="--source",
    ),
    Key(
        name="database",
        kind=Kind.TEXT,
        purpose="The database: a path, or a URL: sqlite:///path, postgresql://user@host/name.",
        unset="ccagent.db in the XDG data folder",
        example='"~/.local/share/ccagent/ccagent.db"',
        variable_name="CCAGENT_DATABASE_URL",
        option="--db",
    ),
    Key(
        name="host_id",
        kind=Kind.TEXT,
        purpose="The name of this machine in a database that several machines share.",
        unset="a random name, kept in the XDG data folder",
        example='"build-7"',
    ),
    Key(
        name="listen",
        kind=Kind.TEXT,
        purpose='Where /metrics, /healthz and /readyz are served; "off" opens no port, port 0 takes any.',
        default=DEFAULT_LISTEN,
        option="--listen",
    ),
    Key(
        name="ingest.max_line_bytes",
        kind=Kind.INTEGER,
        purpose="Longer lines are passed over and counted, in bytes.",
        default=DEFAULT_MAX_LINE_BYTES,
        minimum=MIN_MAX_LINE_BYTES,
    ),
    Key(
        name="ingest.scan_interval_seconds",
        kind=Kind.NUMBER,
        purpose="How often every file is looked at, whether an event came or not, in seconds.",
        default=DEFAULT_SCAN_INTERVAL_SECONDS,
        minimum=1,
    ),
    Key(
        name="ingest.battery_scan_interval_seconds",
        kind=Kind.NUMBER,
        purpose="The same while the machine runs on its battery and file events come; a shorter one than the ordinary has"
        " no effect.",
        default=DEFAULT_BATTERY_SCAN_INTERVAL_SECONDS,
        minimum=1,
    ),
    Key(
        name="rollups.timezone",
        kind=Kind.TEXT,
        purpose="IANA time zone of days and weeks; written into a new database once and kept there.",
        unset="the system's zone",
        example='"Europe/Berlin"',
    ),
    Key(
        name="retention.payload_days",
        kind=Kind.INTEGER,
        purpose="Days after which raw payloads and notes of bad lines in files that are gone go; 0 keeps them.",
        default=DEFAULT_PAYLOAD_DAYS,
        minimum=0,
    ),
    Key(
        name="retention.fact_months",
        kind=Kind.INTEGER,
        purpose="Months after which the facts of a session go, all at once; 0 keeps them.",
        default=DEFAULT_FACT_MONTHS,
        minimum=0,
    ),
    Key(
        name="retention.max_database_bytes",
        kind=Kind.INTEGER,
        purpose="Bytes that the database may use: beyond that the oldest payloads go, then the oldest sessions' facts, "
        "none younger than a week; 0 sets no limit.",
        default=0,
        minimum=0,
    ),
    Key(
        name="retention.archive",
        kind=Kind.PATH,
        purpose="A folder for compressed files of the facts that go.",
        unset="they are not archived",
        example='"~/ccagent-archive"',
    ),
    Key(
        name="backup.interval_days",
        kind=Kind.NUMBER,
        purpose="Days between two backups that the daemon makes by itself; 0 for none.",
        default=DEFAULT_BACKUP_DAYS,
        minimum=0,
    ),
    Key(
        name="backup.keep",
        kind=Kind.INTEGER,
        purpose="How many backups stay; older ones are removed.",
        default=1,
        minimum=1,
    ),
    Key(
        name="git.history",
        kind=Kind.FLAG,
        purpose="Whether commits that no transcript shows are looked up once an hour, by one git log a repository.",
        default=False,
    ),
    Key(
        name="features.documents",
        kind=Kind.CHOICES,
        purpose="Planning documents whose front matter may name sessions, commits and pull requests, as globs below each "
        "project's folder, such as docs/plans/**/*.md; read once an hour.",
        default=(),
    ),
    Key(
        name="features.task_pattern",
        kind=Kind.TEXT,
        purpose="What ids of tasks look like in commands and arguments: a regular expression.",
        unset="letters, a hyphen, a number: ENT-12, WEB-AUTH-3.2",
        example='"T[0-9]+"',
    ),
    Key(
        name="metrics.project_label",
        kind=Kind.FLAG,
        purpose="Whether metrics carry the project as a label.",
        default=False,
    ),
    Key(
        name="metrics.label_budgets",
        kind=Kind.COUNTS,
        purpose="How many values a label may take, a metric; what comes later is counted under _overflow_. Each one costs "
        "series, here and wherever they are sent.",
        default={},
        unset="20 models, 50 tools, 30 mcp_server, 50 skills, 30 agent_type, 50 projects",
        example="{ tool = 80 }",
        choices=BUDGETED_LABELS,
        minimum=1,
    ),
    Key(
        name="prices.override",
        kind=Kind.PATH,
        purpose="A price table of your own, laid over the built-in one.",
        unset="the built-in table",
        example='"~/.config/ccagent/prices.toml"',
    ),
    *EXPORT_KEYS,
    *ALERT_KEYS,
    Key(
        name="log.level",
        kind=Kind.TEXT,
        purpose="The least severe message that is shown.",
        default="info",
        choices=("debug", "info", "warning", "error"),
        standard=("OTEL_LOG_LEVEL",),
    ),
    Key(
        name="log.format",
        kind=Kind.TEXT,
        purpose="For people (console), for machines (json), or as the terminal suggests (auto).",
        default="auto",
        choices=("auto", "console", "json"),
    ),
)

KEY_BY_NAME: Final[dict[str, Key]] = {key.name: key for key in KEYS}
