"""Whether the database can be used, and whether its disk has room."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ccagent.doctor.finding import Finding, amount, counted, fail, ok, warn
from ccagent.doctor.ground import Ground
from ccagent.errors import AwayError, CcagentError, ConfigError, DamagedError, NoDataError
from ccagent.store.size import file_size

WAL_BYTES: Final = 256 * 1024 * 1024
"""Of the write-ahead log: `status` names who keeps it from being folded in from here on."""

LEAST_BYTES: Final = 64 * 1024 * 1024
"""With less a migration, a backup or a burst of sessions fails."""

FULL_BYTES: Final = 1024 * 1024
"""With less on it a disk is full for a database."""

ROOM: Final = 1.5
"""Free bytes by the size of the database: a backup, and some growth."""

OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def database(ground: Ground) -> Iterator[Finding]:
    """Whether it is there, ours, of this version, and sound as far as a look of milliseconds tells (`deep`: seconds)."""
    named = ground.database
    if not ground.stored:
        yield ok("database", "there is none yet: the first `ccagent run` makes it")
        return
    from ccagent.store.filesystem import refuse_network

    if named.kind == "sqlite":
        try:
            refuse_network(named.target)
        except ConfigError:
            todo = "name a path on a local disk with --db, or a Postgres database; `ccagent run` names the mount"
            yield fail("database", "it lies on a file system that other machines write to", todo)
            return
    try:
        yield from _opened(ground)
    except DamagedError:
        yield fail(
            "database", "it is damaged, or is no database of ccagent's",
            "`ccagent db check` tells which; the next start sets a damaged one aside and makes it anew",
        )  # fmt: skip
    except AwayError:
        yield fail("database", "its server cannot be reached", "start the server; a running daemon waits for it")
    except NoDataError:
        yield ok("database", "it is empty: the first `ccagent run` makes its tables")
    except CcagentError:
        if _free(ground) < FULL_BYTES:
            # Even reading takes a file beside it.
            yield fail("database", "it cannot be read: its disk is full", "free some space")
        else:
            yield fail("database", "it cannot be read", "`ccagent db check` says why")


def _opened(ground: Ground) -> Iterator[Finding]:
    from ccagent.store.aside import set_aside
    from ccagent.store.open import open_reader
    from ccagent.store.schema import SCHEMA_VERSION

    named = ground.database
    version, kind = stored_schema(ground), "Postgres" if named.kind == "postgres" else "SQLite"
    if version > SCHEMA_VERSION:
        said = f"{kind}, schema {version}: written by a newer ccagent (this one reads {SCHEMA_VERSION})"
        yield fail("database", said, "install the newer ccagent again, or restore the backup that lies beside it")
        return
    if version < SCHEMA_VERSION:
        said = f"{kind}, schema {version}: written by an older ccagent (this one reads {SCHEMA_VERSION})"
        yield warn("database", said, "start `ccagent run` once, or `ccagent db migrate`; a backup is made before")
        return
    with open_reader(named) as reader:
        left = [one for one in set_aside(reader) if Path(one.file).exists()]
    if named.kind == "sqlite" and Path(f"{named.target}.suspect").exists():
        yield warn("database", "damage was met", "stop ccagent and start it again: the start looks thoroughly")
    elif left:
        said = f"{counted(len(left), 'damaged database')} set aside, and made anew from the transcripts"
        yield warn(
            "database", said, "`ccagent status` says what was saved; remove the file when you have no use for it"
        )
    elif named.kind == "sqlite" and (wal := file_size(f"{named.target}-wal")) > WAL_BYTES:
        yield warn("database", f"its log has {amount(wal)}", "`ccagent status` names who reads and holds it up")
    elif ground.deep:
        yield _checked(ground, kind, version)
    else:
        size = f", {amount(file_size(named.target))}" if named.kind == "sqlite" else ""
        yield ok("database", f"{kind}, schema {version}{size}")


def stored_schema(ground: Ground) -> int:
    """The version of the tables that are there."""
    from contextlib import closing

    from ccagent.store.migrations import read_version
    from ccagent.store.open import connect_plain, connect_reader

    opened = connect_reader(ground.database) if ground.database.kind == "postgres" else connect_plain(ground.database)
    with closing(opened) as conn:
        return read_version(conn)


def _checked(ground: Ground, kind: str, version: int) -> Finding:
    from ccagent.store.check import check_database

    report = check_database(ground.database)
    if report.sound:
        return ok("database", f"{kind}, schema {version}, {counted(len(report.findings), 'check')} passed")
    said = f"{counted(len(report.faults), 'fault')} found"
    return fail("database", said, "`ccagent db check` lists them and says what to do")


def permissions(ground: Ground) -> Iterator[Finding]:
    """Whether ccagent may write where it must, and nobody else may read what is its owner's."""
    named, places = ground.database, ground.config.paths
    folder = Path(named.sidecar).parent
    open_to_others = [
        what
        for what, path in (("the file of secrets", places.env_file), ("the database", Path(named.target)))
        if (what != "the database" or named.kind == "sqlite") and _mode(path) & OTHERS
    ]
    if not os.access(_nearest(folder), os.W_OK | os.X_OK):
        yield fail(
            "permissions", "the folder of the database may not be written to",
            "give it to the user that ccagent runs as; `ccagent config path` names it",
        )  # fmt: skip
    elif named.kind == "sqlite" and os.path.exists(named.target) and not os.access(named.target, os.R_OK | os.W_OK):  # noqa: PTH110
        yield fail("permissions", "the database may not be written to", "give it to the user that ccagent runs as")
    elif open_to_others:
        yield warn(
            "permissions", f"others on this machine may read {' and '.join(open_to_others)}",
            "chmod 600; `ccagent config path` names the files",
        )  # fmt: skip
    else:
        yield ok("permissions", "ccagent may write its files, and nobody else may read them")


def disk(ground: Ground) -> Iterator[Finding]:
    """Whether the disk of the database has room, in bytes and in files."""
    folder = _nearest(Path(ground.database.sidecar).parent)
    free = _free(ground)
    figures = os.statvfs(folder)
    size = file_size(ground.database.target) if ground.database.kind == "sqlite" else 0
    todo = "free some space; what comes meanwhile is read from the transcripts later"
    if free < LEAST_BYTES:
        yield fail("disk", f"{amount(free)} are free", todo)
    elif figures.f_files and not figures.f_favail:
        yield fail("disk", "no further file can be made: the file system is out of inodes", todo)
    elif free < size * ROOM:
        yield warn("disk", f"{amount(free)} are free, the database has {amount(size)}", todo)
    else:
        yield ok("disk", f"{amount(free)} are free")


def _free(ground: Ground) -> int:
    """Bytes that are free where the database lies."""
    return shutil.disk_usage(_nearest(Path(ground.database.sidecar).parent)).free


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    for place in (folder, *folder.parents):
        if place.exists():
            return place
    return Path("/")


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0
