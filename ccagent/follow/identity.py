"""By what a file is recognised: a signature of its head, and a marker of the bytes before the offset.

Device and inode say nothing alone: devices change at a reboot, inodes are used again, and an atomic replace puts the
same content under a new one. Equal heads say nothing alone either: a forked session begins as a copy of its parent.
Not seen: a change within the bytes between head and marker that keeps their length.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from typing import Final

from ccagent.follow.state import FileState

HEAD_BYTES: Final = 4096
"""A page: covers the first lines of every transcript seen, and costs 10 µs to hash."""

MARKER_BYTES: Final = 64
"""The end of a record holds its uuid and time: 64 bytes do not repeat at the same offset by chance."""


def head_of(data: bytes) -> bytes:
    """Signature of the head `data`; empty for no bytes."""
    return hashlib.sha256(data).digest() if data else b""


def marker_of(data: bytes) -> bytes:
    """Marker of the bytes before an offset; empty for no bytes."""
    return hashlib.blake2b(data, digest_size=16).digest() if data else b""


def head_agrees(descriptor: int, state: FileState) -> bool:
    """Whether the file still begins with the bytes that `state` signed."""
    length = state.head_length
    return length == 0 or head_of(os.pread(descriptor, length, 0)) == state.head


def agrees(descriptor: int, state: FileState) -> bool:
    """Whether the open file is the one that `state` describes: long enough, same head, same marker."""
    if os.fstat(descriptor).st_size < state.offset or not head_agrees(descriptor, state):
        return False
    length = min(MARKER_BYTES, state.offset)
    return marker_of(os.pread(descriptor, length, state.offset - length)) == state.marker


def advanced(state: FileState, descriptor: int, offset: int, before: bytes = b"") -> FileState:
    """`state` moved to `offset`, with the head and marker that belong there.

    `before`: bytes that end at `offset`; if they are fewer than the marker covers, it is read from the file.
    """
    length = min(MARKER_BYTES, offset)
    if len(before) < length:
        before = os.pread(descriptor, length, offset - length)
    head, head_length = state.head, min(HEAD_BYTES, offset)
    if head_length != state.head_length:
        head = head_of(os.pread(descriptor, head_length, 0))
    marker = marker_of(before[len(before) - length :])
    return replace(state, offset=offset, head=head, head_length=head_length, marker=marker)


def restarted(state: FileState) -> FileState:
    """`state` as it is when reading begins again at byte 0."""
    return replace(state, offset=0, head=b"", head_length=0, marker=b"", lines=0, generation=state.generation + 1)
