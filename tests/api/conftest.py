"""A running listener for each test, on a port of its own."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from ccagent.api.routes import AppState
from ccagent.api.server import HttpListener
from ccagent.metrics import names
from ccagent.metrics.snapshot import History, Snapshot, StoredTotal, StoredTotals, snapshot

HISTORY = History(store_ms=1_000, ledger_ms=500, caught_up_ms=2_000)


def some_metrics() -> Snapshot:
    """A page with one counter of facts."""
    row = StoredTotal(names.TOKENS, ("claude-opus-4-6", "input", "demo"), True, 42, 3_000)
    return snapshot(StoredTotals(totals=(row,)), {}, HISTORY, project_label=False, exportable_only=False)


@dataclass
class Switches:
    """What a test changes while the listener runs."""

    ready: bool = True
    take: Callable[[], Snapshot] = field(default=some_metrics)


@dataclass
class Served:
    """A listener and a way to ask it."""

    listener: HttpListener
    switches: Switches

    @property
    def port(self) -> int:
        return int(self.listener.address.rpartition(":")[2])

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        """The answer and its body; header names with _ for -."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()


@pytest.fixture
def served() -> Iterator[Served]:
    switches = Switches()
    state = AppState(snapshot=lambda: switches.take(), ready=lambda: switches.ready, version="1.2.3")
    listener = HttpListener(state, "127.0.0.1", 0)
    listener.start()
    yield Served(listener, switches)
    listener.stop()
