"""Carried state knows who wrote it."""

from __future__ import annotations

import pytest

from ccagent.facts.batch import Batch
from ccagent.sources.base import CLAUDE, CODEX, marked, unmarked, written_by
from ccagent.sources.known import SOURCES


@pytest.mark.parametrize("source", [CLAUDE, CODEX])
def test_state_comes_back_to_its_source_and_to_no_other(source: str) -> None:
    (other,) = {CLAUDE, CODEX} - {source}
    kept = marked(source, b"\x90state")

    assert written_by(kept) == source
    assert unmarked(source, kept) == b"\x90state"
    assert unmarked(other, kept) is None


def test_no_state_is_nobodys() -> None:
    assert [written_by(nothing) for nothing in (None, b"")] == [None, None]
    assert unmarked(CODEX, None) is None


@pytest.mark.parametrize(("writer", "reader"), [(CLAUDE, CODEX), (CODEX, CLAUDE)])
def test_a_file_that_changes_hands_begins_without_state(writer: str, reader: str) -> None:
    path = b"/x/rollout-1.jsonl"
    line = b'{"type":"user","sessionId":"s","payload":{}}\n{"type":"session_meta","payload":{"id":"s"}}\n'
    first = SOURCES[writer].feeder(Batch(), None, file=0, path=path)
    first.feed(line, 0)

    fresh = SOURCES[reader].feeder(Batch(), None, file=0, path=path)
    second = SOURCES[reader].feeder(Batch(), first.carried(), file=0, path=path)

    assert second.carried() == fresh.carried()
