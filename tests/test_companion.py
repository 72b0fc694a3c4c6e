"""The file beside a sub-agent's: read once it is there, and not believed when it is something else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from ccagent.clock import FakeClock
from ccagent.companion import LONGEST, read_companion
from ccagent.follow.follower import Follower
from ccagent.intake import Intake, file_states
from ccagent.sources.claude.files import companion_of
from ccagent.store.sqlite import SqliteStore
from ccagent.store.threads import threads
from tests.transcripts import Session, Tree, text


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/p/s/subagents/agent-a1.jsonl", b"/p/s/subagents/agent-a1.meta.json"),
        (b"agent-a1.orphaned-17-ff.jsonl", b"agent-a1.meta.json"),
    ],
)
def test_the_companion_lies_beside_its_file(path: bytes, expected: bytes) -> None:
    assert companion_of(path) == expected


def test_a_companion_that_is_not_there_or_is_no_companion_is_none(tmp_path: Path) -> None:
    large, empty = tmp_path / "large", tmp_path / "empty"
    large.write_bytes(b"x" * (LONGEST + 1))
    empty.write_bytes(b"")

    found = [read_companion(bytes(path)) for path in (tmp_path / "absent", large, empty, tmp_path)]

    assert found == [None] * 4


@pytest.fixture
def session() -> Session:
    session = Session("s", version="2.1.229")
    session.prompt("hello")
    return session


class Ground:
    """A tree of transcripts, and whoever follows it into a store."""

    def __init__(self, folder: Path) -> None:
        self.tree = Tree((folder / "projects").resolve())
        self.store = SqliteStore(folder / "facts.db", clock=FakeClock(1_000))
        self.follower = Follower([self.tree.root], file_states(self.store))
        self.intake = Intake(self.follower, self.store)

    def catch_up(self) -> None:
        self.follower.scan()
        while self.intake.step():
            pass

    def meta(self, child: Session, **said: object) -> None:
        path = companion_of(child.path.encode()).decode()
        self.tree.put(path, orjson.dumps(said))

    def runs(self) -> dict[str, tuple[str, bool, int | None]]:
        return {run.agent: (run.type, run.orphaned, run.depth) for run in threads(self.store.conn, "s").runs}

    def close(self) -> None:
        self.follower.close()
        self.store.close()


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    ground = Ground(tmp_path)
    yield ground
    ground.close()


def test_a_companion_links_a_sub_agent_whose_call_has_no_result_yet(ground: Ground, session: Session) -> None:
    tool = session.launch(kind="explore")
    child = session.agent(agent_id="a1")
    child.request()
    ground.tree.write(session)
    ground.meta(child, agentType="explore", toolUseId=tool, spawnDepth=1)

    ground.catch_up()

    assert ground.runs() == {"a1": ("explore", False, 1)}


def test_a_nested_sub_agent_is_linked_by_its_companion_alone(ground: Ground, session: Session) -> None:
    tool = session.launch()
    child = session.agent(agent_id="a1")
    inner_tool = child.launch()
    inner = session.agent(agent_id="a2")
    inner.request()
    session.landed(tool, child)
    ground.tree.write(session)
    ground.meta(inner, agentType="reviewer", toolUseId=inner_tool)

    ground.catch_up()

    assert ground.runs() == {"a1": ("general-purpose", False, 1), "a2": ("reviewer", False, 2)}


def test_a_companion_that_comes_later_is_read_with_the_next_lines(ground: Ground, session: Session) -> None:
    tool = session.launch()
    child = session.agent(agent_id="a1")
    child.request()
    ground.tree.write(session)
    ground.catch_up()
    assert ground.runs() == {"a1": ("unknown", True, None)}

    ground.meta(child, agentType="fork", toolUseId=tool, isFork=True)
    before = len(child.content)
    child.request()
    ground.tree.append(child, child.content[before:])
    ground.catch_up()

    assert ground.runs() == {"a1": ("fork", False, 1)}


@pytest.mark.parametrize("data", [b"not json", b"[]", b'{"agentType": 7, "toolUseId": null}'])
def test_a_companion_that_makes_no_sense_changes_nothing(ground: Ground, session: Session, data: bytes) -> None:
    child = session.agent(agent_id="a1")
    child.assistant(text("found"))
    ground.tree.write(child)
    ground.tree.put(companion_of(child.path.encode()).decode(), data)

    ground.catch_up()

    assert ground.runs() == {"a1": ("unknown", True, None)}
