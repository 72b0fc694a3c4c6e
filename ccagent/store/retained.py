"""What is kept, and since when: a few small questions for `ccagent status`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ccagent.store.connection import Connection, scalar

_META: Final = "SELECT value FROM meta WHERE name = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retained:
    """Bytes of all transcripts that were taken in, gone ones too; times in ms UTC, None for never and for no facts."""

    transcript_bytes: int
    oldest: int | None
    sealed_before: int | None
    pruned_at: int | None


def retained(conn: Connection) -> Retained:
    """What the database says of itself."""
    return Retained(
        transcript_bytes=int(scalar(conn, "SELECT COALESCE(SUM(size), 0) FROM file")),
        oldest=_int(scalar(conn, "SELECT MIN(occurred_at) FROM fact WHERE occurred_at >= 0")),
        sealed_before=_int(scalar(conn, _META, ("sealed_before",))),
        pruned_at=_int(scalar(conn, _META, ("pruned_at",))),
    )


def _int(value: str | int | None) -> int | None:
    return None if value is None else int(value)
