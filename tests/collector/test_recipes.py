"""The recipes work as they are written: their blocks are taken from the page, only hosts are put in their place."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.collector.arrival import check_trees, stored_spans, stored_tokens, tokens_by_model, wanted_spans
from tests.collector.stage import Metrics, collector, packaged, prometheus, running, traces
from tests.daemon.collector import expected, rich_session
from tests.daemon.rig import DEADLINE_SECONDS, ROOT, Ground, until
from tests.otlp.receiver import Received, grpc_receiver, http_receiver

PAGE = ROOT / "docs" / "recipes.md"
BLOCK = re.compile(r"^<!-- recipe: ([^>\n]+) -->\n```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)

GATEWAY = "https://otlp-gateway-prod-eu-west-2.grafana.net"
CLOUD_PAIR = "Basic " + base64.b64encode(b"123456:glc_invented").decode()
LANGFUSE_PAIR = "Basic " + base64.b64encode(b"pk-lf-invented:sk-lf-invented").decode()
OWN_PORT = "127.0.0.1:9464"

BLOCKS = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))


def configure(ground: Ground, name: str, replaced: dict[str, str]) -> None:
    """Write a recipe's configuration to where ccagent looks for one."""
    words = BLOCKS[name]
    for old, new in replaced.items():
        assert old in words
        words = words.replace(old, new)
    place = ground.home / ".config" / "ccagent"
    place.mkdir(parents=True, exist_ok=True)
    (place / "config.toml").write_text(words)


def shell(ground: Ground, words: str) -> subprocess.CompletedProcess[str]:
    """Run lines of a recipe; `ccagent run` in them takes in the ground's tree once."""
    programs = ground.folder / "bin"
    programs.mkdir(exist_ok=True)
    ccagent = programs / "ccagent"
    once = f'--once --source "{ground.root}" --db "{ground.database}"'
    ccagent.write_text(f'#!/bin/sh\nverb="$1"; shift\nexec "{sys.executable}" -m ccagent "$verb" {once} "$@"\n')
    ccagent.chmod(0o755)
    environment = ground.environment()
    environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        ["bash", "-euc", words], env=environment, cwd=ground.home, text=True, capture_output=True, check=False,
        timeout=2 * DEADLINE_SECONDS,
    )  # fmt: skip


def run(ground: Ground) -> None:
    """Take in a session once and send what is due."""
    ground.tree.write(rich_session("rich"))
    done = ground.once()
    assert (done.returncode, [line for line in done.stderr.splitlines() if "not sent" in line]) == (0, []), done.stderr


def all_spans(ground: Ground, received: Received) -> bool:
    """Whether each closed fact is there as one span."""
    return {span.span_id for span in received.spans} == expected(ground) != set()


def test_grafana_cloud_gets_all_signals_at_its_path_with_its_header(ground: Ground) -> None:
    done = shell(ground, BLOCKS["grafana-cloud secret"])
    assert done.returncode == 0, done.stderr
    with http_receiver() as gateway:
        configure(ground, "grafana-cloud", {GATEWAY: gateway.http})
        run(ground)

        assert all_spans(ground, gateway.received)
        assert gateway.received.metrics
        assert gateway.received.logs
        assert set(gateway.received.paths) == {"/otlp/v1/traces", "/otlp/v1/metrics", "/otlp/v1/logs"}
        assert {headers.get("authorization") for headers in gateway.received.headers} == {CLOUD_PAIR}
        assert {headers.get("content-encoding") for headers in gateway.received.headers} == {"gzip"}
        assert {headers.get("content-type") for headers in gateway.received.headers} == {"application/x-protobuf"}


def test_the_variables_that_grafana_cloud_hands_out_work_as_they_are(ground: Ground) -> None:
    ground.tree.write(rich_session("rich"))
    with http_receiver() as gateway:
        done = shell(ground, BLOCKS["grafana-cloud environment"].replace(GATEWAY, gateway.http))

        assert done.returncode == 0, done.stderr
        assert all_spans(ground, gateway.received)
        assert set(gateway.received.paths) == {"/otlp/v1/traces", "/otlp/v1/metrics", "/otlp/v1/logs"}
        assert {headers.get("authorization") for headers in gateway.received.headers} == {CLOUD_PAIR}


def test_without_a_tier_those_variables_send_nothing(ground: Ground) -> None:
    ground.tree.write(rich_session("rich"))
    words = BLOCKS["grafana-cloud environment"].replace("CCAGENT_PRIVACY_TIER=1 ", "")
    with http_receiver() as gateway:
        done = shell(ground, words.replace(GATEWAY, gateway.http))

        assert done.returncode == 0, done.stderr
        assert gateway.received.offered == []


def test_tempo_gets_traces_and_nothing_else(ground: Ground) -> None:
    with grpc_receiver() as tempo:
        configure(ground, "tempo", {"127.0.0.1:4317": f"127.0.0.1:{tempo.port}"})
        run(ground)

        assert all_spans(ground, tempo.received)
        assert (tempo.received.metrics, tempo.received.logs) == ([], [])


@pytest.mark.collector
def test_a_store_of_traces_gives_the_tree_back(ground: Ground, tmp_path: Path) -> None:
    store = traces(tmp_path / "store")
    with running(store):
        configure(ground, "tempo", {"127.0.0.1:4317": store.endpoint})
        run(ground)
        until(lambda: len(stored_spans(ground, store)) >= len(wanted_spans(ground)), "all spans can be asked for")

        assert sorted(span["spanID"] for span in stored_spans(ground, store)) == sorted(wanted_spans(ground))
        check_trees(ground, store)


def test_langfuse_gets_traces_at_its_path_with_its_pair(ground: Ground) -> None:
    done = shell(ground, BLOCKS["langfuse secret"])
    assert done.returncode == 0, done.stderr
    with http_receiver() as langfuse:
        configure(ground, "langfuse", {"https://cloud.langfuse.com": langfuse.http})
        run(ground)

        assert all_spans(ground, langfuse.received)
        assert set(langfuse.received.paths) == {"/api/public/otel/v1/traces"}
        assert {headers.get("authorization") for headers in langfuse.received.headers} == {LANGFUSE_PAIR}
        assert {headers.get("x-langfuse-ingestion-version") for headers in langfuse.received.headers} == {"4"}


def test_phoenix_gets_traces_and_nothing_else(ground: Ground) -> None:
    with http_receiver() as phoenix:
        configure(ground, "phoenix", {"127.0.0.1:6006": f"127.0.0.1:{phoenix.port}"})
        run(ground)

        assert all_spans(ground, phoenix.received)
        assert set(phoenix.received.paths) == {"/v1/traces"}


def until_tokens(ground: Ground, store: Metrics) -> None:
    """Wait until the store's sums by model are ccagent's own."""
    until(lambda: stored_tokens(store) == tokens_by_model(ground) != {}, "the sums are the same")


def test_prometheus_scrapes_what_ccagent_counts(ground: Ground, tmp_path: Path) -> None:
    packaged("prometheus")
    daemon = ground.start()
    daemon.until_caught_up()
    ground.tree.write(rich_session("rich"))
    words = BLOCKS["prometheus"].replace(OWN_PORT, daemon.url.removeprefix("http://"))
    assert words != BLOCKS["prometheus"]
    with running(store := prometheus(tmp_path / "prometheus", words)):
        until_tokens(ground, store)

        assert set(store.sums("up", "job")) == {("ccagent",)}


@pytest.mark.collector
def test_remote_write_through_the_collector(ground: Ground, tmp_path: Path) -> None:
    store, variables = prometheus(tmp_path / "prometheus"), dict(
        re.findall(r"^export (\w+)=(.+)$", BLOCKS["remote-write collector"], re.MULTILINE)
    )  # fmt: skip
    variables["PROMETHEUS_REMOTE_WRITE_ENDPOINT"] = variables["PROMETHEUS_REMOTE_WRITE_ENDPOINT"].replace(
        "http://127.0.0.1:9090", store.url
    )
    with grpc_receiver() as tempo, http_receiver() as loki:
        between = collector(
            tmp_path / "collector", TEMPO_ENDPOINT=f"127.0.0.1:{tempo.port}", LOKI_ENDPOINT=f"{loki.http}/otlp",
            **variables,
        )  # fmt: skip
        with running(store, between):
            configure(ground, "remote-write", {"127.0.0.1:4317": f"127.0.0.1:{between.grpc}"})
            run(ground)
            until_tokens(ground, store)
            until(lambda: all_spans(ground, tempo.received) and loki.received.logs, "spans and log records go on")

            assert ("ccagent",) in store.sums("target_info", "job")


def test_each_of_several_destinations_gets_its_signals(ground: Ground) -> None:
    done = shell(ground, BLOCKS["grafana-cloud secret"])
    assert done.returncode == 0, done.stderr
    with grpc_receiver() as near, http_receiver() as cloud:
        configure(ground, "several", {"127.0.0.1:4317": f"127.0.0.1:{near.port}", GATEWAY: cloud.http})
        run(ground)

        assert all_spans(ground, near.received)
        assert all_spans(ground, cloud.received)
        assert near.received.logs
        assert set(cloud.received.paths) == {"/otlp/v1/traces", "/otlp/v1/metrics"}


def test_every_recipe_that_is_marked_is_tried() -> None:
    words = Path(__file__).read_text(encoding="utf-8")

    assert BLOCKS
    assert [name for name in BLOCKS if f'"{name}"' not in words] == []
