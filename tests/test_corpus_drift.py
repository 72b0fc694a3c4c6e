"""What drift says of the real transcripts: everything in them is known, but for one line, and plain counts agree."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccagent.facts import drift as known
from ccagent.facts.model import EventType
from tests.sources.feed import Feed, derived

pytestmark = pytest.mark.corpus


@pytest.fixture(scope="module")
def files(corpus: Path) -> list[bytes]:
    return [
        path.read_bytes() for path in sorted((corpus / "projects").rglob("*.jsonl")) if path.name != "journal.jsonl"
    ]


@pytest.fixture(scope="module")
def records(files: list[bytes]) -> list[dict[str, Any]]:
    return [record for data in files for line in data.split(b"\n") if line for record in objects(line)]


def objects(line: bytes) -> Iterator[dict[str, Any]]:
    text, at = line.decode(), 0
    while at < len(text):
        value, at = json.JSONDecoder().raw_decode(text, at)
        yield value


def blocks(record: dict[str, Any]) -> list[dict[str, Any]]:
    content = (record.get("message") or {}).get("content")
    return content if isinstance(content, list) else []


def test_the_one_thing_found_is_a_line_without_its_request_id(
    files: list[bytes], records: list[dict[str, Any]]
) -> None:
    feed = Feed()
    for number, data in enumerate(files):
        feed.take((f"{number}.jsonl", data))
    lines = [
        (record["version"], record["sessionId"]) for record in records
        if record["type"] == "assistant" and not record.get("requestId")
        and record["message"]["model"].startswith("claude-")
    ]  # fmt: skip

    found = [event["source_key"] for event in feed.events("record.unknown")]

    assert found == [f"unknown:drift:missing/assistant.requestId/{version}/{session}" for version, session in lines]
    assert len(lines) == 1


def test_all_names_in_them_are_known(records: list[dict[str, Any]]) -> None:
    names: dict[str, set[Any]] = {
        "progress": {record["data"]["type"] for record in records if record["type"] == "progress"},
        "attachment": {record["attachment"]["type"] for record in records if record["type"] == "attachment"},
        "block": {block["type"] for record in records for block in blocks(record)},
        "mode": {record.get("permissionMode") for record in records} - {None},
        "source": {record.get("promptSource") for record in records} - {None},
        "stop": {(record.get("message") or {}).get("stop_reason") for record in records} - {None},
        "tool": {block["name"] for record in records for block in blocks(record) if block["type"] == "tool_use"},
    }

    assert names["progress"] <= known.PROGRESS
    assert names["attachment"] <= known.ATTACHMENTS
    assert names["block"] <= known.BLOCKS
    assert names["mode"] <= known.MODES
    assert names["source"] <= known.SOURCES
    assert names["stop"] <= known.STOPS
    assert {name for name in names["tool"] if known.tool_drift(name)} == set()
    assert {name for name in names["tool"] if name.startswith("mcp__")}
    assert {kind: len(found) for kind, found in names.items() if not found} == {}


def test_every_field_of_every_line_is_known_and_none_that_is_required_misses(records: list[dict[str, Any]]) -> None:
    news: Counter[str] = Counter()
    for record in records:
        kind = record["type"]
        news.update(f"{kind}.{key}" for key in record.keys() - known.KEYS[kind])
        news.update(f"no {kind}.{key}" for key in known.REQUIRED.get(kind, ()) if record.get(key) is None)
        message = record.get("message")
        if kind in known.MESSAGE_KEYS and message is not None:
            news.update(f"{kind}.message.{key}" for key in message.keys() - known.MESSAGE_KEYS[kind])
            usage = message.get("usage") or {}
            news.update(f"usage.{key}" for key in usage.keys() - known.USAGE_KEYS)
            if kind == "assistant":
                news.update(f"no usage.{key}" for key in known.COUNTERS if type(usage.get(key)) is not int)

    assert news == {}


def test_one_line_of_64_is_read_a_second_time(files: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    from ccagent.sources.claude import drift

    audited: list[str] = []
    original = drift.audit
    monkeypatch.setattr(
        drift, "audit", lambda deriver, record: (audited.append(record.type), original(deriver, record))
    )

    lines = sum(data.count(b"\n") for data in files)
    for data in files:
        assert not [fact for fact in derived(data).facts[EventType.UNKNOWN].values() if fact.label == "mismatch"]

    assert lines / 90 < len(audited) < lines / 45


def test_shapes_of_them_tell_names_of_fields_alone(records: list[dict[str, Any]]) -> None:
    own = set().union(*known.KEYS.values(), {"(more)"}, known.WORDS)

    def told(shape: Any) -> set[str]:
        if isinstance(shape, dict):
            return set(shape).union(*map(told, shape.values()))
        return set().union(*map(told, shape)) if isinstance(shape, list) else set()

    assert set().union(*(told(known.shape(record)) for record in records)) <= own
