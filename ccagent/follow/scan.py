"""Finding transcripts: every regular `*.jsonl` below a root, by its bytes path, with what `lstat` says of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Final

from ccagent.follow.state import Problem

SUFFIX: Final = b".jsonl"

SKIPPED_FILES: Final = frozenset({b"journal.jsonl"})
"""A workflow's own log: started and result records, no transcript."""

SKIPPED_FOLDERS: Final = frozenset({b"tool-results"})
"""Outputs of tools, put aside by the client; some end with .jsonl."""


class Walk:
    """One pass over a tree. Iterate it once; `directories` and `problems` are complete afterwards.

    No symlink is followed. Sockets, pipes and devices are passed over: opening one could block, or do things.
    """

    def __init__(self, root: bytes) -> None:
        self._root = root
        self.directories = 0
        self.problems: list[Problem] = []

    def __iter__(self) -> Iterator[tuple[bytes, os.stat_result]]:
        """Path and lstat of each transcript; folders that vanish or refuse on the way are problems, not errors."""
        folders = [self._root]
        while folders:
            folder = folders.pop()
            try:
                entries = os.scandir(folder)
            except OSError as error:
                self._note(folder, error)
                continue
            self.directories += 1
            with entries:
                yield from self._entries(entries, folder, folders)

    def _entries(
        self, entries: Iterator[os.DirEntry[bytes]], folder: bytes, folders: list[bytes]
    ) -> Iterator[tuple[bytes, os.stat_result]]:
        try:
            for entry in entries:
                if entry.name.endswith(SUFFIX) and entry.name not in SKIPPED_FILES:
                    status = self._status(entry)
                    if status is not None:
                        yield entry.path, status
                        continue
                if entry.is_dir(follow_symlinks=False) and entry.name not in SKIPPED_FOLDERS:
                    folders.append(entry.path)
        except OSError as error:
            self._note(folder, error)

    def _status(self, entry: os.DirEntry[bytes]) -> os.stat_result | None:
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError as error:
            self._note(entry.path, error)
            return None
        return status if stat.S_ISREG(status.st_mode) else None

    def _note(self, path: bytes, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # it went away while we looked: that is no problem
            self.problems.append(Problem(path=path, reason=error.strerror or str(error)))


def is_transcript(path: bytes, root: bytes) -> bool:
    """Whether a scan of `root` would take `path`, judged by its names alone."""
    if not path.startswith(root.rstrip(b"/") + b"/"):
        return False
    *folders, name = path[len(root) :].lstrip(b"/").split(b"/")
    return name.endswith(SUFFIX) and name not in SKIPPED_FILES and SKIPPED_FOLDERS.isdisjoint(folders)


def status_of(path: bytes) -> os.stat_result | None:
    """What stands at `path` if it is a regular file reached without a symlink; None if there is none.

    Raises OSError where that cannot be known (no permission on the way).
    """
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    folder = os.path.dirname(path)
    return status if os.path.realpath(folder) == folder else None
