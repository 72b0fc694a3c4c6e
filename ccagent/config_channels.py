"""Alert channels as the configuration file has them, checked; secrets in their place."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from ccagent.config_alert_keys import CHANNELS
from ccagent.config_alerts import channel_tables
from ccagent.config_channel_keys import ALWAYS, BELONGS, CHANNEL_KEYS, QUIET_OFF, TYPES
from ccagent.config_file import ConfigFile, nearest
from ccagent.config_kinds import Key
from ccagent.config_secrets import NAMED, is_spelled_out
from ccagent.config_values import Place, from_file, resolve_headers, resolve_text
from ccagent.errors import ConfigError

MAX_CHANNELS: Final = 20
"""Each has a thread of its own once it is needed."""

_NAME: Final = re.compile(r"[a-z0-9_-]{1,32}")
_USERINFO: Final = re.compile(r"//[^/?#]*[\w%][^/?#]*@")
_SECRET_PART: Final = re.compile(
    r"[?&](?:[\w-]*(?:token|key|secret|sig|signature|password|auth))=(?!\$)[^&]", re.IGNORECASE
)
_HOOKS: Final = re.compile(
    r"hooks\.slack\.com/|discord(?:app)?\.com/api/webhooks/|webhook\.office\.com/|chat\.googleapis\.com/|api\.telegram\.org/bot",
    re.IGNORECASE,
)
"""Addresses that are secrets as a whole: who knows them can write there."""

_SECRET: Final = "put it into a variable and write ${VARIABLE}, or into a file of mode 0600 and write ${file:PATH}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelConfig:
    """One channel. `url` and `headers` hold secrets. `quiet_hours` None means those of [alerts], "off" none at all.

    `set_keys` are the names that were written, even with their default.
    """

    name: str
    type: str
    url: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    certificate: Path | None = None
    insecure: bool = False
    command: tuple[str, ...] = ()
    timeout_seconds: float = 10.0
    min_severity: str = "info"
    send_resolved: bool = True
    quiet_hours: str | None = None
    set_keys: frozenset[str] = frozenset()


def read_channels(file: ConfigFile | None, env: Mapping[str, str]) -> Mapping[str, ChannelConfig]:
    """The channels by name: those that are always there, then the file's in its order.

    Raises ConfigError, naming file and line and no secret, for anything that is wrong with one.
    """
    found = {name: ChannelConfig(name=name, type=name) for name in ALWAYS}
    tables = channel_tables(file)
    if file is not None:
        for name, table in tables.items():
            found[name] = _channel(file, name, table, env)
        if len(tables) > MAX_CHANNELS:
            raise ConfigError(f"{file.where(CHANNELS)}: {len(tables)} channels; at most {MAX_CHANNELS}")
    return MappingProxyType(found)


def check_named(names: Collection[str], channels: Mapping[str, ChannelConfig], where: str) -> None:
    """Raises ConfigError for the name of a channel that there is not. `where` is the place that names it."""
    for name in names:
        if name not in channels:
            raise ConfigError(f"{where}: there is no channel {name!r}; there are {', '.join(channels)}")


def _channel(file: ConfigFile, name: str, table: Mapping[str, Any], env: Mapping[str, str]) -> ChannelConfig:
    section = f"{CHANNELS}.{name}"
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{file.where(CHANNELS, name)}: {name!r} is no name of a channel; 1 to 32 of a-z, 0-9, _ and -"
        )
    values: dict[str, Any] = {}
    for leaf, value in table.items():
        if leaf not in CHANNEL_KEYS:
            match = nearest(leaf, CHANNEL_KEYS)
            hint = f"; did you mean {match!r}?" if match else f"; it holds {', '.join(CHANNEL_KEYS)}"
            raise ConfigError(f"{file.where(section, leaf)}: unknown key {leaf!r} in [{section}]{hint}")
        values[leaf] = _value(file, replace(CHANNEL_KEYS[leaf], name=f"{section}.{leaf}"), value, env)
    kind = values.setdefault("type", name)
    if kind not in TYPES:
        raise ConfigError(f"{file.where(section)}: [{section}] has no type; write type = one of {', '.join(TYPES)}")
    if name in ALWAYS and kind != name:
        raise ConfigError(
            f"{file.where(section, 'type')}: the channel {name!r} is of its own type; choose another name"
        )
    _check_parts(file, section, kind, table)
    if kind == "slack" and "${" not in table["url"]:
        raise ConfigError(f"{file.where(section, 'url')}: the URL of Slack is a secret; {_SECRET}")
    return ChannelConfig(name=name, **values, set_keys=frozenset(table))


def _value(file: ConfigFile, key: Key, value: object, env: Mapping[str, str]) -> object:
    folder = Path(os.path.abspath(file.path.parent))  # noqa: PTH100 - resolve() would follow a linked folder
    place = Place(where="", env=env, folder=folder, file=file, key=key.name)
    read = from_file(key, value, place)
    if key.leaf == "headers":
        return resolve_headers(read, place)
    if key.leaf == "url" and isinstance(read, str):
        _check_url(place, key, read)
        return resolve_text(key, read, place)
    if key.leaf == "command" and isinstance(read, tuple):
        for word in read:
            if is_spelled_out("", word):
                raise place.fail(
                    key, "holds a secret, which every process list would show; let the program read it from a file"
                )
    if key.leaf == "quiet_hours" and read != QUIET_OFF:
        from ccagent.alerts.quiet import parse_quiet

        try:
            parse_quiet(str(read))
        except ValueError as error:
            raise place.fail(key, f'{error}, or "{QUIET_OFF}"') from error
    return read


def _check_url(place: Place, key: Key, text: str) -> None:
    """Whatever is spelled out in a URL and opens a door is refused; the text is not repeated."""
    literal = NAMED.sub("$", text)
    if _USERINFO.search(literal) or _SECRET_PART.search(literal) or _HOOKS.search(literal) or is_spelled_out("", text):
        raise place.fail(key, f"holds a secret; {_SECRET}")


def _check_parts(file: ConfigFile, section: str, kind: str, table: Mapping[str, Any]) -> None:
    for leaf, kinds in BELONGS.items():
        if leaf in table and kind not in kinds:
            raise ConfigError(
                f"{file.where(section, leaf)}: {leaf} belongs to channels of type {' and '.join(kinds)}, not {kind}"
            )
    needed = {"webhook": "url", "slack": "url", "command": "command"}.get(kind)
    if needed is not None and not table.get(needed):
        raise ConfigError(f"{file.where(section)}: [{section}] is of type {kind} and needs {needed}")
