"""Back-off and breaker: when the next request may go out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.export.otlp.circuit import COOLDOWNS_MS, HINT_CAP_MS, Circuit, State, Transition
from ccagent.export.otlp.verdict import Kind, Verdict

RETRY = Verdict(kind=Kind.RETRY, message="503")
CONFIG = Verdict(kind=Kind.CONFIG, message="401")


def highest(_low: float, high: float) -> float:
    return high


def test_waits_double_up_to_the_breaker_and_its_cooldowns_follow() -> None:
    circuit, now, waits = Circuit(jitter=highest), 0, []

    for _ in range(11):
        assert circuit.ready(now)
        circuit.failed(now, RETRY)
        waits.append(circuit.wait_ms(now))
        now += waits[-1]

    assert waits == [1_000, 2_000, 4_000, 8_000, *COOLDOWNS_MS, COOLDOWNS_MS[-1], COOLDOWNS_MS[-1]]


def test_an_open_circuit_allows_one_trial_and_a_success_resets_everything() -> None:
    circuit = Circuit(jitter=highest)
    for _ in range(5):
        circuit.failed(0, RETRY)

    assert circuit.state is State.CIRCUIT_OPEN
    assert not circuit.ready(59_999)
    assert circuit.ready(60_000)
    assert circuit.state is State.HALF_OPEN
    circuit.succeeded(60_000)

    assert (circuit.state, circuit.failures, circuit.wait_ms(60_000)) == (State.ACTIVE, 0, 0)


def test_jitter_is_full_but_never_a_busy_loop() -> None:
    circuit = Circuit(jitter=lambda low, _high: low)

    circuit.failed(0, RETRY)

    assert circuit.wait_ms(0) == 100


def test_the_receivers_wish_is_a_lower_bound_with_a_limit() -> None:
    circuit = Circuit(jitter=highest)

    circuit.failed(0, Verdict(kind=Kind.RETRY, delay_seconds=90.0))
    wished = circuit.wait_ms(0)
    circuit.failed(0, Verdict(kind=Kind.RETRY, delay_seconds=1e9))

    assert (wished, circuit.wait_ms(0)) == (90_000, HINT_CAP_MS)


def test_a_clock_that_is_set_back_does_not_lengthen_a_wait() -> None:
    circuit = Circuit(jitter=highest)
    circuit.failed(10_000_000, RETRY)

    assert circuit.wait_ms(0) == 1_000
    assert circuit.ready(1_000)


def test_a_disabled_circuit_is_never_ready() -> None:
    circuit = Circuit()
    circuit.disable(0, "tier 0")

    assert not circuit.ready(10**15)


def test_a_transition_that_the_table_lacks_is_an_error() -> None:
    circuit = Circuit()
    circuit.disable(0, "tier 0")
    circuit.state = State.HALF_OPEN

    with pytest.raises(ValueError, match="no way from half_open to degraded"):
        circuit._move(State.DEGRADED, 0, "")


TABLE = {
    State.DISABLED: {State.ACTIVE, State.DEGRADED},
    State.ACTIVE: {State.DEGRADED, State.CIRCUIT_OPEN, State.DISABLED},
    State.DEGRADED: {State.ACTIVE, State.CIRCUIT_OPEN, State.DISABLED},
    State.CIRCUIT_OPEN: {State.HALF_OPEN, State.DEGRADED, State.DISABLED},
    State.HALF_OPEN: {State.ACTIVE, State.CIRCUIT_OPEN, State.DISABLED},
}


@pytest.mark.parametrize("before", list(State))
@pytest.mark.parametrize("after", list(State))
def test_every_pair_of_states_is_a_transition_or_an_error(before: State, after: State) -> None:
    circuit = Circuit()
    circuit.state = before

    if after is before:
        circuit._move(after, 7, "why")
        assert not circuit.history
    elif after in TABLE[before]:
        circuit._move(after, 7, "why")
        assert list(circuit.history) == [Transition(at_ms=7, before=before, after=after, reason="why")]
    else:
        with pytest.raises(ValueError, match=f"no way from {before} to {after}"):
            circuit._move(after, 7, "why")


def test_the_last_three_transitions_are_kept_with_time_and_reason() -> None:
    circuit, now = Circuit(jitter=highest), 0
    for _ in range(5):
        circuit.failed(now, RETRY)
        now += circuit.wait_ms(now)
    circuit.ready(now)
    circuit.succeeded(now)

    assert [(one.at_ms, one.before, one.after, one.reason) for one in circuit.history] == [
        (15_000, State.DEGRADED, State.CIRCUIT_OPEN, "503"),
        (75_000, State.CIRCUIT_OPEN, State.HALF_OPEN, "cool-down over, one trial"),
        (75_000, State.HALF_OPEN, State.ACTIVE, "the receiver answers"),
    ]


def test_a_degraded_circuit_lets_the_next_request_out_when_its_wait_is_over() -> None:
    circuit = Circuit(jitter=highest)
    circuit.failed(0, RETRY)

    assert circuit.state is State.DEGRADED
    assert [circuit.ready(now) for now in (0, 999, 1_000)] == [False, False, True]


def test_a_cooldown_starts_at_a_minute_again_after_a_success() -> None:
    circuit, now = Circuit(jitter=highest), 0
    for _ in range(2):
        for _ in range(7):
            circuit.ready(now)
            circuit.failed(now, RETRY)
            last = circuit.wait_ms(now)
            now += last
        assert last == 240_000
        circuit.ready(now)
        circuit.succeeded(now)


def test_wrong_credentials_found_by_a_trial_leave_the_circuit_open() -> None:
    circuit, now = Circuit(jitter=highest), 0
    for _ in range(5):
        circuit.failed(now, RETRY)
        now += circuit.wait_ms(now)
    assert circuit.ready(now)

    circuit.failed(now, CONFIG)

    assert circuit.state is State.CIRCUIT_OPEN
    assert circuit.wait_ms(now) == 300_000
    assert circuit.ready(now + 300_000)
    assert circuit.state is State.HALF_OPEN


@given(st.lists(st.sampled_from(["retry", "config", "success", "time", "back"]), max_size=60))
def test_no_sequence_of_answers_leaves_the_table_of_states(events: list[str]) -> None:
    circuit, now = Circuit(jitter=highest), 1_000_000_000
    for event in events:
        if event in ("time", "back"):
            now += 700_000 if event == "time" else -500_000
        if circuit.ready(now):
            if event == "success":
                circuit.succeeded(now)
            elif event in ("retry", "config"):
                circuit.failed(now, RETRY if event == "retry" else CONFIG)
        assert circuit.wait_ms(now) <= max(COOLDOWNS_MS)
        assert circuit.state is not State.DISABLED
