"""How metrics are divided where a receiver refuses them: by size, or to find the series that it refuses for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from ccagent.export.otlp.circuit import State
from ccagent.export.otlp.push import ASIDE_MS, GROW_AFTER, HOPELESS, SMALL_POINTS, STRIKES, MetricsPush
from ccagent.export.otlp.sender import Sender
from ccagent.metrics.snapshot import Family, Point, Snapshot
from tests.otlp.ledger import NOW, Events
from tests.otlp.receiver import Answer, Running
from tests.otlp.test_metrics import TOKENS, push

Senders = Callable[..., Sender]
MINUTE = 60_000
MODELS = tuple(f"model-{number}" for number in range(300))
MANY = Snapshot(families=(Family(spec=TOKENS, points=tuple(Point((one, "input"), 1, 500) for one in MODELS)),))


def models(metric: Metric) -> list[str]:
    return [pair.value.string_value for point in metric.sum.data_points for pair in point.attributes
            if pair.value.string_value.startswith("model-")]  # fmt: skip


def sent(request: Any) -> list[str]:
    return [one for resource in request.resource_metrics for scope in resource.scope_metrics
            for metric in scope.metrics for one in models(metric)]  # fmt: skip


def taken(running: Running) -> list[str]:
    return [one for request in running.received.taken for one in sent(request)]


def many(_now: int) -> Snapshot:
    return MANY


def test_a_snapshot_goes_out_in_requests_of_bounded_size(http: Running, senders: Senders, events: Events) -> None:
    step = push(senders(http), events, snapshot=many, max_points=70).tick(NOW)

    assert step.sent == 300
    assert [len(sent(request)) for request in http.received.taken] == [70, 70, 70, 70, 20]
    assert taken(http) == list(MODELS)


def test_one_family_too_large_for_a_request_is_divided_and_the_size_kept(
    http: Running, senders: Senders, events: Events
) -> None:
    http.received.rule = lambda request: Answer(status=413) if len(sent(request)) > 40 else None
    pushing = push(senders(http), events, snapshot=many)
    while pushing.tick(NOW).outcome == "narrowed":
        pass
    asked = len(http.received.offered)

    pushing.tick(NOW + MINUTE)

    assert taken(http) == [*MODELS, *MODELS]
    assert max(len(sent(request)) for request in http.received.offered[asked:]) <= 40
    assert events.drops == {}


def test_a_reduced_size_grows_again(http: Running, senders: Senders, events: Events) -> None:
    http.received.script.append(Answer(status=413))
    pushing = push(senders(http), events, snapshot=many)
    pushing.tick(NOW)

    for minute in range(GROW_AFTER + 1):
        pushing.tick(NOW + minute * MINUTE)

    sizes = [len(sent(request)) for request in http.received.taken]
    assert sizes[:2] == [150, 150]
    assert sizes[-1] == 300


def test_an_exhausted_quota_does_not_divide_without_end(grpc_: Running, senders: Senders, events: Events) -> None:
    grpc_.received.rule = lambda _request: Answer(code=grpc.StatusCode.RESOURCE_EXHAUSTED)
    pushing = push(senders(grpc_, "grpc"), events, snapshot=many)
    outcomes = [pushing.tick(NOW).outcome for _ in range(4)]

    assert outcomes == ["narrowed", "narrowed", "narrowed", "failed"]
    assert min(len(sent(request)) for request in grpc_.received.offered) > SMALL_POINTS // 2
    assert events.drops == {}


@pytest.mark.parametrize("bad", [["model-0"], ["model-299"], ["model-3", "model-250"]])
def test_a_series_that_is_refused_for_ever_is_found_and_all_others_arrive(
    http: Running, senders: Senders, events: Events, bad: list[str]
) -> None:
    http.received.rule = lambda request: Answer(status=400) if set(bad) & set(sent(request)) else None
    pushing = push(senders(http), events, snapshot=many)

    step = pushing.tick(NOW)
    searched = len(http.received.offered)
    pushing.tick(NOW + MINUTE)

    assert step.sent == 300 - len(bad)
    assert set(taken(http)) == set(MODELS) - set(bad)
    assert searched <= 20 * len(bad)
    assert len(http.received.offered) == searched + 1  # what was found is left out of the next push
    assert events.drops == {"poison": 2 * len(bad)}


def test_a_series_that_was_left_out_is_tried_again_after_an_hour(
    http: Running, senders: Senders, events: Events
) -> None:
    http.received.rule = lambda request: Answer(status=400) if "model-7" in sent(request) else None
    pushing = push(senders(http), events, snapshot=many)
    pushing.tick(NOW)
    http.received.rule = lambda _request: None

    pushing.tick(NOW + ASIDE_MS)

    assert "model-7" in taken(http)


BREAK = 700_000
"""Longer than any break of the circuit."""


def ticked(pushing: MetricsPush, times: int, now_ms: int = NOW) -> int:
    """So many ticks, each when the circuit allows one; the moment after them."""
    for _ in range(times):
        pushing.tick(now_ms)
        now_ms += BREAK
    return now_ms


@pytest.mark.parametrize("bad", [{"model-7"}, {"model-0", "model-299"}])
def test_series_that_a_receiver_falls_over_are_found_when_it_does_so_again_and_again(
    http: Running, senders: Senders, events: Events, bad: set[str]
) -> None:
    http.received.rule = lambda request: Answer(status=500) if bad.intersection(sent(request)) else None
    pushing = push(senders(http), events, snapshot=many)

    now = ticked(pushing, STRIKES)
    before = set(taken(http))
    pushing.tick(now)
    found = set(taken(http))
    asked = len(http.received.offered)
    pushing.tick(now + MINUTE)

    assert before == set()
    assert found == set(MODELS) - bad
    assert len(http.received.offered) == asked + 1  # what was found is left out of the next push
    assert events.drops == {"poison": 2 * len(bad)}
    assert pushing.circuit.state is State.ACTIVE


def test_after_an_hour_they_are_tried_again_and_found_sooner(http: Running, senders: Senders, events: Events) -> None:
    http.received.rule = lambda request: Answer(status=500) if "model-7" in sent(request) else None
    pushing = push(senders(http), events, snapshot=many)
    now = ticked(pushing, STRIKES + 1)
    http.received.taken.clear()

    ticked(pushing, 2, now + ASIDE_MS)

    assert set(taken(http)) == set(MODELS) - {"model-7"}


def test_an_outage_stays_one_however_long_it_lasts(http: Running, senders: Senders, events: Events) -> None:
    http.received.rule = lambda _request: Answer(status=500)
    pushing = push(senders(http), events, snapshot=many)

    now = ticked(pushing, 3 * STRIKES)

    assert events.drops == {}
    assert pushing.circuit.state is State.CIRCUIT_OPEN
    assert len(http.received.offered) <= STRIKES + 2 * STRIKES * 2 * HOPELESS

    http.received.rule = lambda _request: None
    pushing.tick(now)
    assert set(taken(http)) == set(MODELS)


def test_a_receiver_that_refuses_everything_is_asked_a_few_times_only(
    http: Running, senders: Senders, events: Events
) -> None:
    http.received.rule = lambda _request: Answer(status=400)
    pushing = push(senders(http), events, snapshot=many)

    step = pushing.tick(NOW)

    assert (step.outcome, step.sent) == ("sent", 0)
    assert len(http.received.offered) <= 2 * HOPELESS + 1
    assert events.drops == {"poison": 300}
