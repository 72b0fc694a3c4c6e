"""How many sources of file events this user may still open: Linux limits them apart from the folders watched by each."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Final

INSTANCES: Final = Path("/proc/sys/fs/inotify/max_user_instances")
"""For all programs of a user together; editors, browsers and containers take dozens."""


def instance_limit() -> int | None:
    """The limit, None where the system has none."""
    try:
        return int(INSTANCES.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def obtainable(wanted: int) -> int:
    """How many of so many can be had, found out by opening them; all are closed again. `wanted` where none are needed."""
    if not sys.platform.startswith("linux"):
        return wanted
    library = ctypes.CDLL(None)
    if not hasattr(library, "inotify_init1"):
        return wanted
    opened: list[int] = []
    try:
        while len(opened) < wanted:
            descriptor = library.inotify_init1(os.O_CLOEXEC)
            if descriptor < 0:
                break
            opened.append(descriptor)
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return len(opened)
