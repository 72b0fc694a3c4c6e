"""Responses made in several steps: their context, their price, and what the next request finds in the cache."""

from __future__ import annotations

import orjson
import pytest

from ccagent.facts.model import EventType
from tests.sources.feed import Feed, derived
from tests.transcripts import Line, Session, Usage

pytestmark = pytest.mark.usefixtures("either_store")

NEXT = Usage(input=3, output=50, cache_read=100_000, cache_write=1_000)


@pytest.fixture
def session() -> Session:
    """A conversation that has 101,000 tokens cached."""
    session = Session("s", version="2.1.229")
    session.prompt("hello")
    session.bash("ls", usage=Usage(input=3, output=50, cache_read=16_000, cache_write=84_000))
    return session


def changed(session: Session, usage: dict[str, object]) -> None:
    """Change the usage of the last line."""
    line = session.lines[-1]
    record = orjson.loads(line.raw)
    record["message"]["usage"] |= usage
    session.lines[-1] = Line(at_ms=line.at_ms, raw=orjson.dumps(record) + b"\n")


def stepped(session: Session, *steps: tuple[str, int, int, int]) -> None:
    """The last message was made in steps (type, input, cache read, cache write): its counts are sums of its own."""
    own = [step for step in steps if step[0] == "message"]
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    usage = {name: sum(step[place] for step in own) for place, name in enumerate(names, 1)}
    listed = [dict(zip(("type", *names), step, strict=True)) for step in steps]
    changed(session, usage | {"iterations": listed, "cache_creation": None})


def test_a_reply_that_asked_an_advisor_sent_its_prompt_twice_and_has_it_once(session: Session) -> None:
    message = session.request(usage=NEXT, model="claude-opus-4-5-20251101")
    stepped(
        session, ("message", 3, 100_000, 1_000), ("advisor_message", 102_000, 0, 0), ("message", 3, 101_000, 500)
    )  # fmt: skip
    session.request(usage=Usage(input=3, cache_read=101_500, cache_write=9), model="claude-opus-4-5-20251101")

    feed = Feed().read(session)

    event = feed.event(f"llm:{message}")
    assert (event["token_cache_read"], event["token_input"]) == (201_000, 6)
    assert (event["context_tokens"], event["context_window"], event["context_window_source"]) == (
        101_503,
        200_000,
        "table",
    )
    assert event["lines_added"] is None
    assert feed.events("cache.miss") == []


def test_a_reply_before_which_the_api_compacted_begins_a_shorter_conversation(session: Session) -> None:
    session.request(usage=NEXT)
    stepped(session, ("compaction", 3, 100_000, 1_000), ("message", 3, 0, 20_000))
    session.request(usage=Usage(input=3, cache_read=20_000, cache_write=9))

    assert derived(session.content).facts[EventType.CACHE_MISS] == {}


def test_a_long_prompts_price_is_for_one_that_is_long_at_once() -> None:
    twice = Session("s", start=1_770_000_000_000)
    message = twice.request(usage=NEXT, model="claude-sonnet-4-5-20250929")
    stepped(twice, ("message", 0, 120_000, 0), ("message", 0, 120_000, 0))
    once = Session("t", start=1_770_000_000_000)
    long = once.request(usage=Usage(input=0, output=50, cache_read=240_000), model="claude-sonnet-4-5-20250929")

    feed = Feed().read(twice, once)

    assert feed.event(f"llm:{message}")["cost_microusd"] == 240_000 * 3 // 10 + 50 * 15
    assert feed.event(f"llm:{long}")["cost_microusd"] == 240_000 * 6 // 10 + 50 * 45 // 2


def test_steps_that_do_not_add_up_tell_nothing(session: Session) -> None:
    message = session.request(usage=NEXT)
    stepped(session, ("message", 1, 2, 3), ("message", 1, 2, 3))
    changed(session, {"cache_read_input_tokens": 101_000})

    assert Feed().read(session).event(f"llm:{message}")["context_tokens"] == 101_008
