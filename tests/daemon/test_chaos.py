"""A real daemon before receivers that misbehave: everything arrives but what is counted, and nobody waits for another."""

from __future__ import annotations

from collections import Counter
from typing import Any

import grpc
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ccagent.export.otlp.log_facts import LOG_TYPES
from tests.daemon.collector import PROTOCOLS, expected, open_facts, receiver, rich_session
from tests.daemon.rig import Daemon, Ground
from tests.otlp.chaos import Chaos
from tests.otlp.receiver import REQUESTS, Answer, grpc_receiver, http_receiver

SESSIONS = 4
KINDS = ",".join(str(int(kind)) for kind in LOG_TYPES)
RECORDS_LEFT = f"""SELECT 1 FROM export_cursor WHERE signal = 'logs' AND destination = ?
            AND closed_seq >= (SELECT max(closed_seq) FROM fact WHERE type IN ({KINDS}))"""


SPANS_LEFT = """SELECT 1 FROM export_cursor WHERE signal = 'traces'
                AND closed_seq >= (SELECT max(closed_seq) FROM fact WHERE type IN (2, 4, 5, 7))"""


class Mild(Chaos):
    """Chaos that a daemon gets over within seconds: nothing that asks for a long pause, never three failures in a row."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._rows = [row for row in self._rows if row.waits_ms <= 1_000]
        self._failures = 0

    def __call__(self, request: Any) -> Answer:
        """The answer to the next request."""
        was, self.calm = self.calm, self.calm or self._failures >= 2
        before = self.answered["ok"] + self.answered["partial"]
        answer = super().__call__(request)
        taken = self.answered["ok"] + self.answered["partial"] > before
        self._failures = 0 if taken else self._failures + 1
        self.calm = was
        return answer


def exports(daemon: Daemon, signal: str) -> Counter[str]:
    """Requests of a signal by status, as the page shows them."""
    found: Counter[str] = Counter()
    for (name, labels), value in daemon.samples().items():
        if name == "ccagent_exports_total" and dict(labels)["signal"] == signal:
            found[dict(labels)["status"]] += int(value)
    return +found


def dropped(daemon: Daemon, signal: str) -> dict[str, int]:
    """Items of a signal that were lost, by reason, as the page shows them."""
    return {
        dict(labels)["reason"]: int(value) for (name, labels), value in daemon.samples().items()
        if name == "ccagent_exports_dropped_total" and dict(labels)["signal"] == signal and value
    }  # fmt: skip


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_counters_say_what_really_became_of_every_request_and_item(ground: Ground, protocol: str) -> None:
    mild = {signal: Mild(protocol, seed) for seed, signal in enumerate(("traces", "logs", "metrics"))}

    def rule(request: Any) -> Answer:
        signal = next(name for name, message in REQUESTS.items() if isinstance(request, message))
        return mild[signal](request)

    with receiver(protocol) as collector:
        collector.received.rule = rule
        ground.config.write_text(
            f'[otlp]\nendpoint = "{collector.http}"\nprotocol = "{protocol}"\ninterval_seconds = 1\n'
        )
        daemon = ground.start("--config", str(ground.config))
        daemon.until_caught_up()
        for number in range(SESSIONS):
            ground.tree.write(rich_session(f"rich-{number}"))
            daemon.until(lambda: read(ground) and open_facts(ground) == 0 and reached(ground), "the session has left")
        daemon.until(lambda: exports(daemon, "traces") and exports(daemon, "logs"), "the counters are booked")
        for one in mild.values():
            one.calm = True
        kinds: set[str] = set()
        for signal in ("traces", "logs"):
            chaos = mild[signal]
            broken = chaos.rows["reset"] + chaos.rows["reset_after_taking_it"]
            least = sum(chaos.answered.values()) - broken
            daemon.until(lambda: sum(exports(daemon, signal).values()) >= least, "all of them are")  # noqa: B023
            booked = exports(daemon, signal)
            assert booked - chaos.answered == Counter()
            assert (chaos.answered - booked).keys() <= {"retry"}
            kinds |= set(booked)
            lost = dropped(daemon, signal)
            assert lost.get("rejected", 0) == chaos.rejections
            dead = ground.rows("SELECT count(*) FROM export_dead WHERE signal = ?", signal)[0][0]
            assert lost.get("poison", 0) + lost.get("too_large", 0) == dead
        assert kinds >= {"ok", "retry"}
        for copies in mild["traces"].arrived.values():
            # A span is built anew for every try: a record that came in between may have added to it.
            spans = [Span.FromString(data) for data in copies]
            assert len({(span.trace_id, span.span_id, span.parent_span_id) for span in spans}) == 1
        daemon.until(
            lambda: len(expected(ground) - arrived(mild["traces"])) == dead_spans(ground), "all others arrived"
        )
        assert arrived(mild["traces"]) <= expected(ground)
        assert daemon.terminate() == 0


def read(ground: Ground) -> bool:
    """Whether every byte is taken in: a session's agents may come later than its own lines."""
    return ground.taken() == sum(path.stat().st_size for path in ground.root.rglob("*.jsonl"))


def arrived(chaos: Chaos) -> set[bytes]:
    """Ids of what the receiver took, or refused by name."""
    return {key for _, key in chaos.arrived.keys() | chaos.rejected}


def dead_spans(ground: Ground) -> int:
    """Facts that were set aside."""
    return int(ground.rows("SELECT count(*) FROM export_dead WHERE signal = 'traces'")[0][0])


def reached(ground: Ground) -> bool:
    """Whether both cursors stand behind all that is closed."""
    return bool(ground.rows(SPANS_LEFT) and ground.rows(RECORDS_LEFT, "otlp"))


def test_a_dead_a_slow_and_a_locked_destination_delay_nothing_for_a_healthy_one(ground: Ground) -> None:
    def table(name: str, url: str, protocol: str) -> str:
        return (
            f'[otlp.destinations.{name}]\nendpoint = "{url}"\nprotocol = "{protocol}"\ninterval_seconds = 1\n'
            "timeout_seconds = 8\n"
        )

    with http_receiver() as slow, http_receiver() as locked, grpc_receiver() as lacking, grpc_receiver() as healthy:
        slow.received.rule = lambda _request: Answer(silent=True)
        locked.received.rule = lambda _request: Answer(status=401)
        lacking.received.rule = lambda request: (
            None if isinstance(request, REQUESTS["metrics"]) else Answer(code=grpc.StatusCode.UNIMPLEMENTED)
        )
        ground.config.write_text(
            table("dead", "http://127.0.0.1:9", "http/protobuf") + table("slow", slow.http, "http/protobuf")
            + table("locked", locked.http, "http/protobuf") + table("lacking", lacking.http, "grpc")
            + table("healthy", healthy.http, "grpc")
        )  # fmt: skip
        daemon = ground.start("--config", str(ground.config))
        daemon.until_caught_up()
        for number in range(3):
            ground.tree.write(rich_session(f"rich-{number}"))
            daemon.until(
                lambda: (
                    open_facts(ground) == 0
                    and {span.span_id for span in healthy.received.spans} == expected(ground)
                    and ground.rows(RECORDS_LEFT, "healthy")
                ),
                "the healthy one has all of it",
            )
            seen = len(healthy.received.metrics)
            daemon.until(lambda: len(healthy.received.metrics) > seen, "the healthy one's metrics go on")  # noqa: B023
        states = {
            (labels["destination"], labels["signal"]): labels["state"]
            for (name, pairs), value in daemon.samples().items()
            if name == "ccagent_export_state" and value and (labels := dict(pairs))
        }
        copies = Counter(span.span_id for span in healthy.received.spans)
        assert daemon.terminate() == 0

    assert {signal for one, signal in states if one == "healthy" and states[one, signal] == "active"} == {
        "traces", "metrics", "logs",
    }  # fmt: skip
    assert states["lacking", "metrics"] == "active"
    assert {states[pair] for pair in (("lacking", "traces"), ("lacking", "logs"), ("locked", "logs"))} == {"degraded"}
    assert {states["dead", signal] for signal in ("traces", "logs", "metrics")} <= {"degraded", "circuit_open"}
    assert (slow.received.taken, locked.received.taken) == ([], [])
    assert lacking.received.metrics
    assert set(copies.values()) == {1}
