"""The generated trees: the same for everybody, of the size that was asked for, with all the awkward lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from benchmarks.generate import Generator

SIZE = 12_000_000


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("generated") / "projects"
    Generator(root, seed=3).write(SIZE)
    return root


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.jsonl")}


def records(root: Path) -> Iterator[dict[str, Any]]:
    for data in files(root).values():
        for line in data.splitlines():
            try:
                yield orjson.loads(line)
            except ValueError:
                continue


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        Generator(tmp_path / name, seed=5).write(600_000)

    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_another_seed_writes_other_bytes(tmp_path: Path) -> None:
    for seed in (5, 6):
        Generator(tmp_path / str(seed), seed=seed).write(200_000)

    assert files(tmp_path / "5") != files(tmp_path / "6")


def test_a_tree_has_the_size_that_was_asked_for(tree: Path) -> None:
    size = sum(map(len, files(tree).values()))

    assert SIZE <= size < 1.2 * SIZE


def test_the_mean_line_has_the_length_of_real_ones(tree: Path) -> None:
    content = b"".join(files(tree).values())

    assert 2_000 < len(content) / content.count(b"\n") < 3_000


def test_messages_are_streamed_over_several_lines(tree: Path) -> None:
    counts: dict[str, int] = {}
    for record in records(tree):
        if record["type"] == "assistant":
            counts[record["message"]["id"]] = counts.get(record["message"]["id"], 0) + 1

    assert set(counts.values()) >= {1, 2, 3, 4}


def test_sub_agents_have_files_of_their_own(tree: Path) -> None:
    assert any("agent-" in name for name in files(tree))


def test_forks_repeat_messages_under_another_session(tree: Path) -> None:
    sessions: dict[str, set[str]] = {}
    for record in records(tree):
        if record["type"] == "assistant":
            sessions.setdefault(record["message"]["id"], set()).add(record["sessionId"])

    assert max(map(len, sessions.values())) > 1


def test_some_lines_are_broken(tree: Path) -> None:
    lines = [line for data in files(tree).values() for line in data.splitlines()]

    assert 0 < len(lines) - len(list(records(tree))) < 10


def test_some_lines_are_large(tree: Path) -> None:
    assert max(len(line) for data in files(tree).values() for line in data.splitlines()) > 100_000


def test_many_small_files_are_as_many_as_asked_for(tmp_path: Path) -> None:
    Generator(tmp_path).write(200 * 2_000, files=200)

    assert len(files(tmp_path)) == 200
    assert sum(map(len, files(tmp_path).values())) < 3 * 200 * 2_000
