"""Prometheus' own checker finds no fault in the page, whatever stands on it."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest

from ccagent.export.prometheus import render
from ccagent.metrics.catalogue import METRICS
from ccagent.metrics.snapshot import History, Snapshot, snapshot
from ccagent.store import totals
from tests.metrics.everything import everything

OPENMETRICS = "application/openmetrics-text;version=1.0.0"


def check(page: Snapshot) -> tuple[int, str]:
    """What `promtool check metrics` says of the page, with its exit code."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; it comes with Prometheus")
    said = subprocess.run(
        [promtool, "check", "metrics"], input=render(page)[0], capture_output=True, timeout=60, check=False
    )
    return said.returncode, (said.stdout + said.stderr).decode()


def test_every_family_is_on_the_page() -> None:
    assert [family.spec.name for family in everything().families] == list(METRICS)


@pytest.mark.parametrize("project_label", [False, True])
def test_the_checker_finds_no_fault_in_any_family(project_label: bool) -> None:
    assert check(everything(project_label=project_label)) == (0, "")


@pytest.mark.corpus
def test_the_checker_finds_no_fault_in_the_page_of_real_sessions(corpus_feed: Any) -> None:
    history = History(store_ms=1, ledger_ms=1, caught_up_ms=2)
    page = snapshot(
        totals.read(corpus_feed.store.conn), {}, history, project_label=True, exportable_only=False
    )  # fmt: skip

    assert len(page.families) > 30
    assert check(page) == (0, "")


def test_the_checker_would_have_found_one() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; it comes with Prometheus")
    said = subprocess.run(
        [promtool, "check", "metrics"], input=b"# TYPE odd_total gauge\nodd_total 1\n", capture_output=True,
        timeout=60, check=False,
    )  # fmt: skip

    assert said.returncode != 0
