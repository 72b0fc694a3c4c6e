"""Worktrees fold into their repository by their paths."""

from __future__ import annotations

import pytest

from ccagent.facts.projects import project_of

FOLDED = [
    ("/home/u/repo/.claude/worktrees/login", "/home/u/repo"),
    ("/home/u/repo/.claude/worktrees/login/src/app", "/home/u/repo"),
    ("/home/u/repo/.worktrees/alex/login", "/home/u/repo"),
    ("/home/u/repo/.git/worktrees/login", "/home/u/repo"),
    ("/home/u/repo/.conductor/lima", "/home/u/repo"),
    ("/home/u/repo-worktrees/login", "/home/u/repo"),
    ("/home/u/repo.worktrees/login/docs", "/home/u/repo"),
    ("/home/u/repo_worktrees/login", "/home/u/repo"),
    ("/home/u/.cursor/worktrees/repo/aB3x", "/home/u/.cursor/worktrees/repo"),
    ("/home/u/.claude-worktrees/repo/calm-owl/src", "/home/u/.claude-worktrees/repo"),
    ("/home/u/conductor/workspaces/repo/lima", "/home/u/conductor/workspaces/repo"),
    ("/home/u/repo/.worktrees/a/.claude/worktrees/b", "/home/u/repo"),
    ("C:\\Users\\u\\repo\\.claude\\worktrees\\login", "C:\\Users\\u\\repo"),
    ("C:\\work\\repo-worktrees\\login", "C:\\work\\repo"),
    ("/mnt/c/work/repo/.worktrees/x", "/mnt/c/work/repo"),
]

KEPT = [
    "/home/u/repo",
    "/home/u/repo/src",
    "/home/u/repo/.worktrees",  # the folder of all worktrees is none
    "/home/u/repo-worktrees",
    "/home/u/.worktrees/x",  # a home is nobody's repository
    "/Users/u/.claude/worktrees/x",
    "C:\\Users\\u\\.worktrees\\x",
    "/worktrees/x",
    "/home/u/worktrees/x",  # whose they are the path does not say
    "/home/u/.cursor/worktrees/repo",
    "",
    "relative",
]


@pytest.mark.parametrize(("cwd", "project"), FOLDED)
def test_a_worktree_belongs_to_its_repository(cwd: str, project: str) -> None:
    assert project_of(cwd) == project


@pytest.mark.parametrize("cwd", KEPT)
def test_any_other_folder_is_its_own_project(cwd: str) -> None:
    assert project_of(cwd) == cwd
