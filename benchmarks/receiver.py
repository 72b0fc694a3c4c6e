"""A small OTLP receiver over HTTP that takes everything: in this process, telling when a span came, or in its own.

    python benchmarks/receiver.py

prints its port, keeps what it gets until its standard input ends, and then prints what that was, as JSON.
"""

from __future__ import annotations

import gzip
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TRACES_PATH: Final = "/v1/traces"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"

OnTraces = Callable[[bytes], None]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    on_traces: OnTraces

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        if self.path == TRACES_PATH:
            type(self).on_traces(content)
        # An empty message is a full success, whatever the signal.
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: standard output holds the result."""


class Arrivals:
    """When each tool call's span came, in steady seconds."""

    def __init__(self) -> None:
        self._times: dict[str, float] = {}
        self._come = threading.Condition()

    def take(self, content: bytes) -> None:
        """Note the spans of one request."""
        now = time.perf_counter()
        request = ExportTraceServiceRequest.FromString(content)
        with self._come:
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        for attribute in span.attributes:
                            if attribute.key == TOOL_CALL_ID:
                                self._times.setdefault(attribute.value.string_value, now)
            self._come.notify_all()

    def wait_for(self, tool_id: str, seconds: float) -> float:
        """The moment at which that call's span came; TimeoutError when it does not within `seconds`."""
        with self._come:
            if not self._come.wait_for(lambda: tool_id in self._times, seconds):
                raise TimeoutError(f"no span of {tool_id} came within {seconds:g} s")
            return self._times[tool_id]


@contextmanager
def receiver(on_traces: OnTraces) -> Iterator[int]:
    """A receiver on a free port of the loopback; `on_traces` is given each decompressed request."""
    handler = type("Handler", (_Handler,), {"on_traces": staticmethod(on_traces)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def main() -> None:
    """Receive until standard input ends; decoding waits until then, so as not to slow the sender down."""
    kept: list[bytes] = []
    with receiver(kept.append) as port:
        print(port, flush=True)
        sys.stdin.read()
    spans = sum(
        len(scope.spans)
        for content in kept
        for resource in ExportTraceServiceRequest.FromString(content).resource_spans
        for scope in resource.scope_spans
    )
    largest = max(map(len, kept), default=0)
    print(orjson.dumps({"requests": len(kept), "spans": spans, "largest_bytes": largest}).decode(), flush=True)


if __name__ == "__main__":
    main()
