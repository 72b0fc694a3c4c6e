"""Who served a model: said by the transcript, by the model's form, or nobody."""

from __future__ import annotations

import random
from contextlib import closing
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ccagent.store import rollups
from ccagent.store.queries import usage
from tests.sources.codex_feed import Rollout
from tests.sources.feed import Feed
from tests.transcripts import Session

UTC = ZoneInfo("UTC")

pytestmark = pytest.mark.usefixtures("either_store")


def mixed() -> Feed:
    """A session of each client, one with a model of unknown maker, one of Codex with a provider of its own."""
    feed = Feed()
    claude = Session("s", model="claude-opus-4-6")
    claude.prompt("hello")
    claude.bash("ls")
    other = Session("t", model="glm-5", start=claude.now + 60_000)
    other.prompt("hello")
    other.bash("ls")
    feed.read(claude, other)
    for number, provider in enumerate(("openai", "azure", "azure")):
        rollout = Rollout(random.Random(number)).meta(model_provider=provider)
        rollout.begin()
        rollout.shell()
        rollout.tokens(100 + number)
        rollout.compact()
        rollout.end()
        feed.take((rollout.path, rollout.content))
    return feed


def rows(feed: Feed, by: str) -> dict[str, Any]:
    return {row.key: row for row in usage(feed.store.conn, by=by, since_ms=None, until_ms=None, timezone=None)}


def test_usage_by_provider_adds_up_to_the_total_before_and_after_rollups() -> None:
    feed = mixed()
    with closing(feed):
        for _ in range(2):
            found = rows(feed, "provider")
            total = rows(feed, "total")[""]

            assert {key: (row.requests, row.sessions) for key, row in found.items()} == {
                "anthropic": (1, 1), "azure": (4, 2), "openai": (2, 1), "unattributed": (1, 1),
            }  # fmt: skip
            for name in ("requests", "tool_calls", "tool_errors", "compactions", "unpriced_requests"):
                assert sum(getattr(row, name) for row in found.values()) == getattr(total, name), name
            for kind in total.tokens:
                assert sum(row.tokens[kind] for row in found.values()) == total.tokens[kind]
            assert sum(row.cost_microusd or 0 for row in found.values()) == total.cost_microusd
            while rollups.refresh(feed.store.conn, UTC):
                pass


def test_every_fact_has_the_provider_that_its_transcript_names() -> None:
    feed = mixed()
    with closing(feed):
        found = {(row["session_id"], row["event_type"], row["provider"]) for row in feed.events()}

    assert {provider for session, _, provider in found if session == "s"} == {"anthropic"}
    told = {kind: provider for session, kind, provider in found if session == "t"}
    assert {kind: told[kind] for kind in ("llm.request", "tool.call", "turn")} == {
        "llm.request": None, "tool.call": None, "turn": "anthropic",
    }  # fmt: skip
    assert {provider for session, _, provider in found if session not in ("s", "t")} == {"openai", "azure"}
