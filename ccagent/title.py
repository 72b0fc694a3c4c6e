"""The command line of this process as everybody on the machine sees it (`ps`): without the password in a database's URL.

The arguments lie in the process's own memory, where the kernel reads them for whoever asks. Linux tells where; elsewhere
nothing is changed, and the URL is better put into CCAGENT_DATABASE_URL, which only its owner can read.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Final

from ccagent.store.location import passwords

_PROC: Final = Path("/proc/self")

_START: Final = 48 - 3
"""`arg_start` is field 48 of `stat`; the first two stand before the last bracket, since a name may hold anything."""


def hide_passwords(url: str) -> bool:
    """Hide the passwords of a database's URL that was given as an argument; whether none can be seen any more."""
    hidden = [hide(each) for each in passwords(url)]  # all of them, also when one of them cannot be
    return all(hidden)


def hide(secret: str) -> bool:
    """Write asterisks over `secret` wherever it stands in the arguments; whether it can no longer be seen there."""
    hidden = secret.encode("utf-8", "surrogateescape")
    if not hidden:
        return True
    try:
        line = (_PROC / "cmdline").read_bytes()
        start = int((_PROC / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[_START])
        if hidden in line and not start:
            return False  # the kernel does not tell
        place = line.find(hidden)
        while place >= 0:
            ctypes.memset(start + place, ord("*"), len(hidden))
            place = line.find(hidden, place + len(hidden))
        return hidden not in (_PROC / "cmdline").read_bytes()
    except (OSError, ValueError, IndexError):
        return False
