"""The page says what the snapshot says, in the format that was asked for."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from ccagent.export.exposition import number
from ccagent.export.prometheus import SnapshotCollector, render
from ccagent.metrics import names
from ccagent.metrics.booked import Booking
from ccagent.metrics.snapshot import History, Snapshot, StoredHistogram, StoredTotal, StoredTotals, snapshot

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
HISTORY = History(store_ms=1_000, ledger_ms=500, caught_up_ms=2_000)
VALUES = st.text(
    st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from('"\\\n{},= #'), min_size=1, max_size=12
)


def page(booking: Booking, gauges: dict[tuple[str, tuple[str, ...]], float] | None = None) -> Snapshot:
    """The snapshot of what `booking` holds."""
    stored = StoredTotals(
        totals=tuple(StoredTotal(*key, value, 3_000) for key, value in booking.amounts.items()),
        histograms=tuple(
            StoredHistogram(*key, tuple(counts), total, 3_000) for key, (counts, total) in booking.observations.items()
        ),
    )
    return snapshot(stored, gauges or {}, HISTORY, project_label=True, exportable_only=False)


def some_page() -> Snapshot:
    booking = Booking()
    booking.count(names.TOKENS, ("claude-opus-4-6", "input", "demo"), 10**12)
    booking.count(names.COST_USD, ("claude-opus-4-6", "input", "demo"), 12_345_678)
    booking.observe(names.TOOL_DURATION, ("Bash", "ok"), 0.3)
    booking.observe(names.TOOL_DURATION, ("Bash", "ok"), 9_999)
    gauges = {(names.CACHE_HIT_RATIO, ("claude-opus-4-6",)): 0.875, (names.BUILD_INFO, ()): 1.0}
    return page(booking, gauges)


def samples(families: Iterable[Metric]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample by name and labels; fails where one stands twice."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in families:
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"{key} stands twice"
            found[key] = sample.value
    return found


def test_text_says_what_prometheus_clients_own_encoder_says() -> None:
    theirs = generate_latest(SnapshotCollector(some_page)).decode()  # type: ignore[arg-type]

    assert samples(parse_text(render(some_page())[0].decode())) == samples(parse_text(theirs))


def test_openmetrics_says_what_prometheus_clients_own_encoder_says() -> None:
    theirs = generate_openmetrics(SnapshotCollector(some_page, created=True)).decode()

    ours = samples(parse_openmetrics(render(some_page(), OPENMETRICS)[0].decode()))
    assert ours == samples(parse_openmetrics(theirs))


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_type_and_help_stand_once_a_family(accept: str) -> None:
    lines = render(some_page(), accept)[0].decode().splitlines()
    heads = [line.split(" ")[1:3] for line in lines if line.startswith(("# TYPE", "# HELP"))]

    assert len(heads) == 2 * len(some_page().families)
    assert len({tuple(head) for head in heads}) == len(heads)


def test_openmetrics_names_units() -> None:
    text = render(some_page(), OPENMETRICS)[0].decode()

    assert "# UNIT ccagent_tool_duration_seconds seconds\n" in text


def test_starts_are_in_openmetrics() -> None:
    found = samples(parse_openmetrics(render(some_page(), OPENMETRICS)[0].decode()))

    labels = frozenset({"model": "claude-opus-4-6", "type": "input", "project": "demo"}.items())
    assert found["ccagent_tokens_created", labels] == 3.0


def test_starts_are_not_in_the_older_text() -> None:
    assert b"_created" not in render(some_page())[0]


def test_buckets_are_cumulative() -> None:
    found = samples(parse_text(render(some_page())[0].decode()))
    counted = [
        found["ccagent_tool_duration_seconds_bucket", frozenset({"tool": "Bash", "status": "ok", "le": bound}.items())]
        for bound in ("0.25", "0.5", "3600.0", "+Inf")
    ]

    assert counted == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/json", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=1.0.0;escaping=allow-utf-8", "text/plain; version=1.0.0"),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        (f"application/vnd.google.protobuf;q=0.9,{OPENMETRICS};escaping=allow-utf-8;q=0.8", "application/openmetrics"),
    ],
)
def test_the_format_follows_the_accept_header(accept: str, content_type: str) -> None:
    assert render(some_page(), accept)[1].startswith(content_type)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (
            'application/openmetrics-text; version="1.0.0"; charset="utf-8"',
            "application/openmetrics-text; version=1.0.0",
        ),
        ("application/openmetrics-text;version=newest", "text/plain; version=0.0.4"),
        ("text/plain;version=1.x,*/*", "text/plain; version=0.0.4"),
    ],
)
def test_a_version_in_quotes_counts_and_one_that_is_none_gets_the_older_text(accept: str, content_type: str) -> None:
    body, said = render(some_page(), accept)

    assert said.startswith(content_type)
    assert b"ccagent_" in body


def test_an_escaping_that_changes_names_is_honoured() -> None:
    body, _ = render(some_page(), "application/openmetrics-text;version=1.0.0;escaping=dots")

    assert b"ccagent__tokens__total" in body


def test_an_empty_snapshot_is_an_empty_page() -> None:
    assert render(Snapshot(families=()))[0] == b""


def test_an_empty_openmetrics_page_has_its_end() -> None:
    assert render(Snapshot(families=()), OPENMETRICS)[0] == b"# EOF\n"


def test_registering_the_collector_reads_nothing() -> None:
    def take() -> Snapshot:
        raise AssertionError("the store was read")

    CollectorRegistry(auto_describe=True).register(SnapshotCollector(take))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (2**63, "9223372036854775808"),
        (0.1, "0.1"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
    ],
)
def test_numbers_are_spelt_as_the_format_wants(value: float, text: str) -> None:
    assert number(value) == text


@given(VALUES, VALUES)
def test_any_label_value_comes_back_from_both_formats(model: str, project: str) -> None:
    booking = Booking()
    booking.count(names.TOKENS, (model, "input", project), 7)
    key = ("ccagent_tokens_total", frozenset({"model": model, "type": "input", "project": project}.items()))

    assert samples(parse_text(render(page(booking))[0].decode()))[key] == 7
    assert samples(parse_openmetrics(render(page(booking), OPENMETRICS)[0].decode()))[key] == 7
