"""Commits of the local history as facts of the session that was active when they were made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import orjson

from ccagent.facts.batch import NO_FILE, Batch
from ccagent.facts.commits import key_of
from ccagent.facts.delivery import HISTORY
from ccagent.facts.keys import fact_key
from ccagent.facts.model import Context, EventType, Flag, Rank, Status
from ccagent.facts.partial import Result
from ccagent.facts.reflog import Made, Span

if TYPE_CHECKING:
    from ccagent.store.ingest import Ingest
    from ccagent.store.writer import Writer

_COMMIT: Final = int(EventType.COMMIT)

_SESSIONS: Final = (
    "SELECT f.native, n.value, f.occurred_at, f.ended_at FROM fact f JOIN context c ON c.id = f.context"
    " JOIN name n ON n.id = c.project JOIN file x ON x.id = f.file"
    f" WHERE f.type = {int(EventType.SESSION)} AND f.ended_at >= ? AND f.occurred_at IS NOT NULL AND x.host = ?"
    " ORDER BY f.ended_at DESC, f.native LIMIT ?"
)


def recent_sessions(store: Writer, since_ms: int, limit: int) -> list[Span]:
    """Sessions of this host's transcripts that were heard of since a moment, the latest first."""
    return [Span(*row) for row in store.ask(_SESSIONS, (since_ms, store.host, limit))]


def add_commits(store: Writer, found: Sequence[tuple[Made, Span]]) -> int:
    """Enter those commits that no transcript showed, closed, with a confidence of 0.4; how many.

    What a transcript says of the same commit later is added to it, and takes its place and time.
    """
    if not found:
        return 0
    added = 0

    def work(state: Ingest) -> None:
        nonlocal added
        kept = Batch()
        facts = _batch(found).facts[_COMMIT]
        keys = {fact_key(_COMMIT, native): native for native in facts}
        dialect = state.conn.dialect
        sql = f"SELECT f.key FROM {dialect.blobs} JOIN fact f ON f.key = k.value"
        known = {bytes(row[0]) for row in state.conn.execute(sql, (dialect.listed(sorted(keys)),))}
        kept.facts[_COMMIT] = {native: facts[native] for key, native in keys.items() if key not in known}
        # no transcript holds them, so they have no file
        state.file_ids = {NO_FILE: None}
        state.facts(kept)
        added = kept.size()

    store.absorb(_batch(found), work)
    return added


def _batch(found: Sequence[tuple[Made, Span]]) -> Batch:
    batch = Batch()
    for commit, span in found:
        fact, _ = batch.get(_COMMIT, key_of(commit.sha), NO_FILE, 0, 0)
        # behind every line of a transcript, so that those own it once they are read
        rank = int(Rank.RELAYED)
        context = Context(span.session, span.project, None, commit.branch, None, None, None, None, None, None, rank)
        fact.claim(rank, commit.at, context, None, commit.branch, None, orjson.dumps({"sha": commit.sha}).decode())
        fact.occurred_at, fact.label, fact.attempts = commit.at, commit.kind, HISTORY
        fact.flags |= Flag.DIRECT | Flag.INFERRED
        fact.result = Result(Status.OK)
        fact.closing = True
    return batch
