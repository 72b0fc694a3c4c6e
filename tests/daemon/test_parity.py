"""One truth, three ways to ask: the query layer, the Prometheus page and the OTLP stream name the same amounts."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.collector import points, receiver, rich_session
from tests.daemon.rig import Daemon, Ground, small_session
from tests.otlp.receiver import Received

Amounts = dict[tuple[str, ...], float]
"""Amounts by the values of the labels that are compared."""


@pytest.fixture
def invented(ground: Ground) -> Ground:
    """A ground with sessions of our own."""
    ground.tree.write(*(small_session(f"session-{number}", requests=5 + number) for number in range(3)))
    ground.tree.write(rich_session("rich"))
    return ground


def rows(ground: Ground, by: str) -> dict[str, Any]:
    """The rows of `usage --by` by their key."""
    done = ground.verb("usage", "--by", by, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    return {str(row.get("key") or row.get(by) or ""): row for row in document["rows"]}


def on_the_page(daemon: Daemon, name: str, *labels: str) -> Amounts:
    """A counter of the page, summed over all other labels."""
    found: Amounts = defaultdict(float)
    for (sample, pairs), value in daemon.samples().items():
        if sample == name and value:
            values = dict(pairs)
            found[tuple(values[label] for label in labels)] += value
    return dict(found)


def in_the_stream(received: Received, name: str, *labels: str) -> Amounts:
    """The same counter in the last OTLP request that holds it."""
    found: Amounts = defaultdict(float)
    for values, value, _ in points(received, name):
        if value:
            found[tuple(values[label] for label in labels)] += value
    return dict(found)


def of_usage(by_model: Mapping[str, Any]) -> tuple[Amounts, Amounts]:
    """Tokens by model and kind, and dollars by model."""
    tokens = {
        (model, kind): float(amount)
        for model, row in by_model.items()
        for kind, amount in row["tokens"].items()
        if amount
    }
    cost = {(model,): row["cost_microusd"] / 1e6 for model, row in by_model.items() if row["cost_microusd"]}
    return tokens, cost


def agree(ground: Ground, *, closed: bool) -> None:
    """Compare all three; `closed`: nothing is open any more, so calls are compared too."""
    with receiver("http/protobuf") as collector:
        daemon = ground.start(
            "--otlp-endpoint", collector.http, "--otlp-protocol", "http/protobuf", CCAGENT_OTLP_INTERVAL_SECONDS="1",
            CCAGENT_OTLP_SIGNALS="metrics",
        )  # fmt: skip
        daemon.until_caught_up()
        tokens, cost = of_usage(rows(ground, "model"))
        assert tokens
        daemon.until(
            lambda: any(metric.name == "ccagent.tokens" for metric in collector.received.metrics), "metrics arrived"
        )
        assert on_the_page(daemon, "ccagent_tokens_total", "model", "type") == tokens
        same(on_the_page(daemon, "ccagent_cost_usd_total", "model"), cost)
        daemon.until(
            lambda: in_the_stream(collector.received, "ccagent.tokens", "model", "type") == tokens,
            "the stream has the same tokens",
        )
        same(in_the_stream(collector.received, "ccagent.cost.usd", "model"), cost)
        if closed:
            calls = {
                (tool,): float(row["tool_calls"]) for tool, row in rows(ground, "tool").items() if row.get("tool_calls")
            }
            assert calls
            assert on_the_page(daemon, "ccagent_tool_calls_total", "tool") == calls
            assert in_the_stream(collector.received, "ccagent.tool.calls", "tool") == calls
        assert daemon.terminate() == 0


def same(found: Amounts, wanted: Amounts) -> None:
    """Dollars are shown as floats of micro-dollars: equal to half a micro-dollar."""
    assert found.keys() == wanted.keys()
    assert found == {key: pytest.approx(value, abs=5e-7) for key, value in wanted.items()}


def test_usage_page_and_stream_agree_on_invented_sessions(invented: Ground) -> None:
    agree(invented, closed=False)


@pytest.mark.corpus
def test_usage_page_and_stream_agree_on_real_transcripts(ground: Ground, corpus: Path) -> None:
    ground.root = corpus / "projects"
    agree(ground, closed=True)
