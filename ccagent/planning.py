"""Planning documents whose front matter names sessions, commits and pull requests: read once an hour, if asked to.

Only files that match the globs of `features.documents` below folders in which sessions worked are opened, and of each
only the beginning; an unchanged file is not read again. What they state becomes links of full confidence. A statement
that a document takes back is taken back; what documents said that are gone stays.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Final

from ccagent.facts.documents import FOREIGN
from ccagent.facts.evidence import DEFAULT, conventions
from ccagent.facts.frontmatter import Stated, stated
from ccagent.facts.projects import project_of
from ccagent.sources.claude.standing import Standing
from ccagent.sources.codex.standing import Standing as Rollouts
from ccagent.store.filesystem import mount_of, mounts, unsafe
from ccagent.store.links import recent_projects, state_links

if TYPE_CHECKING:
    from ccagent.clock import Clock
    from ccagent.store.writer import Writer

LOOK_SECONDS: Final = 3_600.0
"""Between two looks."""

RECENT_MS: Final = 30 * 24 * 3_600 * 1_000
"""Folders of sessions that ended before that are not looked at."""

FOLDERS: Final = 200
DOCUMENTS: Final = 2_000
"""Folders and documents of one look."""

ENTRIES: Final = 200_000
"""Files and folders that the globs of one look may come by."""

DOCUMENT_BYTES: Final = 256 * 1024
"""A larger file is no plan."""

_WILD: Final = re.compile(r"[*?]")

HEAD_BYTES: Final = 32 * 1024
"""Of a document so much is read: front matter stands at its beginning."""


def follow_conventions(task_pattern: str | None) -> None:
    """From now on ids of tasks look like this, None for the usual form. Lines that were read before stay as they are
    until a rebuild."""
    Standing.conventions = Rollouts.conventions = conventions(task_pattern) if task_pattern else DEFAULT


class Planning:
    """Driven by `tick(now)`, as the schedule thread is. `globs` are relative to a project's folder; none: does nothing."""

    def __init__(self, store: Writer, clock: Clock, globs: Sequence[str]) -> None:
        self._store = store
        self._clock = clock
        self._globs = tuple(globs)
        self._next = 0.0
        self._known: dict[str, tuple[tuple[int, int], Stated | None]] = {}

    def tick(self, now: float) -> None:
        """Look where that is due. StoreError where the database refuses; the next look tries again."""
        if self._globs and now >= self._next:
            self._next = now + LOOK_SECONDS
            self.look()

    def look(self) -> int:
        """Look at all documents; how many were opened."""
        since = self._clock.now_ms() - RECENT_MS
        folders = recent_projects(self._store.ask, self._store.host, since, FOLDERS)
        known = mounts()
        far = {mount.point for mount in known if unsafe(mount)}
        opened = 0
        found: dict[str, tuple[tuple[int, int], Stated | None]] = {}
        for folder in sorted({project_of(each) for each in folders if each.startswith("/")}):
            mount = mount_of(folder, known)
            if mount is not None and unsafe(mount):
                continue
            for path in islice(documents(folder, self._globs, far=far), DOCUMENTS - len(found)):
                version = _version(path)
                if version is None or path in found:
                    continue
                before = self._known.get(path)
                if before is not None and before[0] == version:
                    found[path] = before
                    continue
                text = _head(path)
                opened += 1
                found[path] = version, None if text is None else stated(os.path.relpath(path, folder), text)
        statements = [said for _, said in found.values() if said is not None]
        if statements:
            self._store.run(partial(state_links, statements=statements))
        self._known = found
        return opened


def documents(folder: str, globs: Sequence[str], *, entries: int = ENTRIES, far: Collection[str] = ()) -> Iterator[str]:
    """Paths of the files below `folder` that match a glob, each once; `*` stops at a slash, `**` does not. No link is
    followed, folders of other people's documents and `far` ones (mounts of other machines) are passed by, and after
    `entries` names the search ends."""
    given: set[str] = set()
    left = entries
    for pattern in globs:
        parts = [part for part in pattern.split("/") if part not in ("", ".")]
        if pattern.startswith("/") or ".." in parts:
            continue
        fixed = list(takewhile(lambda part: not _WILD.search(part), parts[:-1]))
        wanted = _expression(parts)
        open_folders = [fixed] if _is_plain(folder, fixed) else []
        while open_folders and left > 0:
            here = open_folders.pop()
            for entry in _entries(_at(folder, here)):
                left -= 1
                path = [*here, entry.name]
                if left <= 0:
                    break
                if entry.is_dir(follow_symlinks=False):
                    if entry.name.lower() not in FOREIGN and _at(folder, path) not in far:
                        open_folders.append(path)
                elif wanted.fullmatch("/".join(path)) and (found := _at(folder, path)) not in given:
                    given.add(found)
                    yield found


def _at(folder: str, parts: Sequence[str]) -> str:
    return "/".join((folder, *parts))


def _is_plain(folder: str, parts: Sequence[str]) -> bool:
    """Whether these folders, each within the one before it, are there and no links."""
    for count in range(len(parts) + 1):
        try:
            if not stat.S_ISDIR(os.lstat(_at(folder, parts[:count])).st_mode):
                return False
        except OSError:
            return False
    return True


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError:
        return []


def _expression(parts: Sequence[str]) -> re.Pattern[str]:
    """A glob's parts as an expression over a relative path."""
    text = ""
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            text += ".*" if last else "(?:.*/)?"
            continue
        piece = "".join("[^/]*" if each == "*" else "[^/]" if each == "?" else re.escape(each) for each in part)
        text += piece if last else piece + "/"
    return re.compile(text)


def _version(path: str) -> tuple[int, int] | None:
    """Time of change and size of a regular file that may be a document; None for anything else."""
    try:
        about = os.lstat(path)
    except OSError:
        return None
    if not stat.S_ISREG(about.st_mode) or about.st_size > DOCUMENT_BYTES:
        return None
    return about.st_mtime_ns, about.st_size


def _head(path: str) -> str | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            return file.read(HEAD_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
