"""`ccagent alerts test`: files of cases from a terminal and in CI."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ccagent.cli import main
from ccagent.store.alert_rules import Origin, put_rule
from tests.sources.feed import START_MS, Feed

Try = Callable[..., tuple[int, str, str]]

CASE = """
start = "2026-03-02T08:00"

[[case]]
name = "two hours of six"
rule = "{rule}"
transitions = {transitions}
series = [{{ metric = "session_cost", values = "6 6" }}]
"""


@pytest.fixture
def attempt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Try:
    """Runs `alerts test` without a database of its own: exit code, output, complaints."""

    def called(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["alerts", "test", *map(str, words), "--db", str(tmp_path / "none.db")])
        said = capsys.readouterr()
        assert not (tmp_path / "none.db").exists()
        return code, said.out, said.err

    return called


def written(folder: Path, *, rule: str = "budget-daily", transitions: str = "[]", name: str = "cases.toml") -> Path:
    file = folder / name
    file.write_text(CASE.format(rule=rule, transitions=transitions))
    return file


def test_a_case_that_passes_is_a_line_and_ends_with_0(attempt: Try, tmp_path: Path) -> None:
    code, out, err = attempt(written(tmp_path))

    assert (code, err) == (0, "")
    assert out.splitlines() == ["ok   budget-daily: two hours of six", "1 passed, 0 failed"]


def test_a_case_that_fails_shows_the_difference_and_ends_with_1(attempt: Try, tmp_path: Path) -> None:
    good, bad = written(tmp_path), written(tmp_path, transitions='["+2h firing"]', name="bad.toml")

    code, out, _ = attempt(good, bad)

    assert code == 1
    assert out.splitlines() == [
        "ok   budget-daily: two hours of six",
        "FAIL budget-daily: two hours of six",
        "     transitions: - expected, + found",
        "     - 2026-03-02T10:00 firing",
        "1 passed, 1 failed",
    ]


def test_the_answer_as_json_has_every_case(attempt: Try, tmp_path: Path) -> None:
    code, out, _ = attempt(written(tmp_path, transitions='["+2h firing"]'), "--json")

    document: dict[str, Any] = json.loads(out)
    (case,) = document["cases"]
    assert (code, document["passed"], document["failed"]) == (1, 0, 1)
    assert (case["rule"], case["passed"], case["transitions"]) == ("budget-daily", False, [])


def test_json_is_read_as_toml_is(attempt: Try, tmp_path: Path) -> None:
    file = tmp_path / "cases.json"
    series = [{"metric": "turns", "values": "2 2"}]
    rule = {"metric": "turns", "threshold": 3}
    case = {"name": "four turns", "rule": rule, "series": series, "transitions": ["+2h firing"]}
    file.write_text(json.dumps({"start": "2026-03-02", "case": [case]}))

    assert attempt(file)[0] == 0


def test_without_a_file_ccagents_own_cases_are_run(attempt: Try) -> None:
    code, out, _ = attempt("--rule", "runaway-session")

    assert code == 0
    assert out.count("ok   runaway-session") == 3
    assert out.splitlines()[-1] == "3 passed, 0 failed"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ("[[case", "neither TOML nor JSON"),
        ("{", "neither TOML nor JSON"),
        ("case = []", "at least one"),
        (CASE.format(rule="budget-dayly", transitions="[]"), "did you mean 'budget-daily'"),
        (CASE.format(rule="budget-daily", transitions="[1]"), "list of texts"),
    ],
)
def test_a_file_that_cannot_be_read_is_wrong_usage(
    attempt: Try, tmp_path: Path, content: str | None, said: str
) -> None:
    file = tmp_path / "cases.toml"
    if content is not None:
        file.write_text(content)

    code, out, err = attempt(file)

    assert (code, out) == (2, "")
    assert "cases.toml" in err
    assert said in err


def test_a_rule_without_a_case_is_told(attempt: Try, tmp_path: Path) -> None:
    code, _, err = attempt(written(tmp_path), "--rule", "session-cost")

    assert code == 2
    assert "no case of the rule 'session-cost'" in err


def test_rules_of_the_configuration_and_of_the_command_line_have_tests_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[alerts.rules.filed]\nmetric = "session_cost"\nthreshold = 10\n')
    feed = Feed(tmp_path / "one.db")
    entered = {"id": "entered", "metric": "session_cost", "threshold": 5}
    feed.store.write(lambda conn: put_rule(conn, entered, origin=Origin.CLI, now_ms=START_MS))
    feed.close()

    def tried(rule: str, transitions: str) -> int:
        file = written(tmp_path, rule=rule, transitions=transitions)
        return main(["alerts", "test", str(file), "--config", str(config), "--db", str(tmp_path / "one.db")])

    assert tried("filed", '["+2h firing"]') == 0
    assert tried("entered", '["+1h firing"]') == 0
    assert "FAIL" not in capsys.readouterr().out


def test_a_budget_of_the_configuration_is_the_one_that_is_tested(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[alerts]\ndaily_budget_usd = 11.0\n")
    file = written(tmp_path, transitions='["+2h firing"]')

    assert main(["alerts", "test", str(file), "--config", str(config), "--db", str(tmp_path / "none.db")]) == 0
