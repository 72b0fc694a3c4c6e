"""Ids of traces and spans, made of content keys: the same fact has the same ids on every machine and in every run."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

ID_SPACE: Final = "ccagent/1"
"""Part of every id; changing it would make all traces new ones."""


def trace_id(key: str) -> bytes:
    """The 16 bytes of the trace whose root has this content key; never all zero, which would be invalid."""
    digest = sha256(f"{ID_SPACE}|trace|{key}".encode("utf-8", "surrogatepass")).digest()[:16]
    return digest if any(digest) else b"\x00" * 15 + b"\x01"


def span_id(key: str) -> bytes:
    """The 8 bytes of the span of the fact with this content key; never all zero."""
    digest = sha256(f"{ID_SPACE}|span|{key}".encode("utf-8", "surrogatepass")).digest()[:8]
    return digest if any(digest) else b"\x00" * 7 + b"\x01"
