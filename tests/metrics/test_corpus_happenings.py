"""The real transcripts: what happenings book, counted a second time over the facts, and where it is easy in plain JSON."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from ccagent.facts.dangerous import PATTERNS
from ccagent.metrics import names
from tests.sources.feed import Feed

pytestmark = pytest.mark.corpus

Events = list[dict[str, Any]]


@pytest.fixture(scope="module")
def closed(corpus_feed: Feed) -> Events:
    """All facts that have closed."""
    return [row for row in corpus_feed.events() if row["closed_seq"] is not None]


def of(closed: Events, kind: str) -> Events:
    return [row for row in closed if row["event_type"] == kind]


def by(feed: Feed, metric: str, place: int = 0) -> Counter[str]:
    """A metric's totals by one of its labels."""
    found: Counter[str] = Counter()
    for labels, value in feed.counted(metric).items():
        found[json.loads(labels)[place]] += value
    return found


def test_requests_by_agent(corpus_feed: Feed, closed: Events) -> None:
    requests = of(closed, "llm.request")

    found = by(corpus_feed, names.AGENT_REQUESTS)

    assert sum(found.values()) == len(requests)
    assert found["main"] == sum(row["agent_id"] is None for row in requests) > 0


def test_context_and_truncation(corpus_feed: Feed, closed: Events) -> None:
    requests = of(closed, "llm.request")

    assert corpus_feed.observed(names.CONTEXT_UTILIZATION) == sum(bool(row["context_tokens"]) for row in requests) > 0
    assert by(corpus_feed, names.TRUNCATED_MESSAGES) >= Counter(
        row["model"] for row in requests if row["detail"] is None
    )


def test_turns(corpus_feed: Feed, closed: Events) -> None:
    turns = of(closed, "turn")

    assert sum(by(corpus_feed, names.PERMISSION_MODE_TURNS).values()) == len(turns) > 0
    assert corpus_feed.observed(names.TURN_TOOL_CALLS) == sum(row["turn_tool_calls"] is not None for row in turns)
    assert by(corpus_feed, names.STALLS) == +Counter(
        loop=sum(row["loop"] for row in turns), stall=sum(row["stall"] for row in turns)
    )


def test_calls(corpus_feed: Feed, closed: Events) -> None:
    calls = [row for row in of(closed, "tool.call") if row["tool_name"] is not None and not row["relayed"]]
    dangerous = Counter(pattern for row in calls if row["danger"] for pattern in row["danger"].split("+"))

    assert by(corpus_feed, names.DANGEROUS_CALLS) == dangerous
    assert set(dangerous) <= set(PATTERNS)
    assert sum(by(corpus_feed, names.TOOL_RETRIES).values()) == sum((row["retry_count"] or 0) > 0 for row in calls)
    assert by(corpus_feed, names.TOOL_DECISIONS)["reject"] == sum(row["status"] == "rejected" for row in calls)


def test_skills_tasks_and_runs(corpus_feed: Feed, closed: Events) -> None:
    skills = Counter(row["skill"] for row in of(closed, "skill.activation"))
    runs = Counter((row["quality_kind"], row["status"]) for row in of(closed, "quality.run"))
    finished = Counter(row["task_state"] for row in of(closed, "task.transition") if row["status"] == "ok")

    assert by(corpus_feed, names.SKILL_ACTIVATIONS) == skills
    assert by(corpus_feed, names.TASKS_COMPLETED) == finished
    assert {tuple(json.loads(key)): value for key, value in corpus_feed.counted(names.QUALITY_RUNS).items()} == runs


def test_commits_and_pull_requests(corpus_feed: Feed, closed: Events) -> None:
    sure = [row for row in of(closed, "git.commit") if row["commit_hash"] and row["confidence"] >= 0.95]
    addressed = [row for row in of(closed, "pull_request") if row["pr_url"]]

    assert sum(by(corpus_feed, names.COMMITS).values()) == len(sure)
    assert sum(by(corpus_feed, names.PULL_REQUESTS).values()) == len(addressed)


def test_hooks(corpus_feed: Feed, closed: Events) -> None:
    timed = [row for row in of(closed, "hook.run") if row["reported_ms"] is not None]

    assert corpus_feed.observed(names.HOOK_DURATION) == len(timed)


def test_micro_compactions_in_plain_lines(corpus_feed: Feed, corpus_files: dict[str, bytes]) -> None:
    found = set()
    for data in corpus_files.values():
        for line in data.split(b"\n"):
            if b"microcompact_boundary" not in line:
                continue
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if record.get("subtype") == "microcompact_boundary":
                found.add(record["uuid"])

    assert corpus_feed.total(names.MICROCOMPACTIONS) == len(found)
