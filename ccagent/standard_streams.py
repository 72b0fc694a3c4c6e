"""Standard input, output and error of a process that somebody else started, and may have left without some of them.

A descriptor that was closed before the start would be given to the first file that is opened: a lock, a socket. What a
library then writes to "standard error" would land there. And a reader that went away (a log that was rotated by ending
its collector) must not turn a good end into a bad one: Python ends with 120 where its last flush fails.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from contextlib import suppress
from typing import Final

_STREAMS: Final = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))
"""By descriptor: 0, 1, 2."""

READABLE: Final = "ccagent.readable"

_SIGNS: Final = {"─": "-", "—": "-", "…": ".", "→": ">", "·": "-"}
"""What tables and sentences of ccagent hold beyond ASCII; as wide as it was, so that columns stay."""


def hold() -> None:
    """Open /dev/null in the place of each standard stream that the process was started without."""
    for number, (name, mode) in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free descriptor is this one: those below are open by now.
            os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            # Descriptors of their own objects stay open to the end, as those of the interpreter do.
            setattr(sys, name, open(number, mode, encoding="utf-8", errors="replace", closefd=False))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        codecs.register_error(READABLE, readable)
        sys.stdout.reconfigure(errors=READABLE)


def readable(error: UnicodeError) -> tuple[str, int]:
    """Stand in, as an error handler of codecs, for signs that the terminal's character set has not: lines and dots as ASCII
    has them, all else escaped, so that a name of the user's ends no command."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_SIGNS.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in text), error.end


def settle() -> None:
    """Flush standard output and error; where nobody reads any more, what is left goes to /dev/null."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                _forget(stream.fileno())


def _forget(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, number)
    finally:
        os.close(nowhere)
