"""What rules may ask: every metric by every name, with its dimensions and what can be made of it."""

from __future__ import annotations

import pytest

from ccagent.alerts.faults import AlertRuleError
from ccagent.alerts.metrics import Shape, Source, known, resolve
from ccagent.alerts.parsing import dump, parse
from ccagent.alerts.rule import Aggregation, Scope
from ccagent.metrics.catalogue import METRICS
from ccagent.metrics.spec import Kind
from ccagent.metrics.standing import STANDING
from ccagent.rollups import metrics as rollups

IN_BOTH = sorted(set(rollups.BY_ID) & set(METRICS))


def test_every_id_of_the_rollups_is_a_metric_of_rules() -> None:
    assert {id: resolve(id).rollup for id in rollups.BY_ID} == dict(rollups.BY_ID)
    assert {resolve(id).source for id in rollups.BY_ID} == {Source.ROLLUP}


def test_every_metric_of_the_catalogue_is_found_in_all_three_spellings() -> None:
    for spec in METRICS.values():
        spellings = [spec.otel_name, spec.prometheus_name]
        if spec.name not in rollups.BY_ID:
            spellings.append(spec.name)
        assert {resolve(spelling).spec for spelling in spellings} == {spec}


def test_gauges_of_facts_are_among_them() -> None:
    assert {resolve(spec.name).shape for spec in STANDING} == {Shape.GAUGE}


@pytest.mark.parametrize("name", list(known()))
def test_each_can_be_named_in_a_rule_with_each_dimension_and_aggregation(name: str) -> None:
    metric = known()[name]
    for aggregation in metric.aggregations:
        for dimension in (None, *metric.dimensions):
            value = metric.closed.get(dimension or "", ("any",))[0]
            where = {} if dimension is None else {"where": {dimension: [value]}}
            document = {"id": "one", "metric": name, "aggregation": str(aggregation), "threshold": 0.01, **where}

            rule = parse(document)

            assert rule.conditions[0].operand.metric == name
            assert rule.conditions[0].operand.aggregation is aggregation
            assert parse(dump(rule)) == rule


@pytest.mark.parametrize("name", list(known()))
def test_no_metric_takes_an_aggregation_or_dimension_that_it_has_not(name: str) -> None:
    metric = known()[name]
    for aggregation in set(Aggregation) - set(metric.aggregations):
        with pytest.raises(AlertRuleError) as caught:
            parse({"id": "one", "metric": name, "aggregation": str(aggregation), "threshold": 1})
        assert caught.value.right == metric.aggregations
    with pytest.raises(AlertRuleError) as caught:
        parse({"id": "one", "metric": name, "where": {"colour": "red"}, "threshold": 1})
    assert caught.value.right == metric.dimensions


def test_a_metric_lies_where_its_amounts_are() -> None:
    for spec in METRICS.values():
        metric = resolve(spec.otel_name)
        of_facts = spec.from_facts and spec.kind is not Kind.GAUGE
        assert metric.source is (Source.FACTS if of_facts else Source.LIVE)
        assert metric.has_past is of_facts
        assert metric.scopes == (tuple(Scope) if of_facts else (Scope.GLOBAL,))
        assert metric.is_gauge is (spec.kind is Kind.GAUGE)
        assert metric.buckets == (spec.buckets or ())


def test_a_bare_name_that_both_have_is_the_rollups() -> None:
    assert IN_BOTH == ["compactions", "prompts", "requests", "turns"]
    for name in IN_BOTH:
        assert resolve(name).source is Source.ROLLUP
        assert resolve(f"ccagent.{name}").source is Source.FACTS
        assert resolve(f"ccagent.{name}").name == f"ccagent.{name}"


def test_a_label_that_only_the_catalogue_has_chooses_its_metric() -> None:
    assert resolve("requests", ["status"]).name == "ccagent.requests"
    assert resolve("requests", ["model"]).name == "requests"  # both have it
    assert resolve("requests", ["agent"]).name == "requests"
    assert resolve("requests", ["agent", "status"]).name == "requests"  # neither has both
    assert resolve("turns", ["status", "project"]).name == "ccagent.turns"


def test_the_chosen_metric_stands_in_the_document_by_its_own_name() -> None:
    rule = parse({"id": "one", "metric": "turns", "where": {"status": "error"}, "threshold": 1})

    assert dump(rule)["metric"] == "ccagent.turns"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("tool.failure", "tool.failures"),
        ("ccagent_tool_failures", "tool.failures"),
        ("sesion_cost", "session_cost"),
        ("ccagent.session_cost", "session_cost"),
        ("cost_usd", "cost.usd"),
    ],
)
def test_a_wrong_name_is_refused_with_the_nearest(wrong: str, right: str) -> None:
    with pytest.raises(AlertRuleError) as caught:
        resolve(wrong)

    assert right in caught.value.right
    assert repr(wrong) in str(caught.value)


def test_a_name_like_no_other_is_refused_without_a_guess() -> None:
    with pytest.raises(AlertRuleError) as caught:
        resolve("%%%")

    assert caught.value.right == ()


def test_a_session_is_as_long_as_its_parts_together_and_elsewhere_sessions_have_a_mean() -> None:
    duration = resolve("session_duration")

    assert duration.default(Scope.SESSION) is Aggregation.SUM
    assert duration.default(Scope.GLOBAL) is Aggregation.MEAN
    assert resolve("tool_success_rate").default(Scope.SESSION) is Aggregation.MEAN


def test_series_of_a_gauge_add_up_unless_they_are_shares_or_times() -> None:
    assert resolve("export.state").joins == "sum"
    assert resolve("export.backlog").joins == "sum"
    assert resolve("cost.anomaly_ratio").joins == "max"
    assert resolve("ingest.lag").joins == "max"


@pytest.mark.parametrize(
    "document",
    [
        {"metric": "tokens", "where": {"type": "cache_read"},
         "per": {"metric": "tokens", "where": {"type": ["input", "cache_read", "cache_write_5m", "cache_write_1h"]}}},
        {"metric": "errors", "per": "ccagent.requests"},
        {"metric": "api_errors", "per": "requests"},
        {"metric": "tool.failures", "per": {"metric": "tool.calls", "where": {"status": ["ok", "error", "timeout"]}}},
        {"metric": "tool_errors", "per": "tool_call_count"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("scope", ["global", "project", "feature", "session"])
def test_shares_that_rules_need_have_an_expression_in_every_scope(document: dict[str, object], scope: str) -> None:
    rule = parse({"id": "share", **document, "scope": scope, "operator": ">", "threshold": 0.1})

    assert rule.conditions[0].per is not None
