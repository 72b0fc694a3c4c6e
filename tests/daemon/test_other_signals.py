"""A receiver that takes traces alone, with all three signals wanted of it: traces arrive, the others wait and say why."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest

from tests.daemon.collector import PROTOCOLS, all_left, options, receiver
from tests.daemon.rig import Ground, small_session
from tests.otlp.receiver import Answer

OTHERS = ("logs", "metrics")


def refuse(request: Any) -> Answer | None:
    """What a receiver of traces says to everything else."""
    if hasattr(request, "resource_spans"):
        return None
    return Answer(status=404, content_type="text/plain", body=b"404 page not found",
                  code=grpc.StatusCode.UNIMPLEMENTED, details="unknown service")  # fmt: skip


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_traces_arrive_and_the_other_signals_say_what_to_do(protocol: str, ground: Ground) -> None:
    with receiver(protocol) as collector:
        collector.received.rule = refuse
        given = options(collector.http, protocol)
        daemon = ground.start(*given, CCAGENT_OTLP_INTERVAL_SECONDS="1")
        daemon.until_caught_up()
        ground.tree.write(small_session("one"))
        daemon.until(lambda: all_left(ground, collector.received), "the traces are there")

        def told() -> dict[str, dict[str, Any]]:
            environment = {"CCAGENT_OTLP_ENDPOINT": collector.http, "CCAGENT_OTLP_PROTOCOL": protocol}
            document = json.loads(ground.verb("status", "--otel", "--json", **environment).stdout)
            return {one["signal"]: one for one in document["destinations"]}

        daemon.until(lambda: all(told().get(signal, {}).get("problem") for signal in OTHERS), "both were refused")
        requests = {
            kind: sum(hasattr(one, f"resource_{kind}") for one in collector.received.offered) for kind in OTHERS
        }
        ground.tree.write(small_session("two"))
        daemon.until(lambda: all_left(ground, collector.received), "traces go on")

        found = told()
        samples = daemon.samples()
        words = [json.loads(line) for line in daemon.log.read_text().splitlines() if line.startswith("{")]
        assert daemon.terminate() == 0

    assert found["traces"]["state"] == "active"
    assert found["traces"]["problem"] is None
    for signal in OTHERS:
        assert found[signal]["state"] == "degraded"
        assert "leave it out of `signals`" in found[signal]["advice"]
        assert found[signal]["last_day"]["dropped"] == 0
        assert found[signal]["retry_in_seconds"] > 1, "it is not hammered"
        turned = [line for line in words if line["event"] == "export.turned" and line["signal"] == signal]
        assert [line["after"] for line in turned] == ["degraded"], "told once"
    assert found["logs"]["backlog"] > 0, "records wait"
    assert all(count <= 3 for count in requests.values()), requests
    assert [labels for (name, labels), value in samples.items()
            if name == "ccagent_exports_dropped_total" and value] == []  # fmt: skip
