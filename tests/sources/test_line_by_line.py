"""A line a batch, and another process after every line: the same facts and links as read in one go."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ccagent.facts.targets import Target
from ccagent.store.links import link_dump
from tests.canaries import Canaries
from tests.claude_canaries import transcripts
from tests.codex_canaries import rollout
from tests.sources.codex_feed import Rollout
from tests.sources.feed import Feed, files_of
from tests.sources.trees import ACTIONS, VERSIONS, act
from tests.store.worked import ACTIONS as WORK
from tests.store.worked import act as work
from tests.store.worked import copied
from tests.transcripts import Session

pytestmark = pytest.mark.usefixtures("either_store")


def lived(version: str, seed: int) -> dict[str, bytes]:
    """A session in which everything happens that the generators know, in some order."""
    session = Session(f"lived-{seed}", version=version, seed=seed)
    session.prompt("hello")
    chance = random.Random(seed)
    act(session, tuple(chance.sample(ACTIONS, len(ACTIONS))), chance)
    return files_of(session)


def forked() -> dict[str, bytes]:
    """A session that leaves evidence, and a copy of it that goes on."""
    session, chance = Session("forked", cwd="/home/demo/atlas", branch="feat/search"), random.Random(3)
    for action in WORK * 2:
        work(session, action, chance)
    return files_of(session, copied(session, "copy"))


def rolled() -> dict[str, bytes]:
    """A rollout, its fork and its sub-agent."""
    made = Rollout(random.Random(5)).meta()
    made.begin()
    made.shell()
    made.patch({"/a.py": {"type": "add", "content": "one\n"}})
    made.end()
    children = [made.fork(), made.agent(replayed=True)]
    for child in children:
        child.begin("go on")
        child.mcp(failed=True)
        child.compact()
        child.end()
    return {each.path: each.content for each in (made, *children)}


def crowded() -> dict[str, bytes]:
    """A session of each client with every kind of record."""
    canaries = Canaries(1)
    codex = rollout(canaries)
    return files_of(transcripts(canaries)) | {codex.path: codex.content}


TREES = {f"lived {version}": (lambda version=version, n=n: lived(version, n)) for n, version in enumerate(VERSIONS)}
TREES |= {"forked": forked, "rolled": rolled, "crowded": crowded}


def dumps(feed: Feed) -> tuple[list[str], list[str]]:
    """The facts, and the links of every sort."""
    return feed.dump(), list(link_dump(feed.store.conn, tuple(Target)))


@pytest.mark.parametrize("tree", TREES)
def test_a_line_a_batch_makes_no_difference(tree: str) -> None:
    files = TREES[tree]()
    straight, other, chance = Feed(), Feed(), random.Random(1)
    for path, data in files.items():
        straight.take((path, data))

    left = {path: data.splitlines(keepends=True) for path, data in files.items()}
    while left:
        path = chance.choice(sorted(left))
        other.take((path, left[path].pop(0)))
        left = {path: lines for path, lines in left.items() if lines}

    assert dumps(other) == dumps(straight)


@pytest.mark.parametrize("tree", ["forked", "rolled", "lived 2.1.229"])
def test_another_process_after_every_few_lines_makes_no_difference(tmp_path: Path, tree: str) -> None:
    files = TREES[tree]()
    straight = Feed()
    for path, data in files.items():
        straight.take((path, data))

    for path, data in files.items():
        lines = data.splitlines(keepends=True)
        for first in range(0, len(lines), 7):
            feed = Feed(tmp_path / "facts.db")
            feed.take((path, b"".join(lines[first : first + 7])))
            feed.close()

    assert dumps(Feed(tmp_path / "facts.db")) == dumps(straight)
