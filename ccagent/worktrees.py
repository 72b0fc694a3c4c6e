"""Worktrees at places of their owner's choice: the repository that a folder's `.git` file names, looked up and kept.

Once an hour the folders of recent sessions are looked at. A linked worktree has a small file `.git` instead of a folder;
it leads to the repository, and usage by project counts the worktree there from then on, also when it is long gone. Only
names of files on this machine's own disks are asked, and one small regular file a folder is read; nothing is run.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from ccagent.store.filesystem import Mount, mount_of, mounts, unsafe
from ccagent.store.links import fold_project, unfolded_projects

if TYPE_CHECKING:
    from ccagent.clock import Clock
    from ccagent.store.writer import Writer

LOOK_SECONDS: Final = 3_600.0
"""Between two looks."""

RECENT_MS: Final = 30 * 24 * 3_600 * 1_000
"""Folders of sessions that ended before that are not looked at: what was not seen then is hardly there now."""

FOLDERS: Final = 500
"""Folders of one look, those of the latest sessions first."""

LEVELS: Final = 64
"""Folders above one in which its `.git` is looked for."""

FILE_BYTES: Final = 4 * 1024
"""A `.git` file is one line with a path; a larger one is none."""

_GITDIR: Final = re.compile(r"^gitdir:[ \t]*(\S.*?)[ \t]*\r?$", re.MULTILINE)
_LINKED: Final = re.compile(r"^(?P<git>.+)/worktrees/[^/]+/?$")


def repository_of(folder: str, among: Sequence[Mount] | None = None) -> str | None:
    """The folder of the repository whose linked worktree `folder` lies in; None where it lies in none, or is gone.

    Rule: the nearest `.git` above it is a regular file of FILE_BYTES at most that names `<repository>/.git/worktrees/<x>`;
    of a bare repository (`x.git/worktrees/<x>`) its own folder. A `.git` folder is a repository itself, and a file that
    leads to `modules/` is a submodule: both are projects of their own. Nothing on a file system of another machine is
    asked, and no link is followed to a file. `among`: the mounts, by default those of this moment.
    """
    if not folder.startswith("/") or "\0" in folder:
        return None
    mount = mount_of(folder, among)
    if mount is not None and unsafe(mount):
        return None
    place = os.path.normpath(folder)
    for _ in range(LEVELS):
        found = _git_file(place)
        if found is not None:
            return None if found == "" else _repository(place, found)
        above = os.path.dirname(place)  # noqa: PTH120
        if above == place:
            break
        place = above
    return None


def _git_file(folder: str) -> str | None:
    """What the `.git` in a folder leads to; "" for a repository of its own or what cannot be read, None for none."""
    path = os.path.join(folder, ".git")  # noqa: PTH118
    try:
        mode = os.lstat(path).st_mode
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(mode):
        return ""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode) or about.st_size > FILE_BYTES:
                return ""
            text = file.read(FILE_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    match = _GITDIR.search(text)
    return match.group(1) if match else ""


def _repository(worktree: str, gitdir: str) -> str | None:
    match = _LINKED.match(os.path.normpath(os.path.join(worktree, gitdir)))  # noqa: PTH118
    if match is None:
        return None
    git = match.group("git")
    return os.path.dirname(git) if os.path.basename(git) == ".git" else git  # noqa: PTH119, PTH120


class Worktrees:
    """Driven by `tick(now)`, as the schedule thread is."""

    def __init__(self, store: Writer, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._next = 0.0

    def tick(self, now: float) -> None:
        """Look where that is due. StoreError where the database refuses; the next look tries again."""
        if now >= self._next:
            self._next = now + LOOK_SECONDS
            self.look()

    def look(self) -> int:
        """Look at the folders of recent sessions that nothing is known of; how many turned out to be worktrees."""
        since = self._clock.now_ms() - RECENT_MS
        folders = unfolded_projects(self._store.ask, self._store.host, since, FOLDERS)
        known = mounts()
        found = [
            (folder, repository)
            for folder in folders
            if (repository := repository_of(folder, known)) is not None and repository != folder
        ]
        if found:
            self._store.run(partial(fold_project, found=found))
        return len(found)
