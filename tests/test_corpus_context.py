"""The real transcripts: contexts, compactions and cache misses beside plain counts that share no code with them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ccagent.facts.pricing import PriceTable
from ccagent.store.context import cache_misses, compactions, session_fullness
from tests.sources.feed import Feed

pytestmark = pytest.mark.corpus

MISSED_TOKENS, MISSED_PART = 2_000, 20
"""What docs/signals.md says of a miss."""


@dataclass
class Chain:
    """One conversation in one file: its requests in order, as (message id, read, written, input), and its boundaries."""

    main: bool
    requests: list[tuple[str, int, int, int]] = field(default_factory=list)
    boundaries: list[tuple[str, int]] = field(default_factory=list)


@dataclass
class Plain:
    """What a plain reading finds."""

    missed: dict[str, int] = field(default_factory=dict)
    after: dict[str, int | None] = field(default_factory=dict)
    before: dict[str, int] = field(default_factory=dict)
    saved: dict[str, tuple[int, int]] = field(default_factory=dict)
    highest: Counter[str] = field(default_factory=Counter)


@pytest.fixture(scope="module")
def files(corpus_files: dict[str, bytes]) -> dict[str, bytes]:
    return corpus_files


@pytest.fixture(scope="module")
def feed(corpus_feed: Feed) -> Feed:
    return corpus_feed


@pytest.fixture(scope="module")
def plain(files: dict[str, bytes]) -> Plain:
    found = Plain()
    for path, data in files.items():
        agent_file = path.rsplit("/", 1)[-1].startswith("agent-")
        chains: dict[str, Chain] = {}
        for line in data.split(b"\n"):
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                _read(found, chains, record, agent_file=agent_file)
        for chain in chains.values():
            _judge(found, chain)
    return found


def _read(found: Plain, chains: dict[str, Chain], record: dict[str, Any], *, agent_file: bool) -> None:
    side = agent_file or record.get("isSidechain") is True
    name = "file" if agent_file else str(record.get("agentId") or "unnamed") if side else ""
    chain = chains.setdefault(name, Chain(main=not side))
    if record.get("subtype") == "compact_boundary":
        found.before[record["uuid"]] = record["compactMetadata"]["preTokens"]
        found.after.setdefault(record["uuid"], None)
        chain.boundaries.append((record["uuid"], len(chain.requests)))
    elif record.get("subtype") == "microcompact_boundary":
        metadata = record["microcompactMetadata"]
        found.saved[record["uuid"]] = metadata["preTokens"], metadata["tokensSaved"]
    message = record.get("message")
    if record.get("type") != "assistant" or not isinstance(message, dict) or not message.get("usage"):
        return
    if message["model"] == "<synthetic>" or record.get("isApiErrorMessage"):
        return
    usage = message["usage"]
    read, written = usage.get("cache_read_input_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
    native = message["id"] if record.get("requestId") else f"{record['sessionId']}/{message['id']}"
    if not chain.requests or chain.requests[-1][0] != native:
        chain.requests.append((native, read, written, usage["input_tokens"]))
    if not side:
        whole = read + written + usage["input_tokens"]
        found.highest[record["sessionId"]] = max(found.highest[record["sessionId"]], whole)


def _judge(found: Plain, chain: Chain) -> None:
    for uuid, position in chain.boundaries:
        if position < len(chain.requests):
            found.after[uuid] = sum(chain.requests[position][1:])
    for before, now in zip(chain.requests, chain.requests[1:], strict=False):
        had, lost = before[1] + before[2], before[1] + before[2] - now[1]
        if lost > MISSED_TOKENS and lost * MISSED_PART > had:
            found.missed[now[0]] = min(lost, now[2] + now[3])


def rows(feed: Feed, sql: str) -> list[tuple[Any, ...]]:
    return feed.store.conn.execute(sql).fetchall()


def sessions(feed: Feed) -> list[str]:
    return [
        row[0] for row in rows(feed, "SELECT session_id FROM telemetry_events WHERE event_type = 'session.lifecycle'")
    ]


def test_misses_equal_a_plain_count(feed: Feed, plain: Plain) -> None:
    found = rows(feed, "SELECT request_key, tokens_missed FROM telemetry_events WHERE event_type = 'cache.miss'")

    assert dict(found) == {f"llm:{native}": missed for native, missed in plain.missed.items()}
    assert len(found) > 100


def test_at_most_a_fifth_of_the_misses_is_unexplained(feed: Feed) -> None:
    causes = Counter(
        row[0] for row in rows(feed, "SELECT cache_miss_cause FROM telemetry_events WHERE event_type = 'cache.miss'")
    )

    assert causes["unexplained"] * 5 <= causes.total()
    assert {"compaction", "expired_ttl", "model_switch", "skill", "retry"} <= causes.keys()


def test_every_miss_has_a_price_below_that_of_its_request(feed: Feed) -> None:
    conn, prices = feed.store.conn, PriceTable.bundled()
    costs = dict(rows(feed, "SELECT source_key, cost_microusd FROM telemetry_events WHERE event_type = 'llm.request'"))
    found = [miss for session in sessions(feed) for miss in cache_misses(conn, session, prices)]

    assert len(found) == feed.scalar("SELECT COUNT(*) FROM telemetry_events WHERE event_type = 'cache.miss'")
    assert all(0 < (miss.cost_microusd or 0) <= costs[miss.request_key] for miss in found)


def test_compactions_have_their_tokens_before_and_after(feed: Feed, plain: Plain, corpus: Path) -> None:
    found = rows(feed, """
        SELECT source_key, tokens_before, tokens_after FROM telemetry_events WHERE event_type = 'compaction'""")  # fmt: skip

    assert {key: (before, after) for key, before, after in found} == {
        f"compaction:{uuid}": (before, plain.after[uuid]) for uuid, before in plain.before.items()
    }
    assert len(found) == json.loads((corpus / "truth.json").read_text())["compactions"]


def test_summaries_of_compactions_have_one_owner_each(feed: Feed, files: dict[str, bytes]) -> None:
    written = [compaction for session in sessions(feed) for compaction in compactions(feed.store.conn, session)]
    requests = [request for compaction in written for request in compaction.requests]
    transcripts = sum("agent-acompact-" in path for path in files)

    assert len(requests) == len(set(requests)) == transcripts
    assert all((compaction.cost_microusd or 0) > 0 for compaction in written if compaction.requests)


def test_microcompactions_say_what_their_records_say(feed: Feed, plain: Plain) -> None:
    found = rows(feed, """
        SELECT source_key, tokens_before, tokens_saved FROM telemetry_events
        WHERE event_type = 'microcompaction'""")  # fmt: skip

    assert {key: (before, saved) for key, before, saved in found} == {
        f"microcompaction:{uuid}": amounts for uuid, amounts in plain.saved.items()
    }
    assert found


def test_the_largest_prompt_of_each_session_equals_a_plain_count(feed: Feed, plain: Plain) -> None:
    found = {session: session_fullness(feed.store.conn, session) for session in sessions(feed)}

    assert {key: each.highest_tokens for key, each in found.items() if each is not None} == +plain.highest
    assert all(0 < each.highest_utilization <= 1 for each in found.values() if each is not None)
