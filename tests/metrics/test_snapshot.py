"""A snapshot shows the totals as the catalogue declares them."""

from __future__ import annotations

import pytest

from ccagent.metrics import names
from ccagent.metrics.catalogue import METRICS
from ccagent.metrics.snapshot import (
    NO_START,
    Family,
    Gauges,
    History,
    Point,
    Snapshot,
    StoredHistogram,
    StoredTotal,
    StoredTotals,
    snapshot,
)

DONE = History(store_ms=1_000, ledger_ms=10, caught_up_ms=2_000)
LATER = 5_000
BUCKETS = len(METRICS[names.TURN_DURATION].buckets or ()) + 1


def total(metric: str, *labels: str, value: int = 1, exportable: bool = True, created_ms: int = LATER) -> StoredTotal:
    return StoredTotal(metric, labels, exportable, value, created_ms)


def shown(
    *rows: StoredTotal | StoredHistogram,
    gauges: Gauges | None = None,
    history: History = DONE,
    project_label: bool = False,
    exportable_only: bool = False,
) -> Snapshot:
    stored = StoredTotals(
        totals=tuple(row for row in rows if isinstance(row, StoredTotal)),
        histograms=tuple(row for row in rows if isinstance(row, StoredHistogram)),
    )
    return snapshot(stored, gauges or {}, history, project_label=project_label, exportable_only=exportable_only)


def family(found: Snapshot, name: str) -> Family | None:
    return next((family for family in found.families if family.spec.name == name), None)


def points(found: Snapshot, name: str) -> dict[tuple[str, ...], Point]:
    there = family(found, name)
    return {} if there is None else {point.labels: point for point in there.points}


def test_projects_are_added_up_where_they_are_not_shown() -> None:
    found = shown(total(names.TURNS, "ok", "a", value=2), total(names.TURNS, "ok", "b", value=3))

    assert points(found, names.TURNS)[("ok",)].value == 5


def test_the_family_then_declares_no_project() -> None:
    there = family(shown(total(names.TURNS, "ok", "a")), names.TURNS)

    assert there is not None
    assert there.spec.labels == ("status",)


def test_projects_are_shown_where_the_configuration_allows_it() -> None:
    found = shown(total(names.TURNS, "ok", "a", value=2), total(names.TURNS, "ok", "b", value=3), project_label=True)

    assert points(found, names.TURNS)[("ok", "b")].value == 3


def test_all_amounts_are_shown_on_loopback() -> None:
    found = shown(total(names.TURNS, "ok", "a"), total(names.TURNS, "ok", "a", exportable=False))

    assert points(found, names.TURNS)[("ok",)].value == 2


def test_only_what_may_leave_is_exported() -> None:
    found = shown(
        total(names.TURNS, "ok", "a"),
        total(names.TURNS, "ok", "a", exportable=False),
        total(names.TOOL_CALLS, "Secret", "ok", "a", exportable=False),
        exportable_only=True,
    )

    assert points(found, names.TURNS)[("ok",)].value == 1
    assert points(found, names.TOOL_CALLS) == {}


def test_facts_are_absent_until_the_first_catch_up_is_done() -> None:
    history = History(store_ms=1_000, ledger_ms=10, caught_up_ms=None)
    found = shown(
        total(names.TURNS, "ok", "a"),
        total(names.INGEST_BYTES, value=99),
        gauges={(names.CACHE_HIT_RATIO, ("m",)): 0.5},
        history=history,
    )

    assert not any(there.spec.from_facts for there in found.families)
    assert points(found, names.INGEST_BYTES)[()].value == 99


def test_micro_dollars_are_shown_as_dollars() -> None:
    found = shown(total(names.COST_USD, "m", "input", "a", value=1_250_000))

    assert points(found, names.COST_USD)[("m", "input")].value == 1.25


def test_closed_values_show_0_from_the_start() -> None:
    assert points(shown(), names.TURNS).keys() == {
        (status,) for status in ("open", "ok", "error", "rejected", "interrupted", "timeout")
    }


def test_a_counter_without_labels_shows_0_from_the_start() -> None:
    assert points(shown(), names.INGEST_LOST)[()].value == 0


def test_closed_values_show_0_beside_each_open_value_seen() -> None:
    found = shown(total(names.TOOL_CALLS, "Bash", "ok", "a"))

    assert points(found, names.TOOL_CALLS)[("Bash", "error")].value == 0


def test_no_open_value_is_invented() -> None:
    assert family(shown(), names.TOOL_CALLS) is None


def test_overflow_shows_0_for_what_has_a_budget_only() -> None:
    found = points(shown(), names.METRICS_OVERFLOW)

    assert (names.TOKENS, "model") in found
    assert (names.TOKENS, "tool") not in found


def test_what_the_first_catch_up_booked_starts_with_the_ledger() -> None:
    found = shown(total(names.UNPRICED_TOKENS, "m", created_ms=1_500))

    assert points(found, names.UNPRICED_TOKENS)[("m",)].created_ms == 10


def test_a_new_open_value_carries_its_own_start() -> None:
    found = shown(total(names.UNPRICED_TOKENS, "m", created_ms=LATER))

    assert points(found, names.UNPRICED_TOKENS)[("m",)].created_ms == LATER


def test_a_series_that_was_shown_as_0_keeps_its_start_when_it_grows() -> None:
    before = shown(total(names.TOOL_CALLS, "Bash", "ok", "a", created_ms=LATER))
    after = shown(
        total(names.TOOL_CALLS, "Bash", "ok", "a", created_ms=LATER),
        total(names.TOOL_CALLS, "Bash", "error", "a", created_ms=LATER + 77),
    )

    series = ("Bash", "error")
    assert points(after, names.TOOL_CALLS)[series].created_ms == points(before, names.TOOL_CALLS)[series].created_ms


def test_ccagents_own_series_start_with_the_store() -> None:
    assert points(shown(), names.STORE_FAILURES)[("full",)].created_ms == DONE.store_ms


def test_histograms_of_what_is_not_shown_apart_are_added() -> None:
    counts = (1, 2, *[0] * (BUCKETS - 2))
    rows = [StoredHistogram(names.TURN_DURATION, ("ok",), leaves, counts, 0.25, LATER) for leaves in (True, False)]

    point = points(shown(*rows), names.TURN_DURATION)[("ok",)]
    assert point.counts == (2, 4, *[0] * (BUCKETS - 2))
    assert (point.value, point.sum) == (6, 0.5)


@pytest.mark.parametrize(
    "row",
    [
        total("gone.metric", "x"),
        total(names.TURNS, "ok"),
        total(names.STORE_SIZE),
        StoredHistogram(names.TURN_DURATION, ("ok",), True, (1, 2), 1.0, LATER),
    ],
)
def test_rows_that_this_version_does_not_declare_are_skipped_and_counted(row: StoredTotal | StoredHistogram) -> None:
    found = shown(row)

    assert found.skipped == 1


def test_gauges_are_shown_as_given() -> None:
    found = shown(gauges={(names.CACHE_HIT_RATIO, ("m",)): 0.75})

    assert points(found, names.CACHE_HIT_RATIO) == {("m",): Point(("m",), 0.75, NO_START)}


def test_a_gauge_that_nobody_measured_is_absent() -> None:
    assert family(shown(), names.STORE_WAL) is None


def test_the_other_states_of_a_state_are_0() -> None:
    found = points(shown(gauges={(names.EXPORT_STATE, ("d", "traces", "active")): 1}), names.EXPORT_STATE)

    assert {labels[2]: point.value for labels, point in found.items()} == {
        "disabled": 0, "active": 1, "degraded": 0, "circuit_open": 0, "half_open": 0,
    }  # fmt: skip


@pytest.mark.parametrize("key", [(names.STORE_WAL, ("x",)), (names.TURNS, ("ok", "p"))])
def test_a_gauge_against_the_catalogue_is_an_error(key: tuple[str, tuple[str, ...]]) -> None:
    with pytest.raises(ValueError, match="given as a gauge"):
        shown(gauges={key: 1})


def test_families_come_in_the_catalogues_order() -> None:
    order = list(METRICS)
    found = [there.spec.name for there in shown(total(names.TOKENS, "m", "input", "a")).families]

    assert found == sorted(found, key=order.index)
