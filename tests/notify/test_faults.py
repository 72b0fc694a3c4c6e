"""Faults while people are told: kills, a store that refuses, defects, wrong clocks, receivers that answer anything."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from ccagent import failpoints
from ccagent.alerts.states import Reason, State
from ccagent.config_channel_keys import TYPES
from ccagent.errors import ConfigError, StoreError
from ccagent.failpoints import InjectedFaultError
from ccagent.metrics.catalogue import CHANNEL_TYPES, NOTIFICATIONS
from ccagent.notify.channel import Outcome
from ccagent.service import channels, telling
from ccagent.store.alert_queue import due
from ccagent.store.alert_rules import Origin, put_rule
from tests.notify.desk import RULE, Desk, configured
from tests.notify.hooks import Answer, Hooks
from tests.notify.made import NOON, message
from tests.otlp.receiver import http_receiver
from tests.sources.feed import Feed
from tests.transcripts import Session

SECOND = 1_000
MINUTE = 60_000
HOUR = 3_600_000

OVER: dict[str, Any] = {"before": State.FIRING, "after": State.RESOLVED, "reason": Reason.CLEAR, "value": 1.0}


# ---- faults ----------------------------------------------------------------------------------------------------------


def test_what_was_delivered_and_not_settled_is_told_again_under_the_same_key(
    at: Desk, hooks: Hooks, telling_of: Any
) -> None:
    key = at.happen("hook")
    failpoints.arm(failpoints.parse("after_notification:raise"))
    try:
        with pytest.raises(InjectedFaultError):
            telling_of(configured(hooks)).look()
    finally:
        failpoints.arm(None)

    telling_of(configured(hooks)).look()

    assert hooks.keys == [key, key]
    assert at.states() == ["sent"]


def test_a_store_that_refuses_does_not_make_a_message_leave_twice(
    at: Desk, hooks: Hooks, telling_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    at.happen("hook")
    turned = telling_of(configured(hooks))
    run, refusals = at.store.run, [StoreError("full"), StoreError("full")]
    monkeypatch.setattr(telling, "STORE_SECONDS", 0.0)

    def refusing(work: Any) -> Any:
        if refusals and hooks.bodies:
            raise refusals.pop()
        return run(work)

    monkeypatch.setattr(at.store, "run", refusing)
    turned.look()

    assert not refusals
    assert len(hooks.bodies) == 1
    assert at.states() == ["sent"]


def test_a_defect_of_a_channel_ends_nothing_and_is_told(
    at: Desk, hooks: Hooks, telling_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ccagent.notify.webhook import WebhookChannel

    def broken(*_: object) -> None:
        raise ZeroDivisionError("of-nobody")

    at.happen("hook", "log")
    monkeypatch.setattr(WebhookChannel, "deliver", broken)

    telling_of(configured(hooks)).look()

    assert at.live.problems["alerts.channels.hook"] == "the channel hook: a defect of ccagent: ZeroDivisionError"
    assert {row.channel: str(row.state) for row in at.rows()} == {"hook": "waiting", "log": "sent"}


def test_a_database_that_is_away_is_no_defect_of_a_channel(
    at: Desk, hooks: Hooks, telling_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = at.happen("hook")
    turned = telling_of(configured(hooks))
    with monkeypatch.context() as away:
        away.setattr(channels, "places", refusing)
        turned.look()
        problem = at.live.problems["alerts.channels.hook"]
    at.clock.advance(MINUTE)
    turned.look()

    assert problem == "the channel hook: the database: away"
    assert hooks.keys == [key]


def refusing(*_: object) -> None:
    raise StoreError("away")


def test_a_clock_that_was_ahead_holds_nothing_up_for_ever(at: Desk, hooks: Hooks, telling_of: Any) -> None:
    turned = telling_of(configured(hooks, "group_seconds = 30"))
    at.clock.jump(NOON + 400 * 24 * HOUR)
    key = at.happen("hook")
    turned.look()

    at.clock.jump(NOON)
    for _ in range(40):
        turned.look()
        at.clock.advance(SECOND)

    assert hooks.keys == [key]


@pytest.mark.parametrize(("alerts", "answer"), [("group_seconds = 30", 200), ("group_seconds = 0", 503)])
def test_a_clock_that_was_hours_ahead_holds_nothing_up_for_as_long(
    at: Desk, hooks: Hooks, telling_of: Any, alerts: str, answer: int
) -> None:
    turned = telling_of(configured(hooks, alerts))
    at.clock.jump(NOON + 10 * HOUR)
    hooks.script.append(Answer(status=answer))
    waits = at.happen("hook")
    turned.look()
    late = at.happen("hook", subject="/p/late")

    at.clock.jump(NOON)
    for _ in range(40):
        turned.look()
        at.clock.advance(SECOND)

    assert sorted(set(hooks.keys)) == sorted([waits, late])
    assert at.states() == ["sent", "sent"]


def test_a_channel_that_cannot_be_used_is_refused_before_anything_is_told(at: Desk) -> None:
    text = '[alerts.channels.cmd]\ntype = "command"\ncommand = ["/bin/true", "--x={nothing}"]\n'

    with pytest.raises(ConfigError, match="an argument of its own"):
        at.notifying(text)


def test_the_metric_knows_every_channel_and_every_outcome() -> None:
    assert CHANNEL_TYPES == TYPES
    assert set(NOTIFICATIONS) == {*map(str, Outcome), telling.GIVEN_UP}


@pytest.mark.parametrize("seed", range(6))
def test_whatever_a_receiver_answers_each_transition_is_told_under_its_one_key(
    at: Desk, hooks: Hooks, telling_of: Any, seed: int
) -> None:
    """Answers by chance for a while, restarts in between, then calm: all is settled, and what was not refused was taken."""
    chance = random.Random(seed)
    answers = [
        Answer(), Answer(status=201, body=b""), Answer(status=301), Answer(status=400), Answer(status=403), Answer(status=429),
        Answer(status=500), Answer(status=503, headers={"Retry-After": "30"}), Answer(reset=True), Answer(raw=b"garbage"),
        Answer(body=b"<html>sign in", content_type="text/html"),
    ]  # fmt: skip
    turned = telling_of(configured(hooks, "group_seconds = 10"), chance=chance.random())
    keys = []
    for number in range(60):
        severity = chance.choice(["info", "warning", "critical"])
        keys.append(at.happen("hook", "log", subject=f"/p/{number}", severity=severity))
        hooks.script.extend(chance.choices(answers, k=2))
        turned.look()
        at.clock.advance(chance.randrange(20) * SECOND)
        if chance.random() < 0.1:
            turned = telling_of(configured(hooks, "group_seconds = 10"), chance=chance.random())
    hooks.script.clear()
    for _ in range(200):
        turned.look()
        at.clock.advance(30 * SECOND)

    told = {row.entry.key: str(row.state) for row in at.rows() if row.channel == "hook"}
    assert set(told) == set(keys)
    assert set(told.values()) <= {"sent", "failed"}
    assert {key for key, state in told.items() if state == "sent"} == set(hooks.keys)
    assert len(hooks.keys) == len(set(hooks.keys))
    assert {str(row.state) for row in at.rows() if row.channel == "log"} == {"sent"}
    assert at.counted()["webhook", "sent"] == len(hooks.keys)


# ---- once, and over OTLP ---------------------------------------------------------------------------------------------


def test_a_run_that_takes_in_all_there_is_tells_what_is_due_without_waiting(at: Desk, hooks: Hooks) -> None:
    keys = [at.happen("hook"), at.happen("hook", subject="/p/other")]

    problems = at.notifying(configured(hooks, "group_seconds = 3600")).drain()

    assert problems == {}
    assert hooks.keys == keys


def test_it_says_what_could_not_be_told_and_tries_once(at: Desk, hooks: Hooks) -> None:
    hooks.answer = Answer(status=500)
    at.happen("hook", "log")

    problems = at.notifying(configured(hooks, "group_seconds = 30")).drain()

    assert list(problems) == ["alerts/hook"]
    assert "500" in problems["alerts/hook"]
    assert len(hooks.bodies) == 1
    assert {row.channel: str(row.state) for row in at.rows()} == {"hook": "waiting", "log": "sent"}


def test_by_otlp_a_project_leaves_as_a_number_and_one_at_tier_0_not_at_all(at: Desk, tmp_path: Path) -> None:
    private = tmp_path / "yvprivate"
    (private / ".git").mkdir(parents=True)
    (private / ".ccagent.toml").write_text("tier = 0\n")
    at.happen("otlp")
    at.happen("otlp", subject=str(private))
    with http_receiver() as collector:
        text = f'[alerts]\ngroup_seconds = 0\n[otlp]\nendpoint = "{collector.http}"\nprotocol = "http/protobuf"\n'
        notifying = at.notifying(text)

        notifying.drain()

        (record,) = collector.received.logs
    assert "shop" not in str(record)
    assert sorted(at.states()) == ["dropped", "sent"]
    assert at.counted() == {("otlp", "sent"): 1, ("otlp", "withheld"): 1}


def test_by_otlp_no_amount_leaves_that_holds_the_work_of_a_private_folder(hooks: Hooks, tmp_path: Path) -> None:
    root = tmp_path / "yvproject"
    (root / ".git").mkdir(parents=True)
    (root / "private").mkdir()
    (root / "private" / ".ccagent.toml").write_text("tier = 0\n")
    session = Session("one", cwd=str(root))
    session.prompt("hello")
    session.cwd = str(root / "private")
    session.request()
    feed = Feed(tmp_path / "alerts.db").read(session)
    at = Desk(store=feed.store, clock=feed.clock, folder=tmp_path)
    at.store.write(lambda conn: put_rule(conn, {**RULE, "id": "all", "scope": "global"}, origin=Origin.CLI, now_ms=1))
    at.happen("otlp", "hook", subject=str(root))
    at.happen("otlp", rule="all", subject="")
    with http_receiver() as collector:
        more = f'[otlp]\nendpoint = "{collector.http}"\nprotocol = "http/protobuf"\n'
        at.notifying(configured(hooks, more=more)).drain()
        records = list(collector.received.logs)
    states = {(row.channel, row.entry.subject): str(row.state) for row in at.rows()}
    at.close()

    assert states == {("otlp", str(root)): "dropped", ("hook", str(root)): "sent", ("otlp", ""): "sent"}
    assert len(records) == 1
    assert "5.4" not in str(records)


def test_nothing_is_due_where_nothing_happened(at: Desk, hooks: Hooks) -> None:
    assert at.notifying(configured(hooks)).look(NOON) == 0
    with at.readers.reader() as conn:
        assert due(conn, NOON, 10, host=at.store.host) == []
    assert message().key == "k1"
