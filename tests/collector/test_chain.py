"""A followed session goes through the shipped Collector into real backends, and is asked back from each."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.collector.arrival import (
    check_trees,
    stored_logs,
    stored_spans,
    stored_tokens,
    tokens_by_model,
    until_arrived,
    wanted_logs,
    wanted_spans,
)
from tests.collector.stage import stack
from tests.daemon.collector import options, play, rich_session
from tests.daemon.rig import Ground

pytestmark = pytest.mark.collector

CANARY = "kanarienvogel"


@pytest.mark.parametrize(
    ("protocol", "exporter"), [("grpc", "otlp_http/prometheus"), ("http/protobuf", "prometheus_remote_write")]
)
def test_what_the_backends_answer_is_what_ccagent_says(
    ground: Ground, tmp_path: Path, protocol: str, exporter: str
) -> None:
    with stack(tmp_path / "stack", exporter) as backends:
        daemon = ground.start(*options(backends.collector.url(protocol), protocol), CCAGENT_OTLP_INTERVAL_SECONDS="1")
        daemon.until_caught_up()
        play(ground, daemon, rich_session("rich", secret=CANARY))
        until_arrived(ground, backends)

        spans = stored_spans(ground, backends.traces)
        assert stored_tokens(backends.metrics) == tokens_by_model(ground) != {}
        assert sorted(span["spanID"] for span in spans) == sorted(wanted_spans(ground))
        check_trees(ground, backends.traces)
        assert stored_logs(backends.logs) == wanted_logs(ground)
        assert CANARY not in repr((spans, backends.logs.all()))
        assert daemon.terminate() == 0
    assert backends.collector.complaints == []
