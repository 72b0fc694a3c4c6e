"""A TCP proxy before a Postgres server, with a network's faults to switch on.

It reads the protocol's frames (both ways: simple and extended queries), so that a fault can hit a COMMIT and nothing
else. Connect without TLS; the test server has none.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable

STARTUP_CODES = (80877103, 80877104)
"""SSLRequest and GSSENCRequest: another startup message follows."""

CHUNK = 65_536

WAIT_SECONDS = 20.0


class Proxy:
    """`with Proxy(port) as proxy`: connect to `proxy.port` on 127.0.0.1.

    `delay_seconds` holds every chunk back, in both directions. `rewrite` changes what the server says, keeping its
    length. `commits` counts the COMMITs that clients have sent, whatever became of them.
    """

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self.delay_seconds = 0.0
        self.rewrite: Callable[[bytes], bytes] = lambda chunk: chunk
        self.commits = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._pairs: list[_Pair] = []
        self._faults: list[str] = []
        self._frozen = False
        self._faulted = threading.Event()
        threading.Thread(target=self._accept, name="pgproxy", daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def connections(self) -> int:
        """Clients that are connected."""
        with self._lock:
            return len(self._pairs)

    def cut(self) -> None:
        """Break all connections off, to both sides. New ones are welcome."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            pair.close()

    def freeze(self) -> None:
        """All connections stay as they are, half open, and what is sent on them vanishes, for ever: a firewall has
        forgotten them. New ones fare no better until `thaw`."""
        with self._lock:
            self._frozen = True
            for pair in self._pairs:
                pair.frozen = True

    def thaw(self) -> None:
        """New connections work again."""
        self._frozen = False

    def lose_answer_of_commit(self) -> None:
        """The next COMMIT takes place, and the connection breaks before its answer."""
        self._arm("answer")

    def lose_commit(self) -> None:
        """The connection breaks at the next COMMIT, which the server never sees."""
        self._arm("request")

    def strand_commit(self) -> None:
        """The client's connection breaks at the next COMMIT, which stays on its way until `land_commit`; the server
        still takes the client for connected."""
        self._arm("strand")

    def land_commit(self) -> None:
        """Hand the stranded COMMIT to the server, if its session is still there to take it."""
        with self._lock:
            stranded = [pair for pair in self._pairs if pair.stranded]
        for pair in stranded:
            pair.land()

    def wait_for_fault(self) -> None:
        """Return when the armed fault has happened."""
        assert self._faulted.wait(WAIT_SECONDS), "no COMMIT came along"

    def close(self) -> None:
        """End everything."""
        # A close alone leaves the thread in accept(), and with it the port open.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    # ---- what pairs ask for ----------------------------------------------------------------------------------------

    def take_fault(self) -> str | None:
        """The fault for the COMMIT that has just come; it is used up."""
        with self._lock:
            self.commits += 1
            return self._faults.pop(0) if self._faults else None

    def fault_done(self) -> None:
        self._faulted.set()

    def gone(self, pair: _Pair) -> None:
        with self._lock:
            if pair in self._pairs:
                self._pairs.remove(pair)

    def _arm(self, fault: str) -> None:
        with self._lock:
            self._faulted.clear()
            self._faults.append(fault)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.server_port))
            except OSError:
                client.close()
                continue
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                pair = _Pair(self, client, server)
                pair.frozen = self._frozen
                self._pairs.append(pair)
            pair.start()


class _Pair:
    """One client's connection and the one to the server that belongs to it, with a thread for each direction."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self.proxy = proxy
        self.frozen = False
        self.stranded = b""
        self._client = client
        self._server = server
        self._frames = _Frames()
        self._commit = _CommitWatch()
        self._losing_answer = False
        self._server_ended = False

    def start(self) -> None:
        for work in (self._from_client, self._from_server):
            threading.Thread(target=self._guarded, args=(work,), name="pgproxy-pair", daemon=True).start()

    def close(self) -> None:
        for end in (self._client, self._server):
            _break(end)
        self.proxy.gone(self)

    def land(self) -> None:
        late, self.stranded = self.stranded, b""
        with contextlib.suppress(OSError):
            self._server.sendall(late)
        if self._server_ended:
            self.close()

    def _guarded(self, work: Callable[[], None]) -> None:
        with contextlib.suppress(OSError):
            work()
        self._server_ended = self._server_ended or work == self._from_server
        if not self.stranded and not self.frozen:  # frozen, the end of one side does not reach the other either
            self.close()

    def _from_client(self) -> None:
        while chunk := self._client.recv(CHUNK):
            if self.frozen:
                continue
            self._pause()
            fault = None
            for kind, body in self._frames.feed(chunk):
                if self._commit.sent(kind, body):
                    fault = fault or self.proxy.take_fault()
            if fault == "request":
                self.close()
                self.proxy.fault_done()
                return
            if fault == "strand":
                self.stranded = chunk
                _break(self._client)
                self.proxy.fault_done()
                return
            self._losing_answer = self._losing_answer or fault == "answer"
            self._server.sendall(chunk)

    def _from_server(self) -> None:
        frames = _Frames(startup=False)
        first = True
        while chunk := self._server.recv(CHUNK):
            if self.frozen:
                continue
            self._pause()
            chunk = self.proxy.rewrite(chunk)
            if first and chunk in (b"N", b"S", b"G"):
                first = False  # the answer to SSLRequest has no frame
                self._client.sendall(chunk)
                continue
            answered = [kind for kind, body in frames.feed(chunk) if (kind, body) == (b"C", b"COMMIT\0")]
            if self._losing_answer and answered:
                self.close()
                self.proxy.fault_done()
                return
            self._client.sendall(chunk)

    def _pause(self) -> None:
        if self.proxy.delay_seconds:
            time.sleep(self.proxy.delay_seconds)


class _Frames:
    """Cuts a stream into messages: (type, body); a client's startup messages have the type b""."""

    def __init__(self, *, startup: bool = True) -> None:
        self._startup = startup
        self._rest = b""

    def feed(self, chunk: bytes) -> list[tuple[bytes, bytes]]:
        self._rest += chunk
        found = []
        while True:
            head = 0 if self._startup else 1
            if len(self._rest) < head + 4:
                return found
            (length,) = struct.unpack_from("!I", self._rest, head)
            if len(self._rest) < head + length:
                return found
            found.append((self._rest[:head], self._rest[head + 4 : head + length]))
            if self._startup:
                self._startup = struct.unpack_from("!I", found[-1][1])[0] in STARTUP_CODES
            self._rest = self._rest[head + length :]


class _CommitWatch:
    """Knows a COMMIT when a client sends one: as a simple query, or by executing a statement that was parsed as one."""

    def __init__(self) -> None:
        self._statements: dict[bytes, bool] = {}
        self._portals: dict[bytes, bool] = {}

    def sent(self, kind: bytes, body: bytes) -> bool:
        """Whether this message makes the server commit."""
        if kind == b"Q":
            return _is_commit(body.rstrip(b"\0"))
        if kind == b"P":
            name, text, _ = body.split(b"\0", 2)
            self._statements[name] = _is_commit(text)
        elif kind == b"B":
            portal, statement, _ = body.split(b"\0", 2)
            self._portals[portal] = self._statements.get(statement, False)
        elif kind == b"E":
            return self._portals.get(body.split(b"\0", 1)[0], False)
        return False


def _is_commit(text: bytes) -> bool:
    words = text.strip().rstrip(b";").upper().split()
    return bool(words) and words[0] in (b"COMMIT", b"END")


def _break(end: socket.socket) -> None:
    """End a connection at once, also for a thread that waits for it."""
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
