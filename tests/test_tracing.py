"""ccagent's own spans: nested in their thread, bounded, kept until they are taken."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ccagent.tracing import OFF, Queue, Recorder, watch_reader


def test_a_span_below_another_belongs_to_its_trace() -> None:
    queue = Queue()
    recorder = Recorder([queue])
    with recorder.span("outer", files=2) as outer, recorder.span("inner") as inner:
        inner.set(bytes=10)
    spans, dropped = queue.take(10)
    assert [span.name for span in spans] == ["inner", "outer"]
    assert dropped == 0
    assert spans[0].trace_id == spans[1].trace_id
    assert spans[0].parent_id == outer.span_id
    assert spans[1].parent_id == b""
    assert spans[0].attributes == {"bytes": 10}
    assert spans[1].attributes == {"files": 2}


def test_a_thread_has_its_own_open_span() -> None:
    queue = Queue()
    recorder = Recorder([queue])

    def work() -> None:
        with recorder.span("other"):
            pass

    with recorder.span("mine"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    spans, _ = queue.take(10)
    assert {span.name: span.parent_id for span in spans} == {"other": b"", "mine": b""}
    assert len({span.trace_id for span in spans}) == 2


def test_an_exception_marks_the_span_and_goes_on() -> None:
    queue = Queue()
    recorder = Recorder([queue])
    with pytest.raises(KeyError), recorder.span("work"):
        raise KeyError("x")
    spans, _ = queue.take(10)
    assert spans[0].error == "KeyError"


def test_a_wall_clock_that_stands_still_or_falls_gives_no_negative_duration() -> None:
    times = iter((2_000_000_000, 1_000_000_000))
    queue = Queue()
    recorder = Recorder([queue], wall_ns=lambda: next(times))
    for _ in range(2):
        with recorder.span("work"):
            pass
    spans, _ = queue.take(10)
    assert all(span.end_ns >= span.start_ns for span in spans)


def test_what_came_to_nothing_leaves_no_span() -> None:
    queue = Queue()
    recorder = Recorder([queue])
    with recorder.span("ingest batch") as span:
        span.discard()
    assert queue.take(10) == ([], 0)


def test_the_oldest_go_when_nobody_takes_them_and_are_counted() -> None:
    queue = Queue(limit=3)
    recorder = Recorder([queue])
    for number in range(5):
        with recorder.span(str(number)):
            pass
    spans, dropped = queue.take(10)
    assert [span.name for span in spans] == ["2", "3", "4"]
    assert dropped == 2
    assert queue.take(10) == ([], 0)


def test_spans_put_back_stand_before_those_that_came_meanwhile_and_within_the_limit() -> None:
    queue = Queue(limit=3)
    recorder = Recorder([queue])
    for number in range(3):
        with recorder.span(str(number)):
            pass
    taken, _ = queue.take(3)
    with recorder.span("new"):
        pass
    queue.put_back(taken)
    spans, dropped = queue.take(10)
    assert [span.name for span in spans] == ["1", "2", "new"]
    assert dropped == 1


def test_only_a_slow_question_to_the_store_is_a_span() -> None:
    queue = Queue()
    recorder = Recorder([queue])

    @contextmanager
    def reader() -> Iterator[str]:
        yield "connection"

    for slow_seconds in (60.0, 0.0):
        with watch_reader(reader, recorder, slow_seconds=slow_seconds)() as conn:
            assert conn == "connection"
    spans, _ = queue.take(10)
    assert [span.name for span in spans] == ["slow query"]
    assert spans[0].attributes == {"thread": "MainThread"}


def test_switched_off_nothing_is_kept() -> None:
    with OFF.span("work", files=1) as span:
        span.set(bytes=3)
        span.discard()
    with OFF.span("more") as again:
        assert again.attributes == {}


def test_every_queue_gets_every_span() -> None:
    queues = [Queue(), Queue(limit=1)]
    recorder = Recorder(queues)
    for name in ("a", "b"):
        with recorder.span(name):
            pass
    assert [[span.name for span in queue.take(10)[0]] for queue in queues] == [["a", "b"], ["b"]]
