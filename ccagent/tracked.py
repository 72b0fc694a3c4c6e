"""Whether git tracks a file: what stands in a repository is sooner or later on other machines."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

GIT_SECONDS: Final = 2.0
"""A question about one path of an index; longer means that the disk is busy."""

_KEPT: Final = ("PATH", "HOME", "SYSTEMROOT", "XDG_CONFIG_HOME")


def tracked_by_git(path: Path) -> bool:
    """Whether the file, or what it is a link to, is in the index of the repository around it. False without git."""
    git = shutil.which("git")
    if git is None:
        return False
    return any(_tracked(git, one) for one in dict.fromkeys((path.absolute(), path.resolve())))


def _tracked(git: str, path: Path) -> bool:
    if not any((folder / ".git").exists() for folder in path.parents):
        return False
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    # Nothing of the repository's own is run for the answer: no hook, no watcher of its files.
    command = (
        git,
        "-C",
        str(path.parent),
        "-c",
        "core.fsmonitor=false",
        "ls-files",
        "--error-unmatch",
        "--",
        path.name,
    )
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=kept | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}, timeout=GIT_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
