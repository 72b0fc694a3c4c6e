"""Nothing that people, models and tools wrote is kept, not even between two lines of a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccagent.store.base import FileRow
from tests.canaries import Canaries
from tests.claude_canaries import transcripts
from tests.codex_canaries import rollout
from tests.sources.codex_feed import Rollout
from tests.sources.feed import Feed, files_of
from tests.transcripts import Session


def planted(canaries: Canaries) -> dict[str, bytes]:
    """Path → bytes of a session of each client."""
    session: Session = transcripts(canaries)
    codex: Rollout = rollout(canaries)
    return files_of(session) | {codex.path: codex.content}


@pytest.mark.parametrize("lines", [1, 100_000])
def test_no_text_of_a_transcript_is_in_the_database(tmp_path: Path, lines: int) -> None:
    canaries = Canaries(lines)
    files = planted(canaries)
    database = tmp_path / "facts.db"
    feed = Feed(database)
    leaks: dict[str, set[str]] = {}

    for path, data in files.items():
        rest = data.splitlines(keepends=True)
        while rest:
            piece, rest = b"".join(rest[:lines]), rest[lines:]
            feed.take((path, piece))
            for row in feed.store.files():
                leaks.setdefault("carry", set()).update(canaries.found(_carried(feed, row)))
    feed.tick(10**9)
    for file in (database, database.with_name("facts.db-wal")):
        leaks[file.name] = canaries.found(file.read_bytes())
    kept = canaries.named(database.read_bytes() + database.with_name("facts.db-wal").read_bytes())
    feed.close()

    assert {place: found for place, found in leaks.items() if found} == {}
    assert kept, "words of identity are found by the same search"
    assert canaries.found(b"".join(files.values())) == set(canaries.content.values()), "every word was planted"


def _carried(feed: Feed, row: FileRow) -> bytes:
    assert row.file_id is not None
    return feed.store.carry(row.file_id) or b""
