"""The evaluation of alert rules as the schedule drives it: turned by hand, over real stores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ccagent.alerts.rule import Operand, Scope
from ccagent.alerts.series import Amount, Span
from ccagent.clock import FakeClock
from ccagent.config import load
from ccagent.config_alerts import AlertsConfig
from ccagent.errors import StoreError
from ccagent.metrics import names as metric
from ccagent.service.alerting import IDLE_SECONDS, Alerting
from ccagent.service.live import Live
from ccagent.store import alert_states
from ccagent.store.alert_queue import due
from ccagent.store.alert_rules import Origin, put_rule, set_enabled
from ccagent.store.alert_series import StoreSeries
from ccagent.store.alert_states import history
from ccagent.store.connection import Connection
from ccagent.store.writer import Writer
from tests.sources.feed import Feed

UTC = ZoneInfo("UTC")
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

OVER = {"id": "over", "metric": "session_cost", "window": "daily", "threshold": 5, "channels": ["log"]}
SLOW = {**OVER, "id": "slow", "for": "10m"}
BROKEN = {"id": "broken", "metric": "export.backlog", "aggregation": "last", "window": "now", "threshold": 5}


class Amounts:
    """A series that a test sets: the amount of every span of two metrics; one in `faults` cannot be asked."""

    def __init__(self) -> None:
        self.value: float | None = 0.0
        self.since: int | None = None
        """When all of it lies in the span that begins then."""
        self.faults: set[str] = set()
        self.asked = 0

    def amounts(
        self, operand: Operand, scope: Scope, spans: Sequence[Span], only: Sequence[str] = ()
    ) -> Mapping[str, Sequence[Amount | None]]:
        if operand.metric not in ("session_cost", "requests"):
            return {}
        self.asked += 1
        if operand.metric in self.faults:
            raise RuntimeError("no such amounts")
        if self.value is None:
            return {}
        return {"": [Amount(self.value, 1) if self.since in (None, span[0]) else None for span in spans]}

    def sessions(self, since: int, until: int) -> Mapping[str, int]:
        return {}

    def began(self, operand: Operand, scope: Scope) -> Mapping[str, int]:
        return {}


class Stage:
    """A store, what evaluates over it, and the clock."""

    def __init__(self, feed: Feed, folder: Path, amounts: Amounts | None = None, text: str = "") -> None:
        self.feed = feed
        self.store: Writer = feed.store
        self.clock: FakeClock = feed.clock
        self.amounts = amounts or Amounts()
        self.live = Live(caught_up=True)
        self.folder = folder
        self.zone = UTC
        self.alerting = self.made(text)

    def config(self, text: str = "") -> AlertsConfig:
        path = self.folder / "config.toml"
        path.write_text(text)
        return load({}, {"HOME": str(self.folder)}, path).alerts

    def made(self, text: str = "") -> Alerting:
        """A new process's."""
        return Alerting(
            self.store, self.reader, self.zone, self.live, self.clock, self.config(text), lambda conn, now: self.amounts
        )

    @contextmanager
    def reader(self) -> Iterator[Connection]:
        yield self.store.conn

    def put(self, *rules: Mapping[str, Any]) -> None:
        for rule in rules:
            self.store.write(
                lambda conn, rule=rule: put_rule(conn, rule, origin=Origin.CLI, now_ms=self.clock.now_ms())
            )

    def at(self, value: float | None, after_ms: int = MINUTE_MS) -> None:
        """A later moment with another amount."""
        self.amounts.value = value
        if after_ms < 0:
            self.clock.jump(self.clock.now_ms() + after_ms)
        else:
            self.clock.advance(after_ms)
        self.alerting.evaluate()

    def told(self, rule: str = "over") -> list[str]:
        return [str(entry.after) for entry in reversed(history(self.store.conn, rule=rule, told_only=True))]


@pytest.fixture
def stage(either_store: str, tmp_path: Path) -> Iterator[Stage]:
    feed = Feed()
    yield Stage(feed, tmp_path)
    feed.close()


def commits(stage: Stage) -> int:
    return int(stage.store.ask("SELECT SUM(commits) FROM host")[0][0])


def test_a_rule_fires_and_resolves_and_each_is_there_once(stage: Stage) -> None:
    stage.put(OVER)

    for value in (1, 6, 7, 6, 4, 3):
        stage.at(value)

    assert stage.told() == ["firing", "resolved"]
    assert len(due(stage.store.conn, stage.clock.now_ms(), 10, host=stage.store.host)) == 2
    assert stage.alerting.firing[metric.ALERTS_FIRING, ("over",)] == 0


def test_a_restart_goes_on_from_what_was_kept(stage: Stage) -> None:
    stage.put(OVER, SLOW)
    stage.at(6)
    stage.at(6, 4 * MINUTE_MS)

    stage.alerting = stage.made()
    stage.at(6, 4 * MINUTE_MS)
    assert stage.told("slow") == []
    stage.at(6, 4 * MINUTE_MS)

    assert stage.told("over") == ["firing"]
    assert stage.told("slow") == ["firing"]


def test_a_night_in_which_the_machine_slept_makes_nothing_fire(stage: Stage) -> None:
    stage.put(SLOW)
    stage.at(6)

    stage.at(6, 9 * HOUR_MS)
    assert stage.told("slow") == []
    for _ in range(6):
        stage.at(6)

    assert stage.told("slow") == ["firing"]


@pytest.mark.parametrize("jump", [-3 * DAY_MS, 3 * HOUR_MS], ids=["back", "forth"])
def test_a_clock_that_jumps_neither_fires_nor_doubles(stage: Stage, jump: int) -> None:
    stage.put(OVER, SLOW)
    stage.at(6)
    stage.at(6)

    stage.at(6, jump)
    assert stage.told("slow") == []
    for _ in range(10):
        stage.at(6)

    assert stage.told("slow") == ["firing"]
    assert stage.told("over") == ["firing"]


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)])
def test_a_daily_alert_ends_with_its_day_also_when_clocks_change(stage: Stage, day: str, hours: int) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    start = round(datetime.fromisoformat(day).replace(tzinfo=berlin).timestamp() * 1_000)
    stage.put(OVER)
    stage.zone = berlin
    stage.alerting = stage.made()
    stage.amounts.since = start
    stage.clock.jump(start - MINUTE_MS)

    stage.at(6, 2 * MINUTE_MS)
    for _ in range(hours * 4 + 8):
        stage.at(6, 15 * MINUTE_MS)

    fired, resolved = reversed(history(stage.store.conn, rule="over", told_only=True))
    assert (str(fired.after), fired.at) == ("firing", start + MINUTE_MS)
    assert (str(resolved.after), str(resolved.reason)) == ("resolved", "period")
    assert start + hours * HOUR_MS <= resolved.at <= start + hours * HOUR_MS + 15 * MINUTE_MS


def test_data_that_come_late_fire_once(stage: Stage) -> None:
    stage.put(OVER)
    for value in (None, 1, 6, 9, 9):
        stage.at(value)

    assert stage.told() == ["firing"]


def test_an_idle_machine_writes_nothing_for_what_fires(stage: Stage) -> None:
    stage.put(OVER)
    stage.at(6)
    before = commits(stage)

    for _ in range(8):
        stage.at(6)

    assert commits(stage) == before


def test_a_rule_that_raises_is_told_counted_and_stops_no_other(stage: Stage) -> None:
    stage.put(OVER, {**OVER, "id": "bad", "metric": "requests"})
    stage.amounts.faults.add("requests")

    stage.at(6)
    assert stage.told() == ["firing"]
    assert "bad" in stage.live.problems["alerts"]
    assert stage.feed.counted(metric.ALERT_EVALUATIONS)['["error"]'] == 1
    stage.amounts.faults.clear()
    stage.at(6)

    assert "alerts" not in stage.live.problems
    assert stage.told("bad") == ["firing"]


def test_what_another_process_changes_holds_at_the_next_evaluation(stage: Stage) -> None:
    stage.put(OVER)
    stage.at(6)

    stage.store.write(lambda conn: set_enabled(conn, "over", False, stage.clock.now_ms()))
    stage.at(6)
    assert stage.told() == ["firing", "resolved"]
    assert (metric.ALERTS_FIRING, ("over",)) not in stage.alerting.firing
    stage.store.write(lambda conn: set_enabled(conn, "over", True, stage.clock.now_ms()))
    stage.at(6)

    assert stage.told() == ["firing", "resolved", "firing"]


def test_a_rule_changed_while_it_was_evaluated_is_evaluated_anew(stage: Stage) -> None:
    """The change comes between the reading of the rules and the writing of what they found."""
    stage.put(OVER)
    stage.at(1)
    changed = stage.amounts.amounts

    def meanwhile(*args: Any, **more: Any) -> Any:
        stage.amounts.amounts = changed  # type: ignore[method-assign]
        stage.put({**OVER, "threshold": 50})
        return changed(*args, **more)

    stage.amounts.amounts = meanwhile  # type: ignore[method-assign]
    stage.at(6)
    stage.at(6)

    assert stage.told() == []


def test_a_rule_that_was_removed_by_force_is_resolved(stage: Stage) -> None:
    stage.put(OVER)
    stage.at(6)
    stage.store.write(lambda conn: conn.execute("DELETE FROM alert_rule WHERE id = 'over'"))
    stage.alerting = stage.made()

    stage.at(6)

    assert stage.told() == ["firing", "resolved"]
    assert alert_states.firing(stage.store.conn) == []


def test_what_a_counter_did_while_its_rule_was_off_is_not_of_its_first_window(stage: Stage) -> None:
    def series(conn: Connection, now: int) -> StoreSeries:
        return StoreSeries(conn, UTC, now, write=stage.store.write)

    def hours(number: int) -> None:
        for _ in range(number):
            stage.clock.advance(HOUR_MS)
            stage.alerting.evaluate()

    stage.alerting = Alerting(
        stage.store, stage.reader, UTC, stage.live, stage.clock, stage.config(), series
    )  # fmt: skip
    stage.put({"id": "full", "metric": metric.STORE_FAILURES, "window": "24h", "threshold": 0, "channels": ["log"]})
    hours(2)
    stage.store.write(lambda conn: set_enabled(conn, "full", False, stage.clock.now_ms()))
    hours(30)
    stage.store.book({(metric.STORE_FAILURES, ("full",), True): 3})
    hours(48)
    stage.store.write(lambda conn: set_enabled(conn, "full", True, stage.clock.now_ms()))
    hours(2)
    before = stage.told("full")
    stage.store.book({(metric.STORE_FAILURES, ("full",), True): 1})
    hours(1)

    assert (before, stage.told("full")) == ([], ["firing"])


def test_rules_without_channels_are_told_where_the_configuration_says(stage: Stage) -> None:
    stage.put({name: value for name, value in OVER.items() if name != "channels"})
    stage.alerting = stage.made('[alerts]\ndefault_channels = ["desktop"]\n')

    stage.at(6)

    assert [one.channel for one in due(stage.store.conn, stage.clock.now_ms(), 9, host=stage.store.host)] == ["desktop"]


def test_ticks_evaluate_when_something_was_written_and_once_a_minute(stage: Stage) -> None:
    stage.put(OVER)
    stage.alerting.tick(0.0)
    asked = stage.amounts.asked

    for second in range(1, 40):
        stage.alerting.tick(float(second))
    assert stage.amounts.asked == asked
    stage.store.set_meta("zone", "UTC")
    stage.alerting.tick(45.0)
    assert stage.amounts.asked > asked
    asked = stage.amounts.asked
    stage.alerting.tick(45.0 + IDLE_SECONDS - 1)
    assert stage.amounts.asked == asked
    stage.alerting.tick(45.0 + IDLE_SECONDS + 15)

    assert stage.amounts.asked > asked


def test_nothing_is_evaluated_before_the_first_catch_up_is_done(stage: Stage) -> None:
    stage.put(OVER)
    stage.live.caught_up = False
    stage.alerting.tick(100.0)

    assert stage.amounts.asked == 0


def test_a_store_that_refuses_leaves_nothing_and_the_next_evaluation_goes_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.put(OVER)
    stage.at(1)

    def refuse(name: str) -> None:
        if name == "after_history":
            raise RuntimeError("a fault in the middle of the transaction")

    with monkeypatch.context() as patch:
        patch.setattr("ccagent.store.alert_states.hit", refuse)
        with pytest.raises(RuntimeError):
            stage.at(6)
    assert stage.told() == []
    assert alert_states.standings(stage.store.conn) == []
    stage.at(6)

    assert stage.told() == ["firing"]


def test_evaluations_that_the_store_did_not_take_are_counted_later(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.put(OVER)
    stage.at(1)
    stage.at(1)
    booked = stage.feed.counted(metric.ALERT_EVALUATIONS)['["ok"]']

    def refuse(name: str) -> None:
        if name == "before_commit":
            raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("ccagent.store.writer.hit", refuse)
        with pytest.raises(StoreError):
            stage.alerting.book(stage.clock.now_ms())
    stage.alerting.book(stage.clock.now_ms())

    assert stage.feed.counted(metric.ALERT_EVALUATIONS)['["ok"]'] == 2 * booked > 0
