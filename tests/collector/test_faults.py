"""The Collector is killed and the backends go away in the middle of a session: at the end nothing is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from tests.collector.arrival import (
    check_trees,
    missing,
    stored_tokens,
    tokens_by_model,
    until_arrived,
)
from tests.collector.stage import collector, running, stack
from tests.collector.test_redaction import post
from tests.daemon.collector import open_facts, options, rich_session
from tests.daemon.rig import Daemon, Ground, until
from tests.otlp.receiver import Answer, http_receiver

pytestmark = pytest.mark.collector


SMALL_QUEUE = 524_288
"""Bytes: the smallest that the configuration allows."""

MANY_SESSIONS = 60
"""Their spans are more than a small queue holds."""


def until_acknowledged(daemon: Daemon) -> None:
    """Wait until the Collector has taken all there is to say: spans and log records."""
    passed = (
        "SELECT count(*) FROM export_cursor WHERE signal IN ('traces', 'logs') AND closed_seq >="
        " (SELECT max(closed_seq) FROM fact WHERE type IN (2, 4, 5))"
    )
    daemon.until(
        lambda: open_facts(daemon.ground) == 0 and daemon.ground.rows(passed) == [(2,)], "all of it was acknowledged"
    )


def test_a_killed_collector_and_absent_backends_lose_nothing(ground: Ground, tmp_path: Path) -> None:
    with stack(tmp_path / "stack") as all_of_it:
        between = all_of_it.collector
        daemon = ground.start(
            *options(between.url("http/protobuf"), "http/protobuf"), CCAGENT_OTLP_INTERVAL_SECONDS="1"
        )
        daemon.until_caught_up()
        ground.tree.write(rich_session("before"))
        until_arrived(ground, all_of_it)

        for backend in all_of_it.backends:
            backend.stop()
        ground.tree.write(rich_session("while the backends are away"))
        until_acknowledged(daemon)
        until(lambda: between.queued() > 0, "the Collector keeps it in its queues")
        between.kill()
        ground.tree.write(rich_session("while the Collector is away"))
        daemon.until(
            lambda: (ground.status()["export"].get("traces") or {}).get("state") == "degraded", "the status says so"
        )
        between.start()
        for backend in all_of_it.backends:
            backend.start()
        until_arrived(ground, all_of_it)

        assert missing(ground, all_of_it) == ""
        assert stored_tokens(all_of_it.metrics) == tokens_by_model(ground) != {}
        check_trees(ground, all_of_it.traces)
        until(lambda: between.queued() == 0, "the queues are empty")


def test_the_queue_alone_brings_what_was_acknowledged(ground: Ground, tmp_path: Path) -> None:
    """ccagent is gone for good before the backends come: only the Collector's disk can have it."""
    with stack(tmp_path / "stack") as all_of_it:
        between = all_of_it.collector
        for backend in all_of_it.backends:
            backend.stop()
        daemon = ground.start(*options(between.url("grpc"), "grpc"), CCAGENT_OTLP_INTERVAL_SECONDS="1")
        daemon.until_caught_up()
        ground.tree.write(rich_session("rich"))
        until_acknowledged(daemon)
        assert daemon.terminate() == 0

        between.kill()
        for backend in all_of_it.backends:
            backend.start()
        between.start()

        until_arrived(ground, all_of_it)
        check_trees(ground, all_of_it.traces)


def test_a_full_queue_makes_ccagent_wait(ground: Ground, tmp_path: Path) -> None:
    with stack(tmp_path / "stack", COLLECTOR_QUEUE_BYTES=str(SMALL_QUEUE)) as all_of_it:
        between = all_of_it.collector
        daemon = ground.start(*options(between.url("grpc"), "grpc"), CCAGENT_OTLP_INTERVAL_SECONDS="1")
        daemon.until_caught_up()
        for backend in all_of_it.backends:
            backend.stop()
        ground.tree.write(*(rich_session(f"number {number}") for number in range(MANY_SESSIONS)))
        daemon.until(lambda: "queue is full" in between.words, "the Collector has no room")

        assert between.queued() <= 3 * SMALL_QUEUE
        for backend in all_of_it.backends:
            backend.start()
        until_arrived(ground, all_of_it)


def test_what_a_backend_refuses_for_good_is_lost_and_said(ground: Ground, tmp_path: Path) -> None:
    with http_receiver() as backend:
        between = collector(
            tmp_path / "collector", "grafana-cloud.yaml", GRAFANA_CLOUD_OTLP_ENDPOINT=backend.http,
            GRAFANA_CLOUD_INSTANCE_ID="123456", GRAFANA_CLOUD_TOKEN="invented",
        )  # fmt: skip
        backend.received.script.append(Answer(status=400, details="too old"))
        with running(between):
            ground.tree.write(rich_session("rich"))
            done = ground.once(*options(between.url("grpc"), "grpc"), CCAGENT_OTLP_SIGNALS="traces")
            assert done.returncode == 0, done.stderr
            until(lambda: between.complaints, "the Collector says so")

    assert backend.received.spans == []
    assert "Dropping data" in between.complaints[0]


def test_what_is_refused_for_the_token_alone_is_gone_as_the_page_says(tmp_path: Path) -> None:
    with http_receiver() as gateway:
        gateway.received.script.append(Answer(status=401))
        between = collector(
            tmp_path, "grafana-cloud.yaml", GRAFANA_CLOUD_OTLP_ENDPOINT=f"{gateway.http}/otlp",
            GRAFANA_CLOUD_INSTANCE_ID="123456", GRAFANA_CLOUD_TOKEN="expired",
        )  # fmt: skip
        with running(between):
            post(between, "logs", event("before"))
            until(lambda: "Dropping data" in between.words, "the Collector drops it")
            post(between, "logs", event("after"))
            until(lambda: gateway.received.logs, "what comes later arrives")

            assert [record.event_name for record in gateway.received.logs] == ["after"]
            assert between.queued() == 0


def event(name: str) -> ExportLogsServiceRequest:
    """A request with one log record."""
    return ExportLogsServiceRequest(
        resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=[LogRecord(event_name=name)])])]
    )
