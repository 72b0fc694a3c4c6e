"""The project of a working directory: the repository's folder, with its worktrees folded into it by their paths."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_SEP: Final = r"[\\/]"

INSIDE: Final = re.compile(
    rf"^(?P<root>.+?){_SEP}(?:\.claude{_SEP}worktrees|\.git{_SEP}worktrees|\.worktrees|\.conductor){_SEP}[^\\/]"
)
"""Worktrees in a folder of the repository's own: `repo/.claude/worktrees/x` (Claude Code), `repo/.worktrees/x`,
`repo/.git/worktrees/x` (git's records), `repo/.conductor/x`."""

BESIDE: Final = re.compile(rf"^(?P<root>(?:.*?{_SEP})?[^\\/.][^\\/]*?)[-._]worktrees{_SEP}[^\\/]")
"""Worktrees in a folder beside the repository, named after it: `repo-worktrees/x`, `repo.worktrees/x` (VS Code)."""

CENTRAL: Final = re.compile(
    rf"^(?P<root>.+?{_SEP}(?:\.cursor{_SEP}worktrees|\.claude-worktrees|conductor{_SEP}workspaces){_SEP}[^\\/]+){_SEP}[^\\/]"
)
"""One folder for all repositories, a level for each of them: `~/.cursor/worktrees/repo/x`, `~/.claude-worktrees/repo/x`,
`~/conductor/workspaces/repo/x`. Where the repository itself lies they do not say, so its level is the project."""

_HOME: Final = re.compile(
    r"^(?:/home/[^/]+|/Users/[^/]+|/root|[A-Za-z]:[\\/]Users[\\/][^\\/]+|/mnt/[a-z]/Users/[^/]+)$"
)
"""A person's home is nobody's repository: worktrees right below it stay what they are."""


@lru_cache(maxsize=4_096)
def project_of(cwd: str) -> str:
    """The project of a session that began in `cwd`: its repository's folder if the path says that it is a worktree,
    else `cwd` as it is. POSIX and Windows paths.

    Rule: the leftmost of the layouts above counts, so that a worktree within a worktree ends in the same repository.
    A subfolder of a worktree is folded into the repository's root, since names of worktrees may hold slashes and where
    they end cannot be seen. Not seen: worktrees at places of the owner's choice; their `.git` file tells
    (ccagent/worktrees.py).
    """
    found = [match.group("root") for match in (rule.match(cwd) for rule in (INSIDE, BESIDE, CENTRAL)) if match]
    roots = [root for root in found if not _HOME.match(root)]
    return min(roots, key=len) if roots else cwd
