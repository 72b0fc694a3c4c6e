"""What no series and no sequence of moments can make an evaluation do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from itertools import accumulate

from hypothesis import given, settings
from hypothesis import strategies as st

from ccagent.alerts.condition import judge, unread
from ccagent.alerts.engine import is_cooling, step
from ccagent.alerts.evaluate import Outcome, evaluate
from ccagent.alerts.hours import HourlySeries
from ccagent.alerts.parsing import dump, parse
from ccagent.alerts.rule import Rule
from ccagent.alerts.states import Standing, State, Transition
from tests.alerts.making import BERLIN, DAY, HOUR, MINUTE, START, hourly, rule

RULES = st.sampled_from(
    [
        rule(scope="project", threshold=5),
        rule(scope="project", threshold=5, clear=2, for_="5m", cooldown="2h"),
        rule(scope="project", threshold=5, window="2h", keep_firing="10m", cooldown="20m"),
        rule(scope="project", threshold=4, window="hourly", for_="10m"),
        rule(scope="project", operator="<", threshold=3, window="6h", clear=6),
        rule(scope="project", absent=True, window="1h"),
        rule(scope="project", window="hourly", baseline={"factor": 2, "least": 2}, cooldown="1h"),
        rule(scope="session", threshold=5, for_="5m"),
        rule(
            scope="session", threshold=5, cooldown="1h", and_={"metric": "session_cost", "window": "2h", "threshold": 1}
        ),
    ]
)
AMOUNTS = st.dictionaries(
    st.sampled_from(["/a", "/b"]),
    st.dictionaries(
        st.integers(-30, 30).map(lambda hour: START + hour * HOUR),
        st.integers(0, 100).map(lambda dime: dime / 10),
        max_size=25,
    ),
)
TICKS = st.lists(
    st.sampled_from([0, MINUTE, 5 * MINUTE, 5 * MINUTE, 20 * MINUTE, HOUR, DAY, -HOUR, -3 * DAY]), max_size=30
)


def series_of(rule: Rule, amounts: dict[str, dict[int, float]]) -> HourlySeries:
    records = {subject: [hour + 3 * MINUTE for hour in hours] for subject, hours in amounts.items()}
    return hourly(rule, amounts, records)


def moments(ticks: list[int]) -> list[int]:
    return list(accumulate(ticks, initial=START + HOUR))


@given(RULES, AMOUNTS, TICKS)
def test_a_restart_between_any_two_evaluations_changes_nothing(
    rule: Rule, amounts: dict[str, dict[int, float]], ticks: list[int]
) -> None:
    running: Mapping[str, Standing] = {}
    written: dict[str, str] = {}
    series = series_of(rule, amounts)
    for now in moments(ticks):
        outcome = evaluate(rule, series.at(now), running, now, BERLIN)
        running = outcome.standings

        read = {subject: from_text(text) for subject, text in written.items()}
        again = evaluate(parse(dump(rule)), series_of(rule, amounts).at(now), read, now, BERLIN)
        for one in again.changed:
            written[one.subject] = json.dumps(asdict(one))
        for subject in again.forgotten:
            del written[subject]
        assert again == outcome
        assert {subject: from_text(text) for subject, text in written.items()} == running


def from_text(text: str) -> Standing:
    kept = json.loads(text)
    return Standing(**{**kept, "state": State(kept["state"])})


@given(RULES, AMOUNTS, TICKS)
def test_evaluated_again_at_the_same_moment_nothing_changes(
    rule: Rule, amounts: dict[str, dict[int, float]], ticks: list[int]
) -> None:
    standings: Mapping[str, Standing] = {}
    series = series_of(rule, amounts)
    for now in moments(ticks):
        standings = evaluate(rule, series.at(now), standings, now, BERLIN).standings

        assert evaluate(rule, series.at(now), standings, now, BERLIN) == Outcome(standings=standings)


@given(RULES, AMOUNTS, TICKS)
def test_only_what_has_something_to_say_is_remembered(
    rule: Rule, amounts: dict[str, dict[int, float]], ticks: list[int]
) -> None:
    standings: Mapping[str, Standing] = {}
    for now in moments(ticks):
        standings = evaluate(rule, series_of(rule, amounts).at(now), standings, now, BERLIN).standings

        assert all(one.state is not State.INACTIVE or one.episode for one in standings.values())
        assert all(is_cooling(rule, one, now) is False or one.resolved_at is not None for one in standings.values())


def naive(rule: Rule, series: HourlySeries, nows: list[int]) -> list[Transition]:
    """Every subject stepped at every moment, and all of them remembered for ever."""
    standings: dict[str, Standing] = {subject: Standing(rule=rule.id, subject=subject) for subject in ("/a", "/b")}
    told = []
    for now in nows:
        period = unread(rule, now, BERLIN).period
        firing = {
            subject
            for subject, one in standings.items()
            if one.state is State.FIRING and (period is None or one.period is None or one.period >= period)
        }
        found = judge(rule, series.at(now), now, BERLIN, firing=firing)
        for subject in (*found, *(subject for subject in standings if subject not in found)):
            verdict = found.get(subject, unread(rule, now, BERLIN))
            standings[subject], transition = step(rule, standings[subject], verdict, now)
            told += [transition] if transition else []
    return told


@settings(max_examples=200)
@given(RULES.filter(lambda rule: rule.scope != "session"), AMOUNTS, TICKS)
def test_what_rests_and_is_forgotten_would_have_said_nothing(
    rule: Rule, amounts: dict[str, dict[int, float]], ticks: list[int]
) -> None:
    series, nows = series_of(rule, amounts), moments(ticks)
    told: list[Transition] = []
    standings: Mapping[str, Standing] = {}
    for now in nows:
        outcome = evaluate(rule, series.at(now), standings, now, BERLIN)
        standings, told = outcome.standings, [*told, *outcome.transitions]

    def ordered(transitions: list[Transition]) -> list[tuple[str, list[Transition]]]:
        return [(subject, [one for one in transitions if one.subject == subject]) for subject in ("/a", "/b")]

    assert ordered(told) == ordered(naive(rule, series, nows))
