"""Back-off and breaker: when the next request may go out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.export.otlp.circuit import COOLDOWNS_MS, HINT_CAP_MS, Circuit, State
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
