"""A file of OTLP, as a Collector's file exporter or a debugging receiver writes it.

JSON: one request a line, or one document. Protobuf: requests each behind its length (four bytes, big-endian, as the
file exporter has it, or a varint), or one request alone. Either may be compressed with gzip. The file is read piece by
piece; only one request is in memory at a time.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final, cast

from ccagent.errors import ReconcileError
from ccagent.reconcile.native import Native
from ccagent.reconcile.payloads import take_json, take_protobuf

MAX_REQUEST: Final = 64 * 1024 * 1024
"""Bytes of one request; receivers accept 4 MiB by default."""

GZIP: Final = b"\x1f\x8b"
LENGTH_BYTES: Final = 4
VARINT_BYTES: Final = 5


def read_file(native: Native, path: Path) -> tuple[int, int]:
    """Take every request of the file; how many there were, and how many pieces were none.

    ReconcileError where the file cannot be read or holds no OTLP at all.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(len(GZIP)) == GZIP
            raw.seek(0)
            file = cast("IO[bytes]", gzip.GzipFile(fileobj=raw) if packed else raw)
            first = file.read(1024).lstrip()[:1]
            file.seek(0)
            taken, bad = _json(native, file) if first in (b"{", b"[") else _protobuf(native, file)
    except (OSError, EOFError, zlib.error) as error:
        raise ReconcileError(f"{path} cannot be read: {error}") from error
    if not taken and bad:
        raise ReconcileError(
            f"{path} holds no OTLP; give a file that a Collector's file exporter wrote (JSON or protobuf)"
        )
    return taken, bad


def _json(native: Native, file: IO[bytes]) -> tuple[int, int]:
    taken = bad = 0
    while line := file.readline(MAX_REQUEST + 1):
        if not line.strip():
            continue
        if take_json(native, line):
            taken += 1
        else:
            bad += 1
            if taken == 0 and bad == 1:
                file.seek(0)
                whole = file.read(MAX_REQUEST + 1)
                if len(whole) <= MAX_REQUEST and take_json(native, whole):
                    return 1, 0
                file.seek(len(line))
    return taken, bad


def _protobuf(native: Native, file: IO[bytes]) -> tuple[int, int]:
    for read in (_behind_length, _behind_varint):
        file.seek(0)
        taken, bad = _framed(native, file, read)
        if taken:
            return taken, bad
    file.seek(0)
    whole = file.read(MAX_REQUEST + 1)
    if whole and len(whole) <= MAX_REQUEST and take_protobuf(native, whole):
        return 1, 0
    return 0, int(bool(whole))


def _framed(native: Native, file: IO[bytes], read: Callable[[IO[bytes]], bytes]) -> tuple[int, int]:
    """Take what stands behind such lengths; nothing where the first of them leads to no request. The last one may be cut
    off: the file may be written at this moment."""
    taken = bad = 0
    try:
        while message := read(file):
            if take_protobuf(native, message):
                taken += 1
            elif not taken:
                return 0, 1
            else:
                bad += 1
    except ValueError:
        bad += 1
    return taken, bad


def _behind_length(file: IO[bytes]) -> bytes:
    """The next message behind four bytes of length; empty at the end. ValueError where there can be none."""
    head = file.read(LENGTH_BYTES)
    if len(head) < LENGTH_BYTES:
        if head:
            raise ValueError("cut off")
        return b""
    return _body(file, int.from_bytes(head, "big"))


def _behind_varint(file: IO[bytes]) -> bytes:
    """The next message behind a varint; empty at the end. ValueError where there can be none."""
    length = 0
    for place in range(VARINT_BYTES):
        byte = file.read(1)
        if not byte:
            if place:
                raise ValueError("cut off")
            return b""
        length |= (byte[0] & 0x7F) << (7 * place)
        if byte[0] < 0x80:
            return _body(file, length)
    raise ValueError("no length")


def _body(file: IO[bytes], length: int) -> bytes:
    if not 0 < length <= MAX_REQUEST:
        raise ValueError("no length of a request")
    body = file.read(length)
    if len(body) < length:
        raise ValueError("cut off")
    return body
