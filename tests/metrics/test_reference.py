"""The reference page is the catalogue's."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from ccagent.metrics.catalogue import METRICS

SCRIPT = Path(__file__).parents[2] / "scripts" / "generate_metrics_doc.py"


@pytest.fixture
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_metrics_doc", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_fresh(generator: ModuleType) -> None:
    assert generator.main(["--check"]) == 0


def test_every_metric_stands_on_the_page_under_both_names(generator: ModuleType) -> None:
    page = generator.render()

    assert all(f"| `{spec.prometheus_name}` | `{spec.otel_name}` |" in page for spec in METRICS.values())


def test_a_stale_page_fails_the_check(
    generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "metrics.md"
    page.write_text("old", encoding="utf-8")
    monkeypatch.setattr(generator, "PAGE", page)
    monkeypatch.setattr(generator, "ROOT", tmp_path)

    assert generator.main(["--check"]) == 1
    assert "is stale" in capsys.readouterr().err
