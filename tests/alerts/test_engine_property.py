"""What no sequence of readings and moments can make an alert do."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import accumulate, pairwise

from hypothesis import assume, given
from hypothesis import strategies as st

from ccagent.alerts import durations
from ccagent.alerts.engine import GAP_MS, may_be_forgotten, step
from ccagent.alerts.rule import Rule
from ccagent.alerts.states import Finding, Standing, State, Transition, Verdict
from tests.alerts.making import DAY, HOUR, MINUTE, SECOND, START, Gauge, rule

Moments = list[tuple[int, Verdict]]

VERDICTS = st.builds(
    Verdict,
    finding=st.sampled_from(list(Finding)),
    value=st.none() | st.floats(0, 10),
    period=st.none() | st.integers(1, 3),
    ended=st.sampled_from([False, False, False, True]),
)
LENGTHS = st.sampled_from([0, 0, MINUTE, 5 * MINUTE, 10 * MINUTE, HOUR])
TICKS = st.sampled_from([0, SECOND, MINUTE, MINUTE, MINUTE, 4 * MINUTE, 7 * MINUTE, HOUR, DAY])
JUMPS = TICKS | st.integers(-40 * 365 * DAY, 40 * 365 * DAY)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    lengths = {key: durations.shown(draw(LENGTHS)) for key in ("for_", "keep_firing", "cooldown")}
    return rule(threshold=5, window=draw(st.sampled_from(["1h", "6h", "daily"])), **lengths)


@st.composite
def lives(draw: st.DrawFn, between: st.SearchStrategy[int]) -> Moments:
    steps = draw(st.lists(st.tuples(between, VERDICTS), max_size=60))
    instants = accumulate((after for after, _ in steps), initial=START)
    return [(max(now, 1), verdict) for now, (_, verdict) in zip(list(instants)[1:], steps, strict=True)]


def live(rule: Rule, moments: Moments, *, restarts: bool = False, forgets: bool = False) -> list[Transition]:
    """The transitions of a life. `restarts`: what stands is written and read between any two steps. `forgets`: what need not
    be remembered is not."""
    standing, told = Standing(rule=rule.id, subject="s"), []
    for now, verdict in moments:
        if restarts:
            kept = json.loads(json.dumps(asdict(standing)))
            standing = Standing(**{**kept, "state": State(kept["state"])})
        if forgets and may_be_forgotten(standing):
            standing = Standing(rule=rule.id, subject="s", since=now)
        standing, transition = step(rule, standing, verdict, now)
        if transition is not None:
            told.append(transition)
    return told


@given(rules(), lives(JUMPS))
def test_each_state_follows_from_the_one_before(rule: Rule, moments: Moments) -> None:
    allowed = {
        (State.INACTIVE, State.PENDING), (State.INACTIVE, State.FIRING), (State.PENDING, State.FIRING),
        (State.PENDING, State.INACTIVE), (State.FIRING, State.RESOLVED),
    }  # fmt: skip
    told = live(rule, moments)

    assert {(one.before, one.after) for one in told} <= allowed
    for earlier, later in pairwise(told):
        assert later.before is (State.INACTIVE if earlier.after is State.RESOLVED else earlier.after)


@given(rules(), lives(JUMPS))
def test_between_two_firings_lies_a_resolve_and_each_episode_has_one_of_both(rule: Rule, moments: Moments) -> None:
    told = [one for one in live(rule, moments) if one.after in (State.FIRING, State.RESOLVED)]

    assert [one.after for one in told] == [State.FIRING, State.RESOLVED] * (len(told) // 2) + [State.FIRING] * (
        len(told) % 2
    )
    assert [one.episode for one in told] == [1 + number // 2 for number in range(len(told))]


@given(rules(), lives(JUMPS))
def test_a_restart_between_any_two_steps_changes_nothing(rule: Rule, moments: Moments) -> None:
    assert live(rule, moments, restarts=True, forgets=True) == live(rule, moments)


@given(rules(), lives(JUMPS), VERDICTS, st.integers(1, 3))
def test_the_same_verdict_at_the_same_moment_changes_nothing(
    rule: Rule, moments: Moments, verdict: Verdict, times: int
) -> None:
    standing = Standing(rule=rule.id, subject="s")
    for now, one in [*moments, (START + DAY, verdict)]:
        standing, _ = step(rule, standing, one, now)
        for _ in range(times):
            assert step(rule, standing, one, now) == (standing, None)


@given(rules(), lives(TICKS))
def test_what_held_shorter_than_for_never_fires(rule: Rule, moments: Moments) -> None:
    met_since: int | None = None
    fired = {one.at for one in live(rule, moments) if one.after is State.FIRING}
    for now, verdict in moments:
        holds = verdict.finding is Finding.MET and not verdict.ended
        met_since = (now if met_since is None else met_since) if holds else None
        if now in fired and [moment for moment, _ in moments].count(now) == 1:
            assert met_since is not None
            assert now - met_since >= rule.for_ms


@given(rules(), lives(JUMPS))
def test_what_was_not_looked_at_does_not_count(rule: Rule, moments: Moments) -> None:
    for place, (now, _) in enumerate(moments):
        run = live(rule, moments[: place + 1])
        if run and run[-1].after is State.FIRING and run[-1].at == now and run[-1].before is State.PENDING:
            entered = next(one.at for one in reversed(run) if one.after is State.PENDING)
            first = max(index for index, (moment, _) in enumerate(moments[: place + 1]) if moment == entered)
            looked = [moment for moment, _ in moments[first : place + 1]]
            seen = sum(min(max(later - earlier, 0), GAP_MS) for earlier, later in pairwise(looked))
            # An instant that comes twice may be the later one; then less was seen than there was.
            assume([moment for moment, _ in moments].count(entered) == 1)
            assert seen >= rule.for_ms


@given(rules(), lives(TICKS))
def test_between_a_resolve_and_the_next_firing_lies_the_cooldown(rule: Rule, moments: Moments) -> None:
    told = [one for one in live(rule, moments) if one.after in (State.FIRING, State.RESOLVED)]

    for earlier, later in pairwise(told):
        if earlier.after is State.RESOLVED:
            assert later.at - earlier.at >= rule.cooldown_ms


@given(rules(), lives(TICKS))
def test_the_number_of_notifications_is_bounded_by_time(rule: Rule, moments: Moments) -> None:
    told = [one for one in live(rule, moments) if one.after in (State.FIRING, State.RESOLVED)]
    length = moments[-1][0] - moments[0][0] if moments else 0

    each = rule.cooldown_ms + rule.for_ms
    if each:
        assert len(told) <= 2 * (1 + length // each)


@given(rules(), lives(TICKS))
def test_what_is_clear_for_less_than_keep_firing_stays(rule: Rule, moments: Moments) -> None:
    calm = [
        (now, Verdict(finding=verdict.finding)) for now, verdict in moments if verdict.finding is not Finding.UNKNOWN
    ]
    resolved = {one.at for one in live(rule, calm) if one.after is State.RESOLVED}
    clear_since: int | None = None
    for now, verdict in calm:
        clear_since = (now if clear_since is None else clear_since) if verdict.finding is Finding.CLEAR else None
        if now in resolved and [moment for moment, _ in calm].count(now) == 1:
            assert clear_since is not None
            assert now - clear_since >= rule.keep_firing_ms


@given(st.integers(1, 120), st.lists(st.tuples(st.integers(1, 200), st.integers(-(10**13), -1)), max_size=5))
def test_a_clock_that_is_set_back_makes_no_cooldown_longer(cooldown: int, jumps: list[tuple[int, int]]) -> None:
    """Real minutes go on one by one; before some of them the clock is set back."""
    hot = rule(threshold=5, window="6h", cooldown=f"{cooldown}m")
    standing = Standing(rule="rule", subject="s")
    clock = 10**14
    for finding in (Finding.MET, Finding.CLEAR):
        standing, _ = step(hot, standing, Verdict(finding=finding), clock)
    back = dict(jumps)
    minutes = 0
    while standing.state is not State.FIRING:
        minutes += 1
        clock += MINUTE + back.get(minutes, 0)
        standing, _ = step(hot, standing, Verdict(finding=Finding.MET), clock)

        assert minutes <= cooldown + len(back)  # the minute of a jump cannot be told from none

    assert minutes >= cooldown


@given(st.lists(st.floats(5, 10, exclude_min=True), max_size=40), st.floats(0, 20))
def test_inside_the_band_there_is_at_most_one_transition(readings: list[float], first: float) -> None:
    gauge = Gauge(threshold=10, clear=5)
    for minute, reading in enumerate([first, *readings]):
        gauge.feed(START + minute * MINUTE, reading)

    assert len(gauge.told) <= 1
    assert gauge.state is (State.FIRING if first > 10 else State.INACTIVE)


@given(st.lists(st.floats(0, 15), max_size=40), st.sampled_from([">", ">="]))
def test_each_firing_needs_a_way_through_the_whole_band(readings: list[float], operator: str) -> None:
    gauge = Gauge(threshold=10, clear=5, operator=operator)
    crossings, low = 0, True
    for minute, reading in enumerate(readings):
        gauge.feed(START + minute * MINUTE, reading)
        above, below = (reading > 10, reading <= 5) if operator == ">" else (reading >= 10, reading < 5)
        if above and low:
            crossings, low = crossings + 1, False
        elif below:
            low = True

    assert sum(state is State.FIRING for _, state in gauge.told) == crossings


@given(st.lists(st.none() | st.floats(0, 20), max_size=40))
def test_below_is_above_upside_down(readings: list[float | None]) -> None:
    above, below = Gauge(threshold=10, clear=5), Gauge(threshold=-10, clear=-5, operator="<")
    for minute, reading in enumerate(readings):
        above.feed(START + minute * MINUTE, reading)
        below.feed(START + minute * MINUTE, None if reading is None else -reading)

    assert above.told == below.told
