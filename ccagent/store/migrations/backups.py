"""The copy of a SQLite database that is made before its schema changes: `<database>.v<version>-<time>.bak`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ccagent.store.backup import PARTIAL, backup_sqlite, require_room, size_of
from ccagent.store.connection import Connection

KEPT: Final = 2
"""Newest backups of migrations that stay; older ones are removed once a new one is whole."""

ROOM: Final = 2.5
"""Free bytes that a migration needs, by the size of the database: the copy, the log of the transaction, and a rest."""


def back_up(conn: Connection, path: Path, version: int, now_ms: int) -> Path:
    """Copy the database at `path`, which has schema `version`; gives the copy's place.

    StoreError, and nothing changed, when the disk has no room for the copy and the migration after it.
    """
    require_room(path.parent, int(size_of(conn) * ROOM), f"bringing {path} to a new schema, with a backup before,")
    for leftover in path.parent.glob(f"{_escaped(path.name)}.v*.bak{PARTIAL}*"):
        leftover.unlink(missing_ok=True)
    moment = datetime.fromtimestamp(now_ms / 1_000, UTC)
    target = path.with_name(f"{path.name}.v{version}-{moment:%Y%m%dT%H%M%S}.{now_ms % 1_000:03d}Z.bak")
    backup_sqlite(conn, target)
    for old in migration_backups(path)[KEPT:]:
        old.unlink(missing_ok=True)
    return target


def migration_backups(path: Path) -> list[Path]:
    """The backups that migrations of the database at `path` have left, the newest first."""
    found = path.parent.glob(f"{_escaped(path.name)}.v*-*.bak")
    return sorted(found, key=lambda backup: backup.name.rpartition("-")[2], reverse=True)


def _escaped(name: str) -> str:
    """A file name in which no character is a wildcard."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
