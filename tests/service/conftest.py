"""A store, a tree and a clock for the parts of the daemon that tests turn by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ccagent.clock import FakeClock
from ccagent.service.live import Live
from ccagent.store.sqlite import SqliteStore
from tests.transcripts import Tree

NOW = 1_790_000_000_000


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def live() -> Live:
    return Live(started_ms=NOW)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "projects")


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "ccagent.db", clock=clock)
    yield opened
    opened.close()
