"""Both kinds of receivers for the tests of real daemons, a door in front of one, and what can be read of its spans."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ccagent.export.otlp.closed import SPAN_TYPES
from ccagent.facts.model import KEY_PREFIXES, EventType
from ccagent.facts.trace_ids import span_id
from tests.daemon.rig import Daemon, Ground, now_ms
from tests.otlp.receiver import Received, Running, grpc_receiver, http_receiver
from tests.transcripts import Session, Usage, text, tool_use

PROTOCOLS = ("grpc", "http/protobuf")

PIECE = 65_536


def receiver(protocol: str) -> AbstractContextManager[Running]:
    """A receiver of this protocol."""
    return grpc_receiver() if protocol == "grpc" else http_receiver()


def options(url: str, protocol: str) -> tuple[str, ...]:
    """What makes `run` send there."""
    return ("--otlp-endpoint", url, "--otlp-protocol", protocol)


class Door:
    """A port that leads to another one while it is open; closed, nobody listens there."""

    def __init__(self, target: int) -> None:
        self._target = target
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port: int = found.getsockname()[1]
        self._listening: socket.socket | None = None
        self._pairs: list[socket.socket] = []

    @property
    def url(self) -> str:
        """The address of the door."""
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        """Let through who comes from now on."""
        self._listening = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def close(self) -> None:
        """Refuse who comes, and cut off who came."""
        for one in [*filter(None, [self._listening]), *self._pairs]:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the other side was quicker
            one.close()
        self._listening, self._pairs = None, []

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            self._pairs += [client, server]
            threading.Thread(target=_pump, args=(client, server), daemon=True).start()


def _pump(client: socket.socket, server: socket.socket) -> None:
    """Carry bytes both ways until one side ends."""
    with selectors.DefaultSelector() as selector:
        try:
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in selector.select():
                    piece = key.fileobj.recv(PIECE)  # type: ignore[union-attr]
                    if not piece:
                        raise OSError("ended")
                    key.data.sendall(piece)
        except (OSError, ValueError):
            for one in (client, server):
                one.close()


@contextmanager
def door(target: int) -> Iterator[Door]:
    """A closed door to a port of this machine."""
    found = Door(target)
    try:
        yield found
    finally:
        found.close()


def rich_session(name: str, *, secret: str = "nothing", cwd: str | None = None) -> Session:
    """Three turns with tools, a sub-agent in a file of its own and one relayed in the main file; `secret` stands in
    every text, path and command, in the branch and in the folder."""
    session = Session(
        seed=name, start=now_ms() - 120_000, cwd=cwd or f"/home/demo/{secret}-folder", branch=f"{secret}-branch"
    )
    session.prompt(f"{secret} please")
    session.assistant(text(f"{secret} indeed"), usage=Usage(input=3, output=40, cache_read=500, cache_write=70))
    session.bash(f"echo {secret}", exit_code=1, usage=Usage(input=4, output=50, cache_read=570))
    session.tool("Read", {"file_path": f"/srv/{secret}.txt"}, secret, usage=Usage(input=5, output=60, cache_write=80))
    launched = session.launch(kind="Explore", words=f"{secret} search", usage=Usage(input=6, output=70))
    child = session.agent()
    child.prompt(f"{secret} search")
    child.tool("Grep", {"pattern": secret}, secret, usage=Usage(input=7, output=80, cache_write=90, cache_write_1h=40))
    child.assistant(text(secret), usage=Usage(input=8, output=90))
    session.landed(launched, child, kind="Explore")
    _relayed(session, secret)
    session.assistant(text(secret), usage=Usage(input=11, output=120))
    session.turn_duration(30_000)
    session.prompt(f"{secret} again")
    session.edit(f"/srv/{secret}.py", added=3, removed=1, usage=Usage(input=12, output=130))
    session.slash("/review", secret)
    session.assistant(text(secret), usage=Usage(input=13, output=140))
    session.turn_duration(9_000)
    return session


def _relayed(session: Session, secret: str) -> None:
    """A sub-agent whose lines stand inside progress records of the main file only."""
    launched = session.launch(kind="Plan", words=secret, usage=Usage(input=9, output=100))
    child = session.agent()
    session.agents.remove(child)
    call = session.ids.tool()
    assert child.agent_id is not None
    session.agent_progress(
        launched, child.agent_id, tool_use(call, "Glob", {"pattern": secret}), usage=Usage(input=10, output=110),
        prompt=secret,
    )  # fmt: skip
    session.agent_progress_result(launched, child.agent_id, call, secret)
    child.now = session.now
    session.landed(launched, child, kind="Plan")


def play(ground: Ground, daemon: Daemon, session: Session) -> None:
    """Append the session's lines and its sub-agents' in the order of their times, each once the last was taken in."""
    lines = sorted(
        ((line.at_ms, order, part, line.raw) for order, part in enumerate((session, *session.agents))
         for line in part.lines),
        key=lambda line: line[:2],
    )  # fmt: skip
    written = ground.taken()
    for _, _, part, raw in lines:
        ground.tree.append(part, raw)
        written += len(raw)
        daemon.until(lambda: ground.taken() == written, "the line was taken in")  # noqa: B023 - called here and now


def expected(ground: Ground) -> set[bytes]:
    """Ids of the spans of all facts that are closed."""
    kinds = ",".join(str(int(kind)) for kind in SPAN_TYPES)
    rows = ground.rows(f"SELECT type, native FROM fact WHERE type IN ({kinds}) AND closed_seq IS NOT NULL")
    return {span_id(KEY_PREFIXES[EventType(kind)] + native) for kind, native in rows}


def open_facts(ground: Ground) -> int:
    """Facts that would be spans and are not closed yet."""
    kinds = ",".join(str(int(kind)) for kind in SPAN_TYPES)
    return int(ground.rows(f"SELECT count(*) FROM fact WHERE type IN ({kinds}) AND closed_seq IS NULL")[0][0])


def all_left(ground: Ground, received: Received) -> bool:
    """Whether everything is closed, and the receiver has a span of each."""
    return open_facts(ground) == 0 and {span.span_id for span in received.spans} == expected(ground)


def attributes(span: Span) -> dict[str, Any]:
    """A span's attributes as plain values."""
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in span.attributes}


def points(received: Received, name: str) -> list[tuple[dict[str, str], float, int]]:
    """The data points of a sum in the last request that holds it: labels, value, start (ns)."""
    last = [metric for metric in received.metrics if metric.name == name][-1]
    return [
        ({pair.key: pair.value.string_value for pair in point.attributes},
         point.as_int if point.WhichOneof("value") == "as_int" else point.as_double, point.start_time_unix_nano)
        for point in last.sum.data_points
    ]  # fmt: skip
