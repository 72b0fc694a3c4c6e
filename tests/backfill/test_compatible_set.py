"""The compatible set through a rebuild: it begins again at zero with the other counters, and goes on with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ccagent.config import Config
from ccagent.metrics import names
from ccagent.metrics.compat import COMPAT, COST_USAGE, TOKEN_USAGE
from ccagent.store.generation import restarts
from tests.backfill.ground import Ground
from tests.transcripts import Session, Usage, text


class Switched(Ground):
    """A ground on which the compatible set is asked for."""

    def config(self, **flags: object) -> Config:
        return super().config(**{"compat.claude_code": True, **flags})


@pytest.fixture
def switched(tmp_path: Path) -> Switched:
    return Switched(tmp_path, f"{tmp_path}/ccagent.db")


def a_session() -> Session:
    session = Session("s", seed="s")
    session.prompt("hello")
    for _ in range(3):
        session.assistant(text("one"), usage=Usage(input=1, output=10))
    session.edit("/home/demo/atlas/app.py", added=5, removed=2)
    return session


def sums(counters: dict[str, Any]) -> tuple[int, int]:
    """Tokens and cost of the set; both are ccagent's own."""
    found = counters.get(TOKEN_USAGE, 0), counters.get(COST_USAGE, 0)
    assert found == (counters.get(names.TOKENS, 0), counters.get(names.COST_USD, 0))
    return found


def test_a_backfill_books_it_and_a_rebuild_lets_it_begin_again(switched: Switched) -> None:
    session = a_session()
    switched.tree.write(session)
    switched.take_in()
    assert min(sums(switched.counters())) > 0

    switched.rebuild()

    assert sums(switched.counters()) == (0, 0)
    with switched.reader() as conn:
        started = restarts(conn, 1)
    assert {started[name] for name in COMPAT} == {started[names.TOKENS]}
    before = session.content
    session.assistant(text("more"), usage=Usage(input=7, output=11))
    switched.tree.append(session, session.content[len(before) :])
    switched.take_in()
    assert min(sums(switched.counters())) > 0
    assert switched.faults() == []
