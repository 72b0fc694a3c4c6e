"""What ccagent has written on this machine, file by file, and removing it.

Only files are named that ccagent makes, by their names: whatever else lies in its folders is somebody else's and stays.
Nothing is followed: a link is removed, not what it leads to.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from ccagent.errors import StoreError
from ccagent.paths import Paths, display
from ccagent.store.location import Database
from ccagent.store.recovery import holds_tables


class Sort(StrEnum):
    """What a file is to its owner: only `TRACE` goes without being asked for by --purge."""

    TRACE = "trace"  # of a running daemon, or a half-written file: worth nothing once nothing runs
    DATA = "data"  # facts that transcripts may hold no longer
    CONFIG = "config"  # the owner's own words


_TEMPORARY: Final = r"[a-z0-9_]{8}"
"""What Python's mkstemp puts behind a name."""

_BESIDE: Final = (
    (
        Sort.TRACE,
        re.compile(rf"\.lock|\.deriving|\.status\.json(?:{_TEMPORARY})?|\.drift\.json{_TEMPORARY}|.*\.partial(?:-.*)?"),
    ),
    (
        Sort.DATA,
        re.compile(r"(?:-wal|-shm|-journal)?|\.drift\.json|\.suspect|\.(?:new|rebuild)(?:-wal|-shm|-journal)?"),
    ),
    (Sort.DATA, re.compile(r"\.corrupt-[0-9TZ.]+(?:-wal|-shm|-journal)?|\.v\d+-[0-9TZ.]+\.bak(?:-wal|-shm)?")),
)
"""Ends of names behind the database's own."""

_OF_ANY_DATABASE: Final = ("", "-wal", "-shm", "-journal")
"""Ends that every program's SQLite database has."""

_SERVED: Final = re.compile(r"postgres-[0-9a-f]{16}(\..*)")
"""Files that stand for a served database; what follows is an end as above."""

_BACKUPS: Final = "backups"
_HOST: Final = "host_id"
_OWN_WORDS: Final = ("config.toml", "env")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """One file that ccagent wrote."""

    path: Path
    sort: Sort
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is removed and what stays; `folders` go where they are empty then, the innermost first."""

    removed: tuple[Leaving, ...]
    kept: tuple[Leaving, ...]
    folders: tuple[Path, ...]


def plan(places: Paths, database: Database, *, purge: bool, config_file: Path | None = None) -> Plan:
    """What would go; nothing is touched. `config_file` is one that was named, and lies elsewhere."""
    found = {leaving.path: leaving for leaving in _all(places, database, config_file)}
    listed = sorted(found.values(), key=lambda leaving: str(leaving.path))
    gone = tuple(each for each in listed if purge or each.sort is Sort.TRACE)
    own = [places.config_file.parent, places.data_dir / _BACKUPS, places.data_dir, places.state_dir, places.cache_dir]
    if database.kind == "sqlite" and Path(database.target).parent not in own:
        # The folder of a database that was named belongs to whoever named it; only that of its backups is ours.
        own.append(Path(database.target).parent / _BACKUPS)
    return Plan(
        removed=gone,
        kept=tuple(each for each in listed if each not in gone),
        folders=tuple(folder for folder in own if folder.is_dir() and not folder.is_symlink()),
    )


def remove(work: Plan) -> list[Path]:
    """Remove the files, then the folders that are empty; gives the folders that went. StoreError where the system refuses:
    what was removed until then is gone, and it may be called again."""
    for leaving in work.removed:
        try:
            leaving.path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot remove {display(leaving.path)}: {error.strerror}; see to its folder's owner and mode, and go on"
            ) from error
    gone = []
    for folder in work.folders:
        try:
            folder.rmdir()
        except OSError:
            continue  # somebody else's files are in it
        gone.append(folder)
    return gone


def _all(places: Paths, database: Database, config_file: Path | None) -> Iterator[Leaving]:
    for path in {*(places.config_file.parent / name for name in _OWN_WORDS), *filter(None, [config_file])}:
        yield from _file(path, Sort.CONFIG)
    yield from _file(places.data_dir / _HOST, Sort.DATA)
    yield from _of_database(places.database, ours=True)
    if database.kind == "sqlite" and (named := Path(database.target)) != places.database:
        # A file that was named may be anybody's: a slip of the pen in --db, or in the configuration.
        yield from _of_database(named, ours=holds_tables(named))
    for path in _inside(places.state_dir):
        served = _SERVED.fullmatch(path.name)
        sort = _sort(served[1]) if served else None
        if sort is not None:
            yield from _file(path, sort)


def _of_database(main: Path, *, ours: bool) -> Iterator[Leaving]:
    """A database's files; the one of that very name, and SQLite's own beside it, only where they are `ours`."""
    for path in _inside(main.parent):
        end = path.name.removeprefix(main.name)
        sort = _sort(end) if path.name.startswith(main.name) else None
        if sort is not None and (ours or end not in _OF_ANY_DATABASE):
            yield from _file(path, sort)
    backup = re.compile(re.escape(main.stem) + r"-\d{8}T\d{6}Z\.db(\.partial.*)?")
    for path in _inside(main.parent / _BACKUPS):
        if found := backup.fullmatch(path.name):
            yield from _file(path, Sort.TRACE if found[1] else Sort.DATA)


def _sort(end: str) -> Sort | None:
    return next((sort for sort, pattern in _BESIDE if pattern.fullmatch(end)), None)


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _file(path: Path, sort: Sort) -> Iterator[Leaving]:
    try:
        status = path.lstat()
    except OSError:
        return
    if not os.path.isdir(path) or path.is_symlink():  # noqa: PTH112 - a folder of that name is none of ours
        yield Leaving(path=path, sort=sort, bytes=status.st_size)
