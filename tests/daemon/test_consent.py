"""What leaves the machine is what its owner named: destinations, tiers, totals."""

from __future__ import annotations

import json
import socket

import pytest

from tests.daemon.collector import PROTOCOLS, attributes, options, points, receiver
from tests.daemon.rig import Daemon, Ground, small_session
from tests.otlp.receiver import Received, http_receiver

OFTEN = {"CCAGENT_OTLP_INTERVAL_SECONDS": "1"}


def exportable(ground: Ground, metric: str) -> dict[tuple[str, ...], int]:
    """The exportable totals of a metric by its labels, the project left out (it is no label by default)."""
    found: dict[tuple[str, ...], int] = {}
    for labels, value in ground.rows("SELECT labels, value FROM total WHERE metric = ? AND exportable = 1", metric):
        model, kind, _ = json.loads(labels)
        found[model, kind] = found.get((model, kind), 0) + value
    return found


def pushed(received: Received) -> dict[tuple[str, ...], int]:
    """The last tokens that arrived, those of value 0 left out; {} before any."""
    if not any(metric.name == "ccagent.tokens" for metric in received.metrics):
        return {}
    return {
        (labels["gen_ai.request.model"] if "gen_ai.request.model" in labels else labels["model"], labels["type"]):
        int(value) for labels, value, _ in points(received, "ccagent.tokens") if value
    }  # fmt: skip


def until_pushed(daemon: Daemon, received: Received) -> None:
    daemon.until(
        lambda: pushed(received) == exportable(daemon.ground, "tokens") != {}, "the totals are at the collector"
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_metrics_are_cumulative_and_equal_what_may_leave(ground: Ground, protocol: str) -> None:
    with receiver(protocol) as collector:
        daemon = ground.start(*options(collector.http, protocol), **OFTEN)
        daemon.until_caught_up()
        ground.tree.write(small_session("one"))
        until_pushed(daemon, collector.received)
        first = {tuple(labels.values()): start for labels, _, start in points(collector.received, "ccagent.tokens")}
        assert daemon.terminate() == 0

        ground.tree.write(small_session("two"))
        again = ground.start(*options(collector.http, protocol), **OFTEN)
        again.until(lambda: ground.requests() == 4, "the second session is there")
        until_pushed(again, collector.received)

        last = {tuple(labels.values()): start for labels, _, start in points(collector.received, "ccagent.tokens")}
        assert sum(pushed(collector.received).values()) == sum(ground.usage()["tokens"].values())
        assert {key: last[key] for key in first} == first, "a restart is no reset"
        assert all(metric.sum.aggregation_temporality == 2 for metric in collector.received.metrics
                   if metric.name == "ccagent.tokens")  # fmt: skip


def test_a_project_of_tier_0_sends_nothing_and_adds_nothing_to_what_leaves(ground: Ground) -> None:
    closed = ground.folder / "closed"
    closed.mkdir()
    (closed / ".ccagent.toml").write_text("tier = 0\n")
    with http_receiver() as collector:
        daemon = ground.start(*options(collector.http, "http/protobuf"), **OFTEN)
        daemon.until_caught_up()
        secret = small_session("secret", requests=5, cwd=str(closed))
        ground.tree.write(secret, small_session("open", requests=1))
        daemon.until(lambda: ground.requests() == 6, "both are in the store")
        daemon.until(lambda: len(collector.received.spans) == 2, "the open one has left")
        until_pushed(daemon, collector.received)
        daemon.until(
            lambda: daemon.samples().get(
                ("ccagent_exports_dropped_total", (("destination", "otlp"), ("reason", "tier"), ("signal", "traces")))
            ) == 6, "what was withheld is counted",
        )  # fmt: skip

        assert {attributes(span)["session.id"] for span in collector.received.spans}.isdisjoint({secret.session_id})
        assert sum(pushed(collector.received).values()) == 1 + 10 + 100
        assert daemon.tokens()["output"] == 60, "the page of this machine shows all"


def test_another_programs_endpoint_is_not_used_and_the_status_says_so(ground: Ground) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{listening.getsockname()[1]}"}
        daemon = ground.start(**variables)
        ground.tree.write(small_session("one"))
        daemon.until(lambda: ground.requests() == 2, "the session is in the store")
        daemon.until(
            lambda: any("found, not used" in problem for problem in ground.status()["problems"]), "the status says so"
        )
        assert daemon.terminate() == 0

        with pytest.raises(BlockingIOError):
            listening.accept()


def test_without_a_destination_nothing_is_booked_as_leaving(ground: Ground) -> None:
    ground.tree.write(small_session("one"))

    ground.once()

    assert exportable(ground, "tokens") == {}
    assert ground.status()["export"] == {"state": "off: nothing leaves this machine"}
