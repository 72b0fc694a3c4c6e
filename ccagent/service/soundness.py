"""Whether the database is sound: what its opening has mended or changed is told, what was met later is noted."""

from __future__ import annotations

from ccagent.clock import Clock
from ccagent.errors import DamagedError
from ccagent.logs import get_logger
from ccagent.store.damage import heal, suspect
from ccagent.store.location import Database
from ccagent.store.migrations import Prepared


def mend(database: Database, clock: Clock) -> None:
    """Look at the database where the last end gives reason to; a damaged one is set aside. The log tells of both."""
    log = get_logger()
    aside = heal(database, clock, lambda words: log.warning("database.look", said=words))
    if aside is not None:
        log.error("database.set_aside", database=database.display, reason=aside.reason, file=aside.file)


def note_damage(database: Database, error: BaseException) -> None:
    """Where the error is damage that was met, the next start looks thoroughly."""
    if isinstance(error, DamagedError):
        suspect(database, str(error))


def tell_migration(database: Database, prepared: Prepared) -> None:
    """Tell in the log of tables that were brought up to date, and of the backup before."""
    if prepared.migrated:
        get_logger().info(
            "database.migrated", database=database.display, schema_before=prepared.found,
            seconds=round(prepared.seconds, 3), backup=str(prepared.backup or ""),
        )  # fmt: skip
