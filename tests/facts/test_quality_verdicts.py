"""How runs ended: exit code where it proves something, else the tool's own summary, else not known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.facts.model import Status
from ccagent.facts.quality.runs import runs
from ccagent.facts.quality.verdicts import Verdict, judge

OK, FAIL, UNKNOWN = Status.OK, Status.ERROR, Status.OPEN
PASSED, FAILED = "5 passed in 0.10s", "1 failed, 4 passed in 0.10s"


def _statuses(command: str, output: str, code: int = 0) -> list[Status | None]:
    status = Status.ERROR if code else Status.OK
    if code:
        output = f"Exit code {code}\n{output}"
    return [None if each is None else each.status for each in judge(runs(command), status, code, output)]


@pytest.mark.parametrize(
    ("command", "code", "output", "expected"),
    [
        ("pytest", 0, PASSED, [OK]),
        ("pytest", 0, "", [OK]),
        ("pytest", 1, FAILED, [FAIL]),
        ("pytest", 1, "all tests passed, error free", [FAIL]),
        ("pytest", 127, "pytest: command not found", [UNKNOWN]),
        ("pytest", 5, "no tests ran in 0.01s", [UNKNOWN]),
        ("pytest | tail -3", 0, FAILED, [FAIL]),
        ("pytest | tail -3", 0, PASSED, [OK]),
        ("pytest | tail -3", 0, "something failed with errors", [UNKNOWN]),
        ("pytest | tail -3", 0, "\x1b[31m" + FAILED + "\x1b[0m", [FAIL]),
        ("pytest || true", 0, FAILED, [FAIL]),
        ("pytest || true", 0, "", [UNKNOWN]),
        ("pytest; git status", 0, PASSED + "\nclean", [OK]),
        ("pytest; git status", 1, "", [UNKNOWN]),
        ("pytest > log", 0, "", [OK]),
        ("pytest > log; ls", 0, PASSED, [UNKNOWN]),
        ("pytest &", 0, PASSED, [UNKNOWN]),
        ("ruff check . && pytest", 0, "", [OK, OK]),
        ("ruff check . && pytest", 1, FAILED, [OK, FAIL]),
        ("ruff check . && pytest", 1, "Found 3 errors.", [FAIL, None]),
        ("ruff check . && pytest", 1, "", [UNKNOWN, UNKNOWN]),
        ("ruff check . && pytest | tail", 0, FAILED, [OK, FAIL]),
        ("ruff check . | tail && pytest", 0, "Found 3 errors.\n" + PASSED, [FAIL, OK]),
        ("ruff check a; ruff check b", 0, "Found 1 error.\nAll checks passed!", [FAIL, OK]),
        ("go test ./... | head -50", 0, "ok  \tx/a\t0.1s", [OK]),
        ("go test ./... | head -1", 0, "ok  \tx/a\t0.1s", [UNKNOWN]),
        ("go test ./... | tail -1", 0, "FAIL", [FAIL]),
        ("go test ./... | grep ok", 0, "ok  \tx/a\t0.1s", [UNKNOWN]),
        ("go build ./... | head", 0, "", [OK]),
        ("go build ./... | head", 0, "a/b.go:1:2: undefined: y", [FAIL]),
        ("go build ./... | grep x", 0, "", [UNKNOWN]),
        ("gofmt -l .", 0, "", [OK]),
        ("gofmt -l .", 0, "a.go", [FAIL]),
        ("gofmt -l . && go test ./a", 0, "ok  \tx/a\t0.1s", [UNKNOWN, OK]),
        ("mise run test | tail", 0, "ok  \tx/a\t0.1s\n[test] ERROR task failed", [FAIL]),
        ("mise run lint | tail", 0, "[lint:go] 2 issues:", [FAIL]),
        ("make lint | tail -4", 0, "Success: no issues found in 5 source files", [OK]),
        ("npm test", 1, "<tool_use_error>x</tool_use_error>", [FAIL]),
        ("go test ./... 2>&1", 0, "<persisted-output>\nok  \tx/a\t0.1s", [OK]),
        ("go test ./... ; ls", 0, "<persisted-output>\nok  \tx/a\t0.1s", [UNKNOWN]),
    ],
)
def test_outcomes(command: str, code: int, output: str, expected: list[Status | None]) -> None:
    assert _statuses(command, output, code) == expected


@pytest.mark.parametrize("status", [Status.REJECTED, Status.INTERRUPTED])
def test_a_call_that_did_not_run_gives_its_own_status(status: Status) -> None:
    assert judge(runs("ruff check . && pytest"), status, -1, PASSED) == (Verdict(status), Verdict(status))


def test_a_call_that_ran_out_of_time_has_what_was_written_before() -> None:
    command = "ruff check . ; pytest"

    found = judge(runs(command), Status.TIMEOUT, 124, "Found 2 errors.\n")

    assert [each.status for each in found if each] == [FAIL, Status.TIMEOUT]


def test_a_call_that_the_client_refused_has_no_runs() -> None:
    refused = "<tool_use_error>InputValidationError: x</tool_use_error>"

    assert judge(runs("pytest"), Status.ERROR, -1, refused) == (None,)


def test_a_line_that_the_shell_could_not_read_has_no_runs() -> None:
    assert _statuses("pytest", "/bin/bash: -c: line 3: unexpected EOF while looking for matching `''", 2) == [None]


def test_tests_of_go_are_counted_where_all_are_shown() -> None:
    said = "=== RUN   TestA\n--- PASS: TestA (0.00s)\n=== RUN   TestB\n--- SKIP: TestB (0.00s)\nPASS\nok  \tx/a\t0.1s"

    assert judge(runs("go test -v ./a"), OK, 0, said) == (Verdict(OK, 1, 0, 1),)
    assert judge(runs("go test -v ./a | tail -2"), OK, 0, "PASS\nok  \tx/a\t0.1s") == (Verdict(OK, -1, -1, -1),)


def test_findings_of_a_linter_that_passed_are_none() -> None:
    assert judge(runs("golangci-lint run"), OK, 0, "") == (Verdict(OK, failed=0),)


_OUTPUT = st.lists(
    st.sampled_from([PASSED, FAILED, "Found 2 errors.", "FAIL", "ok  \tx\t1s", "words", "\x1b[1m"]), max_size=5
)


@given(
    st.lists(
        st.sampled_from(["pytest", "ruff check .", "go test ./...", "ls", "mise run test", "| tail -2"]), max_size=5
    ),
    st.sampled_from([" && ", "; ", " || ", "\n"]),
    st.sampled_from(list(Status)),
    st.sampled_from([-1, 0, 1, 127]),
    _OUTPUT.map("\n".join),
)
def test_any_call_has_a_verdict_for_each_run_that_began(
    parts: list[str], joiner: str, status: Status, code: int, output: str
) -> None:
    found = runs(joiner.join(parts))

    verdicts = judge(found, status, code, output)

    assert len(verdicts) == len(found)
    assert verdicts == judge(found, status, code, output)
