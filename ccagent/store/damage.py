"""A damaged SQLite database: found at the start, set aside whole, and a new one put in its place.

When a look is taken: after a stop that was no clean one (the write-ahead log still holds something: a clean close folds
it in and removes it), once a week, and thoroughly where somebody left a note that the database is suspect. Nothing is ever
deleted: database, log and index of the log are renamed together to `<database>.corrupt-<time>`. The new database is
finished under another name before that, with all that makes it the same host, so that a kill in between leaves one of the
two, never none.

What transcripts still hold is then read again as at a first start; what they no longer hold is the concern of
store/rescue.py, which finds in the table `meta` what was set aside.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import apsw
import orjson

from ccagent.clock import Clock
from ccagent.errors import StoreError
from ccagent.store.aside import ASIDE, Aside, set_aside
from ccagent.store.backup import backups_of, sync
from ccagent.store.connection import Connection, SqliteConnection, scalar
from ccagent.store.consent import ACKNOWLEDGED, PROJECT_KEY
from ccagent.store.location import Database
from ccagent.store.migrations.backups import migration_backups
from ccagent.store.recovery import is_ours, recover
from ccagent.store.size import file_size
from ccagent.store.writer import Writer, set_meta

WEEK_MS: Final = 7 * 24 * 3_600 * 1_000
"""Between two looks at a database that was always closed cleanly."""

LOOK_SECONDS: Final = 20.0
"""How long a start may be held up by a look: some 4 GB. One that takes longer is given up and told."""

BUSY_MS: Final = 5_000
STEPS: Final = 100_000
"""Instructions of SQLite's machine between two looks at the clock: some milliseconds."""

SUSPECT: Final = ".suspect"
NEW: Final = ".new"
"""Endings of the note that the database is suspect, and of a new database that is not in its place yet."""

CHECKED: Final = "checked_at"

KEPT: Final = ("zone", "created_at", "generation", "payloads_before", ACKNOWLEDGED, PROJECT_KEY, ASIDE)
"""What `meta` hands on to a new database."""

PAGE: Final = 10_000
"""Keys of one transaction into the new database, which nobody else uses yet."""

BESIDE: Final = ("", "-wal", "-shm")

_DANGLING: Final = (
    "SELECT 1 FROM fact f LEFT JOIN context c ON c.id = f.context WHERE c.id IS NULL LIMIT 1",
    *(
        f"SELECT 1 FROM {table} t LEFT JOIN name n ON n.id = t.{column} WHERE t.{column} IS NOT NULL AND n.id IS NULL LIMIT 1"
        for table, columns in (
            ("fact", ("turn", "name", "failure", "stop", "price")),
            ("context", ("session", "project", "cwd", "branch", "version", "entrypoint", "agent", "skill", "provider")),
            ("link", ("source", "target")),
        )
        for column in columns
    ),
)
"""Rows that name what is not there: whoever reads them cannot go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a start found: `damage` in words, None where the database is sound; whether the look was finished."""

    damage: str | None = None
    finished: bool = True


def suspect(database: Database, reason: str) -> None:
    """Leave a note that the next start is to look thoroughly, for a database that is certainly ccagent's. Never raises:
    whoever calls it has trouble enough."""
    if database.kind != "sqlite":
        return
    try:
        descriptor = os.open(
            database.target + SUSPECT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        with os.fdopen(descriptor, "w") as file:
            file.write(reason + "\n")
    except OSError:
        return


def heal(database: Database, clock: Clock, tell: Callable[[str], None] = lambda words: None) -> Aside | None:
    """Look at the database where that is due, and set it aside if it is damaged; what was set aside, None for nothing.

    `tell` is called with what somebody ought to know although nothing was done.
    To be called under the instance's lock, before the database is opened. StoreError where a damaged file was no
    database of ccagent's, or cannot be renamed.
    """
    if database.kind != "sqlite":
        return None
    path = Path(database.target)
    _finish(path)
    if not path.exists() or not path.stat().st_size:
        return None
    look = look_at(path, clock.now_ms(), LOOK_SECONDS)
    if not look.finished:
        tell(
            f"a look at {path} took longer than {LOOK_SECONDS:g} s and was given up; `ccagent db check` takes its time"
        )
    if look.damage is None:
        Path(f"{path}{SUSPECT}").unlink(missing_ok=True)
        return None
    if not Path(f"{path}{SUSPECT}").exists() and not is_ours(path):
        raise StoreError(f"{path} is no database of ccagent's ({look.damage}); name another file with --db")
    return _set_aside(path, look.damage, clock)


def look_at(path: Path, now_ms: int, patience: float = LOOK_SECONDS) -> Look:
    """Look at the database as thoroughly as is due."""
    thorough = Path(f"{path}{SUSPECT}").exists()
    unclean = thorough or file_size(f"{path}-wal") > 0  # an empty one is left behind by whoever may only read
    finished = True
    try:
        with closing(SqliteConnection(str(path))) as conn:
            conn.set_busy_timeout(BUSY_MS)
            if scalar(conn, "SELECT COUNT(*) FROM sqlite_schema") == 0:
                return Look()
            ours = scalar(conn, "SELECT 1 FROM sqlite_schema WHERE name = 'meta'")
            if not unclean and (not ours or _checked_at(conn) + WEEK_MS > now_ms):
                return Look()
            if not thorough:  # a suspect database may hold up the start for as long as it takes
                conn.set_progress_handler(_deadline(patience), STEPS)
            try:
                damage = _damage(conn, thorough)
            except apsw.InterruptError:
                damage, finished = None, False
            conn.set_progress_handler(None)
            if damage is None and ours:
                conn.execute(
                    "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2",
                    (CHECKED, str(now_ms)),
                )
            return Look(damage=damage, finished=finished)
    except (apsw.CorruptError, apsw.NotADBError) as error:
        return Look(damage=str(error))
    except (apsw.FullError, apsw.ReadOnlyError, apsw.BusyError):
        return Look()  # what cannot be noted down is looked at again
    except apsw.Error as error:
        raise StoreError(
            f"{path} cannot be read ({error}); check the disk and the file's mode, or name another --db"
        ) from error


def _damage(conn: Connection, thorough: bool) -> str | None:
    said = scalar(conn, f"PRAGMA {'integrity_check' if thorough else 'quick_check'}(1)")
    if said != "ok":
        return str(said)
    if thorough and any(scalar(conn, sql) for sql in _DANGLING):
        return "rows name texts that are not there"
    return None


def _checked_at(conn: Connection) -> int:
    value = scalar(conn, "SELECT value FROM meta WHERE name = ?", (CHECKED,))
    if value is None:
        value = scalar(conn, "SELECT value FROM meta WHERE name = 'created_at'")
    return int(value or 0)


def _deadline(patience: float) -> Callable[[], bool]:
    end = time.monotonic() + patience
    return lambda: time.monotonic() > end


# ---- a new one in its place ----------------------------------------------------------------------------------------


def _set_aside(path: Path, reason: str, clock: Clock) -> Aside:
    now = clock.now_ms()
    moment = datetime.fromtimestamp(now / 1_000, UTC)
    aside = Aside(file=f"{path}.corrupt-{moment:%Y%m%dT%H%M%S}.{now % 1_000:03d}Z", at=now, reason=reason)
    new = Path(f"{path}{NEW}")
    for part in BESIDE:
        Path(f"{new}{part}").unlink(missing_ok=True)
    _make(new, path, aside, clock)
    try:
        _rename(path, aside)
        _finish(path)
    except OSError as error:
        raise StoreError(
            f"{path} is damaged ({reason}) and cannot be renamed ({error}); move it away by hand"
        ) from error
    return aside


def _rename(path: Path, aside: Aside) -> None:
    for part in BESIDE:
        if Path(f"{path}{part}").exists():
            Path(f"{path}{part}").rename(f"{aside.file}{part}")


def _finish(path: Path) -> None:
    """Put a new database in its place if the old one is gone from there; else it was not finished, and goes."""
    new = Path(f"{path}{NEW}")
    if not new.exists():
        return
    if path.exists():
        for part in BESIDE:
            Path(f"{new}{part}").unlink(missing_ok=True)
        return
    with closing(SqliteConnection(str(new))) as conn:
        newest = set_aside(conn)[-1]
    _rename(path, newest)  # a log that stayed behind would be taken for the new database's
    new.rename(path)
    Path(f"{path}{SUSPECT}").unlink(missing_ok=True)
    sync(path.parent)


def _make(new: Path, path: Path, aside: Aside, clock: Clock) -> None:
    """A new database that is the same host as the one at `path`, as far as that can still be read."""
    from ccagent.store.sqlite import SqliteStore

    store = SqliteStore(new, clock=clock)
    recovered = Path(f"{new}.recovered")
    try:
        # Page by page and not by questions: those end at the first damage that they meet.
        recover(path, recovered, ("meta", "host", "pruned"))
        with closing(SqliteConnection(str(recovered))) as conn:
            identities = [_asked(path), _identity(conn), *map(_asked, all_backups(path))]
            known = next((identity for identity in identities if identity is not None), None)
            if known is not None:
                store.write(lambda target: _take_over(target, known))
            _take_pruned(conn, store)
        store.write(lambda target: _keep(target, [*set_aside(target), aside]))
    finally:
        recovered.unlink(missing_ok=True)
        store.close()
    sync(new)


@dataclass(frozen=True, slots=True)
class _Identity:
    host_id: str
    instance_id: str
    meta: dict[str, str]


def all_backups(path: Path) -> list[Path]:
    """Copies of the database at `path`, the newest first: its backups, then those that migrations have made."""
    return [*backups_of(path), *migration_backups(path)]


def _asked(path: Path) -> _Identity | None:
    try:
        with closing(SqliteConnection(str(path))) as conn:  # who may only read leaves a log behind
            return _identity(conn)
    except apsw.Error:
        return None


def _identity(conn: Connection) -> _Identity | None:
    """Who wrote a database, None where it does not tell. Version 1 of the schema kept it in `meta`."""
    meta = {str(name): str(value) for name, value in conn.execute("SELECT name, value FROM meta")}
    row = None
    if scalar(conn, "SELECT 1 FROM sqlite_schema WHERE name = 'host'"):
        row = conn.execute("SELECT host_id, instance_id FROM host ORDER BY id LIMIT 1").fetchone()
    host_id, instance_id = row if row is not None else (meta.get("host_id"), meta.get("instance_id"))
    if not host_id or not instance_id:
        return None
    return _Identity(str(host_id), str(instance_id), {name: meta[name] for name in KEPT if name in meta})


def _take_over(conn: Connection, identity: _Identity) -> None:
    conn.execute("UPDATE host SET host_id = ?, instance_id = ?", (identity.host_id, identity.instance_id))
    for name, value in identity.meta.items():
        # Its totals begin at zero: for whoever follows them that is another generation.
        set_meta(conn, name, str(int(value) + 1) if name == "generation" and value.isdecimal() else value)


def _take_pruned(source: Connection, store: Writer) -> None:
    """Keys that retention has removed, before any transcript is read: their facts must not come back."""
    last = b""
    while page := source.execute("SELECT key FROM pruned WHERE key > ? ORDER BY key LIMIT ?", (last, PAGE)).fetchall():
        last = page[-1][0]
        store.write(partial(_add_pruned, keys=page))


def _add_pruned(conn: Connection, keys: list[tuple[Any, ...]]) -> None:
    conn.executemany("INSERT INTO pruned (key) VALUES (?) ON CONFLICT DO NOTHING", keys)


# ---- what is noted of it -------------------------------------------------------------------------------------------


def settle(store: Writer, done: Aside, **counts: Any) -> None:
    """Note that what a damaged database still held was carried over."""

    def work(conn: Connection) -> None:
        known = set_aside(conn)
        _keep(conn, [replace(one, done=True, **counts) if one.file == done.file else one for one in known])

    store.write(work)


def _keep(conn: Connection, known: list[Aside]) -> None:
    set_meta(conn, ASIDE, orjson.dumps([asdict(one) for one in known]).decode())
