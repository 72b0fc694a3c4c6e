"""The real transcripts: totals that any correct reader reaches, in any order."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from ccagent.facts.targets import Target
from ccagent.store.links import link_dump
from tests.sources.feed import Feed, Served, served_by
from tests.sources.orders import repeated, shuffled

pytestmark = pytest.mark.corpus

ANY = tuple(Target)
"""Links of every sort."""


@pytest.fixture(scope="module")
def truth(corpus: Path) -> dict[str, Any]:
    return dict(json.loads((corpus / "truth.json").read_text()))


@pytest.fixture(scope="module")
def files(corpus_files: dict[str, bytes]) -> dict[str, bytes]:
    return corpus_files


@pytest.fixture(scope="module")
def feed(corpus_feed: Feed) -> Feed:
    return corpus_feed


def rows(feed: Feed, sql: str) -> list[tuple[Any, ...]]:
    return feed.store.conn.execute(sql).fetchall()


def test_tokens_by_model_equal_the_truth(feed: Feed, truth: dict[str, Any]) -> None:
    found = rows(feed, """
        SELECT model, sum(token_input), sum(token_output), sum(token_cache_read),
               sum(token_cache_write_5m + token_cache_write_1h), sum(token_cache_write_1h), count(*)
        FROM telemetry_events WHERE event_type = 'llm.request' GROUP BY model""")  # fmt: skip

    keys = (
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "w1h",
        "requests",
    )
    expected = {model: tuple(row[key] for key in keys) for model, row in truth["by_model"].items()}
    assert {model: tuple(amounts) for model, *amounts in found} == expected


def test_calls_by_tool_equal_the_truth(feed: Feed, truth: dict[str, Any]) -> None:
    found = rows(feed, """
        SELECT tool_name, count(*) FROM telemetry_events
        WHERE event_type = 'tool.call' AND NOT relayed AND tool_name IS NOT NULL GROUP BY tool_name""")  # fmt: skip

    assert dict(found) == truth["by_tool"]


def test_results_and_errors_of_calls_equal_the_truth(feed: Feed, truth: dict[str, Any]) -> None:
    assert (
        feed.scalar("SELECT count(*) FROM telemetry_events WHERE event_type = 'tool.call' AND is_error = 1")
        == (truth["tool_errors"])
    )


def test_sessions_and_compactions_equal_the_truth(feed: Feed, truth: dict[str, Any]) -> None:
    counts = dict(rows(feed, "SELECT event_type, count(*) FROM telemetry_events GROUP BY event_type"))

    assert (counts["session.lifecycle"], counts["compaction"]) == (truth["sessions"], truth["compactions"])


def test_every_object_and_every_bad_line_is_counted_once(feed: Feed, truth: dict[str, Any]) -> None:
    objects = sum(value for labels, value in feed.counted("ingest.records").items() if "quarantined" not in labels)

    assert objects == sum(truth["record_types"].values())
    assert feed.total("quarantine.lines") == truth["bad_lines"]


def test_totals_equal_the_facts(feed: Feed) -> None:
    tokens = "SELECT sum(token_input + token_output + token_cache_read + token_cache_write) FROM fact"

    assert feed.total("tokens") == feed.scalar(tokens)
    assert feed.total("cost.usd") == feed.scalar("SELECT sum(cost) FROM fact")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_order_any_cut_and_any_repetition_give_the_same_facts_and_links(
    feed: Feed, files: dict[str, bytes], tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    place = tmp_path / "facts.db"
    other = Feed(place)

    for number, (batch, again) in enumerate(repeated(files, seed * seed * 3, chance)):
        other.take(*batch, again=again)
        if number % 50 == 49:  # another process goes on
            other.close()
            other = Feed(place)

    assert other.dump() == feed.dump()
    assert list(link_dump(other.store.conn, ANY)) == list(link_dump(feed.store.conn, ANY))
    other.close()


def test_postgres_holds_the_same_facts_and_links(feed: Feed, files: dict[str, bytes], served: Served) -> None:
    with served_by(served):
        other = Feed()
        for batch in shuffled(files, 3, random.Random(4)):
            other.take(*batch)

        assert other.dump() == feed.dump()
        assert list(link_dump(other.store.conn, ANY)) == list(link_dump(feed.store.conn, ANY))
