"""Which folders a project's name stands for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ccagent.follow.state import FileState
from ccagent.selection import LONGEST, Selection, encoded, folder_of, stands_for, survey, unread
from tests.transcripts import Tree


def status(size: int, mtime_ns: int = 5, inode: int = 7, device: int = 1) -> os.stat_result:
    return os.stat_result((0o100600, inode, device, 1, 0, 0, size, 0, 0, 0), {"st_mtime_ns": mtime_ns})


def state(size: int, offset: int) -> FileState:
    return FileState(
        file_id=1, path=b"/r/-p/a.jsonl", device=1, inode=7, size=size, mtime_ns=5, offset=offset, head=b"",
        head_length=0, marker=b"", generation=0, lines=0, state=0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/home/me/work/x", "-home-me-work-x"),
        ("/home/me/my.app_v2", "-home-me-my-app-v2"),
        ("/tmp/ü", "-tmp--"),
        ("/tmp/\U0001f600", "-tmp---"),
    ],
)
def test_a_folder_is_named_as_the_client_names_it(path: str, name: str) -> None:
    assert encoded(path) == name


@pytest.mark.parametrize(
    ("folder", "project", "expected"),
    [
        ("-home-me-work-x", "x", True),
        ("-home-me-work-x", "work-x", True),
        ("-home-me-work-x", "work/x", False),  # a path, relative to here
        ("-home-me-work-x", "/home/me/work/x", True),
        ("-home-me-work-x", "/home/me/work/x/", True),
        ("-home-me-work-x", "/home/me/work", False),
        ("-home-me-work-xy", "x", False),
        ("-home-me-work-yx", "x", False),
        ("-home-me-my-app", "my.app", True),
        ("-home-me-work-x", "-home-me-work-x", True),
    ],
)
def test_a_name_stands_for_the_folders_that_end_with_it(folder: str, project: str, expected: bool) -> None:
    assert stands_for(folder, project) is expected


def test_the_name_of_a_long_path_is_cut(tmp_path: Path) -> None:
    path = "/" + "a" * 250
    folder = f"{encoded(path)[:LONGEST]}-k3j2h1"

    assert stands_for(folder, path)
    assert not stands_for(folder, "/" + "b" * 250)


def test_home_and_links_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.setenv("HOME", str(tmp_path))

    assert stands_for(encoded(str(tmp_path / "real")), "~/link")
    assert stands_for(encoded(str(tmp_path / "link")), "~/link")


def test_a_root_that_is_a_project_folder_itself_gives_its_name() -> None:
    assert folder_of(b"/r/-home-me-x/a.jsonl", [b"/r/-home-me-x"]) == "-home-me-x"
    assert folder_of(b"/r/-home-me-x/a/subagents/agent-1.jsonl", [b"/r"]) == "-home-me-x"


def test_what_is_unread_of_a_file() -> None:
    assert unread(None, status(10)) == 10
    assert unread(state(10, 8), status(10)) == 0  # read to its last newline
    assert unread(state(10, 8), status(15)) == 7
    assert unread(state(10, 8), status(5)) == 5  # it shrank: read from its start again


def test_a_survey_opens_nothing(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.put("-p/a.jsonl", b"x" * 10)
    tree.put("-q/b.jsonl", b"x" * 5)
    for path in tmp_path.rglob("*.jsonl"):
        path.chmod(0)

    found = survey(Selection(projects=("p",)), [tmp_path], [])

    assert (found.total.files, found.total.bytes, found.others.bytes) == (1, 10, 5)
    assert found.folders == {"-p", "-q"}
