"""What transcripts no longer hold, saved after a damage: from the backups, and from the damaged database itself.

To be done when everything that is still there has been read again, and before that counts as caught up. Backups come
first, since they were checked; from the damaged file whatever can be read of it (store/recovery.py). A fact whose key is
known already is passed over, unless one of its transcripts is gone: then what it said there is merged. Rollups of hours
whose facts retention has removed are taken over as they were: nobody can compute them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import apsw

from ccagent.errors import StoreError
from ccagent.facts.keys import fact_key
from ccagent.facts.model import EventType
from ccagent.rollups.metrics import Period
from ccagent.store import rows
from ccagent.store.alert_rescue import carry_alerts
from ccagent.store.aside import ASIDE, Aside, parse_asides
from ccagent.store.backup import backup_sqlite
from ccagent.store.connection import AtWork, Connection, SqliteConnection, scalar, unwatched
from ccagent.store.coverage import stored_zone
from ccagent.store.damage import all_backups, settle
from ccagent.store.ingest import Ingest
from ccagent.store.interning import Names
from ccagent.store.migrations import migrate, read_version
from ccagent.store.recovery import recovering
from ccagent.store.rollup_rows import DIMENSIONS, VALUES, sum_days
from ccagent.store.salvage import CarryOver
from ccagent.store.schema import SCHEMA_VERSION
from ccagent.store.writer import Writer, set_meta

LOST: Final = 1_000
"""Rows without their counterpart that one transaction puts right."""

SEALED: Final = "sealed_before"

_COLUMNS: Final = ("period", "bucket", *DIMENSIONS, *VALUES)
_NAMED: Final = tuple(_COLUMNS.index(column) for column in ("project", "branch", "name", "agent", "skill"))
_BUCKET: Final = 1

_CALLS: Final = (
    "UPDATE fact SET request = NULL WHERE key IN (SELECT f.key FROM fact f LEFT JOIN fact o ON o.key = f.request"
    " LEFT JOIN pruned p ON p.key = f.request WHERE f.request IS NOT NULL AND o.key IS NULL AND p.key IS NULL"
    f" LIMIT {LOST}) RETURNING 1"
)
_LINKS: Final = (
    "UPDATE agent SET linked_at = NULL WHERE linked_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM fact f WHERE f.key = tool)"
    " AND NOT EXISTS (SELECT 1 FROM pruned p WHERE p.key = tool) RETURNING 1"
)
"""What names a row that was not to be saved: a call its request, a sub-agent the call that launched it."""

Tell = Callable[[str, str], None]
"""What a source was good for, in words: called with its path."""


@dataclass(slots=True)
class Saved:
    """Facts saved for one database that was set aside, and rows that could not be read."""

    facts: int = 0
    merged: int = 0
    unreadable: int = 0
    incomplete: int = 0


class Rescue:
    """Done in steps, each a transaction at most, so that whoever drives it can end in between. Repeated after an
    interruption it passes over what is there."""

    def __init__(
        self, store: Writer, tell: Tell = lambda path, words: None, at_work: AtWork = unwatched
    ) -> None:  # fmt: skip
        """`at_work` is called while a source is copied, or brought to the present schema."""
        self._store = store
        self._tell = tell
        self._at_work = at_work
        self._path = Path(store.database.target)
        self._steps = self._all()

    @classmethod
    def due(cls, store: Writer, tell: Tell = lambda path, words: None, at_work: AtWork = unwatched) -> Rescue | None:
        """A rescue where one is due, None where nothing was damaged."""
        if store.database.kind != "sqlite" or all(aside.done for aside in parse_asides(store.meta(ASIDE))):
            return None
        return cls(store, tell, at_work)

    def step(self) -> bool:
        """Go on; False when nothing is left. StoreError where the store refuses: the next step begins anew."""
        try:
            return next(self._steps, None) is not None
        except BaseException:
            self._steps.close()
            self._steps = self._all()
            raise

    def _all(self) -> Generator[bool, None, None]:
        for aside in parse_asides(self._store.meta(ASIDE)):
            if not aside.done:
                yield from self._of(aside)

    def _of(self, aside: Aside) -> Iterator[bool]:
        saved = Saved()
        for backup in all_backups(self._path):
            yield from self._guarded(backup, self._from_backup(backup, saved))
        yield from self._guarded(Path(aside.file), self._from_damaged(Path(aside.file), saved))
        yield from self._sealed(Path(aside.file))
        yield from self._bind()
        settle(self._store, aside, saved=saved.facts, incomplete=saved.incomplete, unreadable=saved.unreadable)
        self._tell(
            aside.file,
            f"{saved.facts} facts were saved ({saved.incomplete} of them without all their texts), {saved.unreadable} rows"
            " could not be read",
        )

    def _guarded(self, path: Path, steps: Iterator[bool]) -> Iterator[bool]:
        """A source that cannot be read gives what it gave until then."""
        try:
            yield from steps
        except (apsw.Error, OSError) as error:
            self._tell(str(path), f"it cannot be read further: {error}")

    def _from_backup(self, backup: Path, saved: Saved) -> Iterator[bool]:
        with opened_backup(backup, Path(f"{self._path}.rescue"), self._at_work) as source:
            self._alerts(source)
            yield from self._carry(source, saved, lenient=False)

    def _from_damaged(self, damaged: Path, saved: Saved) -> Iterator[bool]:
        if not damaged.exists():
            return
        readable = Path(f"{self._path}.rescue")
        try:
            for _ in recovering(damaged, readable):
                yield True
            with closing(SqliteConnection(str(readable))) as source:
                source.tell_work(self._at_work)
                self._alerts(source)
                yield from self._carry(source, saved, lenient=True)
        finally:
            readable.unlink(missing_ok=True)

    def _alerts(self, source: Connection) -> None:
        """Rules, silences and history of alerts, which are in no transcript."""

        def work(state: Ingest) -> None:
            state.wrote = bool(carry_alerts(source, state.conn, state.host, state.now_ms)) or state.wrote

        self._store.run(work)

    def _carry(self, source: Connection, saved: Saved, *, lenient: bool) -> Iterator[bool]:
        gone = _gone(source)

        def wanted(row: rows.Row) -> bool:
            # What an older parser made of a transcript that is there was made anew, perhaps under another key.
            return row[rows.PARSER] == rows.PARSER_VERSION or gone(row[rows.FILE])

        work = CarryOver(source, self._store, wanted, merge=gone, lenient=lenient)
        try:
            while work.step():
                yield True
        finally:
            saved.facts += work.counts.facts
            saved.merged += work.counts.merged
            saved.unreadable += work.counts.unreadable
            saved.incomplete += work.counts.incomplete

    # ---- rollups whose facts are gone ------------------------------------------------------------------------------

    def _sealed(self, damaged: Path) -> Iterator[bool]:
        """Take over the rollups of sealed hours and sessions, from whoever has them whole."""
        sources = [path for path in (damaged, *all_backups(self._path)) if path.exists()]
        bounds = [bound for path in sources if (bound := _sealed_before(path)) is not None]
        if not bounds:
            return
        for path in sources:
            try:
                with opened_backup(path, Path(f"{self._path}.rescue"), self._at_work) as source:
                    found = _sealed_rows(source, max(bounds))
            except (apsw.Error, StoreError, OSError) as error:
                self._tell(str(path), f"its sealed rollups cannot be read: {error}")
                continue
            if found:
                self._store.run(partial(_put_sealed, found=found, before=max(bounds)))
                yield True
                return

    def _bind(self) -> Iterator[bool]:
        while self._store.write(lambda conn: len(conn.execute(_CALLS).fetchall())):
            yield True
        self._store.write(lambda conn: len(conn.execute(_LINKS).fetchall()))
        yield True


@contextmanager
def opened_backup(path: Path, scratch: Path, at_work: AtWork = unwatched) -> Iterator[Connection]:
    """A connection to a copy of a database with the present schema: one of an older version is brought up to date in
    another copy, at `scratch`, which is removed. StoreError where it is newer; apsw.Error where it cannot be read."""
    with closing(SqliteConnection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as conn:
        conn.tell_work(at_work)
        if read_version(conn) >= SCHEMA_VERSION:
            if read_version(conn) > SCHEMA_VERSION:
                raise StoreError(f"{path} was written by a newer ccagent; upgrade ccagent")
            yield conn
            return
        scratch.unlink(missing_ok=True)
        try:
            backup_sqlite(conn, scratch)
            with closing(SqliteConnection(str(scratch))) as copy:
                copy.tell_work(at_work)
                migrate(copy, place=str(path))
                yield copy
        finally:
            for part in ("", "-wal", "-shm", "-journal"):
                Path(f"{scratch}{part}").unlink(missing_ok=True)


def _gone(source: Connection) -> Callable[[int | None], bool]:
    """Tells of a transcript, by its number in the source, whether it can no longer be read."""
    paths: dict[int, bytes] = {number: bytes(path) for number, path in source.execute("SELECT id, path FROM file")}
    known: dict[int | None, bool] = {}

    def gone(number: int | None) -> bool:
        if number not in known:
            path = paths.get(number) if number is not None else None
            known[number] = path is None or not os.path.exists(path)  # noqa: PTH110 - paths are bytes
        return known[number]

    return gone


def _sealed_before(path: Path) -> int | None:
    try:
        with closing(SqliteConnection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as conn:
            value = scalar(conn, "SELECT value FROM meta WHERE name = ?", (SEALED,))
    except apsw.Error:
        return None
    return None if value is None else int(value)


def _sealed_rows(source: Connection, before: int) -> list[tuple[Any, ...]]:
    """Rows of hours that begin before that instant, and points of sessions whose own fact was removed, with the source's
    numbers replaced by texts."""
    names = Names(source)
    found = []
    for row in source.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM rollup WHERE (period = {int(Period.HOURLY)} AND bucket < ?)"
        f" OR period = {int(Period.POINT)}",
        (before,),
    ).fetchall():
        values = list(row)
        for column in _NAMED:
            values[column] = names.text(row[column]) if row[column] else None
        if row[0] == int(Period.POINT):
            session = names.text(row[_BUCKET]) or ""
            removed = "SELECT 1 FROM pruned WHERE key = ?"
            if scalar(source, removed, (fact_key(EventType.SESSION, session),)) is None:
                continue
            values[_BUCKET] = session
        found.append(tuple(values))
    return found


def _put_sealed(state: Ingest, found: list[tuple[Any, ...]], before: int) -> None:
    """Put sealed rows in the place of what was computed from the facts that are left."""
    conn = state.conn
    made = []
    for row in found:
        values = list(row)
        for column in _NAMED:
            values[column] = state.names.id(row[column]) if row[column] is not None else 0
        if row[0] == int(Period.POINT):
            values[_BUCKET] = state.names.id(row[_BUCKET])
        made.append(tuple(values))
    conn.execute("DELETE FROM rollup WHERE period = ? AND bucket < ?", (int(Period.HOURLY), before))
    points = sorted({row[_BUCKET] for row in made if row[0] == int(Period.POINT)})
    conn.executemany(
        "DELETE FROM rollup WHERE period = ? AND bucket = ?", [(int(Period.POINT), point) for point in points]
    )
    marks = ", ".join("?" * len(_COLUMNS))
    conn.executemany(f"INSERT INTO rollup ({', '.join(_COLUMNS)}) VALUES ({marks})", made)
    set_meta(conn, SEALED, str(before))
    sum_days(conn, stored_zone(conn), {row[_BUCKET] for row in made if row[0] == int(Period.HOURLY)})
    state.wrote = True
