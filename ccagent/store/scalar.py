"""One value of a query that always gives a row."""

from __future__ import annotations

from typing import Any

import apsw


def scalar(conn: apsw.Connection, sql: str, values: tuple[Any, ...] = ()) -> Any:
    """The first column of the first row; None where there is no row."""
    row = conn.execute(sql, values).fetchone()
    return None if row is None else row[0]
