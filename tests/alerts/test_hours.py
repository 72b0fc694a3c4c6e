"""The matrix of hours in memory, against amounts added up one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.alerts.hours import Cell, HourlySeries
from ccagent.alerts.rule import Scope
from ccagent.alerts.series import BEGINNING, Amount
from tests.alerts.making import HOUR, START, operand_of

COST = operand_of("session_cost")
LAG = operand_of("ingest.lag")
SESSIONS = operand_of("session_count")
DURATION = operand_of("p95(tool.duration)")

HOURS = st.integers(0, 30).map(lambda hour: START + hour * HOUR)
CENTS = st.integers(0, 10**9).map(lambda micro: micro / 1_000_000)
CELLS = st.lists(
    st.builds(
        Cell,
        st.sampled_from(["/a/shop", "/b/till", "/b/shop"]),
        HOURS,
        CENTS,
        st.integers(1, 9),
        st.lists(st.integers(0, 5), min_size=3, max_size=3).map(tuple),
    ),
    max_size=40,
)
SPANS = st.lists(
    st.tuples(HOURS | st.just(BEGINNING), HOURS.map(lambda hour: hour + HOUR // 3)), min_size=1, max_size=4
)


def naive(cells: list[Cell], subject: str | None, start: int, end: int) -> Amount | None:
    held = [cell for cell in cells if subject in (None, cell.subject) and start <= cell.hour < end]
    if not held:
        return None
    micro = sum(round(cell.value * 1_000_000) for cell in held)
    buckets = tuple(map(sum, zip(*(cell.buckets for cell in held), strict=True)))
    return Amount(micro / 1_000_000, sum(cell.count for cell in held), buckets)


@given(CELLS, SPANS, HOURS)
def test_amounts_are_those_of_the_hours_before(cells: list[Cell], spans: list[tuple[int, int]], now: int) -> None:
    moment = HourlySeries({DURATION: cells}, scope=Scope.PROJECT).at(now)
    subjects = {cell.subject for cell in cells}
    expected = {
        subject: [naive(cells, subject, start, min(end, now)) for start, end in spans] for subject in subjects
    }  # fmt: skip

    found = moment.amounts(DURATION, Scope.PROJECT, spans)

    assert found == {subject: amounts for subject, amounts in expected.items() if any(amounts)}


@given(CELLS, SPANS, HOURS)
def test_all_subjects_together_are_the_whole(cells: list[Cell], spans: list[tuple[int, int]], now: int) -> None:
    moment = HourlySeries({DURATION: cells}, scope=Scope.PROJECT).at(now)
    expected = [naive(cells, None, start, min(end, now)) for start, end in spans]

    assert moment.amounts(DURATION, Scope.GLOBAL, spans) == ({"": expected} if any(expected) else {})


@given(CELLS, HOURS)
def test_a_subject_began_with_its_first_hour(cells: list[Cell], now: int) -> None:
    moment = HourlySeries({COST: cells}, scope=Scope.PROJECT).at(now)
    before = [cell for cell in cells if cell.hour < now]

    assert moment.began(COST, Scope.PROJECT) == {
        subject: min(cell.hour for cell in before if cell.subject == subject)
        for subject in {cell.subject for cell in before}
    }
    assert moment.began(COST, Scope.GLOBAL) == ({"": min(cell.hour for cell in before)} if before else {})


def test_only_some_subjects_are_answered_for() -> None:
    cells = [Cell(subject, START, 1.0) for subject in ("/a/shop", "/b/till", "/b/shop")]
    moment = HourlySeries({COST: cells}, scope=Scope.PROJECT).at(START + HOUR)
    span = [(START, START + HOUR)]

    assert set(moment.amounts(COST, Scope.PROJECT, span, ["shop"])) == {"/a/shop", "/b/shop"}
    assert set(moment.amounts(COST, Scope.PROJECT, span, ["/b/till"])) == {"/b/till"}
    assert set(moment.amounts(COST, Scope.PROJECT, span, ["till", "/a/shop"])) == {"/b/till", "/a/shop"}


def test_an_aggregation_makes_no_other_amounts() -> None:
    moment = HourlySeries({COST: [Cell("", START, 1.0)]}).at(START + HOUR)

    assert moment.amounts(operand_of("rate(session_cost)"), Scope.GLOBAL, [(START, START + HOUR)]) == {
        "": [Amount(1.0, 1.0)]
    }


def test_tenths_add_up_to_what_people_expect() -> None:
    moment = HourlySeries({COST: [Cell("", START + hour * HOUR, 0.1) for hour in range(30)]}).at(START + 30 * HOUR)

    spans = [(START, START + 3 * HOUR), (START, START + 30 * HOUR)]
    assert [amount.value for amount in moment.amounts(COST, Scope.GLOBAL, spans)[""] if amount] == [0.3, 3.0]


def test_sessions_are_counted_once_in_whatever_hours() -> None:
    cells = [
        Cell("/a", START, 2, members=("one", "two")),
        Cell("/a", START + HOUR, 1, members=("one",)),
        Cell("/b", START + HOUR, 1, members=("three",)),
    ]
    moment = HourlySeries({SESSIONS: cells}, scope=Scope.PROJECT).at(START + 2 * HOUR)
    span = [(START, START + 2 * HOUR)]

    assert moment.amounts(SESSIONS, Scope.PROJECT, span) == {"/a": [Amount(2, 2)], "/b": [Amount(1, 1)]}
    assert moment.amounts(SESSIONS, Scope.GLOBAL, span) == {"": [Amount(3, 3)]}


def test_a_gauge_stands_at_its_last_value() -> None:
    series = HourlySeries({LAG: [Cell("", START, 1 / 3), Cell("", START + HOUR, 2 / 3)]})

    assert series.at(START + HOUR).amounts(LAG, Scope.GLOBAL, [(BEGINNING, START + HOUR)]) == {"": [Amount(1 / 3, 1)]}
    assert series.at(START + HOUR + 1).amounts(LAG, Scope.GLOBAL, [(BEGINNING, START + 2 * HOUR)]) == {
        "": [Amount(2 / 3, 1)]
    }


def test_sessions_are_those_with_a_record_in_time() -> None:
    records = {"old": [START], "both": [START + 2 * HOUR, START], "late": [START + 3 * HOUR]}
    series = HourlySeries({}, scope=Scope.SESSION, records=records)

    assert series.at(START + 4 * HOUR).sessions(START + HOUR, START + 4 * HOUR) == {
        "both": START + 2 * HOUR, "late": START + 3 * HOUR,
    }  # fmt: skip
    assert series.at(START + 3 * HOUR).sessions(START, START + 9 * HOUR) == {"old": START, "both": START + 2 * HOUR}
    assert series.at(START).sessions(0, START + 9 * HOUR) == {}


def test_it_answers_for_its_own_scope_and_operands_alone() -> None:
    moment = HourlySeries({COST: []}, scope=Scope.PROJECT).at(START)

    assert moment.amounts(COST, Scope.PROJECT, [(0, START)]) == {}
    with pytest.raises(ValueError, match="by project, and the question is by session"):
        moment.amounts(COST, Scope.SESSION, [(0, START)])
    with pytest.raises(KeyError):
        moment.amounts(LAG, Scope.GLOBAL, [(0, START)])
