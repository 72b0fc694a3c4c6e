"""The life of an alert, step by step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ccagent.alerts.engine import BY_HOUR, GAP_MS, is_cooling, judges_alike, may_be_forgotten, no_data_ms, retire, step
from ccagent.alerts.rule import Rule
from ccagent.alerts.states import Finding, Reason, Standing, State, Transition, Verdict
from tests.alerts.making import DAY, HOUR, MINUTE, START, rule

MET = Verdict(finding=Finding.MET, value=7.0, threshold=5.0)
CLEAR = Verdict(finding=Finding.CLEAR, value=3.0, threshold=5.0)
UNKNOWN = Verdict(finding=Finding.UNKNOWN)
NEW = Standing(rule="rule", subject="", since=START)


class Life:
    """One subject of one rule, stepped by minutes or jumps."""

    def __init__(self, **keys: object) -> None:
        self.rule: Rule = rule(threshold=5, window="6h", **keys)
        self.now = START
        self.standing = NEW
        self.told: list[Transition] = []

    def go(self, verdict: Verdict, after: int = MINUTE, times: int = 1) -> State:
        for _ in range(times):
            self.now += after
            self.standing, transition = step(self.rule, self.standing, verdict, self.now)
            if transition is not None:
                self.told.append(transition)
        return self.standing.state

    @property
    def last(self) -> tuple[State, State, Reason]:
        return self.told[-1].before, self.told[-1].after, self.told[-1].reason


def test_without_for_it_fires_at_once() -> None:
    life = Life()

    assert life.go(MET) is State.FIRING
    assert life.told == [
        Transition(
            rule="rule", subject="", before=State.INACTIVE, after=State.FIRING, at=life.now, reason=Reason.HOLDS,
            episode=1, value=7.0, threshold=5.0,
        )
    ]  # fmt: skip
    assert life.standing.fired_at == life.standing.since == life.now


def test_what_is_resolved_is_told_and_kept_as_inactive() -> None:
    life = Life()
    life.go(MET)

    assert life.go(CLEAR) is State.INACTIVE
    assert life.last == (State.FIRING, State.RESOLVED, Reason.CLEAR)
    assert life.standing.resolved_at == life.now
    assert (life.standing.episode, life.told[-1].episode) == (1, 1)


def test_with_for_it_is_pending_until_it_has_held_so_long() -> None:
    life = Life(for_="10m")

    assert life.go(MET) is State.PENDING
    assert life.last == (State.INACTIVE, State.PENDING, Reason.HOLDS)
    assert life.go(MET, times=9) is State.PENDING
    assert life.go(MET) is State.FIRING
    assert life.last == (State.PENDING, State.FIRING, Reason.HELD)
    assert [one.episode for one in life.told] == [1, 1]


@pytest.mark.parametrize(
    ("verdict", "reason"), [(CLEAR, Reason.CLEAR), (UNKNOWN, Reason.NO_DATA), (replace(MET, ended=True), Reason.ENDED)]
)
def test_pending_ends_with_the_first_reading_that_is_not_met(verdict: Verdict, reason: Reason) -> None:
    life = Life(for_="10m")
    life.go(MET, times=9)

    assert life.go(verdict) is State.INACTIVE
    assert life.last == (State.PENDING, State.INACTIVE, reason)
    assert may_be_forgotten(life.standing)
    assert life.go(MET, times=10) is State.PENDING  # it begins anew


def test_a_blip_is_held_by_keep_firing() -> None:
    life = Life(keep_firing="5m")
    life.go(MET)

    assert life.go(CLEAR, times=5) is State.FIRING
    assert life.go(MET) is State.FIRING
    assert life.go(CLEAR, times=5) is State.FIRING
    assert life.go(CLEAR) is State.INACTIVE
    assert [one.after for one in life.told] == [State.FIRING, State.RESOLVED]


def test_keep_firing_is_over_when_all_of_it_has_passed() -> None:
    life = Life(keep_firing="3m")
    life.go(MET)
    life.go(CLEAR)

    assert life.go(CLEAR, after=3 * MINUTE - 1) is State.FIRING
    assert life.go(CLEAR, after=1) is State.INACTIVE


def test_within_its_cooldown_it_waits_as_pending() -> None:
    life = Life(cooldown="1h")
    life.go(MET)
    life.go(CLEAR)
    resolved = life.now

    assert life.go(MET, times=59) is State.PENDING
    assert life.go(MET) is State.FIRING
    assert life.now == resolved + HOUR
    assert life.told[-1].episode == 2


def test_a_cooldown_that_is_over_leaves_for_as_it_is() -> None:
    life = Life(cooldown="10m", for_="20m")
    life.go(MET, times=21)
    life.go(CLEAR)

    assert life.go(MET, times=20) is State.PENDING
    assert life.go(MET) is State.FIRING


def test_unknown_keeps_what_fires_for_a_window() -> None:
    life = Life()
    life.go(MET)

    assert life.go(UNKNOWN, times=6 * 60) is State.FIRING
    assert life.go(UNKNOWN, times=2) is State.INACTIVE
    assert life.last == (State.FIRING, State.RESOLVED, Reason.NO_DATA)
    assert life.told[-1].value is None


def test_a_reading_in_between_begins_the_wait_anew() -> None:
    for between in (MET, CLEAR):
        life = Life(keep_firing="1h")
        life.go(MET)
        life.go(UNKNOWN, times=6 * 60)
        life.go(between)

        assert life.go(UNKNOWN, times=6 * 60) is State.FIRING


def test_nobody_waits_more_than_a_day_for_data() -> None:
    assert no_data_ms(rule(threshold=5, window="30d")) == DAY
    assert no_data_ms(rule(threshold=5, window="6h")) == 6 * HOUR
    assert (
        no_data_ms(rule(threshold=5, window="1h", and_={"metric": "turns", "window": "3h", "threshold": 1})) == 3 * HOUR
    )


def test_a_period_that_is_over_resolves() -> None:
    life = Life(keep_firing="1h")
    life.go(replace(MET, period=1))

    assert life.go(replace(CLEAR, period=1)) is State.FIRING
    assert life.go(replace(CLEAR, period=2)) is State.INACTIVE
    assert life.last == (State.FIRING, State.RESOLVED, Reason.PERIOD)


def test_a_period_that_is_over_resolves_also_without_a_reading() -> None:
    life = Life()
    life.go(replace(MET, period=1))

    assert life.go(replace(UNKNOWN, period=2)) is State.INACTIVE
    assert life.last[2] is Reason.PERIOD


def test_a_new_period_that_is_over_its_bound_already_goes_on_firing() -> None:
    life = Life()
    life.go(replace(MET, period=1))

    assert life.go(replace(MET, period=2)) is State.FIRING
    assert life.go(replace(CLEAR, period=2)) is State.INACTIVE
    assert life.last[2] is Reason.CLEAR


def test_a_clock_set_back_into_the_period_before_ends_none() -> None:
    life = Life(keep_firing="5m")
    life.go(replace(MET, period=2))

    assert life.go(replace(CLEAR, period=1), after=-DAY) is State.FIRING


def test_a_session_that_is_over_resolves_and_begins_nothing() -> None:
    life = Life(keep_firing="1h")
    ended = replace(MET, ended=True)

    assert life.go(ended) is State.INACTIVE
    assert life.told == []
    life.go(MET)
    assert life.go(ended) is State.INACTIVE
    assert life.last == (State.FIRING, State.RESOLVED, Reason.ENDED)


# ---- sleep and clocks ------------------------------------------------------------------------------------------------


def test_a_night_counts_as_a_gap_for_what_is_pending() -> None:
    life = Life(for_="20m")
    life.go(MET, times=6)

    assert life.go(MET, after=DAY) is State.PENDING
    assert life.standing.held_ms == 5 * MINUTE + GAP_MS
    assert life.go(MET, times=9) is State.PENDING
    assert life.go(MET) is State.FIRING


def test_a_night_does_not_resolve_what_fires() -> None:
    life = Life(keep_firing="10m")
    life.go(MET)
    life.go(CLEAR)

    assert life.go(CLEAR, after=DAY) is State.FIRING
    assert life.go(UNKNOWN, after=DAY) is State.FIRING
    assert life.go(CLEAR, times=4) is State.FIRING
    assert life.go(CLEAR) is State.INACTIVE


@pytest.mark.parametrize("jump", [-10 * 365 * DAY, -DAY, -HOUR, -1, 0])
def test_a_clock_set_back_counts_for_nothing(jump: int) -> None:
    life = Life(for_="10m")
    life.go(MET, times=5)

    assert life.go(MET, after=jump) is State.PENDING
    assert life.standing.held_ms == 4 * MINUTE
    assert life.go(MET, times=6) is State.FIRING


@pytest.mark.parametrize("jump", [-10 * 365 * DAY, -DAY, -90 * MINUTE, -30 * MINUTE])
def test_a_clock_set_back_makes_no_cooldown_longer(jump: int) -> None:
    life = Life(cooldown="1h")
    life.go(MET)
    life.go(CLEAR)
    life.go(CLEAR, times=40)

    assert life.go(MET, after=jump) is State.PENDING
    assert life.go(MET, times=19) is State.PENDING
    assert life.go(MET) is State.FIRING


def test_a_clock_set_back_after_a_cooldown_does_not_begin_it_again() -> None:
    life = Life(cooldown="1h")
    life.go(MET)
    life.go(CLEAR)
    life.go(CLEAR, times=61)

    assert not is_cooling(life.rule, life.standing, life.now)
    assert life.go(MET, after=-30 * MINUTE) is State.FIRING


def test_a_step_at_the_same_moment_says_nothing_new() -> None:
    for verdicts in ([MET], [MET, CLEAR], [MET, UNKNOWN], [MET, CLEAR, MET], [CLEAR]):
        life = Life(for_="1m", keep_firing="1m", cooldown="5m")
        for verdict in (*[MET] * 5, *verdicts):
            life.go(verdict)

        assert step(life.rule, life.standing, verdicts[-1], life.now) == (life.standing, None)


# ---- changes of rules ------------------------------------------------------------------------------------------------


def test_a_retired_rule_resolves_what_fires_and_remembers_its_number() -> None:
    life = Life(cooldown="1h")
    life.go(MET)

    left, transition = retire(life.standing, life.now + MINUTE)

    assert left is not None
    assert transition is not None
    assert (transition.after, transition.reason, transition.episode) == (State.RESOLVED, Reason.RULE, 1)
    assert (left.state, left.episode) == (State.INACTIVE, 1)
    assert is_cooling(life.rule, left, life.now + 2 * MINUTE)
    assert retire(left, life.now + 2 * MINUTE) == (left, None)


def test_a_retired_rule_leaves_nothing_of_what_was_pending() -> None:
    life = Life(for_="1h")
    life.go(MET)

    left, transition = retire(life.standing, life.now + MINUTE)

    assert left is None
    assert transition is not None
    assert (transition.before, transition.after, transition.reason) == (State.PENDING, State.INACTIVE, Reason.RULE)
    assert retire(NEW, START) == (None, None)


def test_words_and_receivers_of_a_rule_change_nothing_of_what_it_judges() -> None:
    before = rule(threshold=5)

    assert judges_alike(before, rule(threshold=5, name="Other", reason="why", severity="info", channels=["desk"]))
    assert judges_alike(before, rule(threshold=5, summary="{value}", labels={"team": "till"}))
    assert not judges_alike(before, rule(threshold=6))
    assert not judges_alike(before, rule(threshold=5, cooldown="1h"))


def test_evaluated_by_the_hour_the_hour_counts_whole() -> None:
    slow = rule(threshold=5, for_="2h")
    standing, _ = step(slow, NEW, MET, START, BY_HOUR)
    standing, _ = step(slow, standing, MET, START + HOUR, BY_HOUR)
    assert standing.held_ms == HOUR
    standing, transition = step(slow, standing, MET, START + 2 * HOUR, BY_HOUR)

    assert standing.state is State.FIRING
    assert transition is not None
