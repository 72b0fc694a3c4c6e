"""What released versions left behind: a database of each schema version, and what that version said of it.

    python -m tests.store.releases DATABASE FOLDER

packs a database that a release has written, with what the checked-out code says of it, into FOLDER.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from ccagent.clock import FakeClock
from ccagent.store.connection import Connection
from ccagent.store.schema import SCHEMA_VERSION
from ccagent.store.sqlite import SqliteStore
from ccagent.store.view import CANONICAL_COLUMNS, canonical_dump

FOLDER = Path(__file__).parent / "released"

TREE = b"/home/demo/.claude/projects"
"""Where the transcripts lay when the databases were written."""


REDEFINED = frozenset({"provider", "confidence"})
"""Columns that mean more today than they did to a release."""

AMOUNTS = (
    "source_key", "event_type", "session_id", "turn_key", "agent_id", "model", "status", "token_input", "token_output",
    "token_cache_read", "token_cache_write_5m", "token_cache_write_1h", "token_thinking", "cost_microusd", "quality",
    "occurred_at", "ended_at", "lines_added", "lines_removed",
)  # fmt: skip
"""What must not change either when the same transcripts are read again by newer rules."""


@dataclass(frozen=True, slots=True)
class Release:
    """The last release with one schema version, as `released/<version>` holds it."""

    version: int

    def __str__(self) -> str:
        return f"from-{self.version}"

    @property
    def folder(self) -> Path:
        return FOLDER / str(self.version)

    def write_database(self, path: Path, tree: Path | None = None) -> Path:
        """Make the database at `path`, as the release left it; its transcripts lie below `tree`, if one is given."""
        conn = sqlite3.connect(path)
        conn.execute("PRAGMA journal_mode = WAL")
        conn.executescript(unpacked(self.folder / "database.sql.gz").decode())
        if tree is not None:
            for number, old in conn.execute("SELECT id, path FROM file").fetchall():
                moved = bytes(tree) + old.removeprefix(TREE)
                conn.execute("UPDATE file SET path = ? WHERE id = ?", (moved, number))
        conn.commit()
        conn.close()
        path.chmod(0o600)
        return path

    def write_transcripts(self, tree: Path) -> Path:
        """Lay the transcripts below `tree`."""
        with tarfile.open(fileobj=io.BytesIO(unpacked(self.folder / "transcripts.tar.gz"))) as archive:
            archive.extractall(tree, filter="data")
        return tree

    @property
    def canonical(self) -> list[str]:
        """The canonical dump that the release made of its database."""
        return unpacked(self.folder / "canonical.jsonl.gz").decode().splitlines()

    @property
    def columns(self) -> list[str]:
        """The columns of that dump, in order."""
        columns: list[str] = json.loads((self.folder / "columns.json").read_text())
        return columns

    def told(self, conn: Connection, *, of: Collection[str] = ()) -> list[list[Any]]:
        """What `conn` tells today of this release's columns (of those in `of`, if given), without the redefined ones."""
        wanted = [CANONICAL_COLUMNS.index(name) for name in self._compared(of)]
        dump = [json.loads(line) for line in canonical_dump(conn)]
        return [[row[number] for number in wanted] for row in dump]

    def said(self, *, of: Collection[str] = ()) -> list[list[Any]]:
        """What the release told of the same columns."""
        wanted = [self.columns.index(name) for name in self._compared(of)]
        return [[row[number] for number in wanted] for row in map(json.loads, self.canonical)]

    def _compared(self, of: Collection[str]) -> list[str]:
        return [name for name in self.columns if name not in REDEFINED and (not of or name in of)]

    @property
    def usage(self) -> dict[str, Any]:
        """The one row of the release's `usage --by total --json`."""
        document = json.loads((self.folder / "usage.json").read_text())
        row: dict[str, Any] = document["rows"][0]
        return row


AFTER_MS = 60_000
"""When the next start comes after what the release did last: before any timer of a day or an idle hour."""

RELEASES = [Release(version) for version in sorted(int(path.name) for path in FOLDER.iterdir() if path.is_dir())]
OLD = [release for release in RELEASES if release.version < SCHEMA_VERSION]


def opened(path: Path) -> SqliteStore:
    """What a start does, a moment after the release's own last one."""
    with closing(sqlite3.connect(path)) as conn:
        created = int(conn.execute("SELECT value FROM meta WHERE name = 'created_at'").fetchone()[0])
    return SqliteStore(path, clock=FakeClock(created + AFTER_MS))


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(apsw.Connection(str(path))) as conn:  # a store may be open on it: two libraries share no locks
        return conn.execute(sql).fetchall()


def version_of(path: Path) -> int:
    return int(rows(path, "PRAGMA user_version")[0][0])


def digest(path: Path) -> dict[str, str]:
    """What every file in the folder of the database hashes to."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in path.parent.iterdir()
        if file.stat().st_size
    }


def unpacked(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes())


def packed(data: bytes) -> bytes:
    """The same bytes for the same data, whenever it is packed."""
    return gzip.compress(data, mtime=0)


def pack(database: Path, folder: Path) -> None:
    """Write `database.sql.gz`, `canonical.jsonl.gz` and `usage.json` of a closed database into `folder`."""
    from ccagent.store.open import open_reader

    folder.mkdir(parents=True, exist_ok=True)
    conn = sqlite3.connect(database)
    version = conn.execute("PRAGMA user_version").fetchone()[0]
    text = "\n".join([*conn.iterdump(), f"PRAGMA user_version = {version};", ""])
    conn.close()
    (folder / "database.sql.gz").write_bytes(packed(text.encode()))
    with open_reader(database) as reader:
        (folder / "canonical.jsonl.gz").write_bytes(
            packed("".join(f"{row}\n" for row in canonical_dump(reader)).encode())
        )
    (folder / "columns.json").write_text(json.dumps(list(CANONICAL_COLUMNS)) + "\n")
    command = [sys.executable, "-m", "ccagent", "usage", "--by", "total", "--json", "--db", str(database)]
    (folder / "usage.json").write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)


if __name__ == "__main__":
    pack(Path(sys.argv[1]), Path(sys.argv[2]))
