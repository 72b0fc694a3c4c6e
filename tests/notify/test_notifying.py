"""What is due is told, held, tried again or given up; settled once, and under one key."""

from __future__ import annotations

import json
from typing import Any

from ccagent.alerts.states import Reason, State
from ccagent.store.alert_rules import remove_rule
from tests.notify.desk import Desk, configured
from tests.notify.hooks import Answer, Hooks
from tests.notify.made import NOON

SECOND = 1_000
MINUTE = 60_000
HOUR = 3_600_000

OVER: dict[str, Any] = {"before": State.FIRING, "after": State.RESOLVED, "reason": Reason.CLEAR, "value": 1.0}


def test_a_transition_is_told_once_under_its_own_key(at: Desk, hooks: Hooks, telling_of: Any) -> None:
    key = at.happen("hook")
    turned = telling_of(configured(hooks))

    for _ in range(3):
        turned.look()
        at.clock.advance(HOUR)

    assert hooks.keys == [key]
    assert at.states() == ["sent"]
    assert at.rows()[0].attempts == 1
    assert at.counted() == {("webhook", "sent"): 1}


def test_each_channel_is_told_and_settled_for_itself(at: Desk, hooks: Hooks, telling_of: Any) -> None:
    hooks.answer = Answer(status=503)
    at.happen("hook", "log")
    turned = telling_of(configured(hooks))

    turned.look()

    assert {row.channel: str(row.state) for row in at.rows()} == {"hook": "waiting", "log": "sent"}
    assert at.counted() == {("webhook", "retry"): 1, ("log", "sent"): 1}


def test_a_receiver_that_is_away_is_tried_again_with_growing_pauses(at: Desk, hooks: Hooks, telling_of: Any) -> None:
    hooks.answer = Answer(status=500)
    key = at.happen("hook")
    turned = telling_of(configured(hooks))
    tries = []

    for _ in range(1_200):
        before = len(hooks.bodies)
        turned.look()
        if len(hooks.bodies) > before:
            tries.append((at.clock.now_ms() - NOON) // SECOND)
        at.clock.advance(SECOND)
    hooks.answer = Answer()
    at.clock.advance(HOUR)
    turned.look()

    assert tries == [0, 5, 15, 35, 75, 155, 315, 635]
    assert hooks.keys == [key]
    assert {body["alerts"][0]["key"] for body in map(json.loads, hooks.bodies)} == {key}
    assert at.states() == ["sent"]
    assert at.rows()[0].attempts == 9


def test_problems_of_a_channel_are_seen_and_go(at: Desk, hooks: Hooks, telling_of: Any) -> None:
    hooks.script.append(Answer(status=403, body=b"of-nobody is refused"))
    at.happen("hook")
    turned = telling_of(configured(hooks))

    turned.look()
    told = at.live.problems["alerts.channels.hook"]
    at.clock.advance(HOUR)
    turned.look()

    assert "403" in told
    assert "of-nobody" not in told
    assert "alerts.channels.hook" not in at.live.problems
    assert "of-nobody" not in str(at.rows()[0].error)


def test_the_receivers_own_wish_is_kept_for_all_that_it_is_to_be_told(at: Desk, hooks: Hooks, telling_of: Any) -> None:
    hooks.script.append(Answer(status=429, headers={"Retry-After": "120"}))
    first = at.happen("hook")
    turned = telling_of(configured(hooks))
    turned.look()
    at.clock.advance(MINUTE)
    second = at.happen("hook", subject="/p/other", severity="critical")

    turned.look()
    tried_meanwhile = len(hooks.bodies)
    at.clock.advance(MINUTE)
    turned.look()

    assert tried_meanwhile == 1
    assert hooks.keys == [first, second]


def test_what_nobody_takes_within_a_day_is_given_up_and_counted(at: Desk, hooks: Hooks, telling_of: Any) -> None:
    hooks.answer = Answer(status=500)
    at.happen("hook")
    turned = telling_of(configured(hooks))

    for _ in range(300):
        turned.look()
        at.clock.advance(10 * MINUTE)

    (row,) = at.rows()
    assert (str(row.state), row.next_at) == ("failed", None)
    assert "given up after a day: 500" in str(row.error)
    assert at.counted()["webhook", "given_up"] == 1
    assert at.counted()["webhook", "retry"] == row.attempts - 1


def test_what_is_older_than_a_day_is_tried_once(at: Desk, hooks: Hooks, telling_of: Any) -> None:
    """The machine slept: what happened before is still news."""
    key = at.happen("hook")
    at.clock.advance(3 * 24 * HOUR)

    telling_of(configured(hooks)).look()

    assert hooks.keys == [key]


def test_what_is_refused_is_not_sent_again(at: Desk, hooks: Hooks, telling_of: Any) -> None:
    hooks.answer = Answer(status=400, body=b"no such field")
    at.happen("hook")
    turned = telling_of(configured(hooks))

    for _ in range(3):
        turned.look()
        at.clock.advance(HOUR)

    assert len(hooks.bodies) == 1
    assert (at.states(), at.rows()[0].error) == (["failed"], "400 Bad Request: no such field")
    assert at.counted() == {("webhook", "refused"): 1}


def test_one_that_is_refused_does_not_take_its_group_along(at: Desk, hooks: Hooks, telling_of: Any) -> None:
    keys = [at.happen("hook", subject=f"/p/{number}") for number in range(3)]
    hooks.script.extend([Answer(status=400), Answer(), Answer(status=400), Answer()])

    telling_of(configured(hooks)).look()

    assert hooks.keys == [keys[0], keys[2]]
    assert at.states() == ["sent", "failed", "sent"]


# ---- together, later, or not at all ----------------------------------------------------------------------------------


def test_what_happens_together_leaves_as_one_message(at: Desk, hooks: Hooks, telling_of: Any) -> None:
    turned = telling_of(configured(hooks, "group_seconds = 30"))
    keys = []

    for number in range(4):
        keys.append(at.happen("hook", subject=f"/p/{number}"))
        turned.look()
        at.clock.advance(9 * SECOND)
    early = len(hooks.bodies)
    turned.look()

    assert early == 0
    assert hooks.keys == keys
    assert len(hooks.bodies) == 1
    assert all(row.attempts == 1 for row in at.rows())


def test_a_critical_alert_waits_for_nobody(at: Desk, hooks: Hooks, telling_of: Any) -> None:
    turned = telling_of(configured(hooks, "group_seconds = 30"))
    at.happen("hook", subject="/p/one")
    urgent = at.happen("hook", severity="critical", subject="/p/two")

    turned.look()

    assert hooks.keys == [urgent]


def test_more_than_a_message_holds_is_several(at: Desk, hooks: Hooks, telling_of: Any) -> None:
    keys = [at.happen("hook", subject=f"/p/{number:02}") for number in range(45)]

    telling_of(configured(hooks)).look()

    assert hooks.keys == keys
    assert [len(body["alerts"]) for body in hooks.taken] == [20, 20, 5]


def test_after_a_failure_the_rest_of_a_crowd_is_not_tried(at: Desk, hooks: Hooks, telling_of: Any) -> None:
    for number in range(45):
        at.happen("hook", subject=f"/p/{number:02}")
    hooks.script.append(Answer(status=503))
    turned = telling_of(configured(hooks))

    turned.look()
    tried = len(hooks.bodies)
    at.clock.advance(5 * SECOND)
    turned.look()

    assert tried == 1
    assert len(set(hooks.keys)) == len(hooks.keys) == 45
    assert sorted(row.attempts for row in at.rows()) == [1] * 25 + [2] * 20


NIGHT = 'quiet_hours = "22:00-07:00"\ngroup_seconds = 0'
EVENING = NOON + 9 * HOUR  # 23:00 in Berlin
MORNING = NOON + 17 * HOUR  # 07:00


def test_the_night_is_quiet_and_the_morning_tells_of_it(at: Desk, hooks: Hooks, telling_of: Any) -> None:
    turned = telling_of(configured(hooks, NIGHT))
    at.clock.jump(EVENING)
    urgent = at.happen("hook", severity="critical", subject="/p/urgent")
    stays = at.happen("hook", subject="/p/stays")
    fired = at.happen("hook", subject="/p/gone")
    turned.look()
    at.clock.advance(HOUR)
    over = at.happen("hook", subject="/p/gone", **OVER)
    turned.look()
    at_night = list(hooks.keys)
    held = [(str(row.state), row.next_at) for row in at.rows()[1:]]

    at.clock.jump(MORNING - 1)
    turned.look()
    before = list(hooks.keys)
    at.clock.jump(MORNING)
    turned.look()

    assert at_night == before == [urgent]
    assert held == [("held", MORNING)] * 3
    assert hooks.keys == [urgent, stays, fired, over]
    assert len(hooks.bodies) == 2
    assert [(alert["key"], alert["covers"]) for alert in hooks.alerts[1:]] == [(stays, []), (over, [fired])]
    assert hooks.alerts[2]["fired_at"] == "2026-09-22T21:00:00Z"
    assert at.states() == ["sent"] * 4


def test_a_channel_may_have_quiet_hours_of_its_own_or_none(at: Desk, hooks: Hooks, telling_of: Any) -> None:
    at.clock.jump(EVENING)
    key = at.happen("hook")

    telling_of(configured(hooks, NIGHT, 'quiet_hours = "off"')).look()

    assert hooks.keys == [key]


def test_other_quiet_hours_hold_from_the_reload_on(at: Desk, hooks: Hooks, telling_of: Any) -> None:
    at.clock.jump(EVENING)
    key = at.happen("hook")
    turned = telling_of(configured(hooks, NIGHT))
    turned.look()
    fresh = at.config(configured(hooks, "group_seconds = 0"))

    turned.notifying.reload(fresh.alerts, turned.notifying._settings)
    turned.look()

    assert hooks.keys == [key]


def test_a_channel_is_not_told_what_is_too_small_for_it(at: Desk, hooks: Hooks, telling_of: Any) -> None:
    at.happen("hook")
    at.happen("hook", **OVER)

    telling_of(configured(hooks, channel='min_severity = "critical"')).look()

    assert hooks.bodies == []
    assert at.states() == ["dropped", "dropped"]
    assert "from critical on" in str(at.rows()[0].error)
    assert at.rows()[0].attempts == 0


def test_who_was_told_that_it_fires_is_told_that_it_is_over_however_severe_the_rule_is_by_then(
    at: Desk, hooks: Hooks, telling_of: Any
) -> None:
    turned = telling_of(configured(hooks, channel='min_severity = "warning"'))
    fired = at.happen("hook", severity="warning")
    turned.look()
    lowered = at.happen("hook", severity="info", **OVER)
    turned.look()
    at.happen("hook", severity="info", episode=2)
    turned.look()
    at.happen("hook", severity="critical", episode=2, **OVER)
    turned.look()

    assert hooks.keys == [fired, lowered]
    assert at.states() == ["sent", "sent", "dropped", "dropped"]


def test_a_channel_may_not_want_to_hear_that_it_is_over(at: Desk, hooks: Hooks, telling_of: Any) -> None:
    key = at.happen("hook")
    at.happen("hook", **OVER)

    telling_of(configured(hooks, channel="send_resolved = false")).look()

    assert hooks.keys == [key]
    assert at.states() == ["sent", "dropped"]


def test_a_channel_that_there_is_not_is_said(at: Desk, hooks: Hooks, telling_of: Any) -> None:
    at.happen("pager")

    telling_of(configured(hooks)).look()

    assert (at.states(), at.rows()[0].error) == (["dropped"], "there is no channel pager")


def test_a_rule_that_is_gone_is_still_told_of(at: Desk, hooks: Hooks, telling_of: Any) -> None:
    at.happen("hook")
    at.happen("hook", **{**OVER, "reason": Reason.RULE})
    at.store.write(lambda conn: remove_rule(conn, "budget"))

    telling_of(configured(hooks)).look()

    assert hooks.alerts[0]["name"] == "budget"
    assert hooks.alerts[0]["subject"] == "shop"
    assert b"secret-client" not in hooks.bodies[0]
