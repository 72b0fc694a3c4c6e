"""A metric is named in one place, `metrics/names.py`; whoever needs it takes it from there."""

from __future__ import annotations

import re

from ccagent.metrics.catalogue import METRICS
from ccagent.metrics.spec import Kind
from tests.house.source import PACKAGE, ROOT, modules, place, room, strings

PROMETHEUS_NAME = re.compile(r"ccagent_[a-z0-9_]+")

ATTRIBUTES = ("export/privacy.py", "export/otlp/attributes.py", "export/otlp/spans.py")
"""Span attributes live there, and some are called as the metric is: `ccagent.cost.usd`."""


def test_no_module_outside_metrics_spells_a_prometheus_name() -> None:
    names = {spec.prometheus_name for spec in METRICS.values()}
    found = [
        f"{place(path, line)}: {name}"
        for path in modules()
        if room(path) != "metrics"
        for text, line in strings(path)
        for name in PROMETHEUS_NAME.findall(text)
        if name in names
    ]

    assert names
    assert found == []


def test_no_module_outside_metrics_spells_a_dotted_name() -> None:
    names = {name for name in METRICS if "." in name} | {f"ccagent.{name}" for name in METRICS}
    found = [
        f"{place(path, line)}: {text}"
        for path in modules()
        if room(path) != "metrics" and str(path.relative_to(PACKAGE)) not in ATTRIBUTES
        for text, line in strings(path)
        if text in names
    ]

    assert found == []


def test_what_is_deployed_names_only_series_of_the_catalogue() -> None:
    parts = {Kind.HISTOGRAM: ("_bucket", "_count", "_sum")}
    series = {
        f"{spec.prometheus_family}{part}" if spec.kind in parts else spec.prometheus_name
        for spec in METRICS.values()
        for part in parts.get(spec.kind, ("",))
    }
    files = [path for path in sorted((ROOT / "deploy").rglob("*")) if path.is_file()]
    named = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        for name in re.findall(r"(?<![\w:])ccagent_[a-z0-9_]+(?![\w:])", path.read_text(encoding="utf-8"))
        if name not in series
    }

    assert files
    assert sorted(named) == []
