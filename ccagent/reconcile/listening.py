"""A receiver of OTLP on this machine alone, for as long as it is asked to listen: HTTP and gRPC on one port.

A connection that begins as HTTP/2 does goes to a gRPC server behind, which has a port of its own on loopback; all others
are HTTP/1.1. Nothing that is received is kept but what the comparison needs.
"""

from __future__ import annotations

import ipaddress
import select
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from ccagent.errors import PortTakenError, UsageError
from ccagent.reconcile.native import Native
from ccagent.reconcile.payloads import take_json, take_protobuf

SIGNALS: Final = {"/v1/logs": "logs", "/v1/traces": "traces", "/v1/metrics": "metrics"}
SERVICES: Final = {
    "opentelemetry.proto.collector.logs.v1.LogsService": "logs",
    "opentelemetry.proto.collector.trace.v1.TraceService": "traces",
    "opentelemetry.proto.collector.metrics.v1.MetricsService": "metrics",
}

MAX_REQUEST: Final = 16 * 1024 * 1024
"""Bytes of a request, unpacked: four times what receivers accept by default."""

PREFACE: Final = b"PRI"
"""How a connection of HTTP/2 begins."""

FIRST_SECONDS: Final = 30.0
"""A connection that says nothing for so long is closed."""

BLOCK: Final = 64 * 1024

GRACE_SECONDS: Final = 0.2
"""For requests that are being taken when the listening ends."""

END_SECONDS: Final = 5.0
"""For the gRPC server to end, which holds up nothing: what came is complete by then."""

Take = Callable[[bytes, str, bool], bool]
"""Takes one payload of a signal (True: it is JSON); whether it was one."""


def loopback(address: str) -> tuple[str, int]:
    """Host and port of HOST:PORT. UsageError for anything but an address of this machine alone."""
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
        number = int(port)
        if not 0 <= number <= 65_535:
            raise ValueError
    except ValueError:
        raise UsageError(f"--listen: {address!r} is no HOST:PORT; write such as 127.0.0.1:4319") from None
    if not local:
        raise UsageError(f"--listen: {address!r} is open to other machines; use an address such as 127.0.0.1:4319")
    return host, number


@contextmanager
def receiver(native: Native, host: str, port: int) -> Iterator[int]:
    """Listens while the context lasts; gives the port (port 0 takes any). PortTakenError where it is taken."""
    lock = threading.Lock()

    def take(data: bytes, signal: str, is_json: bool) -> bool:
        with lock:
            return take_json(native, data) if is_json else take_protobuf(native, data, signal) or not data

    behind, behind_port = _grpc(take)
    try:
        server = _Server(host, port, take, behind_port)
    except OSError as error:
        behind.stop(None)
        raise PortTakenError(f"{host}:{port} cannot be opened ({error.strerror}); choose another --listen") from error
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="ccagent-reconcile", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        behind.stop(GRACE_SECONDS).wait(END_SECONDS)


def _grpc(take: Take) -> tuple[Any, int]:
    """A gRPC server on a port of its own, and the port."""
    import grpc

    def export(signal: str) -> Callable[[bytes, Any], bytes]:
        def handle(data: bytes, context: Any) -> bytes:
            if not take(data, signal, False):
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no such request")
            return b""

        return handle

    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", MAX_REQUEST)])
    server.add_generic_rpc_handlers(tuple(
        grpc.method_handlers_generic_handler(service, {"Export": grpc.unary_unary_rpc_method_handler(export(signal))})
        for service, signal in SERVICES.items()
    ))  # fmt: skip
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, take: Take, behind: int) -> None:
        self.take = take
        self._behind = behind
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Look at the first bytes, in the connection's own thread, and hand it over."""
        with suppress(OSError):  # whoever connected went away
            request.settimeout(FIRST_SECONDS)
            if request.recv(len(PREFACE), socket.MSG_PEEK) == PREFACE:
                _relay(request, self._behind)
            else:
                super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is nobody's concern."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = FIRST_SECONDS
    server: _Server

    def do_POST(self) -> None:
        """Take one request."""
        signal, body = SIGNALS.get(self.path), self._body()
        is_json = (self.headers.get("Content-Type") or "").startswith("application/json")
        if body is None or signal is None:
            self._answer(404 if signal is None else 413, is_json)
        elif self.server.take(body, signal, is_json):
            self._answer(200, is_json)
        else:
            self._answer(400, is_json)

    def _body(self) -> bytes | None:
        """The body, unpacked; None where it is too long, has no length or cannot be unpacked."""
        length = self.headers.get("Content-Length") or ""
        if not length.isdigit() or int(length) > MAX_REQUEST:
            self.close_connection = True
            return None
        data = self.rfile.read(int(length))
        if self.headers.get("Content-Encoding") != "gzip":
            return data
        unpacking = zlib.decompressobj(wbits=31)
        try:
            unpacked = unpacking.decompress(data, MAX_REQUEST)
        except zlib.error:
            return None
        return None if unpacking.unconsumed_tail else unpacked

    def _answer(self, status: int, is_json: bool) -> None:
        body = b"{}" if is_json else b""
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if is_json else "application/x-protobuf")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not talked about."""


def _relay(client: socket.socket, port: int) -> None:
    """Carry bytes between a client and the gRPC server until either closes."""
    with socket.create_connection(("127.0.0.1", port)) as behind:
        client.settimeout(None)
        while True:
            ready, _, _ = select.select((client, behind), (), ())
            for one in ready:
                data = one.recv(BLOCK)
                if not data:
                    return
                (behind if one is client else client).sendall(data)
