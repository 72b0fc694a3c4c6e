"""Alert rules where hosts share a database: whoever is elected goes on from where the subjects stand, not from what it knew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ccagent.alerts.rule import Operand, Scope
from ccagent.alerts.series import Amount, Span
from ccagent.clock import FakeClock
from ccagent.config import load
from ccagent.errors import StoreError
from ccagent.metrics import names
from ccagent.service.alerting import Alerting
from ccagent.service.live import Live
from ccagent.store.alert_rules import Origin, put_rule
from ccagent.store.connection import Connection
from ccagent.store.location import parse_database
from ccagent.store.opening import open_store
from ccagent.store.writer import Writer

NOW = 1_790_000_000_000
MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
RULE = "spend"


class Amounts:
    """A series of one amount, which the test sets."""

    def __init__(self) -> None:
        self.value = 0.0
        self.asked: Callable[[], None] = lambda: None

    def amounts(
        self, operand: Operand, scope: Scope, spans: Sequence[Span], only: Sequence[str] = ()
    ) -> Mapping[str, Sequence[Amount | None]]:
        """The amount, in every span, of everything together."""
        self.asked()
        return {"": [Amount(self.value, 1.0) for _ in spans]} if scope is Scope.GLOBAL else {}

    def sessions(self, since: int, until: int) -> Mapping[str, int]:
        """None."""
        return {}

    def began(self, operand: Operand, scope: Scope) -> Mapping[str, int]:
        """Nothing has."""
        return {}


class Host:
    """One host's evaluation, turned by hand."""

    def __init__(self, url: str, name: str, clock: FakeClock, series: Amounts, config: Any) -> None:
        self.store: Writer = open_store(parse_database(url), clock=clock, host_id=name)
        live = Live()
        live.caught_up = True

        def reader() -> AbstractContextManager[Connection]:
            return nullcontext(self.store.conn)

        self.alerting = Alerting(
            self.store, reader, ZoneInfo("UTC"), live, clock, config, lambda conn, now_ms: series
        )  # fmt: skip

    def gauge(self) -> float | None:
        """What its page says of the rule."""
        return self.alerting.firing.get((names.ALERTS_FIRING, (RULE,)))

    def lose_its_session(self, other: Host) -> None:
        """As a server does that ends it, or a network."""
        other.store.conn.execute("SELECT pg_terminate_backend(?::integer, 5000)", (self.store.conn.backend_pid,))


@pytest.fixture
def series() -> Amounts:
    return Amounts()


@pytest.fixture
def hosts(pg_database: str, series: Amounts, tmp_path: Any) -> Iterator[tuple[Host, Host, FakeClock]]:
    file = tmp_path / "config.toml"
    file.write_text(f'[alerts.rules.{RULE}]\nmetric = "session_cost"\nwindow = "6h"\noperator = ">"\nthreshold = 5.0\n')
    config = load({}, {"HOME": str(tmp_path)}, path=file).alerts
    clock = FakeClock(NOW)
    made = [Host(pg_database, name, clock, series, config) for name in ("one", "two")]
    made[0].store.set_meta("zone", "UTC")
    yield made[0], made[1], clock
    for host in made:
        host.store.close()


def history(host: Host) -> list[tuple[str, int]]:
    """What was told of the rule: state and episode."""
    return host.store.ask(
        "SELECT after, episode FROM alert_history WHERE rule = ? AND key IS NOT NULL ORDER BY id", (RULE,)
    )


def test_a_host_that_is_elected_again_goes_on_from_what_the_other_one_found(
    hosts: tuple[Host, Host, FakeClock], series: Amounts
) -> None:
    one, two, clock = hosts
    one.alerting.evaluate()
    one.lose_its_session(two)
    assert two.store.elected()
    assert not one.store.elected()
    one.alerting.evaluate()
    series.value = 9.0
    clock.advance(MINUTE_MS)
    two.alerting.evaluate()
    assert history(two) == [("firing", 1)]

    two.lose_its_session(one)
    assert one.store.elected()
    assert not two.store.elected()
    clock.advance(MINUTE_MS)
    one.alerting.evaluate()

    assert history(one) == [("firing", 1)]


def test_only_the_elected_host_shows_what_fires(hosts: tuple[Host, Host, FakeClock], series: Amounts) -> None:
    one, two, clock = hosts
    series.value = 9.0
    one.alerting.evaluate()
    two.alerting.evaluate()
    series.value = 1.0
    clock.advance(MINUTE_MS)
    one.alerting.evaluate()
    two.alerting.evaluate()

    assert (one.gauge(), two.gauge()) == (0, None)


BROKEN = "broken"
SLOW = {"id": "slow", "metric": "requests", "window": "6h", "threshold": 5}


def of_broken(host: Host) -> list[tuple[str, str, str]]:
    """Changes of state of the rule that each host judges for itself: subject, state and reason."""
    return host.store.ask("SELECT subject, after, reason FROM alert_history WHERE rule = ? ORDER BY id", (BROKEN,))


def test_what_fires_for_a_host_that_is_gone_ends_and_goes_on_should_it_return(
    hosts: tuple[Host, Host, FakeClock], series: Amounts
) -> None:
    one, two, clock = hosts
    rule = {"id": BROKEN, "metric": "export.backlog", "aggregation": "last", "window": "now", "threshold": 5}
    one.alerting.evaluate()
    one.store.write(lambda conn: put_rule(conn, rule, origin=Origin.CLI, now_ms=NOW))
    one.alerting.evaluate()
    series.value = 9.0
    two.alerting.evaluate()
    series.value = 0.0
    for _ in range(49):  # without a word of the other host
        clock.advance(60 * MINUTE_MS)
        one.alerting.evaluate()
    gone = of_broken(one)

    series.value = 9.0
    clock.advance(MINUTE_MS)
    for _ in range(2):
        two.alerting.evaluate()
    back = of_broken(one)
    series.value = 0.0
    clock.advance(MINUTE_MS)
    two.alerting.evaluate()

    assert gone == [("two", "firing", "holds"), ("two", "resolved", "no_data")]
    assert back == [*gone, ("two", "firing", "holds")]
    assert of_broken(one) == [*back, ("two", "resolved", "clear")]


def test_outside_of_its_schedule_a_rule_of_a_host_stays_as_it_is(
    hosts: tuple[Host, Host, FakeClock], series: Amounts
) -> None:
    one, two, clock = hosts
    schedule = {"days": "Mon-Fri", "hours": "00:00-24:00"}
    rule = {"id": BROKEN, "metric": "export.backlog", "aggregation": "last", "window": "now", "threshold": 5}
    clock.jump(NOW + (4 - datetime.fromtimestamp(NOW / 1_000, UTC).weekday()) % 7 * DAY_MS)  # a Friday
    one.alerting.evaluate()
    one.store.write(
        lambda conn: put_rule(conn, {**rule, "schedule": schedule}, origin=Origin.CLI, now_ms=clock.now_ms())
    )
    one.alerting.evaluate()
    series.value = 9.0
    two.alerting.evaluate()
    for _ in range(50):
        clock.advance(60 * MINUTE_MS)
        one.alerting.evaluate()
        two.alerting.evaluate()

    assert ("two", "firing", "holds") in of_broken(one)
    assert [found for found in of_broken(one) if found[1] == "resolved"] == []


def test_who_is_no_longer_elected_keeps_nothing_of_the_evaluation_that_it_was_at(
    hosts: tuple[Host, Host, FakeClock], series: Amounts
) -> None:
    one, two, clock = hosts
    one.alerting.evaluate()
    one.store.write(lambda conn: put_rule(conn, {**SLOW, "for": "2m"}, origin=Origin.CLI, now_ms=NOW))
    two.store.elected()
    series.value = 9.0
    one.alerting.evaluate()

    def lost() -> None:
        """The machine slept in the middle of it, and somebody else went on."""
        series.asked = lambda: None
        one.lose_its_session(two)
        assert two.store.elected()
        clock.advance(2 * MINUTE_MS)
        two.alerting.evaluate()

    clock.advance(MINUTE_MS)
    series.asked = lost
    with suppress(StoreError):
        one.alerting.evaluate()

    found = two.store.ask("SELECT state, episode FROM alert_state WHERE rule = ?", (SLOW["id"],))
    assert found == [("firing", 1)]
