"""A value that the database does not take costs its fact, never the batch; its line stands among the bad ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from ccagent.facts.batch import Batch
from ccagent.facts.keys import fact_key
from ccagent.facts.model import EventType
from ccagent.sources.claude.carry import Carry
from ccagent.sources.claude.derive import Deriver
from ccagent.store.base import FileRow
from tests.sources.feed import Feed
from tests.transcripts import Session, Usage, text

pytestmark = pytest.mark.usefixtures("either_store")

PATH = b"/projects/one.jsonl"


@pytest.fixture
def feed() -> Iterator[Feed]:
    found = Feed()
    yield found
    found.close()


def a_session() -> Session:
    session = Session(seed="one")
    session.prompt("hello")
    for number in range(3):
        session.assistant(text("a reply"), usage=Usage(input=number + 1, output=10))
    session.turn_duration(5_000)
    return session


def taken(feed: Feed, spoil: Callable[[Batch], object], session: Session | None = None) -> Batch:
    """Take the session in, with something in the batch that the parser would never let through."""
    data = (session or a_session()).content
    batch = Batch()
    Deriver(batch, Carry(), file=0, agent=None).feed(data, 0)
    spoil(batch)
    row = FileRow(
        file_id=None, path=PATH, device=1, inode=1, size=len(data), mtime_ns=0, offset=len(data), head=b"",
        head_length=0, marker=b"", generation=0, lines=0, state=0, carry=None,
    )  # fmt: skip
    feed.store.ingest(batch, [row])
    return batch


def requests(batch: Batch) -> list[str]:
    return list(batch.facts[EventType.LLM_REQUEST])


def too_large(batch: Batch) -> None:
    batch.facts[EventType.LLM_REQUEST][requests(batch)[1]].token_output = 1 << 63


def half_a_pair(batch: Batch) -> None:
    batch.facts[EventType.LLM_REQUEST][requests(batch)[1]].extra = '"\ud83d"'


def kept(feed: Feed) -> list[str]:
    found = feed.store.ask("SELECT native FROM fact WHERE type = ?", (EventType.LLM_REQUEST.value,))
    return sorted(native for (native,) in found)


@pytest.mark.parametrize("spoil", [too_large, half_a_pair])
def test_everything_but_the_refused_fact_goes_in(feed: Feed, spoil: Callable[[Batch], object]) -> None:
    batch = taken(feed, spoil)

    names = requests(batch)
    assert kept(feed) == sorted({*names} - {names[1]})
    assert feed.total("tokens") > 0
    assert feed.scalar("SELECT SUM(token_input) FROM fact") == 1 + 3
    assert feed.scalar("SELECT COUNT(*) FROM fact WHERE type = " + str(EventType.TURN.value)) == 1
    assert feed.store.files()[0].offset == batch.bytes


def test_a_zero_byte_is_a_matter_of_the_database(feed: Feed) -> None:
    """The parser lets none through: a file would keep it, a server refuses it."""

    def spoil(batch: Batch) -> None:
        batch.facts[EventType.LLM_REQUEST][requests(batch)[1]].extra = '"\0"'

    taken(feed, spoil)

    refused = feed.scalar("SELECT COUNT(*) FROM quarantine WHERE reason = 'refused'")
    assert (len(kept(feed)), refused) == ((2, 1) if feed.store.conn.dialect.shared else (3, 0))


@pytest.mark.parametrize("spoil", [too_large, half_a_pair])
def test_its_line_is_quarantined_and_counted(feed: Feed, spoil: Callable[[Batch], object]) -> None:
    batch = taken(feed, spoil)

    native = requests(batch)[1]
    fact = batch.facts[EventType.LLM_REQUEST][native]
    found = feed.store.ask('SELECT "offset", length, hash, reason FROM quarantine')
    assert found == [(fact.offset, fact.length, fact_key(EventType.LLM_REQUEST, native), "refused")]
    assert feed.counted("quarantine.lines") == {'["refused"]': 1}


def test_each_record_is_still_counted_once(feed: Feed) -> None:
    session = a_session()
    taken(feed, too_large, session)

    counted = feed.counted("ingest.records")

    assert sum(counted.values()) == len(session.lines)
    assert counted['["assistant", "quarantined"]'.replace(", ", ",")] == 1
    assert feed.total("ingest.bytes") == len(session.content)


def test_of_several_refused_facts_each_is_found(feed: Feed) -> None:
    def spoil(batch: Batch) -> None:
        too_large(batch)
        batch.facts[EventType.TURN][next(iter(batch.facts[EventType.TURN]))].ended_at = 1 << 70

    batch = taken(feed, spoil)

    names = requests(batch)
    assert kept(feed) == sorted({*names} - {names[1]})
    assert feed.scalar("SELECT COUNT(*) FROM fact WHERE type = " + str(EventType.TURN.value)) == 0
    assert feed.scalar("SELECT COUNT(*) FROM quarantine WHERE reason = 'refused'") == 2


def test_a_known_fact_keeps_what_it_had_when_its_growth_is_refused(feed: Feed) -> None:
    session = a_session()
    taken(feed, lambda batch: None, session)

    taken(feed, too_large, session)

    assert len(kept(feed)) == 3
    assert feed.scalar("SELECT SUM(token_output) FROM fact") == 30
    assert feed.scalar("SELECT reason FROM quarantine") == "refused"


def test_a_batch_without_a_refused_value_is_taken_at_once(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed.store.ingest_state, "refused", lambda *_: pytest.fail("it was searched"))

    taken(feed, lambda batch: None)

    assert len(kept(feed)) == 3


def test_what_no_fact_is_to_blame_for_is_raised(feed: Feed) -> None:
    def spoil(batch: Batch) -> None:
        batch.bytes = 1 << 70

    with pytest.raises(Exception, match=r"big|large|fit"):
        taken(feed, spoil)

    assert kept(feed) == []
    assert feed.store.files() == []
