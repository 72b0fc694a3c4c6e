"""A receiver of webhooks in this process: it keeps what it took, and answers as it is told."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SILENCE_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer. `silent`: none within the test. `reset`: the connection breaks after the request was read. `drip`: the
    answer comes so slowly that it has no end. `raw`: these bytes in place of an answer."""

    status: int = 200
    body: bytes = b"ok"
    content_type: str | None = "text/plain"
    headers: Mapping[str, str] = field(default_factory=dict)
    silent: bool = False
    reset: bool = False
    drip: bool = False
    raw: bytes | None = None

    @property
    def takes(self) -> bool:
        """Whether what was sent counts as received: a page for people is a network's, and no receiver's."""
        broken = self.silent or self.reset or self.raw is not None
        return 200 <= self.status < 300 and not broken and not self.body.lstrip().startswith((b"<html", b"<!"))


OK = Answer()


@dataclass
class Hooks:
    """A receiver that listens. `script` first, one entry a request, then `answer`."""

    port: int = 0
    scheme: str = "http"
    answer: Answer = OK
    script: deque[Answer] = field(default_factory=deque)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self.scheme}://127.0.0.1:{self.port}/hook/of-nobody"

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """Alerts of requests that were answered with success."""
        return [alert for body in self.taken for alert in body.get("alerts", [])]

    @property
    def keys(self) -> list[str]:
        """Keys of all transitions that it was told of, as often as it was."""
        return [key for alert in self.alerts for key in (*alert["covers"], alert["key"])]


class _Handler(BaseHTTPRequestHandler):
    hooks: Hooks
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Read it whole, keep it, answer."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        hooks = self.hooks
        answer = hooks.script.popleft() if hooks.script else hooks.answer
        hooks.bodies.append(body)
        hooks.headers.append({key.lower(): value for key, value in self.headers.items()})
        hooks.paths.append(self.path)
        if answer.takes:
            hooks.taken.append(json.loads(body))
        if answer.silent:
            hooks.ended.wait(SILENCE_SECONDS)
            self.close_connection = True
            return
        if answer.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return
        if answer.raw is not None:
            self.wfile.write(answer.raw)
            self.close_connection = True
            return
        self.send_response(answer.status)
        if answer.content_type is not None:
            self.send_header("Content-Type", answer.content_type)
        for key, value in answer.headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        for byte in answer.body:
            self.wfile.write(bytes([byte]))
            if answer.drip and hooks.ended.wait(0.2):
                return

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a test's output is its failures."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left is part of the tests."""


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Hooks]:
    """A receiver on a free port of this machine."""
    hooks = Hooks(scheme="http" if tls is None else "https")
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"hooks": hooks}))
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    hooks.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hooks
    finally:
        hooks.ended.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
