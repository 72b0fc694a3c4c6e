"""A number that grows with every change of alert rules or silences, whoever makes it."""

from __future__ import annotations

from typing import Final

from ccagent.store.connection import Connection, scalar
from ccagent.store.writer import set_meta

VERSION: Final = "alert_rules"
"""Its name in `meta`."""

_READ: Final = "SELECT value FROM meta WHERE name = ?"


def version(conn: Connection) -> int:
    """What it is now: a cheap look whether to read rules and silences again."""
    return int(scalar(conn, _READ, (VERSION,)) or 0)


def touch(conn: Connection) -> None:
    """Say that rules or silences changed."""
    set_meta(conn, VERSION, str(version(conn) + 1))
