"""Exemplars of a followed session: on the page and at a collector, each in a trace that the collector has."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from tests.daemon.collector import PROTOCOLS, all_left, options, play, receiver, rich_session
from tests.daemon.rig import Ground, get
from tests.otlp.receiver import Received

HISTOGRAMS = {"ccagent.tool.duration", "ccagent.request.duration", "ccagent.turn.duration"}
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def pointed(received: Received) -> dict[str, set[tuple[bytes, bytes]]]:
    """Trace and span of all exemplars that arrived, by metric."""
    found: dict[str, set[tuple[bytes, bytes]]] = {}
    for metric in received.metrics:
        for point in metric.histogram.data_points:
            for each in point.exemplars:
                found.setdefault(metric.name, set()).add((each.trace_id, each.span_id))
    return found


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_exemplar_points_to_a_span_that_was_sent(ground: Ground, protocol: str) -> None:
    with receiver(protocol) as collector:
        daemon = ground.start(*options(collector.http, protocol), CCAGENT_OTLP_INTERVAL_SECONDS="1")
        daemon.until_caught_up()
        play(ground, daemon, rich_session("rich"))
        daemon.until(lambda: all_left(ground, collector.received), "every closed fact is at the collector")
        daemon.until(lambda: pointed(collector.received).keys() >= HISTOGRAMS, "exemplars are at the collector")
        page = get(f"{daemon.url}/metrics", Accept=OPENMETRICS)[1]
        assert daemon.terminate() == 0

    spans = {(span.trace_id, span.span_id) for span in collector.received.spans}
    shown = {
        (bytes.fromhex(sample.exemplar.labels["trace_id"]), bytes.fromhex(sample.exemplar.labels["span_id"]))
        for family in parse_openmetrics(page)
        for sample in family.samples
        if sample.exemplar is not None
    }
    assert [metric for metric, found in pointed(collector.received).items() if not found <= spans] == []
    assert shown
    assert shown <= spans


def test_nothing_of_a_project_that_stays_is_an_exemplar_elsewhere(ground: Ground) -> None:
    session = rich_session("rich", cwd=str(ground.folder / "private"))
    (ground.folder / "private").mkdir()
    (ground.folder / "private" / ".ccagent.toml").write_text("tier = 0\n")
    with receiver(PROTOCOLS[1]) as collector:
        daemon = ground.start(*options(collector.http, PROTOCOLS[1]), CCAGENT_OTLP_INTERVAL_SECONDS="1")
        daemon.until_caught_up()
        play(ground, daemon, session)
        daemon.until(lambda: "trace_id" in get(f"{daemon.url}/metrics", Accept=OPENMETRICS)[1], "the page has some")
        before = len(collector.received.metrics)
        daemon.until(lambda: len(collector.received.metrics) > 2 * before, "metrics were sent since")
        assert daemon.terminate() == 0

    assert pointed(collector.received) == {}
    assert collector.received.spans == []
