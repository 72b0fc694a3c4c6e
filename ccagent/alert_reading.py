"""What `ccagent alerts list`, `show`, `history` and `silence --list` tell, as documents: rules, where they stand, what became
of them. Everything is read from the database in one moment; a daemon is not needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ccagent.alerts.editing import ordered
from ccagent.alerts.expression import write_expression
from ccagent.alerts.states import State
from ccagent.config import Config
from ccagent.errors import UsageError
from ccagent.store.location import Database, parse_database

if TYPE_CHECKING:
    from ccagent.alerts.states import Standing
    from ccagent.store.alert_rules import StoredRule
    from ccagent.store.alert_states import Entry, Silence
    from ccagent.store.connection import Connection

SCHEMA_VERSION: Final = 1

FIRING: Final = 10
"""Exit code of `--check` where something fires."""

HISTORY_SHOWN: Final = 10
"""Transitions that `show` tells of a rule."""

OFF: Final = "off"
WAITING: Final = "waiting"
UNREADABLE: Final = "unreadable"
"""States of rules that are not evaluated: switched off, on but without what they need, not understood."""


def database_of(config: Config) -> Database:
    """The database that the configuration names."""
    return parse_database(config.database, config.paths.state_dir)


def collect(config: Config, now_ms: int) -> dict[str, Any]:
    """All rules with their states; how many fire."""
    from ccagent.store import alert_rules, alert_states
    from ccagent.store.connection import snapshot
    from ccagent.store.open import open_reader

    with open_reader(database_of(config)) as reader, snapshot(reader):
        rules = alert_rules.rules(reader)
        standings = _by_rule(alert_states.standings(reader))
        quiet = alert_states.silences(reader, now_ms)
    rows = [summary(rule, standings.get(rule.id, ()), quiet, now_ms) for rule in rules]
    return {
        "schema_version": SCHEMA_VERSION,
        "firing": sum(row["state"] == State.FIRING for row in rows),
        "rules": rows,
    }


def shown(config: Config, rule_id: str, now_ms: int) -> dict[str, Any]:
    """One rule whole: its document, where its subjects stand, its last transitions. UsageError where there is none."""
    from ccagent.store import alert_states
    from ccagent.store.connection import snapshot
    from ccagent.store.open import open_reader

    with open_reader(database_of(config)) as reader, snapshot(reader):
        rule = named(reader, rule_id)
        standings = alert_states.standings(reader, rule_id)
        quiet = alert_states.silences(reader, now_ms)
        entries = alert_states.history(reader, rule=rule_id, limit=HISTORY_SHOWN)
    return {
        "schema_version": SCHEMA_VERSION,
        **summary(rule, standings, quiet, now_ms),
        "rule": ordered(rule.document),
        "pack": None if rule.base is None or not rule.edited else ordered(rule.base),
        "standings": [_standing(one) for one in standings],
        "history": [transition(entry, unit(rule)) for entry in entries],
        "changed_by": changed_by(config, rule),
    }


def history(
    config: Config, *, since_ms: int | None = None, rule_id: str | None = None, limit: int | None = None
) -> dict[str, Any]:
    """Transitions, the newest first, each with what became of telling it."""
    from ccagent.store import alert_queue, alert_rules, alert_states
    from ccagent.store.connection import snapshot
    from ccagent.store.open import open_reader

    with open_reader(database_of(config)) as reader, snapshot(reader):
        entries = alert_states.history(reader, since_ms=since_ms, rule=rule_id, limit=limit)
        if rule_id is not None and not entries:
            named(reader, rule_id)  # of one that was removed there is only history
        told = alert_queue.deliveries(reader, [entry.id for entry in entries])
        units = {rule.id: unit(rule) for rule in alert_rules.rules(reader)}
    deliveries: dict[int, list[dict[str, Any]]] = {}
    for one in told:
        deliveries.setdefault(one.entry.id, []).append(
            {
                "channel": one.channel,
                "state": str(one.state),
                "attempts": one.attempts,
                "sent_at": rfc3339(one.sent_at),
                "error": one.error,
            }
        )
    return {
        "schema_version": SCHEMA_VERSION,
        "since": rfc3339(since_ms),
        "transitions": [
            {**transition(entry, units.get(entry.rule, "")), "deliveries": deliveries.get(entry.id, [])}
            for entry in entries
        ],
    }


def silences(config: Config, now_ms: int) -> dict[str, Any]:
    """Silences of this moment."""
    from ccagent.store import alert_states
    from ccagent.store.open import open_reader

    with open_reader(database_of(config)) as reader:
        found = alert_states.silences(reader, now_ms)
    return {"schema_version": SCHEMA_VERSION, "silences": [silence(one) for one in found]}


def named(reader: Connection, rule_id: str) -> StoredRule:
    """The rule of that id; UsageError, with those that are like it, where there is none."""
    from ccagent.store.alert_rules import read_rule, rules

    found = read_rule(reader, rule_id)
    if found is None:
        raise no_rule(rule_id, (rule.id for rule in rules(reader)))
    return found


def no_rule(rule_id: str, known: Iterable[str]) -> UsageError:
    """What to raise for a rule that there is not."""
    from ccagent.alerts.faults import nearest

    like = nearest(rule_id, known)
    hint = f"; did you mean {' or '.join(map(repr, like))}?" if like else "; `ccagent alerts list` names them"
    return UsageError(f"there is no alert rule {rule_id!r}{hint}")


def summary(rule: StoredRule, standings: Sequence[Standing], quiet: Sequence[Silence], now_ms: int) -> dict[str, Any]:
    """A rule as `list` tells it."""
    firing = [one for one in standings if one.state is State.FIRING]
    fired = [one.fired_at for one in standings if one.fired_at is not None]
    latest = max(firing, key=lambda one: one.fired_at or 0, default=None)
    return {
        "id": rule.id,
        "name": rule.document.get("name") or rule.id,
        "state": state_of(rule, standings),
        "severity": str(rule.document.get("severity", "warning")),
        "scope": str(rule.document.get("scope", "global")),
        "condition": condition_of(rule),
        "unit": unit(rule),
        "origin": str(rule.origin),
        "enabled": rule.enabled,
        "edited": rule.edited,
        "note": rule.problem or rule.note,
        "firing": [_firing(one) for one in firing],
        "pending": sum(one.state is State.PENDING for one in standings),
        "value": None if latest is None else latest.value,
        "threshold": None if latest is None else latest.threshold,
        "last_fired": rfc3339(max(fired, default=None)),
        "silenced_until": rfc3339(_silenced(rule.id, quiet, now_ms)),
    }


def state_of(rule: StoredRule, standings: Sequence[Standing]) -> str:
    """firing, pending or inactive; of a rule that is not evaluated off, waiting or unreadable."""
    if rule.problem is not None:
        return UNREADABLE
    if not rule.enabled:
        return OFF
    states = {one.state for one in standings}
    found = next((state for state in (State.FIRING, State.PENDING) if state in states), None)
    if found is None:
        return str(State.INACTIVE) if rule.note is None else WAITING
    return str(found)


def condition_of(rule: StoredRule) -> str:
    """What the rule asks, in one line; empty where that cannot be read."""
    try:
        return write_expression(rule.document)
    except (KeyError, TypeError, ValueError, AttributeError):
        return ""


def unit(rule: StoredRule) -> str:
    """The unit of what the rule reads, as UCUM writes it; empty for none, or where that is not known."""
    from ccagent.alerts.message import unit_of

    return "" if rule.rule is None else unit_of(rule.rule.conditions[0])


def changed_by(config: Config, rule: StoredRule) -> str:
    """Where or how the rule is changed."""
    from ccagent.paths import display
    from ccagent.store.alert_rules import Origin

    if rule.origin is Origin.CONFIG:
        place = display(config.file) if config.file else "the configuration file"
        return f"it stands in {place}; change it there, a running daemon reads it again"
    return f"ccagent alerts edit {rule.id}"


def transition(entry: Entry, unit: str) -> dict[str, Any]:
    """A transition as a document."""
    return {
        "at": rfc3339(entry.at),
        "rule": entry.rule,
        "subject": entry.subject,
        "from": str(entry.before),
        "to": str(entry.after),
        "reason": str(entry.reason),
        "value": entry.value,
        "threshold": entry.threshold,
        "unit": unit,
        "episode": entry.episode,
        "severity": entry.severity,
        "silenced": entry.silenced,
        "key": entry.key,
    }


def silence(one: Silence) -> dict[str, Any]:
    """A silence as a document."""
    return {
        "id": one.id,
        "rule": one.rule or "*",
        "subject": one.subject or "*",
        "until": rfc3339(one.until),
        "comment": one.comment,
        "created_at": rfc3339(one.created_at),
    }


def rfc3339(moment_ms: int | None) -> str | None:
    """RFC 3339 in UTC, to the second; None for None."""
    from datetime import UTC, datetime

    if moment_ms is None:
        return None
    return datetime.fromtimestamp(moment_ms / 1_000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _firing(one: Standing) -> dict[str, Any]:
    return {
        "subject": one.subject,
        "since": rfc3339(one.fired_at),
        "value": one.value,
        "threshold": one.threshold,
    }


def _standing(one: Standing) -> dict[str, Any]:
    return {
        "subject": one.subject,
        "state": str(one.state),
        "since": rfc3339(one.since),
        "value": one.value,
        "threshold": one.threshold,
        "fired_at": rfc3339(one.fired_at),
        "resolved_at": rfc3339(one.resolved_at),
        "evaluated_at": rfc3339(one.evaluated_at),
        "held_seconds": one.held_ms / 1_000,
        "episodes": one.episode,
    }


def _silenced(rule_id: str, quiet: Sequence[Silence], now_ms: int) -> int | None:
    """Until when all of the rule is silenced; None where it is not, or a part of it only."""
    from fnmatch import fnmatchcase

    whole = [one.until for one in quiet if one.subject in (None, "*") and fnmatchcase(rule_id, one.rule or "*")]
    return max((until for until in whole if until > now_ms), default=None)


def _by_rule(standings: Iterable[Standing]) -> Mapping[str, Sequence[Standing]]:
    found: dict[str, list[Standing]] = {}
    for one in standings:
        found.setdefault(one.rule, []).append(one)
    return found
