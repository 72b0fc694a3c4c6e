"""By which rules and which prices the facts of a host were made, as far as one version holds for all of them.

Kept in `meta`, so that `status` need not ask the facts.
"""

from __future__ import annotations

from typing import Final

from ccagent.facts.parser import PARSER_VERSION
from ccagent.store.connection import Connection, scalar

FIRST_PARSER: Final = 1
"""The parser version of databases that were made before it was noted."""

_KEEP: Final = "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
_GET: Final = "SELECT value FROM meta WHERE name = ?"


def keep_provenance(conn: Connection, host: int, *, parser: int | None = None, prices: str | None = None) -> None:
    """Note which parser and which prices the facts of a host follow; None: as was noted before.

    Within the caller's transaction.
    """
    for name, value in (("parser", parser), ("prices", prices)):
        if value is not None:
            conn.execute(_KEEP, (f"{name}.{host}", str(value)))


def note_beginning(conn: Connection, host: int, prices: str) -> None:
    """The same of a host that has written nothing yet; of others nothing is noted."""
    if scalar(conn, "SELECT seq FROM host WHERE id = ?", (host,)) == 0:
        keep_provenance(conn, host, parser=PARSER_VERSION, prices=prices)


def follow_prices(conn: Connection, host: int, price: int) -> bool:
    """Whether all costs of a host's facts were computed with the prices of this number."""
    sql = "SELECT 1 FROM fact WHERE host = ? AND price IS NOT NULL AND price <> ? LIMIT 1"
    return scalar(conn, sql, (host, price)) is None


def outdated(conn: Connection, host: int, prices: str | None = None) -> str | None:
    """A sentence where facts of a host follow an older parser, or other prices than those named; else None."""
    parser = scalar(conn, _GET, (f"parser.{host}",))
    if int(parser or FIRST_PARSER) < PARSER_VERSION:
        return (
            "facts were derived by the rules of an older version; to apply today's, stop ccagent and run"
            " `ccagent backfill --rebuild`"
        )
    kept = scalar(conn, _GET, (f"prices.{host}",))
    if prices is not None and kept is not None and kept != prices:
        return (
            f"costs were computed with the prices {kept}, today's are {prices}; to apply them to the past, stop ccagent"
            " and run `ccagent backfill --recompute-prices`"
        )
    return None
