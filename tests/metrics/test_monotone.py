"""Whatever is booked, in whatever order of batches, failures, restarts and scrapes: no counter on the page falls."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from ccagent.export.prometheus import render
from ccagent.metrics import names
from ccagent.metrics.booked import Booking
from ccagent.metrics.labels import Budget
from ccagent.metrics.snapshot import History, snapshot
from ccagent.store import totals
from tests.metrics.conftest import open_store

OPENMETRICS: Final = "application/openmetrics-text;version=1.0.0"
MAY_FALL: Final = ("_created",)
START_MS: Final = 1_000_000

Series = tuple[str, frozenset[tuple[str, str]]]


@dataclass(frozen=True)
class Batch:
    """One ingest transaction: requests of (model, project, tokens, seconds, may leave), committed or not."""

    requests: tuple[tuple[str, str, int, float, bool], ...]
    committed: bool


@dataclass(frozen=True)
class Restart:
    """The daemon ends; what it knew is what the store knows."""


@dataclass(frozen=True)
class CaughtUp:
    """The first catch-up is done."""


REQUESTS = st.tuples(
    st.sampled_from(["a", "b", "c", "d"]),
    st.sampled_from(["p", "q"]),
    st.integers(0, 10**9),
    st.floats(-5, 5) | st.floats(0, 10_000),
    st.booleans(),
)
STEPS = st.lists(
    st.one_of(
        st.builds(Batch, st.lists(REQUESTS, max_size=4).map(tuple), st.booleans()),
        st.just(Restart()),
        st.just(CaughtUp()),
    ),
    max_size=12,
)


class Daemon:
    """What books and what is scraped, on one database."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now_ms = START_MS
        self.caught_up_ms: int | None = None
        self.start()

    def start(self) -> None:
        self.conn = open_store(self.path)
        self.budget = Budget(totals.load_admitted(self.conn, 1), limits={"model": 2})

    def restart(self) -> None:
        self.conn.close()
        self.start()

    def take_in(self, batch: Batch) -> None:
        self.now_ms += 1_000
        booking = Booking()
        for model, project, tokens, seconds, leaves in batch.requests:
            shown = self.budget.admit(names.TOKENS, "model", model)
            booking.count(names.TOKENS, (shown, "input", project), tokens, leaves)
            booking.count(names.COST_USD, (shown, "input", project), tokens // 3, leaves)
            timed = self.budget.admit(names.REQUEST_DURATION, "model", model)
            booking.observe(names.REQUEST_DURATION, (timed,), seconds, leaves)
        for (metric, label), count in self.budget.overflowed.items():
            booking.count(names.METRICS_OVERFLOW, (metric, label), count)
        self.conn.execute("BEGIN IMMEDIATE")
        totals.save_admitted(self.conn, 1, self.budget.fresh)
        totals.add(self.conn, 1, booking.amounts, self.now_ms)
        totals.observe(self.conn, 1, booking.observations, self.now_ms)
        self.conn.execute("COMMIT" if batch.committed else "ROLLBACK")
        if batch.committed:
            self.budget.settle()
        else:
            self.budget.withdraw()

    def scrape(self, accept: str, *, project_label: bool, exportable_only: bool) -> dict[Series, float]:
        history = History(store_ms=START_MS, ledger_ms=START_MS // 2, caught_up_ms=self.caught_up_ms)
        taken = snapshot(
            totals.read(self.conn), {}, history, project_label=project_label, exportable_only=exportable_only
        )
        text = render(taken, accept)[0].decode()
        families = parse_openmetrics(text) if accept else parse_text(text)
        return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def fallen(before: Mapping[Series, float], after: Mapping[Series, float]) -> list[Series]:
    """Series that are gone, smaller, or have another start."""
    return [
        series
        for series, value in before.items()
        if series not in after
        or (after[series] != value if series[0].endswith(MAY_FALL) else after[series] < value)
    ]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(STEPS, st.booleans(), st.booleans(), st.booleans(), st.sampled_from(["", OPENMETRICS]))
def test_no_counter_falls_and_no_start_moves(
    steps: list[Batch | Restart | CaughtUp], empty_tree: bool, project_label: bool, exportable_only: bool, accept: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(Path(folder) / "totals.db")
        daemon.caught_up_ms = START_MS if empty_tree else None
        seen = daemon.scrape(accept, project_label=project_label, exportable_only=exportable_only)
        for step in steps:
            match step:
                case Batch():
                    daemon.take_in(step)
                case Restart():
                    daemon.restart()
                case CaughtUp():
                    daemon.caught_up_ms = daemon.caught_up_ms or daemon.now_ms

            now = daemon.scrape(accept, project_label=project_label, exportable_only=exportable_only)

            assert fallen(seen, now) == []
            seen = now
        daemon.conn.close()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.builds(Batch, st.lists(REQUESTS, max_size=4).map(tuple), st.just(True)), max_size=8))
def test_the_page_adds_up_to_what_was_booked(batches: list[Batch]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(Path(folder) / "totals.db")
        for batch in batches:
            daemon.take_in(batch)
        daemon.caught_up_ms = daemon.now_ms

        page = daemon.scrape("", project_label=False, exportable_only=False)

        daemon.conn.close()
    requests = [request for batch in batches for request in batch.requests]
    assert sum(v for (name, _), v in page.items() if name == "ccagent_tokens_total") == sum(r[2] for r in requests)
    counted = [v for (name, _), v in page.items() if name == "ccagent_request_duration_seconds_count"]
    assert sum(counted) == len(requests)
