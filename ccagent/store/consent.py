"""What the database keeps of the owner's choices: since when identity may leave, and the key of anonymous projects."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from ccagent.store.connection import Connection, scalar

if TYPE_CHECKING:
    from ccagent.store.writer import Writer

ACKNOWLEDGED: Final = "tier_2_acknowledged"
"""Name in `meta`: when (ms) tier 2 was first in force."""

PROJECT_KEY: Final = "project_key"
"""Name in `meta`: the secret under which projects are numbered. The instance's id would not do: it is on every request,
and who has it could find out projects by trying paths."""

KEY_BYTES: Final = 32

_GET: Final = "SELECT value FROM meta WHERE name = ?"


def acknowledged(conn: Connection) -> int | None:
    """When tier 2 was first in force, None where it never was."""
    value = scalar(conn, _GET, (ACKNOWLEDGED,))
    return int(value) if value is not None else None


def project_key(conn: Connection) -> str | None:
    """The key of anonymous projects, None before a daemon first ran here."""
    value = scalar(conn, _GET, (PROJECT_KEY,))
    return None if value is None else str(value)


def keep_acknowledgement(store: Writer, now_ms: int) -> None:
    """Write down that tier 2 is in force; the first time counts."""
    if store.meta(ACKNOWLEDGED) is None:
        store.set_meta(ACKNOWLEDGED, str(now_ms))


def keep_project_key(store: Writer) -> str:
    """The key of anonymous projects, made the first time."""
    if store.meta(PROJECT_KEY) is None:
        store.set_meta(PROJECT_KEY, secrets.token_hex(KEY_BYTES))
    return str(store.meta(PROJECT_KEY))
