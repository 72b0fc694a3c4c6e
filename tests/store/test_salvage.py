"""Facts carried from one database into another: as if the lines had been read there."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from ccagent.demo.writer import past_week
from ccagent.errors import StoreError
from ccagent.follow import state
from ccagent.metrics import names
from ccagent.rollups.buckets import quarters_around
from ccagent.store import rows, salvage
from ccagent.store.closing import TURN_LONGEST_MS
from ccagent.store.salvage import CarryOver, carry_over
from tests.sources.feed import START_MS, Feed, files_of, served_by
from tests.store.faulty import Faulty
from tests.transcripts import Session, spliced, text, truncated

OF_READING = ("ingest.", "store.")
"""Totals of what was read and written, not of facts."""


def settled(files: Mapping[str, bytes], path: Path | str = ":memory:") -> Feed:
    """A store that has read these files, and closed what timers close."""
    feed = Feed(path)
    for name, data in files.items():
        feed.take((name, data))
    feed.clock.advance(TURN_LONGEST_MS)
    while feed.tick(1):
        pass
    return feed


NOT_ALIKE = ((names.ACTIVE, '["user"]'), (names.TOTALS_RELABELLED, '["link"]'))


def of_facts(feed: Feed) -> dict[tuple[str, str, int], int]:
    """The totals of facts, by what the facts alone tell: not the pauses that their lines told, and a sub-agent's type not
    where its run comes after its requests; nor links that come after the end of their session, which is carried before."""
    found: dict[tuple[str, str, int], int] = {}
    for (metric, labels, leaves), value in feed.totals().items():
        if metric.startswith(OF_READING) or (metric, labels) in NOT_ALIKE:
            continue
        key = metric, "" if metric == names.AGENT_REQUESTS else labels, leaves
        found[key] = found.get(key, 0) + value
    return found


@pytest.fixture(scope="module")
def week() -> dict[str, bytes]:
    """Files of an invented week: main files and sub-agents'."""
    return files_of(*past_week(START_MS, 3))  # type: ignore[arg-type]  # the demo's sessions are of the parent's class


@pytest.fixture(params=["sqlite", "postgres"])
def target(request: pytest.FixtureRequest) -> Iterator[Feed]:
    """An empty store of either kind, to carry into; the source is SQLite's."""
    if request.param == "sqlite":
        feed = Feed()
    else:
        with served_by(request.getfixturevalue("served")):
            feed = Feed()
    yield feed
    feed.close()


@pytest.fixture
def session() -> Session:
    session = Session("gone", cwd="/home/demo/atlas", start=START_MS)
    session.prompt("hello")
    session.bash("ls")
    session.request("done")
    return session


def test_an_empty_database_becomes_equal_to_its_source(week: dict[str, bytes], target: Feed) -> None:
    source, target = settled(week), target

    counts = carry_over(source.store.conn, target.store)

    assert target.dump() == source.dump()
    assert of_facts(target) == of_facts(source)
    assert counts.facts == len(source.dump())
    assert target.scalar("SELECT COUNT(*) FROM fact WHERE closed_seq IS NULL") == 0


@pytest.mark.parametrize("seed", range(6))
def test_what_the_target_reads_itself_and_what_it_is_given_end_in_the_same_facts(
    week: dict[str, bytes], seed: int
) -> None:
    """Whatever files are gone: also one half of what a call and its sub-agent say together."""
    source = settled(week)
    choice = random.Random(seed)
    kept = {name: data for name, data in week.items() if choice.random() < 0.5}
    target = Feed()
    for name, data in kept.items():
        target.take((name, data))
    gone = {row.file_id for row in source.store.files() if row.path.decode() not in kept}

    carry_over(source.store.conn, target.store, merge=lambda file: file in gone)
    target.clock.advance(TURN_LONGEST_MS)
    while target.tick(1):
        pass

    assert target.dump() == source.dump()
    sums = {metric: source.total(metric) for metric in ("tokens", "cost.usd", "requests", "tool.calls", "turns")}
    assert {metric: target.total(metric) for metric in sums} == sums
    assert all(sums.values())


def test_again_adds_nothing(week: dict[str, bytes], target: Feed) -> None:
    source, target = settled(week), target
    carry_over(source.store.conn, target.store)
    before = target.dump(), target.totals(), target.scalar("SELECT seq FROM host")

    counts = carry_over(source.store.conn, target.store, merge=lambda file: True)

    assert (counts.facts, counts.merged, counts.known) == (0, 0, len(before[0]))
    assert (target.dump(), target.totals(), target.scalar("SELECT seq FROM host")) == before


def test_only_what_is_wanted_is_carried_over(session: Session, target: Feed) -> None:
    source, target = settled(files_of(session)), target

    counts = carry_over(source.store.conn, target.store, lambda row: row[rows.TYPE] == 4)

    assert [row["event_type"] for row in target.events()] == ["llm.request"] * counts.facts
    assert counts.facts == 2
    assert counts.unwanted == len(source.dump()) - 2


def test_the_transcript_is_entered_as_gone_and_is_read_from_its_start_when_it_returns(
    session: Session, target: Feed
) -> None:
    source, target = settled(files_of(session)), target
    carry_over(source.store.conn, target.store)
    (row,) = target.store.files()
    before = target.dump()

    target.take((session.path, session.content))

    assert (row.path.decode(), row.offset, row.state) == (session.path, 0, state.GONE)
    assert target.dump() == before
    assert [again.file_id for again in target.store.files()] == [row.file_id]


def test_the_state_of_a_gone_file_is_the_followers() -> None:
    assert state.GONE == salvage.GONE


def test_their_rollups_become_stale(session: Session, target: Feed) -> None:
    source, target = settled(files_of(session)), target

    carry_over(source.store.conn, target.store)

    marks = {row[0] for row in target.store.conn.execute("SELECT quarter FROM dirty")}
    assert quarters_around(START_MS) <= marks


def test_what_retention_removed_on_either_side_does_not_come_back(session: Session, target: Feed) -> None:
    source, target = settled(files_of(session)), target
    (first, second, *_), _ = zip(*source.store.conn.execute("SELECT key, type FROM fact ORDER BY key"), strict=True)
    source.store.write(lambda conn: conn.execute("DELETE FROM fact WHERE key = ?", (first,)))
    source.store.write(lambda conn: conn.execute("INSERT INTO pruned VALUES (?)", (first,)))
    target.store.write(lambda conn: conn.execute("INSERT INTO pruned VALUES (?)", (second,)))

    counts = carry_over(source.store.conn, target.store)
    target.take((session.path, session.content))

    kept = {row[0] for row in target.store.conn.execute("SELECT key FROM fact")}
    assert not kept & {first, second}
    assert counts.pruned == 1


def test_a_call_keeps_the_key_of_a_request_that_nobody_knows(session: Session, target: Feed) -> None:
    source, target = settled(files_of(session)), target
    source.store.write(lambda conn: conn.execute("DELETE FROM fact WHERE type = 4"))
    asked = "SELECT request FROM fact WHERE type = 5"

    carry_over(source.store.conn, target.store)

    assert target.scalar(asked) == source.scalar(asked) is not None


def test_who_derived_a_fact_stays_true(session: Session, target: Feed) -> None:
    source, target = settled(files_of(session)), target
    source.store.write(lambda conn: conn.execute("UPDATE fact SET parser = 0 WHERE type = 4"))

    carry_over(source.store.conn, target.store)

    assert target.dump() == source.dump()


def test_bad_lines_of_a_transcript_that_is_gone_stay_known(target: Feed) -> None:
    session = Session("bad")
    session.prompt("one")
    line = session.lines[-1].raw
    broken = b"".join((line, truncated(line), spliced(line, line)))
    source, target = Feed(), target
    source.take(("gone.jsonl", broken))
    source.take(("here.jsonl", broken))
    target.take(("here.jsonl", broken))

    counts = carry_over(source.store.conn, target.store)

    kept = 'SELECT p.path, q."offset", q.length, q.reason FROM quarantine q JOIN file p ON p.id = q.file ORDER BY 1, 2'
    assert target.store.conn.execute(kept).fetchall() == source.store.conn.execute(kept).fetchall()
    assert counts.quarantined > 0
    assert target.total("quarantine.lines") == source.total("quarantine.lines")


def test_copies_of_a_fact_stay_known(session: Session, target: Feed) -> None:
    source, target = Feed(), target
    source.take((session.path, session.content))
    source.take(("copy.jsonl", session.content))

    carry_over(source.store.conn, target.store)

    held = "SELECT c.key, p.path FROM contributor c JOIN file p ON p.id = c.file ORDER BY 1"
    assert target.store.conn.execute(held).fetchall() == source.store.conn.execute(held).fetchall() != []


def test_rows_that_cannot_be_true_are_counted_and_passed_over(session: Session, target: Feed) -> None:
    source, target = settled(files_of(session)), target
    source.store.write(lambda conn: conn.execute("UPDATE fact SET native = native || '?' WHERE type = 5"))
    source.store.write(lambda conn: conn.execute("UPDATE fact SET context = 999 WHERE type = 3"))
    source.store.write(lambda conn: conn.execute("UPDATE fact SET name = 999 WHERE type = 4"))
    source.store.ingest_state.forget()

    counts = carry_over(source.store.conn, target.store)

    assert counts.unreadable == 4
    assert {row["event_type"] for row in target.events()} == {"session.lifecycle", "turn"}


def test_it_goes_in_steps_of_one_bounded_transaction(
    week: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, target: Feed
) -> None:
    monkeypatch.setattr(salvage, "BATCH", 100)
    source, target = settled(week), target
    work = CarryOver(source.store.conn, target.store)
    sizes = []
    while work.step():
        sizes.append(work.counts.facts)

    grown = [after - before for before, after in zip([0, *sizes], sizes, strict=False)]
    assert max(grown) == 100
    assert target.dump() == source.dump()


def test_after_a_fault_of_the_disk_it_goes_on_where_it_was(tmp_path: Path, session: Session) -> None:
    """The n-th write fails, for every n until none is left to fail: never half a step, never anything twice."""
    source = settled(files_of(session))
    wanted = source.dump(), of_facts(source)
    faults = 0
    with Faulty() as disk:
        for number in range(1, 200):
            target = Feed(tmp_path / f"{number}.db")
            disk.fail_at(number)
            try:
                carry_over(source.store.conn, target.store)
            except StoreError:
                faults += 1
                carry_over(source.store.conn, target.store)
            failed = disk.failed
            disk.fail_at(None)
            assert (target.dump(), of_facts(target)) == wanted
            target.close()
            if not failed:
                break

    assert not failed
    assert faults > 3


def test_long_texts_and_other_alphabets_arrive_whole(target: Feed) -> None:
    session = Session("ünï", cwd="/home/demo/ﬃ/" + "x" * 5_000, start=START_MS)
    session.prompt("hi")
    session.assistant(text("…"))
    source, target = settled(files_of(session)), target

    carry_over(source.store.conn, target.store)

    assert target.dump() == source.dump()
