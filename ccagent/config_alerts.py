"""What the configuration says of alerts: the keys of [alerts], and the rules that are written in the file.

A rule is checked when the file is read, so that a daemon that has started has no bad rule of the file left to find. A
table with the id of a rule of the built-in pack and without a metric changes that rule, in what it says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ccagent.config_alert_keys import CHANNELS, RULES
from ccagent.errors import ConfigError

if TYPE_CHECKING:
    from ccagent.config_channels import ChannelConfig
    from ccagent.config_file import ConfigFile

MAX_RULES: Final = 200
"""Rules of a file at most: each costs its share of every evaluation."""

_BUDGETS: Final = ("daily_budget_usd", "weekly_budget_usd", "monthly_budget_usd", "project_budgets")
"""Keys of [alerts] that are thresholds of rules, as `set_budgets` takes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsConfig:
    """The keys of [alerts]; budgets are None where none is set. `rules` are documents of sound rules, in the file's order;
    `channels` those of [alerts.channels] and the ones that are always there, by name."""

    enabled: bool
    interval_seconds: float
    default_channels: tuple[str, ...]
    quiet_hours: str | None
    group_seconds: float
    daily_budget_usd: float | None
    weekly_budget_usd: float | None
    monthly_budget_usd: float | None
    project_budgets: Mapping[str, float]
    rules: tuple[Mapping[str, Any], ...] = ()
    channels: Mapping[str, ChannelConfig] = field(default_factory=dict)


def check_alerts(values: Mapping[str, Any], where: Mapping[str, str]) -> None:
    """ConfigError for values of [alerts] that say nothing. `where` names what set a key."""
    quiet = values["quiet_hours"]
    if quiet is not None:
        from ccagent.alerts.quiet import parse_quiet

        try:
            parse_quiet(quiet)
        except ValueError as error:
            raise ConfigError(f"{where['alerts.quiet_hours']}: alerts.quiet_hours {error}") from error


def read_rules(file: ConfigFile | None, values: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The rules of the file, checked. `values` are the keys of [alerts], whose budgets are thresholds of rules.

    ConfigError with file, line, key and the right values for one that is wrong.
    """
    if file is None or file.rules is None:
        return ()
    found: dict[str, Mapping[str, Any]] = {}
    for name, below, document in _tables(file, file.rules):
        if name in found:
            raise ConfigError(f"{file.where(RULES, *below)}: there are two rules with the id {name!r}; rename one")
        found[name] = _checked(file, name, below, document, values)
    if len(found) > MAX_RULES:
        raise ConfigError(f"{file.where(RULES)}: {len(found)} rules; at most {MAX_RULES}")
    return tuple(found.values())


def channel_tables(file: ConfigFile | None) -> Mapping[str, Any]:
    """The tables below [alerts.channels], by name. ConfigError where something else stands there."""
    tables = {} if file is None or file.channels is None else file.channels
    if not isinstance(tables, Mapping) or not all(isinstance(table, Mapping) for table in tables.values()):
        assert file is not None
        raise ConfigError(f"{file.where(CHANNELS)}: {CHANNELS} holds tables; write [{CHANNELS}.NAME]")
    return tables


def _tables(file: ConfigFile, rules: object) -> list[tuple[str, tuple[str, ...], dict[str, Any]]]:
    """Id, place within [alerts.rules] and document of each table."""
    found: list[tuple[str, tuple[str, ...], dict[str, Any]]] = []
    if isinstance(rules, Mapping):
        for name, table in rules.items():
            if not isinstance(table, dict):
                raise ConfigError(f"{file.where(RULES, name)}: {RULES}.{name} is a table; write [{RULES}.{name}]")
            if table.get("id", name) != name:
                raise ConfigError(
                    f"{file.where(RULES, name, 'id')}: the rule is called {name!r} by its table; leave id out"
                )
            found.append((name, (name,), {"id": name, **table}))
    elif isinstance(rules, Sequence) and not isinstance(rules, str):
        for number, table in enumerate(rules):
            below = (str(number),)
            if not isinstance(table, dict) or not isinstance(table.get("id"), str):
                raise ConfigError(
                    f'{file.where(RULES, *below)}: each of [[{RULES}]] has an id, such as id = "night-cost"'
                )
            found.append((table["id"], below, dict(table)))
    else:
        raise ConfigError(f"{file.where(RULES)}: {RULES} holds tables; write [{RULES}.NAME] or [[{RULES}]]")
    return found


def _checked(
    file: ConfigFile, name: str, below: tuple[str, ...], document: dict[str, Any], values: Mapping[str, Any]
) -> Mapping[str, Any]:
    from ccagent.alerts.budgets import set_budgets
    from ccagent.alerts.editing import merged
    from ccagent.alerts.faults import AlertRuleError
    from ccagent.alerts.pack import pack
    from ccagent.alerts.parsing import parse

    try:
        if "metric" not in document:
            budgets = set_budgets(*(values[key] for key in _BUDGETS))
            base = next((dict(one) for one in pack(budgets) if one["id"] == name), None)
            if base is not None:
                # Whoever writes it down wants it: `enabled = false` says otherwise.
                changes = {key: value for key, value in document.items() if key != "id"}
                document = merged(base, {"enabled": True, **changes})
        parse(document)
    except AlertRuleError as error:
        inner = tuple(part for part in error.where.split(".") if part)
        known = file.line(RULES, *below, *inner) is not None if inner else False
        place = file.where(RULES, *below, *(inner if known else ()))
        raise ConfigError(f"{place}: rule {name!r}: {error}") from error
    return document
