"""The catalogue holds to the rules for names, units, labels and buckets."""

from __future__ import annotations

import re
from typing import Final

import pytest

from ccagent.facts.outcomes import api_failure, tool_outcome
from ccagent.facts.pricing import KINDS
from ccagent.facts.prompts import PROMPT_FACTS
from ccagent.metrics import catalogue, names
from ccagent.metrics.catalogue import METRICS
from ccagent.metrics.labels import BUDGETS
from ccagent.metrics.spec import PROJECT, Kind, MetricSpec
from ccagent.sources.claude.derive import KNOWN_TYPES

EVERY = pytest.mark.parametrize("spec", METRICS.values(), ids=list(METRICS))

OPEN_LABELS: Final = {"model", "tool", "skill", "mcp_server", "agent_type", PROJECT}
CLOSED_LABELS: Final = {
    "type", "status", "failure_class", "permission_mode", "pattern", "provider", "hour", "signal", "state", "tier",
    "reason", "parser", "metric", "label", "period", "rule", "destination",
}  # fmt: skip

UNITS: Final = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds", "us": "microseconds",
    "ns": "nanoseconds", "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "KBy": "kilobytes", "%": "percent",
    "$": "dollars", "1": "",
}  # fmt: skip


def translated(name: str, unit: str, kind: Kind) -> str:
    """The Prometheus name that a receiver of OTLP makes of an OTel name, unit and kind (underscores and suffixes)."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", name) if word]
    annotated = "{" in unit or "}" in unit
    suffix = "" if annotated else UNITS.get(unit, re.sub(r"[^A-Za-z0-9]+", "_", unit).strip("_"))
    if suffix and suffix not in words:
        words.append(suffix)
    if kind is Kind.COUNTER:
        words = [*(word for word in words if word != "total"), "total"]
    if unit == "1" and kind is Kind.GAUGE:
        words = [*(word for word in words if word != "ratio"), "ratio"]
    return "_".join(words)


@EVERY
def test_both_paths_end_in_one_prometheus_name(spec: MetricSpec) -> None:
    assert spec.prometheus_name == translated(spec.otel_name, spec.unit, spec.kind)


@pytest.mark.parametrize(
    ("name", "prometheus"),
    [
        (names.TOKENS, "ccagent_tokens_total"),
        (names.COST_USD, "ccagent_cost_usd_total"),
        (names.CACHE_HIT_RATIO, "ccagent_cache_hit_ratio"),
        (names.REQUEST_DURATION, "ccagent_request_duration_seconds"),
        (names.TOOL_CALLS_RELAYED, "ccagent_tool_calls_relayed_total"),
        (names.PROMPT_LENGTH, "ccagent_prompt_length_characters"),
        (names.INGEST_BYTES, "ccagent_ingest_bytes_total"),
        (names.INGEST_LOST, "ccagent_ingest_lost_bytes_total"),
        (names.INGEST_PENDING, "ccagent_ingest_pending_bytes"),
        (names.ROLLUP_LAST_SUCCESS, "ccagent_rollup_last_success_timestamp_seconds"),
        (names.LEDGER_START, "ccagent_ledger_start_timestamp_seconds"),
        (names.EXPORT_STATE, "ccagent_export_state"),
        (names.BUILD_INFO, "ccagent_build_info"),
    ],
)
def test_names_are_those_of_the_reference(name: str, prometheus: str) -> None:
    assert METRICS[name].prometheus_name == prometheus


def test_every_name_is_declared_once() -> None:
    named = {value for key, value in vars(names).items() if key.isupper()}

    assert named == set(METRICS)


def test_no_two_metrics_share_a_prometheus_name() -> None:
    taken = [spec.prometheus_family for spec in METRICS.values()]

    assert len(set(taken)) == len(taken)


def test_no_name_is_another_one_with_a_suffix_of_the_format() -> None:
    taken = {spec.prometheus_family for spec in METRICS.values()}
    suffixes = ("_total", "_created", "_bucket", "_count", "_sum")

    assert not {name for name in taken if name.endswith(suffixes)}


@EVERY
def test_a_name_is_lower_case_words_and_dots(spec: MetricSpec) -> None:
    assert re.fullmatch(r"ccagent(\.[a-z]+(_[a-z]+)*)+", spec.otel_name)


@EVERY
def test_a_metric_says_what_it_is_and_where_it_comes_from(spec: MetricSpec) -> None:
    assert spec.help.endswith(".")
    assert spec.source
    assert not re.search(r'[\\"\n]', spec.help)


@EVERY
def test_labels_are_on_the_allow_list(spec: MetricSpec) -> None:
    assert set(spec.labels) <= OPEN_LABELS | CLOSED_LABELS
    assert len(set(spec.labels)) == len(spec.labels)


@EVERY
def test_the_project_stands_last(spec: MetricSpec) -> None:
    assert PROJECT not in spec.labels[:-1]


@EVERY
def test_a_closed_label_has_its_list_and_an_open_one_its_budget(spec: MetricSpec) -> None:
    assert set(spec.closed) == set(spec.labels) - OPEN_LABELS - {"destination", "rule"}
    assert set(spec.open_labels) <= set(BUDGETS)
    assert all(len(set(values)) == len(values) > 0 for values in spec.closed.values())


@EVERY
def test_only_closed_labels_are_filled_with_zeros(spec: MetricSpec) -> None:
    assert set(spec.fill) <= set(spec.closed)


@EVERY
def test_histograms_alone_have_buckets_and_they_rise(spec: MetricSpec) -> None:
    assert (spec.buckets is not None) == (spec.kind is Kind.HISTOGRAM)
    assert list(spec.buckets or ()) == sorted(set(spec.buckets or ()))


@EVERY
def test_units_are_base_units_or_annotations(spec: MetricSpec) -> None:
    assert spec.unit in ("", "1", "s", "By") or re.fullmatch(r"\{[a-zA-Z]+\}", spec.unit)


@EVERY
def test_a_counter_has_a_unit(spec: MetricSpec) -> None:
    assert spec.unit or spec.kind is Kind.GAUGE


def test_overflow_has_a_series_for_each_open_label() -> None:
    spec = METRICS[names.METRICS_OVERFLOW]

    assert spec.valid is not None
    assert (names.TOKENS, "model") in spec.valid
    assert all(label in METRICS[metric].open_labels for metric, label in spec.valid)


def test_token_kinds_are_those_of_the_price_table() -> None:
    assert catalogue.TOKEN_KINDS == KINDS


def test_every_known_record_type_has_a_label_value() -> None:
    assert set(catalogue.RECORD_TYPES) > KNOWN_TYPES


def test_every_prompt_that_is_a_fact_has_a_label_value() -> None:
    assert set(catalogue.PROMPT_TYPES) == {*map(str, PROMPT_FACTS), "other"}


@pytest.mark.parametrize("text", ["Exit code 2", "Permission to use Bash was denied", "<tool_use_error>odd", "odd"])
def test_failures_of_tools_have_a_label_value(text: str) -> None:
    assert tool_outcome(is_error=True, text=text, denial=None, tool="Bash").failure in catalogue.TOOL_FAILURES


@pytest.mark.parametrize("status", [400, 401, 404, 408, 413, 429, 500, 529, 777, None])
def test_failures_of_requests_have_a_label_value(status: int | None) -> None:
    assert api_failure(status=status, kind=None, text="") in catalogue.API_FAILURES
