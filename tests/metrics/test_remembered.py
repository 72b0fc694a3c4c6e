"""A snapshot that remembers the one before says what a fresh one says, whatever happened between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.export.prometheus import render
from ccagent.metrics import names, remembered
from ccagent.metrics.catalogue import METRICS
from ccagent.metrics.remembered import Remembered
from ccagent.metrics.snapshot import History, StoredTotals, snapshot
from ccagent.store import totals
from ccagent.store.generation import begin, restarts
from ccagent.store.ingest import Ingest
from tests.sources.feed import START_MS, Feed

pytestmark = pytest.mark.usefixtures("either_store")

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
HISTORY = History(store_ms=1_000, ledger_ms=500, caught_up_ms=2_000)

Step = tuple[str, int]
STEPS = st.lists(
    st.tuples(st.sampled_from(["count", "observe", "undeclared", "restart", "gone", "beside", "nothing"]), st.integers(0, 5)),
    min_size=1, max_size=12,
)  # fmt: skip


def happen(feed: Feed, what: str, number: int) -> None:
    """Something that changes totals: booked, begun anew, restored to less, or written by another process."""
    labels = (f"tool-{number}", "ok")

    def work(state: Ingest) -> None:
        conn, leaves = state.conn, number % 2 == 0
        if what == "count":
            state.booking.count(names.TOOL_CALLS, (*labels, "atlas" if leaves else ""), number + 1, leaves)
        elif what == "observe":
            state.booking.observe(names.TOOL_DURATION, labels, number, leaves)
        elif what == "undeclared":
            state.booking.count("of.another.version", labels, 1)
        elif what == "restart":
            begin(conn, state.host, [names.TOOL_CALLS, names.TOOL_DURATION], START_MS + number)
        elif what == "gone":
            conn.execute("DELETE FROM total WHERE metric = ?", (names.TOOL_CALLS,))
        elif what == "beside":
            conn.execute("UPDATE histogram SET sum = sum + 1 WHERE metric = ?", (names.TOOL_DURATION,))
        state.wrote = True

    feed.store.run(work)


@given(STEPS, st.booleans(), st.booleans())
def test_it_says_what_a_fresh_one_says(steps: list[Step], project_label: bool, exportable_only: bool) -> None:
    compare(steps, project_label=project_label, exportable_only=exportable_only)


@given(STEPS, st.booleans(), st.booleans())
def test_so_it_does_of_families_made_in_pieces(steps: list[Step], project_label: bool, exportable_only: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remembered, "LARGE", 1)
        compare(steps, project_label=project_label, exportable_only=exportable_only)


@pytest.mark.parametrize("large", [1, 2, remembered.LARGE])
def test_so_it_does_of_everything_in_turn(large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "LARGE", large)
    steps = [(what, number) for number in (1, 2, 1) for what in ("count", "observe", "undeclared", "nothing", "beside")]

    compare(
        [*steps, ("restart", 7), ("count", 1), ("gone", 0), ("count", 2)], project_label=True, exportable_only=False
    )


def compare(steps: list[Step], *, project_label: bool, exportable_only: bool) -> None:
    """Take both kinds after each step."""
    feed, reading, memory = Feed(), totals.Reading(), Remembered()
    conn, host = feed.store.conn, feed.store.host

    for what, number in steps:
        happen(feed, what, number)
        history = History(store_ms=1_000, ledger_ms=500, caught_up_ms=2_000, restarted=restarts(conn, host))
        shown = {"project_label": project_label, "exportable_only": exportable_only}
        gauges = {(names.STORE_SIZE, ()): number}
        fresh = snapshot(totals.read(conn, host), gauges, history, **shown)
        found = memory.snapshot(reading.read(conn, host), gauges, history, registry=METRICS, **shown)

        assert found == fresh
        assert render(found, OPENMETRICS) == render(fresh, OPENMETRICS)
        assert render(found) == render(fresh)


def test_an_unchanged_family_is_not_made_again() -> None:
    feed, reading, memory = Feed(), totals.Reading(), Remembered()
    happen(feed, "count", 1)
    happen(feed, "observe", 1)

    def families() -> dict[str, object]:
        parts = reading.read(feed.store.conn, feed.store.host)
        taken = memory.snapshot(
            parts, {}, HISTORY, project_label=False, exportable_only=False, registry=METRICS
        )  # fmt: skip
        return {family.spec.name: family for family in taken.families}

    before = families()
    happen(feed, "count", 2)
    after = families()

    assert after[names.TOOL_DURATION] is before[names.TOOL_DURATION]
    assert after[names.TOOL_CALLS] is not before[names.TOOL_CALLS]


def test_of_a_large_family_only_the_piece_that_changed_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "LARGE", 2)
    feed, reading, memory = Feed(), totals.Reading(), Remembered()
    for number in (1, 2, 3):
        happen(feed, "count", number)

    def pieces() -> list[object]:
        parts = reading.read(feed.store.conn, feed.store.host)
        taken = memory.snapshot(parts, {}, HISTORY, project_label=False, exportable_only=False, registry=METRICS)
        (calls,) = [family for family in taken.families if family.spec.name == names.TOOL_CALLS]
        return list(calls.pieces)

    before = pieces()
    happen(feed, "count", 2)

    assert [one is two for one, two in zip(before, pieces(), strict=True)] == [True, False, True]


def test_another_kind_of_snapshot_is_not_mixed_in() -> None:
    feed, reading, memory = Feed(), totals.Reading(), Remembered()
    happen(feed, "count", 1)  # may not leave

    def calls(*, exportable_only: bool) -> int:
        taken = memory.snapshot(
            reading.read(feed.store.conn, feed.store.host), {}, HISTORY, project_label=False,
            exportable_only=exportable_only, registry=METRICS,
        )  # fmt: skip
        return sum(len(family.points) for family in taken.families if family.spec.name == names.TOOL_CALLS)

    assert calls(exportable_only=False) > 0
    assert calls(exportable_only=True) == 0


def test_what_is_not_committed_is_not_seen() -> None:
    feed = Feed()

    def fails(state: Ingest) -> None:
        state.booking.count(names.TOOL_CALLS, ("tool", "ok", ""))
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError):
        feed.store.run(fails)

    parts = totals.Reading().read(feed.store.conn, feed.store.host)
    assert parts.get(names.TOOL_CALLS, StoredTotals()) == StoredTotals()
