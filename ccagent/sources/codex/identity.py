"""Identities in rollouts: what an id says of its time, and keys that are equal in every copy of a record."""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from typing import Final

KEY_BYTES: Final = 16

_UUID: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-([0-9a-f])[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE
)
_FILE: Final = re.compile(
    rb"rollout-.*?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.jsonl", re.IGNORECASE | re.DOTALL
)
_UNIQUE_CALL: Final = re.compile(r"[A-Za-z]+_[A-Za-z0-9_-]{16,}")


@lru_cache(maxsize=1_024)
def is_uuid(text: str) -> bool:
    """Whether an id is unique by its making."""
    return _UUID.fullmatch(text) is not None


@lru_cache(maxsize=1_024)
def time_of(text: str | None) -> int | None:
    """ms since the epoch at which an id was made; None unless it is a UUID of version 7, which begins with them."""
    found = _UUID.fullmatch(text) if text else None
    if found is None or text is None or found.group(1) != "7":
        return None
    return int(text[:8] + text[9:13], 16)


def session_of(path: bytes) -> str | None:
    """The session that a file's name tells (`rollout-<time>-<id>.jsonl`)."""
    found = _FILE.fullmatch(path.rpartition(b"/")[2])
    return found.group(1).decode("ascii") if found else None


def digest(*parts: str) -> str:
    """A short hash of some texts."""
    state = blake2b(digest_size=KEY_BYTES)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "big"))
        state.update(data)
    return state.hexdigest()


def request_native(scope: str, total: tuple[int, ...], last: tuple[int, ...] | None) -> str:
    """The id of a request, which has none: what the session amounted to behind it, and what it amounted to itself.

    `scope` keeps unrelated sessions apart: the turn's id where that is a UUID, else the eldest known ancestor. A fork
    copies turn ids and both vectors as they are, so a copy has its original's id.
    """
    vectors = (",".join(map(str, vector)) for vector in (total, last or ()))
    return "codex:" + digest(scope, *vectors)


def call_native(call: str, session: str | None) -> str:
    """The id of a call: the API's own where it is unique, else within its session."""
    return call if _UNIQUE_CALL.fullmatch(call) else f"{session or ''}/{call}"


def turn_native(turn: str, session: str | None) -> str:
    """The id of a turn: a UUID stands for itself, a number only within its session."""
    return turn if is_uuid(turn) else f"{session or ''}/{turn}"
