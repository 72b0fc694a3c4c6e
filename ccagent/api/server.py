"""The HTTP listener: a loopback socket and a server in a thread of its own.

Starlette and uvicorn are imported when it starts, not before: verbs that open no port do not pay for them.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from ccagent.api.holder import listener_pid
from ccagent.errors import CcagentError, ConfigError, PortTakenError

if TYPE_CHECKING:
    from ccagent.api.routes import AppState
    from ccagent.api.uvicorn_server import LoopServer

BACKLOG: Final = 64
"""Connections that wait to be accepted; one scraper and some shells need a handful."""

START_SECONDS: Final = 10.0
"""Longest wait for the server's loop; importing uvicorn takes half a second on a cold disk."""

STOP_SECONDS: Final = 1.0
"""Longest wait for open answers at the end: a daemon has two seconds from SIGTERM to its exit."""


class HttpListener:
    """Serves `state` on `host`:`port` (0: any free port) until stopped.

    `on_death` is called with the error when the server ends by itself; a listener that died must not go unseen.
    """

    def __init__(
        self, state: AppState, host: str, port: int, *, on_death: Callable[[BaseException], None] | None = None
    ) -> None:
        self._state = state
        self._host = _loopback(host)
        self._port = port
        self._on_death = on_death
        self._server: LoopServer | None = None
        self._thread: threading.Thread | None = None
        self._reader: ThreadPoolExecutor | None = None

    def start(self) -> None:
        """Bind, and serve in a thread of its own. PortTakenError names the holder of the port where it is known."""
        if self._thread is not None:
            raise RuntimeError("the listener was started already")
        sock = self._bind()
        try:
            self._serve(sock)
        except BaseException:
            sock.close()
            raise

    def stop(self) -> None:
        """Close the port, let open answers end for a moment, and return. Harmless when it was never started."""
        thread, self._thread = self._thread, None
        if thread is None or self._server is None or self._reader is None:
            return
        self._reader.shutdown(wait=False, cancel_futures=True)
        self._server.ask_to_exit()
        thread.join(STOP_SECONDS / 2)
        self._server.force_exit = True
        thread.join(STOP_SECONDS / 2)

    @property
    def address(self) -> str:
        """`127.0.0.1:9464`, with the port that was really bound."""
        return _joined(self._host, self._port)

    @property
    def url(self) -> str:
        """`http://127.0.0.1:9464`."""
        return f"http://{self.address}"

    @property
    def alive(self) -> bool:
        """Whether the server's thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # The protocol is named because asyncio turns on TCP_NODELAY only for sockets that say they are TCP.
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            # Without it a restart waits for a minute on the old connections' TIME_WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((self._host, self._port))
            sock.listen(BACKLOG)
        except OSError as error:
            sock.close()
            raise self._bind_error(error) from error
        self._port = sock.getsockname()[1]
        return sock

    def _bind_error(self, error: OSError) -> CcagentError:
        if error.errno == errno.EADDRINUSE:
            pid = listener_pid(self._port)
            by = f"pid {pid}" if pid is not None else "another process"
            return PortTakenError(f"port {self._port} is in use by {by}; choose another --listen or stop it")
        return ConfigError(f"cannot listen on {self.address}: {error.strerror}; choose another --listen")

    def _serve(self, sock: socket.socket) -> None:
        from ccagent.api.guard import Guard
        from ccagent.api.routes import make_app
        from ccagent.api.uvicorn_server import LoopServer

        # One reader: scrapes queue up instead of opening one read transaction each.
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ccagent-http-read")
        hosts = {self.address, _joined("127.0.0.1", self._port), _joined("::1", self._port), f"localhost:{self._port}"}
        self._server = server = LoopServer(Guard(make_app(self._state, self._reader), hosts))
        self._thread = threading.Thread(target=self._run, args=(server, sock), name="ccagent-http", daemon=True)
        self._thread.start()
        if not server.wait_started(START_SECONDS):
            self.stop()
            raise CcagentError(f"the HTTP listener on {self.address} did not start; see the log, or use --listen off")

    def _run(self, server: LoopServer, sock: socket.socket) -> None:
        try:
            server.run([sock])
            if not server.should_exit:
                raise RuntimeError("the HTTP server ended by itself")
        except BaseException as error:
            if self._on_death is None:
                raise
            self._on_death(error)


def _loopback(host: str) -> str:
    """`host` as a loopback address; ConfigError for any other: the page has no password."""
    if host.lower() == "localhost":
        return "127.0.0.1"
    bare = host.removeprefix("[").removesuffix("]")
    try:
        address = ipaddress.ip_address(bare)
    except ValueError as error:
        raise ConfigError(f"listen address {host!r} is no IP address; use 127.0.0.1, ::1 or localhost") from error
    if not address.is_loopback:
        raise ConfigError(
            f"listen address {host} can be reached from other machines and the page has no password; "
            "use 127.0.0.1 and let a proxy of yours publish it, or OTLP"
        )
    return bare


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
