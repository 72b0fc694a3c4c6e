"""Unit tests of rules from files (`alerts/casefile.py`), and ccagent's own for the rules of its pack. No database is needed."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ccagent.alert_reading import SCHEMA_VERSION, no_rule
from ccagent.alerts.faults import AlertRuleError
from ccagent.config import Config
from ccagent.errors import UsageError
from ccagent.paths import display

if TYPE_CHECKING:
    from ccagent.alerts.caserun import Result

OWN: Final = "cases"
"""Folder of the package with the cases of its own rules."""


class Rules:
    """Documents of rules by id: those of the configuration file, else the pack's with its budgets."""

    def __init__(self, config: Config) -> None:
        from ccagent.alert_book import budgets
        from ccagent.alerts.pack import pack

        self._config = config
        self._known: dict[str, Mapping[str, Any]] = {str(one["id"]): one for one in pack(budgets(config.alerts))}
        self._known |= {str(one["id"]): one for one in config.alerts.rules}

    def __call__(self, rule_id: str) -> Mapping[str, Any]:
        """The document of that rule. AlertRuleError where there is none."""
        found = self._known.get(rule_id) or self._entered(rule_id)
        if found is None:
            raise AlertRuleError("rule", str(no_rule(rule_id, self._known)))
        return found

    def all(self) -> Sequence[Mapping[str, Any]]:
        """All of them."""
        return list(self._known.values())

    def _entered(self, rule_id: str) -> Mapping[str, Any] | None:
        """A rule of the command line, where there is a database that has it."""
        from ccagent.alert_reading import database_of
        from ccagent.errors import CcagentError
        from ccagent.store.alert_rules import read_rule
        from ccagent.store.open import open_reader

        try:
            with open_reader(database_of(self._config)) as reader:
                stored = read_rule(reader, rule_id)
        except CcagentError:
            return None  # cases need no database
        return None if stored is None or stored.rule is None else stored.document


def lookup(config: Config) -> Rules:
    """Where rules are found that a file of cases names."""
    return Rules(config)


def run_files(config: Config, files: Sequence[Path], *, rule_id: str | None = None) -> dict[str, Any]:
    """Run the cases of `files`, without any those of the package; with `rule_id` those of that rule alone.

    UsageError for a file that cannot be read, or where no case is left.
    """
    ran: list[tuple[str, Result]] = []
    rules = lookup(config)
    for name, document in _read(files) if files else own_cases():
        ran += [(name, result) for result in _run(name, document, rules, rule_id)]
    if not ran:
        raise UsageError(f"there is no case of the rule {rule_id!r}" if rule_id else "there is no case")
    return {
        "schema_version": SCHEMA_VERSION,
        "passed": sum(result.passed for _, result in ran),
        "failed": sum(not result.passed for _, result in ran),
        "cases": [{"file": name, **result.document()} for name, result in ran],
    }


def own_cases() -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and document of each file of the package."""
    from importlib.resources import files

    for file in sorted(files("ccagent").joinpath(OWN).iterdir(), key=lambda one: one.name):
        if file.name.endswith(".toml"):
            yield f"ccagent/{OWN}/{file.name}", tomllib.loads(file.read_text("utf-8"))


def _run(name: str, document: Mapping[str, Any], rules: Rules, rule_id: str | None) -> list[Result]:
    from ccagent.alerts.casefile import read_cases
    from ccagent.alerts.caserun import run_case

    try:
        cases = read_cases(document, rules)
        return [run_case(case) for case in cases if rule_id in (None, case.rule.id)]
    except AlertRuleError as error:
        raise UsageError(f"{name}: {error}") from error


def _read(files: Sequence[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in files:
        try:
            text = path.read_text("utf-8")
            found = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{display(path)}: cannot be read ({error})") from error
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{display(path)}: is neither TOML nor JSON: {error}") from error
        if not isinstance(found, dict):
            raise UsageError(f"{display(path)}: is no file of cases (docs/alerts.md shows one)")
        yield display(path), found
