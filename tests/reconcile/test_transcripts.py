"""The transcripts' side of a reconciliation, against what is known of real transcripts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ccagent.facts.pricing import PriceTable
from ccagent.follow.roots import CODEX, Root
from ccagent.reconcile.sides import KINDS
from ccagent.reconcile.transcripts import Transcripts
from tests.transcripts import Session, Tree, Usage, text

AGES = (0, 1 << 60)
START_MS = 1_770_714_000_000
HOUR_MS = 3_600_000


def test_every_request_of_the_corpus_is_found_once(corpus: Path, corpus_feed: Any) -> None:
    truth = json.loads((corpus / "truth.json").read_text())
    transcripts = Transcripts(PriceTable.bundled(), set(), AGES)

    transcripts.read([corpus / "projects"])

    side = transcripts.side
    assert len(side.requests) + side.unnamed == truth["requests"]
    own = "SUM(token_input), SUM(token_output), SUM(token_cache_read), SUM(token_cache_write), SUM(cost)"
    sql = f"SELECT {own} FROM fact WHERE type = 4 AND native IN (SELECT value FROM json_each(?))"
    messages = list(transcripts.messages)
    stored = corpus_feed.store.conn.execute(sql, (json.dumps(messages),)).fetchone()
    found = [sum(request.tokens[place] for request in side.requests.values()) for place in range(len(KINDS))]
    assert [*found, sum(request.cost or 0 for request in side.requests.values())] == list(stored)


def a_session(name: str, start: int) -> Session:
    session = Session(name, seed=name, start=start)
    session.prompt("hello")
    session.assistant(text("one"), usage=Usage(input=1, output=10))
    session.bash("ls")
    return session


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    Tree(tmp_path).write(a_session("early", START_MS), a_session("late", START_MS + 5 * HOUR_MS))
    return tmp_path


def sessions_of(tree: Path, sessions: set[str], window: tuple[int, int] | None) -> set[str]:
    transcripts = Transcripts(PriceTable.bundled(), sessions, window)
    transcripts.read([tree])
    assert transcripts.unreadable == 0
    return transcripts.side.sessions


def test_a_named_session_is_taken_whole_and_others_within_the_window(tree: Path) -> None:
    assert sessions_of(tree, {"early"}, None) == {"early"}
    assert sessions_of(tree, set(), (START_MS + 4 * HOUR_MS, START_MS + 9 * HOUR_MS)) == {"late"}
    assert sessions_of(tree, {"early"}, (START_MS + 4 * HOUR_MS, START_MS + 9 * HOUR_MS)) == {"early", "late"}
    assert sessions_of(tree, set(), None) == set()


def test_a_file_that_was_last_written_before_the_window_is_not_read(tree: Path) -> None:
    for path in tree.rglob("*.jsonl"):
        os.utime(path, (START_MS / 1_000, START_MS / 1_000))
    transcripts = Transcripts(PriceTable.bundled(), {"early"}, (START_MS + HOUR_MS, START_MS + 9 * HOUR_MS))

    transcripts.read([tree])

    assert transcripts.files == 1


def test_codex_is_left_out_and_a_tree_under_two_names_is_read_once(tree: Path) -> None:
    transcripts = Transcripts(PriceTable.bundled(), set(), AGES)

    transcripts.read([tree, Root(tree), Root(tree, CODEX)])

    assert transcripts.files == 2


def test_a_reply_without_a_request_id_is_counted_apart(tmp_path: Path) -> None:
    session = Session("s", seed="s", start=START_MS)
    session.prompt("hello")
    session.assistant(text("one"), text("two"), usage=Usage(input=1, output=10), request_id=None)
    Tree(tmp_path).write(session)
    transcripts = Transcripts(PriceTable.bundled(), set(), AGES)

    transcripts.read([tmp_path])

    assert (len(transcripts.side.requests), transcripts.side.unnamed) == (0, 1)


def test_what_a_sub_agent_relays_is_found_in_progress_records(tmp_path: Path) -> None:
    session = Session("s", seed="s", start=START_MS)
    session.prompt("hello")
    session.agent_progress("toolu_task", "a1", text("hi"), usage=Usage(input=7, output=3), request_id="req_relayed")
    session.agent_progress_result("toolu_task", "a1", "toolu_inner")
    Tree(tmp_path).write(session)
    transcripts = Transcripts(PriceTable.bundled(), {"s"}, None)

    transcripts.read([tmp_path])

    assert transcripts.side.requests["req_relayed"].tokens == (7, 3, 0, 0)
    assert "toolu_inner" in transcripts.side.tools
