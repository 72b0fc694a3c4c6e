"""The effective configuration: option, then environment, then file, then default; each value knows where it came from.

Everything is checked when it is loaded, so that a daemon that has started has no bad value left to find.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from ccagent import config_file, paths
from ccagent.config_alert_keys import CHANNELS
from ccagent.config_alerts import AlertsConfig, check_alerts, read_rules
from ccagent.config_channels import check_named, read_channels
from ccagent.config_export_keys import DESTINATION_KEYS, SIGNALS
from ccagent.config_file import DESTINATIONS, ConfigFile, nearest
from ccagent.config_keys import CONFIG_VARIABLE, ENV_PREFIX, KEYS, OFF, Key, Kind
from ccagent.config_values import Place, from_file, from_text, resolve_headers, resolve_text
from ccagent.errors import ConfigError
from ccagent.follow.roots import Root
from ccagent.paths import Paths, display

_OTHER_VARIABLES: Final = (CONFIG_VARIABLE, "CCAGENT_TEST_", "CCAGENT_FAILPOINT", "CCAGENT_KILLS", "CCAGENT_NO_SKIPS")
"""Variables (or their beginnings) that are ours but name no key."""


LOG_LEVEL: Final = "OTEL_LOG_LEVEL"
"""Stands in where no level is set; a word that it does not know is another program's."""

_STANDARD_LEVELS: Final = {
    "trace": "debug", "debug": "debug", "info": "info", "warn": "warning", "warning": "warning", "error": "error",
    "fatal": "error", "none": "error",
}  # fmt: skip


class OriginKind(StrEnum):
    """Which of the four places a value came from."""

    FLAG = "flag"
    ENV = "env"
    FILE = "file"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where one value came from; `where` names the option, the variable or the place in the file."""

    kind: OriginKind
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestConfig:
    """How transcripts are read."""

    max_line_bytes: int
    scan_interval_seconds: float
    battery_scan_interval_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RollupsConfig:
    """`timezone` is an IANA name, None for the system's zone."""

    timezone: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionConfig:
    """How long what is kept; 0 is for ever, or no limit. `archive` is the folder for facts that go, None for none."""

    payload_days: int
    fact_months: int
    max_database_bytes: int
    archive: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupConfig:
    """`interval_days` is 0 for no backups but those that are asked for."""

    interval_days: float
    keep: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GitConfig:
    """What is read of the repositories in which sessions worked."""

    history: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturesConfig:
    """How sessions are tied to what they worked on. ConfigError for a pattern that is none."""

    documents: tuple[str, ...]
    task_pattern: str | None

    def __post_init__(self) -> None:
        try:
            re.compile(self.task_pattern or "")
        except re.error as error:
            raise ConfigError(f"features.task_pattern is no regular expression: {error}; mend it") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsConfig:
    """What the metrics tell. `label_budgets`: how many values a label may take, by label, where that was changed."""

    project_label: bool
    label_budgets: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PricesConfig:
    """`override` is a price table laid over the built-in one."""

    override: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyConfig:
    """`tier` is the personal tier as written, None where none is; `identity` the owner's self-chosen name."""

    tier: int | None
    identity: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationConfig:
    """What ccagent's own configuration says of one destination; ccagent.otlp_settings makes destinations of it.

    `set_keys` are the names (within the table) that were set anywhere, even to their default.
    """

    endpoint: str | None
    traces_endpoint: str | None
    metrics_endpoint: str | None
    logs_endpoint: str | None
    protocol: str | None
    headers: Mapping[str, str] = field(repr=False)
    timeout_seconds: float
    compression: str
    certificate: Path | None
    client_certificate: Path | None
    client_key: Path | None
    insecure: bool
    interval_seconds: float
    signals: tuple[str, ...]
    max_age_days: float
    native_names: bool
    native_events: bool
    set_keys: frozenset[str] = frozenset()

    @property
    def endpoint_keys(self) -> tuple[str, ...]:
        """The names of the endpoints that are given."""
        names = ("endpoint", *(f"{signal}_endpoint" for signal in SIGNALS))
        return tuple(name for name in names if getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpConfig(DestinationConfig):
    """The unnamed destination, and what concerns the export as a whole."""

    self_traces: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CompatConfig:
    """What is made for boards and rules that were written for other telemetry. `force`: even beside that telemetry."""

    claude_code: bool
    force: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """`level` and `format` of the log on standard error."""

    level: str
    format: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything a user may choose, checked. `sources` empty means the default roots; `database` is a file's path or a URL."""

    sources: tuple[Root, ...]
    database: str
    host_id: str | None
    listen: str
    ingest: IngestConfig
    rollups: RollupsConfig
    retention: RetentionConfig
    backup: BackupConfig
    git: GitConfig
    features: FeaturesConfig
    metrics: MetricsConfig
    prices: PricesConfig
    privacy: PrivacyConfig
    otlp: OtlpConfig
    destinations: Mapping[str, DestinationConfig]
    compat: CompatConfig
    alerts: AlertsConfig
    log: LogConfig
    paths: Paths
    file: Path | None  # None where no file was read
    origins: Mapping[str, Origin]
    notices: tuple[str, ...]

    @property
    def listen_address(self) -> tuple[str, int] | None:
        """Host and port of the listener, None when it is off. An IPv6 host comes without its brackets."""
        return split_listen(self.listen)

    def value(self, name: str) -> object:
        """Give the value of a dotted key."""
        section, _, leaf = name.rpartition(".")
        return getattr(getattr(self, section) if section else self, leaf)

    def is_set(self, name: str) -> bool:
        """Tell whether a key was set anywhere, even to its default."""
        return self.origins[name].kind is not OriginKind.DEFAULT


def load(flags: Mapping[str, object], env: Mapping[str, str], path: Path | None = None) -> Config:
    """Give the effective configuration.

    `flags` holds command-line values by dotted key; None and () mean "not given". `path` names the file; without it
    CCAGENT_CONFIG does, else the XDG place, where it may be absent. Raises ConfigError for anything wrong anywhere.
    """
    places = paths.resolve(env)
    file = _open(env, path, places)
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for key in KEYS:
        values[key.name], origins[key.name] = _pick(key, flags, env, file, env)
    if values["database"] is None:
        values["database"] = str(places.database)
    split_listen(values["listen"], origins["listen"].where or "listen")
    if origins["log.level"].kind is OriginKind.DEFAULT and (
        level := _STANDARD_LEVELS.get(env.get(LOG_LEVEL, "").lower())
    ):
        values["log.level"], origins["log.level"] = level, Origin(kind=OriginKind.ENV, where=LOG_LEVEL)
    check_alerts(_section(values, "alerts"), {name: origin.where for name, origin in origins.items()})
    channels = read_channels(file, env)
    check_named(
        values["alerts.default_channels"],
        channels,
        f"{origins['alerts.default_channels'].where}: alerts.default_channels",
    )
    for rule in (rules := read_rules(file, _section(values, "alerts"))):
        check_named(rule.get("channels", ()), channels, f"rule {rule['id']!r}")
    for name, channel in channels.items():
        for leaf in channel.set_keys:
            origins[f"{CHANNELS}.{name}.{leaf}"] = Origin(
                kind=OriginKind.FILE, where=display(file.path) if file else ""
            )
    return Config(
        sources=values["sources"],
        database=values["database"],
        host_id=values["host_id"],
        listen=values["listen"],
        ingest=IngestConfig(**_section(values, "ingest")),
        rollups=RollupsConfig(**_section(values, "rollups")),
        retention=RetentionConfig(**_section(values, "retention")),
        backup=BackupConfig(**_section(values, "backup")),
        git=GitConfig(**_section(values, "git")),
        features=FeaturesConfig(**_section(values, "features")),
        metrics=MetricsConfig(**_section(values, "metrics")),
        prices=PricesConfig(**_section(values, "prices")),
        privacy=PrivacyConfig(**_section(values, "privacy")),
        otlp=OtlpConfig(**_section(values, "otlp"), set_keys=_set_keys(origins, "otlp")),
        destinations=MappingProxyType(_destinations(env, file, origins)),
        compat=CompatConfig(**_section(values, "compat")),
        alerts=AlertsConfig(**_section(values, "alerts"), rules=rules, channels=channels),
        log=LogConfig(**_section(values, "log")),
        paths=places,
        file=file.path if file else None,
        origins=MappingProxyType(origins),
        notices=_unknown_variables(env),
    )


def split_listen(listen: str, where: str = "listen") -> tuple[str, int] | None:
    """Give host and port of HOST:PORT, None for "off". Raises ConfigError, naming `where`, for anything else."""
    if listen == OFF:
        return None
    host, colon, port = listen.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not bare or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise ConfigError(f'{where}: {listen!r} is no HOST:PORT; write such as "127.0.0.1:9464", or "off" for no port')
    if ":" in bare and not bracketed:
        raise ConfigError(f'{where}: an IPv6 host stands in brackets; write "[{bare}]:{port}"')
    return bare, int(port)


def _open(env: Mapping[str, str], path: Path | None, places: Paths) -> ConfigFile | None:
    if path is None and env.get(CONFIG_VARIABLE):
        path = paths.expand(env[CONFIG_VARIABLE], env)
    if path is not None:
        return config_file.read(path)
    return config_file.read(places.config_file) if paths.stands(places.config_file) else None


def _pick(
    key: Key,
    flags: Mapping[str, object],
    variables: Mapping[str, str],
    file: ConfigFile | None,
    env: Mapping[str, str],
) -> tuple[object, Origin]:
    """A key's value and what set it: `flags`, then `variables`, then the file, whose `${…}` `env` fills."""
    given = flags.get(key.name)
    if given is not None and given != ():
        place = Place(where=key.option or key.name, env=env)
        value = from_text(key, given, place) if isinstance(given, str) else from_file(key, given, place)
        return value, Origin(kind=OriginKind.FLAG, where=place.where)
    if text := variables.get(key.variable):
        place = Place(where=key.variable, env=env)
        return from_text(key, text, place), Origin(kind=OriginKind.ENV, where=key.variable)
    if file is not None and key.name in file.values:
        folder = Path(os.path.abspath(file.path.parent))  # noqa: PTH100 - resolve() would follow a linked folder
        place = Place(where="", env=env, folder=folder, file=file, key=key.name)
        value = from_file(key, file.values[key.name], place)
        if key.kind is Kind.TABLE:
            value = resolve_headers(value, place)
        elif key.leaf.endswith("endpoint") and isinstance(value, str):
            value = resolve_text(key, value, place)
        return value, Origin(kind=OriginKind.FILE, where=display(file.path))
    return key.default, Origin(kind=OriginKind.DEFAULT)


def _destinations(
    env: Mapping[str, str], file: ConfigFile | None, origins: dict[str, Origin]
) -> dict[str, DestinationConfig]:
    """The named destinations, in the order of the file; what set their keys is added to `origins`."""
    found = {}
    for name in file.destinations if file else ():
        values: dict[str, Any] = {}
        section = f"{DESTINATIONS}.{name}"
        for leaf, key in DESTINATION_KEYS.items():
            # Nothing is inherited from [otlp]: its headers are for another receiver. Variables speak of [otlp] alone.
            values[leaf], origin = _pick(replace(key, name=f"{section}.{leaf}", option=""), {}, {}, file, env)
            origins[f"{section}.{leaf}"] = origin
        found[name] = DestinationConfig(**values, set_keys=_set_keys(origins, section))
    return found


def _set_keys(origins: Mapping[str, Origin], section: str) -> frozenset[str]:
    prefix = section + "."
    return frozenset(
        name.removeprefix(prefix)
        for name, origin in origins.items()
        if name.startswith(prefix) and origin.kind is not OriginKind.DEFAULT
    )


def _section(values: Mapping[str, Any], section: str) -> dict[str, Any]:
    prefix = section + "."
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}


def _unknown_variables(env: Mapping[str, str]) -> tuple[str, ...]:
    known = [key.variable for key in KEYS]
    notices = []
    for name in sorted(env):
        if not name.startswith(ENV_PREFIX) or name in known or name.startswith(_OTHER_VARIABLES):
            continue
        match = nearest(name, known)
        notices.append(f"the variable {display(name)} means nothing to ccagent" + (f"; {match}?" if match else ""))
    return tuple(notices)
