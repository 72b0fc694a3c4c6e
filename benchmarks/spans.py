"""Spans from the store to a receiver in another process, beside the limit: the same messages built and serialised only.

Both run in turn over the same closed facts; each sending has a cursor of its own, so that it begins anew.

    python benchmarks/spans.py [--tree DIR] [--mb N] [--runs 5] [--json FILE]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import orjson

from benchmarks.figures import MEGABYTE, Figure, conditions, finish, median, options
from benchmarks.generate import tree_or_generated
from ccagent import __version__
from ccagent.clock import SystemClock
from ccagent.export.otlp.batch import MAX_BYTES, MAX_ITEMS, collect
from ccagent.export.otlp.encoding import Traces
from ccagent.export.otlp.outbox import Outbox
from ccagent.export.otlp.payload import Envelope
from ccagent.export.otlp.sender import Destination, make_sender
from ccagent.export.privacy import Policy
from ccagent.follow.reader import MAX_LINE
from ccagent.logs import configure
from ccagent.service.exporting import Observed
from ccagent.service.following import Following
from ccagent.service.live import Live
from ccagent.store import outbox as stored
from ccagent.store.open import open_reader
from ccagent.store.sqlite import SqliteStore

RUNS: Final = 5
SENT_GOAL: Final = 20_000
"""Spans a second."""

RESOURCE: Final = {"service.name": "ccagent", "service.version": __version__}
FIRST_MS: Final = 1
"""The destinations are named at the beginning of time: nothing in the tree is history to them."""


def everything(cwd: str | None, project: str | None) -> Policy:
    """The tier of every project: it may leave."""
    return Policy(tier=1)


@contextmanager
def collector() -> Iterator[tuple[int, dict[str, Any]]]:
    """A receiver in a process of its own: its port, and a place that holds what it got once it has ended."""
    found: dict[str, Any] = {}
    script = Path(__file__).with_name("receiver.py")
    with subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), found
        finally:
            out, _ = process.communicate("", timeout=120)
            found.update(orjson.loads(out))


class Sending:
    """One store with its closed facts, and the two ways over them."""

    def __init__(self, store: SqliteStore, port: int) -> None:
        self._store = store
        self._port = port
        self._runs = 0

    def send(self) -> tuple[float, int]:
        """All facts to the receiver: seconds, and spans that it took. RuntimeError when it did not take all."""
        self._runs += 1
        name = f"run-{self._runs}"
        destination = Destination(name=name, urls={"traces": f"http://127.0.0.1:{self._port}/v1/traces"})
        sender = make_sender(destination)
        observed = Observed(Live())
        outbox = Outbox(
            name, sender, encoding=Traces(), host=self._store.host, resource=RESOURCE, version=__version__,
            reader=lambda: open_reader(self._store.path), write=self._store.write, policy=everything, observe=observed,
        )  # fmt: skip
        outbox.name(FIRST_MS)
        began = time.perf_counter()
        drained = outbox.drain_once(FIRST_MS)
        seconds = time.perf_counter() - began
        sender.close()
        if drained.backlog or drained.problem:
            raise RuntimeError(f"{drained.backlog} spans were not taken: {drained.problem or 'no reason given'}")
        return seconds, drained.sent

    def build(self) -> tuple[float, int]:
        """The same facts read beforehand, built and serialised in batches of the same size: seconds, spans."""
        with open_reader(self._store.path) as conn:
            rows = stored.closed_facts(conn, self._store.host, 0, 1 << 40)
        began, count = time.perf_counter(), 0
        for start in range(0, len(rows), MAX_ITEMS):
            batch = collect(rows[start : start + MAX_ITEMS], Traces(), everything, max_bytes=MAX_BYTES, end=0)
            Envelope(RESOURCE, __version__).around(batch.encoded).SerializeToString()
            count += len(batch.items)
        return time.perf_counter() - began, count


def measure(tree: Path, folder: Path, runs: int) -> tuple[list[Figure], dict[str, Any]]:
    """Take the tree in, then both ways in turn."""
    clock = SystemClock()
    store = SqliteStore(folder / "spans.db", clock=clock)
    following = Following(store, [tree], Live(), clock, max_line=MAX_LINE, scan_seconds=60.0)
    following.once()
    following.follower.close()
    with collector() as (port, got):
        sending = Sending(store, port)
        sending.send()
        pairs = [(sending.send(), sending.build()) for _ in range(runs)]
    store.close()
    sent = median([spans / seconds for (seconds, spans), _ in pairs])
    built = median([spans / seconds for _, (seconds, spans) in pairs])
    expected = sum(spans for (_, spans), _ in pairs) + pairs[0][0][1]
    if got["spans"] != expected:
        raise RuntimeError(f"{expected} spans were sent and {got['spans']} came")
    figures = [
        Figure(what="spans read, encoded, sent and acknowledged", value=sent, unit="spans/s", goal=SENT_GOAL,
               bound="at least"),
        Figure(what="limit: spans built and serialised only", value=built, unit="spans/s"),
        Figure(what="share of the limit", value=100 * sent / built, unit="%"),
        Figure(what="spans of one run", value=pairs[0][0][1], unit=""),
        Figure(what="largest request, uncompressed", value=got["largest_bytes"] / MEGABYTE, unit="MB", goal=4.0),
    ]  # fmt: skip
    return figures, {"runs": pairs, "receiver": got}


def main() -> None:
    """Measure over one tree."""
    parser = options(__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    given = parser.parse_args()
    configure(level="error", format="json")
    taken = conditions()
    with (
        tempfile.TemporaryDirectory(prefix="ccagent-benchmark-") as folder,
        tree_or_generated(given.tree, given.mb) as on,
    ):
        figures, details = measure(on, Path(folder), given.runs)
    finish("spans", figures, taken, given.json, **details)


if __name__ == "__main__":
    main()
