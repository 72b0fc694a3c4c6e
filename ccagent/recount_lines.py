"""What the recount reads: which files are transcripts, their complete lines, and the whole objects on a line."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

import orjson

Json = dict[str, object]

MAX_LINE: Final = 32 * 1024 * 1024
"""Longer lines are read past and count as bad; the follower's default, too."""

SKIPPED_NAME: Final = "journal.jsonl"
SKIPPED_FOLDER: Final = "tool-results"
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def transcript_files(root: Path) -> Iterator[Path]:
    """The transcripts below `root`, sorted; folders and files that are symbolic links are left out."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name != SKIPPED_FOLDER)
        for name in sorted(names):
            if not name.endswith(".jsonl") or name == SKIPPED_NAME:
                continue
            path = Path(folder, name)
            try:
                regular = stat.S_ISREG(path.lstat().st_mode)
            except OSError:
                continue  # its folder may be listed but not entered, or it went away just now
            if regular:
                yield path


class Lines(Protocol):
    """What lines are read from: a file, or something that looks over its shoulder."""

    def readline(self, limit: int, /) -> bytes:
        """The next line, at most `limit` bytes of it."""


def complete_lines(file: Lines, limit: int | None = None, max_line: int = MAX_LINE) -> Iterator[bytes | None]:
    """The lines of `file` that end with a newline and lie before byte `limit`, each with its newline.

    A line of more than `max_line` bytes (its newline not among them) is read past and given as None. Lines are split
    at `\\n` alone; bytes behind the last newline are left out.
    """
    left = limit
    too_long = False
    while True:
        raw = file.readline(max_line + 1 if left is None else min(max_line + 1, left))
        if left is not None:
            left -= len(raw)
        if raw.endswith(b"\n"):
            yield None if too_long else raw
            too_long = False
        elif len(raw) > max_line:
            too_long = True
        else:
            return


def pieces_of(raw: bytes) -> tuple[list[Json], bool, bool]:
    """The whole objects on a line, whether the line is bad, and whether something on it does not decode.

    A line is bad unless it holds, NULs left aside, one JSON object and nothing else. Of a bad one every whole object
    from its start is taken, up to the first place that does not decode; nothing behind that place is searched for.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return _recovered(raw)
    return ([value], False, False) if isinstance(value, dict) else ([], True, True)


def _recovered(raw: bytes) -> tuple[list[Json], bool, bool]:
    words = raw.removeprefix(BYTE_ORDER_MARK).replace(b"\0", b"").decode("utf-8", "replace")
    decoder = json.JSONDecoder()
    found: list[Json] = []
    position, end = 0, len(words)
    while True:
        while position < end and words[position] in " \t\r\n":
            position += 1
        if position == end:
            break
        try:
            value, position = decoder.raw_decode(words, position)
        except (ValueError, RecursionError):
            return found, True, True
        if not isinstance(value, dict):
            return found, True, True
        found.append(value)
    # The fast decoder refuses lone surrogates and a few spoilt bytes; the object is whole, so the line is not bad.
    return found, len(found) != 1, not found
