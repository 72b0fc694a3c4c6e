"""The small file beside a transcript that says what its lines do not: who launched a sub-agent, and of which type."""

from __future__ import annotations

import os
from typing import Final

from ccagent.sources.base import Feeder

LONGEST: Final = 16 * 1_024
"""Bytes that are read; real ones have a few hundred. A longer one is something else."""


def take_companion(feeder: Feeder) -> None:
    """Give the feeder its companion if there is one by now; asked again with every chunk until there is."""
    path = feeder.beside()
    data = None if path is None else read_companion(path)
    if data is not None:
        feeder.companion(data)


def read_companion(path: bytes) -> bytes | None:
    """The file's bytes; None where there is none, it cannot be read, or is too long to be one."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0))
    except (OSError, ValueError):
        return None
    try:
        data = os.read(handle, LONGEST + 1)
    except OSError:
        return None
    finally:
        os.close(handle)
    return data if 0 < len(data) <= LONGEST else None
