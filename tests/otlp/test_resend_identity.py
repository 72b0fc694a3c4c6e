"""A span that is built again is the span that left: what later lines change is what its fact itself says, and counted."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccagent.export.otlp.closed import ClosedFact
from ccagent.export.otlp.spans import build_span
from ccagent.store import outbox
from tests.otlp.tracing import ANONYMOUS, left
from tests.sources.feed import Feed, Piece
from tests.sources.orders import shuffled
from tests.sources.trees import trees

FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SECOND_MS, TEN_MINUTES_MS = 1_000, 700_000
EVERYTHING = 1_000_000

OLDER = {"previous_turn", "turn_index", "turn_link", "origin_turn", "compacted", "marks", "model"}
"""What an older line, read later, may change around a fact that stays as it is."""

KIND = {"agent_type"}
"""The kind of a sub-agent may be told by its result alone, or told otherwise there, when its calls have left."""

LAUNCH = {"turn", "agent_tool", "parent_agent", "depth"}
"""What changes on a sub-agent's facts that left before the call was found that launched it."""


def in_time(files: dict[str, bytes], chance: random.Random) -> Iterator[list[Piece]]:
    """The lines of all files as they were written: by their times, each file's own in order, a few at a time."""
    lines = []
    for path, data in files.items():
        at = ""
        for number, line in enumerate(data.splitlines(keepends=True)):
            try:
                said = orjson.loads(line).get("timestamp")
            except (orjson.JSONDecodeError, AttributeError):
                said = None
            at = max(at, said) if isinstance(said, str) else at
            lines.append((at, path, number, line))
    lines.sort(key=lambda line: line[:3])
    while lines:
        size = chance.randint(1, 4)
        pieces: dict[str, bytes] = {}
        for _, path, _, line in lines[:size]:
            pieces[path] = pieces.get(path, b"") + line
        lines = lines[size:]
        yield list(pieces.items())


def sending() -> Feed:
    """A feed whose destination has everything at once."""
    feed = Feed(exportable=lambda cwd, project: True)
    feed.store.send_to((("otlp", "traces"),))

    def ahead(conn: Any) -> None:
        outbox.create_cursor(conn, "otlp", "traces", feed.store.host, 0)
        cursor = outbox.read_cursor(conn, "otlp", "traces", feed.store.host)
        assert cursor is not None
        outbox.advance_cursor(conn, cursor, EVERYTHING, 0)

    feed.store.write(ahead)
    return feed


def versions(feed: Feed) -> dict[bytes, tuple[int, int]]:
    """The change number of each fact."""
    return {bytes(key): (host, seq) for key, host, seq in feed.store.conn.execute("SELECT key, host, seq FROM fact")}


def built(fact: ClosedFact) -> bytes:
    span = build_span(fact, ANONYMOUS, native_names=True)
    return b"" if span is None else span.SerializeToString(deterministic=True)


def differing(feed: Feed, batches: Iterator[list[Piece]] | list[list[Piece]], pauses: Iterator[int]) -> set[str]:
    """Fields that differ between a span as it left and as it would be built at the end, of facts that did not change.

    AssertionError where a span differs whose fact did change and none of that was counted.
    """
    first: dict[bytes, tuple[ClosedFact, bytes, tuple[int, int]]] = {}
    for batch in batches:
        feed.take(*batch)
        feed.tick(next(pauses))
        known = versions(feed)
        for fact in left(feed):
            first.setdefault(fact.key, (fact, built(fact), known[fact.key]))
    known, found, changed = versions(feed), set(), 0
    for fact in left(feed):
        before, span, version = first[fact.key]
        if built(fact) == span:
            continue
        if known[fact.key] != version:
            changed += 1
            continue
        found |= {field.name for field in fields(fact) if getattr(fact, field.name) != getattr(before, field.name)}
    assert feed.total("exports.stale") >= changed
    return found


@FEW
@given(trees(), st.integers(0, 2**32))
def test_what_is_followed_as_it_is_written_is_built_the_same_again(files: dict[str, bytes], seed: int) -> None:
    chance = random.Random(seed)

    assert differing(sending(), in_time(files, chance), iter(lambda: SECOND_MS, None)) <= KIND


@FEW
@given(trees(), st.integers(1, 12), st.integers(0, 2**32))
def test_whatever_is_read_later_changes_only_what_stands_around_a_fact(
    files: dict[str, bytes], cuts: int, seed: int
) -> None:
    chance = random.Random(seed)
    pauses = iter(lambda: chance.choice((SECOND_MS, TEN_MINUTES_MS)), None)

    assert differing(sending(), shuffled(files, cuts, chance), pauses) <= OLDER | KIND | LAUNCH
