"""Damaged databases that were set aside, as the one in their place remembers them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson

from ccagent.store.connection import Connection, scalar

ASIDE: Final = "set_aside"
"""Name in `meta` of the list of what was set aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """A damaged database that was set aside. `at` in ms UTC; `done` once everything it still held was carried over,
    with the number of facts saved from it and from backups, of those among them that lack texts, and of rows that could
    not be read."""

    file: str
    at: int
    reason: str
    done: bool = False
    saved: int = 0
    incomplete: int = 0
    unreadable: int = 0


def set_aside(conn: Connection) -> list[Aside]:
    """The damaged databases that the one of `conn` has replaced, the oldest first."""
    return parse_asides(scalar(conn, "SELECT value FROM meta WHERE name = ?", (ASIDE,)))


def parse_asides(value: str | None) -> list[Aside]:
    """The same from what stands in `meta`."""
    try:
        found = orjson.loads(value) if value is not None else []
        return [Aside(**entry) for entry in found]
    except (ValueError, TypeError):
        return []


def told(conn: Connection) -> list[str]:
    """What a user is to know of databases that were set aside, as long as they lie there."""
    found = []
    for aside in set_aside(conn):
        if not Path(aside.file).exists():
            continue
        moment = datetime.fromtimestamp(aside.at / 1_000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        came = (
            f"{aside.saved} facts that transcripts no longer hold were saved, {aside.incomplete} of them without all their"
            f" texts; {aside.unreadable} rows could not be read"
            if aside.done
            else "what transcripts no longer hold is still to be saved"
        )
        found.append(
            f"the database was damaged ({aside.reason}) on {moment}, set aside as {aside.file} and made anew: {came};"
            " remove the file when you have no use for it"
        )
    return found
