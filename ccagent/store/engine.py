"""Which SQLite is at work: its faults and speed depend on it, and it comes with the driver, not with the system."""

from __future__ import annotations

import apsw


def sqlite_version() -> str:
    """The version of the library, such as 3.50.4."""
    return str(apsw.sqlite_lib_version())
