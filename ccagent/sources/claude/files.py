"""What a transcript's file name says."""

from __future__ import annotations

from typing import Final

_PREFIX: Final = b"agent-"
_SUFFIX: Final = b".jsonl"


def agent_of(path: bytes) -> str | None:
    """The sub-agent whose file this is (`…/agent-<id>.jsonl`), None for a main transcript."""
    name = path.rpartition(b"/")[2]
    if not name.startswith(_PREFIX) or not name.endswith(_SUFFIX):
        return None
    stem = name[len(_PREFIX) : -len(_SUFFIX)].partition(b".orphaned-")[0]
    return stem.decode("utf-8", "replace") or None


def companion_of(path: bytes) -> bytes:
    """The file beside a sub-agent's that newer clients write: `…/agent-<id>.meta.json`."""
    folder, slash, name = path.rpartition(b"/")
    return folder + slash + name.partition(b".")[0] + b".meta.json"
