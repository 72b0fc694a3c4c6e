"""A receiver that is a bare socket: it answers byte for byte what a test says, and may break off anywhere."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Act = Callable[[socket.socket], bool]
"""What is done with one request that was read; True keeps the connection for the next."""


@dataclass(kw_only=True)
class Wire:
    """Its port, what it is to do (one act a request, then plain success), and what came."""

    port: int
    script: deque[Act] = field(default_factory=deque)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0
    unread: bool = False
    """Act at the end of the head, without reading the body."""

    @property
    def http(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"


def says(*pieces: bytes, keep: bool = False, pause: float = 0.0) -> Act:
    """Send these bytes, with a pause after each, then keep the connection or end it."""

    def act(client: socket.socket) -> bool:
        for piece in pieces:
            client.sendall(piece)
            if pause:
                time.sleep(pause)
        return keep

    return act


def resets(*pieces: bytes) -> Act:
    """Send these bytes, then break the connection off as a crashing process does."""

    def act(client: socket.socket) -> bool:
        for piece in pieces:
            client.sendall(piece)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    return act


def answer(
    status: str = "200 OK", body: bytes = b"", *headers: str, kind: str | None = "application/x-protobuf"
) -> bytes:
    """The bytes of one answer with its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    if kind is not None:
        lines.append(f"Content-Type: {kind}")
    return "\r\n".join([*lines, "", ""]).encode() + body


FINE = says(answer(), keep=True)


def _request(client: socket.socket, wire: Wire) -> bool:
    """Read one request; False when the connection is at its end."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = client.recv(65_536)
        if not piece:
            return False
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    if wire.unread:
        return True
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += client.recv(65_536)
    wire.bodies.append(body)
    return True


def _serve(client: socket.socket, wire: Wire) -> None:
    with client:
        try:
            while _request(client, wire):
                act = wire.script.popleft() if wire.script else FINE
                if not act(client):
                    return
        except OSError:
            return  # the sender left first


@contextmanager
def wire() -> Iterator[Wire]:
    """A bare receiver on a free port of this machine."""
    listening = socket.create_server(("127.0.0.1", 0))
    found = Wire(port=listening.getsockname()[1])

    def accept() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            found.connections += 1
            threading.Thread(target=_serve, args=(client, found), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)
