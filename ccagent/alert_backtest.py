"""What rules would have done on this machine's past: the store's amounts by hour, and the rule turned over them.

The database is only read, also beside a daemon. What a rule would have done with another threshold is asked the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ccagent.alert_changes import refusing
from ccagent.alert_reading import SCHEMA_VERSION, database_of, named, rfc3339
from ccagent.alerts.expression import write_expression
from ccagent.alerts.faults import AlertRuleError
from ccagent.alerts.parsing import dump, parse
from ccagent.config import Config
from ccagent.errors import NoDataError, UsageError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from ccagent.alerts.backtest import Backtest
    from ccagent.alerts.rule import Rule
    from ccagent.store.connection import Connection

READ_SECONDS: Final = 300.0
"""How long the amounts of one rule may take to be read: years of facts take some seconds."""

NO_PAST: Final = "it asks for what ccagent tells of itself, of which no past is kept: there is nothing to replay"

Told = Callable[[str, float], None]
"""Progress: the rule, and how much of it is done (0 to 1)."""


def backtest(
    config: Config,
    rule_ids: Sequence[str],
    *,
    everything: bool = False,
    since_ms: int,
    until_ms: int,
    threshold: float | None = None,
    told: Told | None = None,
) -> dict[str, Any]:
    """The document of `ccagent alerts backtest`. `everything`: all rules of the table, those that are off, too.

    NoDataError where there are no facts, UsageError for a rule that there is not, or a threshold that it cannot have.
    """
    from ccagent.store.open import open_reader

    with open_reader(database_of(config), READ_SECONDS) as reader:
        zone, first = place(reader, database_of(config).display)
        rules = _rules(config, reader, rule_ids, everything=everything)
        changed = [_with(rule, threshold) for rule in rules]
        rows = [
            _one(config, reader, rule, zone=zone, since=max(since_ms, first), until=until_ms, told=told)
            for rule in changed
        ]
    return {
        "schema_version": SCHEMA_VERSION,
        "since": rfc3339(max(since_ms, first)),
        "until": rfc3339(until_ms),
        "zone": zone.key,
        "what_if": threshold,
        "rules": rows,
    }


def tried(config: Config, document: Mapping[str, Any], *, since_ms: int, until_ms: int) -> dict[str, Any] | None:
    """What a rule that is not entered yet would have done; None where there is nothing to try it on."""
    from ccagent.store.open import open_reader

    try:
        with open_reader(database_of(config), READ_SECONDS) as reader:
            zone, first = place(reader, database_of(config).display)
            return _one(config, reader, parse(document), zone=zone, since=max(since_ms, first), until=until_ms)
    except NoDataError:
        return None


def replay(
    config: Config, reader: Connection, rule: Rule, *, zone: ZoneInfo, since: int, until: int, told: Told | None = None
) -> Backtest:
    """The backtest of one rule over an open reader. AlertRuleError for a rule without a past."""
    from ccagent.alerts.backtest import needs, operands_of, run
    from ccagent.price_file import load_prices
    from ccagent.store.alert_hours import load_hours

    def read(part: float) -> None:
        if told is not None:
            told(rule.id, part / 2)

    def turned(done: int, whole: int) -> None:
        if told is not None:
            told(rule.id, 0.5 + done / whole / 2)

    series = load_hours(
        reader, zone, operands_of(rule), rule.scope, needs(rule, since, zone), until, read, load_prices(config)
    )
    return run(rule, series, since=since, until=until, zone=zone, progress=turned)


def place(reader: Connection, display: str) -> tuple[ZoneInfo, int]:
    """The zone of the rollups, and the time of the first fact. NoDataError where there is none."""
    from ccagent.store.alert_span import span_of_facts
    from ccagent.store.queries import stored_zone

    span = span_of_facts(reader)
    if span is None:
        raise NoDataError(f"{display} holds no facts yet; `ccagent run --once` takes in what there is")
    return stored_zone(reader), span[0]


def _rules(config: Config, reader: Connection, rule_ids: Sequence[str], *, everything: bool) -> list[Rule]:
    """The rules of the table; where no daemon has entered any yet, those of the configuration and the pack."""
    from ccagent.alert_cases import lookup
    from ccagent.store.alert_rules import rules

    entered = rules(reader)
    if not entered:
        with refusing():
            return [parse(one) for one in (lookup(config).all() if everything else map(lookup(config), rule_ids))]
    if everything:
        return [stored.rule for stored in entered if stored.rule is not None]
    found = []
    for rule_id in rule_ids:
        stored = named(reader, rule_id)
        if stored.rule is None:
            raise UsageError(f"the rule {rule_id} cannot be read: {stored.problem}")
        found.append(stored.rule)
    return found


def _with(rule: Rule, threshold: float | None) -> Rule:
    from ccagent.alerts.backtest import what_if

    if threshold is None:
        return rule
    try:
        return what_if(rule, threshold)
    except AlertRuleError as error:
        raise UsageError(f"{rule.id}: {error.what}") from error


def _one(
    config: Config,
    reader: Connection,
    rule: Rule,
    *,
    zone: ZoneInfo,
    since: int,
    until: int,
    told: Told | None = None,
) -> dict[str, Any]:
    from ccagent.alerts.backtest import is_below, pastless
    from ccagent.alerts.message import unit_of

    document: dict[str, Any] = {
        "id": rule.id,
        "name": rule.name,
        "condition": write_expression(dump(rule)),
        "scope": str(rule.scope),
        "unit": unit_of(rule.conditions[0]),
        "below": is_below(rule.conditions[0]),
    }
    if pastless(rule) is not None:
        return {**document, "problem": NO_PAST, "hours": 0, "hours_read": 0, "subjects": 0, "firings": [], "series": []}
    done = replay(config, reader, rule, zone=zone, since=since, until=until, told=told)
    return {
        **document,
        "problem": None,
        "hours": done.hours,
        "hours_read": done.read,
        "subjects": done.subjects,
        "firings": [
            {
                "subject": one.subject,
                "fired_at": rfc3339(one.fired_at + 1),
                "ended_at": None if one.ended_at is None else rfc3339(one.ended_at + 1),
                "reason": None if one.reason is None else str(one.reason),
                "value": one.value,
                "threshold": one.threshold,
                "worst": one.worst,
            }
            for one in done.firings
        ],
        "series": [
            {"at": rfc3339(point.at + 1), "value": point.value, "threshold": point.threshold} for point in done.points
        ],
    }
