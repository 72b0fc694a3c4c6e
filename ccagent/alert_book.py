"""The table of alert rules kept in step with what it is made of: the built-in pack, the budgets and the rules of the
configuration file. What the command line enters stands beside them and is left alone.

- A rule of the file is as the file says, and comes and goes with it. One with the id of a rule of the pack or of the
  command line stands in its place; that one returns when the file no longer names it.
- A rule of the pack follows the pack through upgrades, in whatever its owner has not changed: its definition, and
  whether it is enabled, each by itself. A budget follows the configuration until its owner has given it another bound.
- A rule that this version cannot read was written by a newer one: it stays, and is not evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ccagent.alerts.budgets import (
    BUDGET_DAY,
    BUDGET_MONTH,
    BUDGET_PROJECT,
    BUDGET_WEEK,
    BURN_RATE,
    Budgets,
    set_budgets,
)
from ccagent.alerts.editing import BOUNDS
from ccagent.alerts.pack import pack
from ccagent.config_alerts import AlertsConfig
from ccagent.store.alert_rules import Origin, StoredRule, bare, put_rule, remove_rule, rules
from ccagent.store.connection import Connection
from ccagent.store.ingest import Ingest
from ccagent.store.writer import Writer

_BUDGETS: Final = {
    BUDGET_DAY: "daily_budget_usd",
    BUDGET_WEEK: "weekly_budget_usd",
    BUDGET_MONTH: "monthly_budget_usd",
}
"""Rules whose threshold is a key of [alerts]."""

_SHADOW: Final = "shadow"
"""What the `base` of a rule of the file keeps of the one in whose place it stands."""

_PROJECT_BUDGETS: Final = f"{BUDGET_PROJECT}-"
"""How ids of rules begin that are made of alerts.project_budgets."""


@dataclass(slots=True)
class Synced:
    """What a look at the configuration changed in the table: ids of rules, and what their owner should know."""

    written: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether anything was written."""
        return bool(self.written or self.removed)


def sync(store: Writer, config: AlertsConfig, now_ms: int) -> Synced:
    """Bring the table up to date, in one transaction; where nothing differs nothing is written."""

    def work(state: Ingest) -> Synced:
        found = synced(state.conn, config, now_ms)
        state.wrote = state.wrote or found.changed
        return found

    return store.run(work)


def synced(conn: Connection, config: AlertsConfig, now_ms: int) -> Synced:
    """As `sync`, within the caller's transaction."""
    result = Synced()
    known = {stored.id: stored for stored in rules(conn)}
    configured = {str(document["id"]): document for document in config.rules}
    for rule, document in configured.items():
        _configure(conn, rule, document, known.get(rule), now_ms, result)
    for rule, stored in known.items():
        if stored.origin is Origin.CONFIG and rule not in configured:
            _give_back(conn, stored, now_ms, result)
    known = {stored.id: stored for stored in rules(conn)} if result.changed else known
    standard = {str(document["id"]): document for document in pack(budgets(config))}
    for rule, document in standard.items():
        if rule not in configured:
            _follow(conn, document, known.get(rule), _note(rule, document, config), now_ms, result)
    for rule, stored in known.items():
        of_project = stored.origin is Origin.DEFAULT and rule.startswith(_PROJECT_BUDGETS)
        if of_project and rule not in standard and rule not in configured:
            remove_rule(conn, rule, now_ms)
            result.removed.append(rule)
    return result


def budgets(config: AlertsConfig) -> Budgets:
    """The budgets of the configuration, as the pack takes them."""
    return set_budgets(
        config.daily_budget_usd, config.weekly_budget_usd, config.monthly_budget_usd, config.project_budgets
    )


def _configure(
    conn: Connection, rule: str, document: Mapping[str, Any], stored: StoredRule | None, now_ms: int, result: Synced
) -> None:
    """A rule of the file."""
    enabled = bool(document.get("enabled", True))
    base = stored.base if stored is not None and stored.origin is Origin.CONFIG else _shadow(stored)
    if stored is not None and stored.origin in (Origin.CLI, Origin.API):
        result.notices.append(f"the alert rule {rule} of the configuration file stands in for that of the command line")
    same = stored is not None and stored.origin is Origin.CONFIG and bare(stored.document) == bare(document)
    if not same or stored is None or stored.enabled is not enabled:
        put_rule(conn, document, origin=Origin.CONFIG, now_ms=now_ms, base=base)
        result.written.append(rule)


def _shadow(stored: StoredRule | None) -> Mapping[str, Any] | None:
    if stored is None:
        return None
    return {_SHADOW: {"origin": str(stored.origin), "document": dict(stored.document), "base": stored.base}}


def _give_back(conn: Connection, stored: StoredRule, now_ms: int, result: Synced) -> None:
    """A rule that the file no longer names: whose place it took has it again."""
    before = (stored.base or {}).get(_SHADOW)
    remove_rule(conn, stored.id, now_ms)
    if isinstance(before, Mapping):
        document = {**before["document"], "id": stored.id}
        put_rule(conn, document, origin=Origin(before["origin"]), now_ms=now_ms, base=before["base"])
        result.written.append(stored.id)
    else:
        result.removed.append(stored.id)


def _follow(
    conn: Connection,
    document: Mapping[str, Any],
    stored: StoredRule | None,
    note: str | None,
    now_ms: int,
    result: Synced,
) -> None:
    """A rule of the pack: what its owner has not changed follows the pack."""
    rule = str(document["id"])
    wanted = bool(document.get("enabled", True))
    if stored is not None and stored.origin is not Origin.DEFAULT:
        result.notices.append(f"ccagent has a rule {rule} of its own now; yours of that id stays in its place")
        return
    if stored is None:
        definition, enabled = document, wanted
    else:
        base = stored.base or {}
        own = _has_own_amount(stored, base)
        definition = document
        if stored.edited:
            budget = _is_budget(rule) and not own and "threshold" in document
            definition = {**stored.document, "threshold": document["threshold"]} if budget else stored.document
        enabled = wanted if stored.enabled is bool(base.get("enabled", True)) else stored.enabled
        note = None if own else note
        same = bare(stored.document) == bare(definition) and stored.enabled is enabled
        if same and stored.note == note and stored.base == dict(document):
            return
    put_rule(
        conn, {**definition, "id": rule}, origin=Origin.DEFAULT, now_ms=now_ms, enabled=enabled, base=document, note=note
    )  # fmt: skip
    result.written.append(rule)


def _is_budget(rule: str) -> bool:
    """Whether the threshold of a rule of the pack is an amount of the configuration."""
    return rule in (*_BUDGETS, BURN_RATE) or rule.startswith(_PROJECT_BUDGETS)


def _has_own_amount(stored: StoredRule, base: Mapping[str, Any]) -> bool:
    """Whether its owner gave a rule of the pack another bound: only then does the configuration's say nothing of it."""
    return stored.edited and any(stored.document.get(key) != base.get(key) for key in BOUNDS)


def _note(rule: str, document: Mapping[str, Any], config: AlertsConfig) -> str | None:
    """Why a rule of the pack cannot be evaluated."""
    key = _BUDGETS.get(rule)
    if key is None or getattr(config, key):
        return None
    return f"no budget is set: alerts.{key}"
