"""ccagent's own spans at a real receiver."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ccagent.export.otlp.own import SCOPE, OwnTraces
from ccagent.export.otlp.sender import Sender
from ccagent.tracing import Queue, Recorder
from tests.otlp.conftest import RESOURCE
from tests.otlp.receiver import Answer, Running

NOW = 1_700_000_000_000


@pytest.fixture(params=["http/protobuf", "grpc"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def made(
    running: Running, senders: Callable[..., Sender], protocol: str, lost: list[int]
) -> tuple[Recorder, OwnTraces]:
    queue = Queue(limit=4)
    sender = senders(running, protocol)
    return Recorder([queue]), OwnTraces(sender, queue, resource=RESOURCE, version="1", lost=lost.append)


def record(recorder: Recorder, *names: str) -> None:
    for name in names:
        with recorder.span(name, bytes=7):
            pass


def test_spans_arrive_under_a_scope_of_their_own(
    http: Running, grpc_: Running, senders: Callable[..., Sender], protocol: str
) -> None:
    running = http if protocol == "http/protobuf" else grpc_
    recorder, own = made(running, senders, protocol, [])
    with recorder.span("rollup run", quarters=3), recorder.span("slow query", thread="schedule"):
        pass
    with pytest.raises(OSError), recorder.span("export"):  # noqa: PT011
        raise OSError
    step = own.tick(NOW)
    assert (step.outcome, step.sent) == ("sent", 3)
    request = running.received.taken[0]
    scope = request.resource_spans[0].scope_spans[0].scope
    assert (scope.name, scope.version) == (SCOPE, "1")
    spans = {span.name: span for span in running.received.spans}
    assert spans["slow query"].parent_span_id == spans["rollup run"].span_id
    assert {pair.key: pair.value.int_value for pair in spans["rollup run"].attributes} == {"ccagent.quarters": 3}
    assert spans["export"].status.code == spans["export"].status.STATUS_CODE_ERROR
    assert [pair.value.string_value for pair in spans["export"].attributes] == ["OSError"]
    assert own.tick(NOW).outcome == "idle"


def test_a_receiver_that_is_away_is_waited_for_and_what_has_no_room_is_counted(
    http: Running, senders: Callable[..., Sender]
) -> None:
    lost: list[int] = []
    recorder, own = made(http, senders, "http/protobuf", lost)
    http.received.script.append(Answer(status=503))
    record(recorder, "a", "b", "c")
    step = own.tick(NOW)
    assert step.outcome == "failed"
    record(recorder, "d", "e")
    assert own.tick(NOW).outcome == "waiting"
    later = NOW + step.wait_ms
    assert own.tick(later).outcome == "sent"
    assert [span.name for span in http.received.spans] == ["b", "c", "d", "e"]
    assert lost == [1]


def test_what_is_refused_is_gone_and_counted(http: Running, senders: Callable[..., Sender]) -> None:
    lost: list[int] = []
    recorder, own = made(http, senders, "http/protobuf", lost)
    http.received.script.extend([Answer(status=400), Answer(rejected=1)])
    record(recorder, "a", "b")
    assert own.tick(NOW).sent == 0
    record(recorder, "c", "d")
    assert own.tick(NOW).sent == 1
    assert lost == [2, 1]
    assert own.tick(NOW).outcome == "idle"
