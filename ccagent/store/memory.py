"""Giving memory back to the system after work that needed much of it."""

from __future__ import annotations

import ctypes
import gc
import sys


def return_memory() -> None:
    """Collect garbage and let the C library return free pages; where it cannot (not glibc), nothing happens."""
    gc.collect()
    if sys.platform != "linux":
        return
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return
