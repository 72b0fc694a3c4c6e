"""Keys of facts: made of content identity, never of position, so a copied record is the same fact."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from ccagent.facts.model import KEY_PREFIXES

KEY_BYTES: Final = 16


def source_key(event_type: int, native: str) -> str:
    """The readable key, `tool:toolu_01…`; unique over all facts."""
    return KEY_PREFIXES[event_type] + native


def fact_key(event_type: int, native: str) -> bytes:
    """The 16 bytes under which the store finds a fact."""
    text = KEY_PREFIXES[event_type] + native
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()


def content_native(kind: str, session: str | None, line: bytes) -> str:
    """The id of a record that carries none: its type, its session and its bytes. Identical records are one fact."""
    digest = blake2b(digest_size=KEY_BYTES)
    for part in (kind.encode("utf-8", "surrogatepass"), (session or "").encode("utf-8", "surrogatepass"), line):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return "sha:" + digest.hexdigest()


def digest(*parts: str) -> str:
    """12 hexadecimal characters that stand for texts which are not kept, e.g. the command of a hook."""
    hashed = blake2b(digest_size=6)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        hashed.update(len(data).to_bytes(8, "big"))
        hashed.update(data)
    return hashed.hexdigest()
