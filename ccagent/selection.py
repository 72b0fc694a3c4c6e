"""Which transcripts a backfill takes: by project and by age, judged by where they lie, without opening any.

Claude Code keeps the transcripts of a project in one folder, whose name is the project's path with a hyphen for every
character that is no letter and no digit: `/home/me/work/x` is `-home-me-work-x`. So different paths can have one name
(`a-b` and `a/b`); whoever asks for one gets both, which takes in more than was asked and nothing wrong.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ccagent.follow.files import state_stat
from ccagent.follow.roots import Kinds, Place, lies_within, resolve_roots
from ccagent.follow.scan import Walk
from ccagent.follow.state import FileState

LONGEST: Final = 200
"""Characters of a path's name; of a longer one the client keeps these and adds a hyphen and a hash."""

_LETTER: Final = re.compile(r"[A-Za-z0-9]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What is wanted; without conditions everything. `since_ms` compares with the time of the last change of a file."""

    projects: tuple[str, ...] = ()
    since_ms: int | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return not self.projects and self.since_ms is None

    def wants(self, folder: str, status: os.stat_result) -> bool:
        """Whether a transcript of this project folder is wanted, by what `lstat` says of it."""
        if self.since_ms is not None and status.st_mtime_ns < self.since_ms * 1_000_000:
            return False
        return not self.projects or any(stands_for(folder, project) for project in self.projects)


@dataclass(slots=True, kw_only=True)
class Amount:
    """Some files and the bytes of them that are not taken in yet."""

    files: int = 0
    bytes: int = 0

    def add(self, left: int) -> None:
        """One more file."""
        self.files += 1
        self.bytes += left


@dataclass(slots=True, kw_only=True)
class Survey:
    """What stands below the roots and is not taken in yet: wanted and not wanted, by project folder."""

    wanted: dict[str, Amount] = field(default_factory=dict)
    others: Amount = field(default_factory=Amount)
    folders: set[str] = field(default_factory=set)
    """All project folders there are."""

    @property
    def total(self) -> Amount:
        """All that is wanted."""
        return Amount(
            files=sum(each.files for each in self.wanted.values()),
            bytes=sum(each.bytes for each in self.wanted.values()),
        )


def encoded(path: str) -> str:
    """A path as Claude Code names its folder; characters outside of the basic plane count twice, as in JavaScript."""
    return "".join(char if _LETTER.match(char) else "-" * (1 + (ord(char) > 0xFFFF)) for char in path)


def stands_for(folder: str, project: str) -> bool:
    """Whether a project folder is that of `project`: a path, or the last folder of one."""
    if "/" in project or project in (".", "..") or project.startswith("~"):
        path = Path(project).expanduser()
        # The client takes the folder as the shell had it, which may be a link.
        return any(is_named(folder, encoded(str(each))) for each in (os.path.normpath(path.absolute()), path.resolve()))
    name = encoded(project)
    return folder == name or folder.endswith(f"-{name}")


def is_named(folder: str, name: str) -> bool:
    """Whether a folder has this name, which may have been cut."""
    return folder == name or (len(name) > LONGEST and folder.startswith(f"{name[:LONGEST]}-"))


def folder_of(path: bytes, roots: Iterable[bytes]) -> str:
    """The project folder that a transcript lies in: the first below its root, or the root itself where it is one."""
    for root in roots:
        if lies_within(path, root):
            first, below, _ = path[len(root) :].lstrip(b"/").partition(b"/")
            return os.fsdecode(first if below else root.rpartition(b"/")[2])
    return ""


def wanted(selection: Selection, roots: Sequence[Place]) -> Callable[[bytes, os.stat_result], bool] | None:
    """The selection as a follower asks it; None for everything."""
    if selection.everything:
        return None
    real = resolve_roots(roots)
    return lambda path, status: selection.wants(folder_of(path, real), status)


def survey(selection: Selection, roots: Sequence[Place], states: Iterable[FileState]) -> Survey:
    """Look at every transcript, without opening one, and compare with what the store remembers."""
    known: Mapping[bytes, FileState] = {state.path: state for state in states}
    real, kinds = resolve_roots(roots), Kinds(roots)
    found = Survey()
    for root in real:
        for path, status in Walk(root):
            if not kinds.takes(path):
                continue
            folder = folder_of(path, real)
            found.folders.add(folder)
            left = unread(known.get(path), status)
            chosen = selection.wants(folder, status)
            amount = found.wanted.setdefault(folder, Amount()) if chosen else found.others
            if left:
                amount.add(left)
    return found


def unread(state: FileState | None, status: os.stat_result) -> int:
    """Bytes of a file that are not taken in: of one that shrank all, since it is read from its start again."""
    if state is None:
        return status.st_size
    if state_stat(state) == (status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev):
        return 0  # read to its last newline
    return status.st_size - (state.offset if status.st_size >= state.offset else 0)
