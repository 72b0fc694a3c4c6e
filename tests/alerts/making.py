"""Rules, series and moments for the tests of alerts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from ccagent.alerts.evaluate import Outcome, evaluate
from ccagent.alerts.hours import Cell, HourlySeries
from ccagent.alerts.operands import parse_expression, read
from ccagent.alerts.pack import PACK
from ccagent.alerts.parsing import parse
from ccagent.alerts.rule import Operand, Rule, Scope
from ccagent.alerts.states import State

UTC_ZONE = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
KATHMANDU = ZoneInfo("Asia/Kathmandu")

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

PACK_BY_ID = {str(document["id"]): document for document in PACK}
"""ccagent's own rules."""


def at(text: str, zone: ZoneInfo = UTC_ZONE, *, fold: int = 0) -> int:
    """The instant (ms UTC) at which clocks of the zone show `text`, such as "2026-03-29 01:30"."""
    local = datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)
    return int(local.astimezone(UTC).timestamp() * 1_000)


START = at("2026-03-02 12:00")  # a Monday


def operand_of(text: str) -> Operand:
    """The operand that `text` stands for, such as `p95(tool.duration{tool=Bash})`."""
    return read(parse_expression(text), Scope.GLOBAL)[0]


def rule(**keys: Any) -> Rule:
    """A rule of these keys of a document; `for_` stands for `for`, `and_` for `and`."""
    document = {"id": "rule", "metric": "session_cost", **keys}
    return parse({key.rstrip("_"): value for key, value in document.items()})


def operand(found: Rule) -> Operand:
    return found.conditions[0].operand


def hourly(
    found: Rule, amounts: dict[str, dict[int, float]], records: dict[str, list[int]] | None = None
) -> HourlySeries:
    """A series of the first operand of a rule: subject → hour → value."""
    cells = [Cell(subject, hour, value) for subject, hours in amounts.items() for hour, value in hours.items()]
    return HourlySeries({operand(found): cells}, scope=found.scope, records=records)


def states(outcome: Outcome) -> dict[str, State]:
    return {subject: standing.state for subject, standing in outcome.standings.items()}


class Gauge:
    """A rule on a gauge, fed with one reading after the other: None is no reading."""

    def __init__(self, **keys: Any) -> None:
        self.rule = rule(**{"metric": "ingest.lag", "threshold": 10, **keys})
        self.outcome = Outcome(standings={})
        self.told: list[tuple[int, State]] = []

    def feed(self, now: int, value: float | None) -> Outcome:
        """Evaluate at `now` with this reading."""
        cells = [] if value is None else [Cell("", now - 1, value)]
        series = HourlySeries({operand(self.rule): cells}, scope=Scope.GLOBAL)
        self.outcome = evaluate(self.rule, series.at(now), self.outcome.standings, now, UTC_ZONE)
        self.told += [(one.at, one.after) for one in self.outcome.transitions]
        return self.outcome

    @property
    def state(self) -> State:
        """Where it stands."""
        standing = self.outcome.standings.get("")
        return State.INACTIVE if standing is None else standing.state
