"""The two halves of an HTTP exchange that have to end in time: a body that is sent bit by bit, an answer that is read so.

A socket's own timeout begins anew with every byte; here one moment bounds the whole, however slowly either side drips.
"""

from __future__ import annotations

import http.client
import io
import time
import zlib
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import socket

RESPONSE_LIMIT: Final = 1 << 20
"""Bytes of an answer that are read. A real one has a few dozen."""

PIECE: Final = 65_536
"""Bytes that are sent or read at once: between two of them the time is looked at."""

DIGITS: Final = 9
"""Digits of a Retry-After in seconds that are read: more than any wait that is honoured."""

THROTTLED: Final = frozenset({408, 429, 502, 503, 504})
"""Answers that say "later" and whose Retry-After counts."""


class BoundedResponse(http.client.HTTPResponse):
    """An answer that has to end by `until` (monotonic seconds), head included, however slowly it drips."""

    def __init__(self, sock: socket.socket, *args: Any, until: float, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._bytes = _Until(self.fp.detach(), sock, until)
        self.fp = io.BufferedReader(self._bytes)

    def begin(self) -> None:
        """Read the head. The library takes the end of the connection for the end of the head."""
        super().begin()
        if self._bytes.ended:
            raise http.client.IncompleteRead(b"")


class _Until(io.RawIOBase):
    """The bytes of a socket until a moment; a socket's own timeout begins anew with every byte."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, until: float) -> None:
        self._raw = raw
        self._sock = sock
        self._deadline = until
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(left(self._deadline))
        count = self._raw.readinto(buffer)
        self.ended = count == 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def left(until: float) -> float:
    """Seconds until then; raises `TimeoutError` when there are none."""
    rest = until - time.monotonic()
    if rest <= 0:
        raise TimeoutError("timed out")
    return rest


def pieces(body: bytes, sock: socket.socket, until: float) -> Iterator[bytes]:
    """The body bit by bit; raises `TimeoutError` when the receiver takes it too slowly."""
    for at in range(0, len(body), PIECE):
        sock.settimeout(left(until))
        yield body[at : at + PIECE]


def read_answer(response: http.client.HTTPResponse) -> bytes:
    """At most `RESPONSE_LIMIT` bytes of the answer; raises `IncompleteRead` for one that was cut off."""
    parts: list[bytes] = []
    announced, wanted = response.length, RESPONSE_LIMIT
    while wanted > 0:
        part = response.read1(min(wanted, PIECE))
        if not part:
            # Read to its end; without this, the connection believes that the answer is still coming.
            response.close()
            content = b"".join(parts)
            if announced is not None and len(content) < announced:
                raise http.client.IncompleteRead(content, announced - len(content))
            return content
        parts.append(part)
        wanted -= len(part)
    # The rest stays unread, so the connection cannot be used again.
    response.will_close = True
    return b"".join(parts)


def decoded(response: http.client.HTTPResponse, content: bytes) -> bytes:
    """The body without its compression; raises `zlib.error` for one that is broken, cut off, too long or unknown."""
    coding = (response.headers.get("Content-Encoding") or "identity").strip().lower()
    if coding == "identity" or not content:
        return content
    if coding not in ("gzip", "x-gzip"):
        raise zlib.error(f"content encoding {coding}")
    unpacking = zlib.decompressobj(wbits=31)
    found = unpacking.decompress(content, RESPONSE_LIMIT)
    if not unpacking.eof:
        raise zlib.error("not the whole of it")
    return found


def phrase(status: int) -> str:
    """The words that belong to a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "unknown status"


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds to wait by a Retry-After header (seconds or a date), or None when it says nothing usable."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:DIGITS])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (TypeError, ValueError, OverflowError):
        return None
