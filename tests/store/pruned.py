"""For tests of retention: sessions spread over months, a store that is pruned beside one that never is."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from ccagent.rollups.metrics import Period
from ccagent.store import rollups
from ccagent.store.connection import Connection
from ccagent.store.ingest import Ingest
from ccagent.store.retention import Pruning, Removed
from ccagent.store.retention_rules import Rules
from tests.rollups.oracle import stored
from tests.sources.feed import START_MS, Feed, Series, files_of
from tests.sources.trees import ACTIONS, VERSIONS, act
from tests.transcripts import Session, Usage

ZONE = ZoneInfo("Europe/Berlin")
DAY_MS = 86_400_000
MONTH_MS = 30 * DAY_MS

NOW = START_MS + 40 * DAY_MS
"""A month and more after the first session, less after the second."""

OWN = ("retention.", "rollup.", "store.")
"""Metrics that tell of the work itself, not of what was read."""

NAMED = (3, 4, 6, 7, 8)
"""Places of name ids in the key of a rollup row; the bucket of a point is one, too."""

Amounts = dict[tuple[Any, ...], dict[str, int]]


def feed_in_zone(path: Path | str = ":memory:") -> Feed:
    feed = Feed(path)
    feed.store.set_meta("zone", ZONE.key)
    return feed


def refresh(feed: Feed) -> None:
    """Make all stale rollups anew."""

    def work(state: Ingest) -> int:
        done = rollups.refresh(state.conn, ZONE)
        state.wrote = bool(done)
        return done

    while feed.store.run(work):
        pass


def pruning(feed: Feed, now_ms: int, **rules: Any) -> Pruning:
    """A run that removes facts only, if not told otherwise."""

    @contextmanager
    def reader() -> Iterator[Connection]:
        yield feed.store.conn

    rules = {"payload_days": 0, "fact_months": 1, "max_bytes": 0} | rules
    return Pruning(feed.store, reader, Rules(**rules), ZONE, lambda: refresh(feed), now_ms)


def prune(feed: Feed, now_ms: int, **rules: Any) -> Removed:
    return pruning(feed, now_ms, **rules).run()


def amounts(feed: Feed) -> Amounts:
    """The rollups with texts for numbers, after a refresh: key → values that are not 0."""
    refresh(feed)
    conn = feed.store.conn
    texts = {0: "", **{int(number): str(text) for number, text in conn.execute("SELECT id, value FROM name")}}
    found: Amounts = {}
    for key, values in stored(conn).items():
        named = [texts[part] if place in NAMED else part for place, part in enumerate(key)]
        if key[0] == Period.POINT:
            named[1] = texts[key[1]]
        found[tuple(named)] = values
    return found


def without_active_time(found: Amounts) -> Amounts:
    """Rows without the active time of sessions; those that then hold nothing are left out."""
    rows = {
        key: {name: value for name, value in values.items() if key[2] != 1 or name != "duration_ms"}
        for key, values in found.items()
    }
    return {key: values for key, values in rows.items() if values}


def totals(feed: Feed) -> dict[Series, int]:
    """Totals of what was read."""
    return {key: value for key, value in feed.totals().items() if not key[0].startswith(OWN)}


def of_facts(feed: Feed) -> dict[Series, int]:
    """Totals of facts: reading the same lines again moves none of them. A session that was removed is not taken up again
    by what comes later, so that is left out."""
    return {
        key: value for key, value in totals(feed).items()
        if not key[0].startswith(("ingest.", "parser.")) and key[:2] != ("totals.relabelled", '["session"]')
    }  # fmt: skip


def links(feed: Feed) -> list[tuple[Any, ...]]:
    sql = "SELECT n.value, a.tool FROM agent a JOIN name n ON n.id = a.agent ORDER BY 1"
    return [(str(name), None if tool is None else bytes(tool)) for name, tool in feed.store.conn.execute(sql)]


@st.composite
def histories(draw: st.DrawFn) -> dict[str, bytes]:
    """Path → bytes of some sessions that began in the last four months."""
    found: dict[str, bytes] = {}
    drawn = st.tuples(
        st.sampled_from(VERSIONS), st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=10), st.integers(0, 120 * 24)
    )
    for number, (version, actions, hours) in enumerate(draw(st.lists(drawn, min_size=2, max_size=4))):
        start = START_MS - hours * 3_600_000 + number * 500
        session = Session(f"session-{number}", version=version, seed=number, start=start)
        session.title()
        act(session, actions, random.Random(number))
        if draw(st.booleans()):
            session.now += draw(st.integers(1, 60)) * DAY_MS  # taken up again much later
            act(session, actions[:3], random.Random(number + 50))
        found |= files_of(session)
    return found


def begun_later(number: int, actions: list[str], start: int, *, of: str | None = None) -> dict[str, bytes]:
    """Path → bytes of a session that nobody has read yet; `of` an old one: another file of the same session."""
    session = Session(of or f"late-{number}", version="2.1.229", seed=500 + number, start=start)
    session.prompt("once more")
    act(session, actions, random.Random(number))
    return {f"late-{number}/{path}": data for path, data in files_of(session).items()}


def session(name: str, start: int, turns: int = 2) -> Session:
    written = Session(name, seed=crc32(name.encode()), start=start)
    for _ in range(turns):
        written.prompt("hello")
        written.bash("ls", usage=Usage(input=3, output=50))
        written.edit("/a.py", added=3, removed=1, usage=Usage(input=5, output=7))
    return written


def two() -> tuple[Session, Session]:
    return session("old", START_MS), session("young", START_MS + 20 * DAY_MS)


def filled(*sessions: Session) -> Feed:
    feed = feed_in_zone()
    feed.read(*sessions)
    feed.until(START_MS + 30 * DAY_MS)
    refresh(feed)
    return feed


def sessions_left(feed: Feed) -> set[str]:
    return {row["session_id"] for row in feed.events()}
