"""What `ccagent db` does with a database: look at it, copy it, compact it, bring it up to date, sum it anew."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ccagent.clock import Clock, SystemClock
from ccagent.config import Config
from ccagent.errors import NoDataError, StoreError, UsageError
from ccagent.job import Job
from ccagent.paths import display, stands
from ccagent.store import rollups
from ccagent.store.backup import ROOM as BACKUP_ROOM
from ccagent.store.backup import (
    backup_sqlite,
    clear_partial,
    default_target,
    keep_newest,
    require_room,
    size_of,
)
from ccagent.store.check import Report, check_database
from ccagent.store.compact import VACUUM_ROOM, compact
from ccagent.store.damage import suspect
from ccagent.store.location import Database, parse_database
from ccagent.store.open import connect_plain
from ccagent.store.recovery import is_ours
from ccagent.store.schema import SCHEMA_VERSION as STORE_VERSION
from ccagent.store.size import stored_bytes
from ccagent.store.staleness import stale_quarters

SCHEMA_VERSION: Final = 1

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """A backup that was made, and those that were removed for it."""

    target: Path
    size: int
    removed: tuple[Path, ...]

    def document(self) -> dict[str, Any]:
        """As a JSON document."""
        return {
            "schema_version": SCHEMA_VERSION, "backup": str(self.target), "bytes": self.size,
            "removed": [str(path) for path in self.removed],
        }  # fmt: skip


def database_of(config: Config) -> Database:
    """The database that the configuration names."""
    return parse_database(config.database, config.paths.state_dir)


def check(config: Config, *, full: bool = False) -> Report:
    """Look at the database. Where it is damaged, the next start of a daemon is told to look thoroughly."""
    database = database_of(config)
    report = check_database(database, full=full)
    if not report.sound and database.kind == "sqlite" and is_ours(Path(database.target)):
        suspect(database, report.faults[0])
    return report


def advice(config: Config, report: Report) -> str:
    """What to do about what a check found."""
    database = database_of(config)
    if report.sound:
        return ""
    if database.kind == "postgres":
        return (
            "What is wrong with indexes a REINDEX puts right; what is wrong with rows `ccagent backfill --rebuild` derives"
            " anew from the transcripts. Restore the server's backup where transcripts are gone."
        )
    if not is_ours(Path(database.target)):
        return f"{display(database.display)} is no database of ccagent's; name another with --db"
    return (
        "Stop ccagent and start it again: it looks at the database thoroughly, sets it aside if it is damaged, reads the"
        " transcripts anew and saves what they no longer hold from the newest backup and from the damaged file."
    )


def back_up(
    config: Config, target: Path | None = None, *, keep: int | None = None, clock: Clock | None = None
) -> Copied:
    """Copy a SQLite database, while a daemon runs or not. UsageError for Postgres, with the command that does it there.

    Without a `target` the copy lies in the folder `backups` beside the database, and all but the newest `keep` of those
    that lie there are removed.
    """
    database = database_of(config)
    if database.kind == "postgres":
        raise UsageError(
            f"a served database is backed up with its server's own tools: {dump_command(database)}  (the password comes"
            " from ~/.pgpass or PGPASSWORD; restore with pg_restore)"
        )
    _require(database)
    path = Path(os.path.abspath(database.target))  # noqa: PTH100 - a link stays what it is
    place = target or default_target(path, (clock or SystemClock()).now_ms())
    removed: list[Path] = []
    with closing(connect_plain(database)) as conn:
        if target is None:
            place.parent.mkdir(mode=0o700, exist_ok=True)
            clear_partial(path, time.time())
        require_room(place.parent, int(size_of(conn) * BACKUP_ROOM), f"the backup {place}")
        backup_sqlite(conn, place)
    if target is None:
        removed = keep_newest(path, keep or config.backup.keep, place)
    return Copied(target=place, size=place.stat().st_size, removed=tuple(removed))


def dump_command(database: Database) -> str:
    """The command that backs a Postgres database up: never with its password."""
    from ccagent.store.pgconnection import SCHEMA

    place, _, query = database.display.replace(":***@", "@").partition("?")
    options = "&".join(option for option in query.split("&") if "password" not in option.partition("=")[0])
    url = f"{place}?{options}" if options else place
    return f"pg_dump --format=custom --schema={SCHEMA} --file=ccagent.dump {shlex.quote(url)}"


def vacuum(config: Config, env: Mapping[str, str]) -> dict[str, Any]:
    """Give the room of removed rows back to the disk; bytes before and after. Needs the daemon stopped."""
    with _job(config, env) as job:
        before = _bytes(job)
        if job.database.kind == "sqlite":
            folder = Path(os.path.abspath(job.database.target)).parent  # noqa: PTH100
            require_room(folder, int(before * VACUUM_ROOM), f"compacting {job.database.display}")
            os.environ["SQLITE_TMPDIR"] = str(folder)  # not in a /tmp that may be small, or memory
        compact(job.store)
        after = _bytes(job)
    return {"schema_version": SCHEMA_VERSION, "bytes_before": before, "bytes_after": after}


def migrate(config: Config, env: Mapping[str, str]) -> dict[str, Any]:
    """Bring the schema up to date; from which version to which. Needs the daemon stopped."""
    with _job(config, env) as job:
        done = job.store.prepared
    return {
        "schema_version": SCHEMA_VERSION, "from": done.found, "to": STORE_VERSION,
        "backup": str(done.backup) if done.backup else None, "seconds": round(done.seconds, 3),
    }  # fmt: skip


def rebuild_rollups(
    config: Config, env: Mapping[str, str], *, zone: str | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Make all rollups anew, in another zone if one is named. Needs the daemon stopped."""
    with _job(config, env) as job:
        if not job.store.elected():
            raise StoreError(
                "another machine's ccagent makes the rollups of this database; stop it, or run this verb there"
            )
        wanted = _zone(zone) if zone is not None else job.zone
        job.store.write(lambda conn: rollups.reset(conn, wanted))
        job.zone = wanted
        whole = stale_quarters(job.store.conn)
        done = 0
        while made := job.store.write(lambda conn: rollups.refresh(conn, wanted)):
            done += made
            if progress is not None:
                progress(min(done, whole), whole)
    return {"schema_version": SCHEMA_VERSION, "zone": wanted.key, "quarter_hours": done}


def _job(config: Config, env: Mapping[str, str]) -> Job:
    """A job on a database that is there."""
    _require(database_of(config))
    return Job(config, env)


def _require(database: Database) -> None:
    if database.kind == "sqlite" and not stands(database.target):
        raise NoDataError(f"there is no database at {database.display} yet; start `ccagent run`, or name one with --db")


def _bytes(job: Job) -> int:
    """How large the database is, its log included."""
    conn = job.store.conn
    return size_of(conn) if job.database.kind == "sqlite" else stored_bytes(conn, job.database)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise UsageError(f'{name!r} is no time zone; write an IANA name such as "Europe/Berlin"') from error
