"""From when to when there is anything to try a rule on."""

from __future__ import annotations

from typing import Final

from ccagent.rollups.metrics import Period
from ccagent.store.connection import Connection

_ENDS: Final = (
    "SELECT MIN(occurred_at), MAX(occurred_at) FROM fact",
    f"SELECT MIN(bucket), MAX(bucket) FROM rollup WHERE period = {int(Period.HOURLY)}",
)


def span_of_facts(conn: Connection) -> tuple[int, int] | None:
    """The times (ms UTC) of the first and the last fact, those that retention has removed included; None without any.

    Of removed ones only the hour is known, by its start.
    """
    found = [row for sql in _ENDS if (row := conn.execute(sql).fetchone()) is not None and row[0] is not None]
    if not found:
        return None
    return min(int(row[0]) for row in found), max(int(row[1]) for row in found)
