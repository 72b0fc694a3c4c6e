"""Summary lines of the tools: what they say of the outcome and how many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.facts.quality.forms import READERS
from ccagent.facts.quality.kinds import LINT, TEST
from ccagent.facts.quality.runners import tool
from ccagent.facts.quality.summaries import Summary, read, readers

SAID = (
    ("pytest", "== 3 passed in 0.12s ==", (True, 3, 0, 0)),
    ("pytest", "1 failed, 2 passed, 4 skipped, 1 warning in 61.20s (0:01:01)", (False, 2, 1, 4)),
    ("pytest", "====== 2 passed, 1 xfailed, 3 deselected in 1.02s ======", (True, 2, 0, 0)),
    ("pytest", "5 passed, 2 errors in 1.00s", (False, 5, 2, 0)),
    ("pytest", "!!! Interrupted: 1 error during collection !!!\n1 error in 0.31s", (False, -1, 1, -1)),
    ("pytest", "the words 3 passed in 2s of a log", None),
    ("unittest", "Ran 12 tests in 0.003s\n\nOK", (True, 12, 0, 0)),
    ("unittest", "Ran 12 tests in 0.003s\n\nOK (skipped=2)", (True, 10, 0, 2)),
    ("unittest", "Ran 12 tests in 0.003s\n\nFAILED (failures=1, errors=2, skipped=3)", (False, 6, 3, 3)),
    ("jest", "Test Suites: 2 passed, 2 total\nTests:       10 passed, 10 total", (True, 10, 0, 0)),
    ("jest", "Tests:       1 failed, 2 skipped, 5 todo, 10 passed, 18 total", (False, 10, 1, 7)),
    ("jest", "Test Suites: 1 failed, 1 passed, 2 total\nTests:       4 passed, 4 total", (False, 4, 0, 0)),
    ("vitest", " Test Files  2 passed (2)\n      Tests  12 passed (12)\n   Duration  1.2s", (True, 12, 0, 0)),
    ("vitest", " Test Files  1 failed | 1 passed (2)\n      Tests  2 failed | 9 passed | 1 skipped (12)", (False, 9, 2, 1)),
    ("mocha", "\n  12 passing (34ms)\n  1 pending\n  2 failing\n", (False, 12, 2, 1)),
    ("mocha", "\n  3 passing (1s)\n", (True, 3, 0, 0)),
    ("playwright", "  1 failed\n    [web] a.spec.ts:1:1\n  2 skipped\n  7 passed (12.3s)", (False, 7, 1, 2)),
    ("playwright", "  7 passed (12.3s)", (True, 7, 0, 0)),
    ("cypress", "    ✔  All specs passed!                00:05        9        9        -        -        -  ", (True, 9, 0, 0)),
    ("node", "# tests 5\n# pass 4\n# fail 1\n# skipped 0", (False, 4, 1, 0)),
    ("node", "ℹ tests 5\nℹ pass 5\nℹ fail 0\nℹ skipped 0", (True, 5, 0, 0)),
    ("bun test", " 12 pass\n 1 skip\n 0 fail\nRan 13 tests across 3 files. [20.00ms]", (True, 12, 0, 1)),
    ("deno test", "ok | 5 passed | 0 failed | 1 ignored (12ms)", (True, 5, 0, 1)),
    ("deno test", "FAILED | 3 passed | 1 failed (12ms)", (False, 3, 1, 0)),
    ("go test", "ok  \tx.org/a\t0.5s\n?   \tx.org/b\t[no test files]", (True, -1, -1, -1)),
    ("go test", "--- FAIL: TestX (0.00s)\nFAIL\nFAIL\tx.org/a\t0.5s\nok  \tx.org/b\t0.1s\nFAIL", (False, -1, -1, -1)),
    ("gotestsum", "DONE 12 tests, 2 skipped, 1 failure in 3.215s", (False, 9, 1, 2)),
    ("gotestsum", "DONE 12 tests in 3.215s", (True, 12, 0, 0)),
    ("cargo test", "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n"
     "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out", (True, 7, 0, 1)),
    ("cargo test", "test result: FAILED. 5 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out", (False, 5, 1, 0)),
    ("cargo test", "error: could not compile `x` (lib test) due to 2 previous errors", (False, -1, -1, -1)),
    ("cargo nextest", "     Summary [   0.123s] 12 tests run: 11 passed (1 slow), 1 failed, 2 skipped", (False, 11, 1, 2)),
    ("mvn", "[INFO] Tests run: 3, Failures: 0, Errors: 0, Skipped: 1, Time elapsed: 0.1 s -- in XTest\n"
     "[INFO] Tests run: 5, Failures: 0, Errors: 0, Skipped: 1\n[INFO] BUILD SUCCESS", (True, 4, 0, 1)),
    ("mvn", "[ERROR] Tests run: 5, Failures: 1, Errors: 1, Skipped: 0\n[INFO] BUILD FAILURE", (False, 3, 2, 0)),
    ("gradle", "12 tests completed, 1 failed, 2 skipped\nBUILD FAILED in 3s", (False, 9, 1, 2)),
    ("gradle", "BUILD SUCCESSFUL in 3s", (True, -1, -1, -1)),
    ("dotnet test", "Passed!  - Failed:     0, Passed:     5, Skipped:     1, Total:     6, Duration: 12 ms - x.dll", (True, 5, 0, 1)),
    ("dotnet test", "Total tests: 6\n     Passed: 5\n     Failed: 1\n", (False, 5, 1, 0)),
    ("dotnet test", "Test summary: total: 5, failed: 0, succeeded: 5, skipped: 0, duration: 1.2s", (True, 5, 0, 0)),
    ("rspec", "12 examples, 1 failure, 2 pending", (False, 9, 1, 2)),
    ("rspec", "12 examples, 0 failures", (True, 12, 0, 0)),
    ("rails test", "5 runs, 10 assertions, 0 failures, 0 errors, 1 skips", (True, 4, 0, 1)),
    ("phpunit", "OK (5 tests, 10 assertions)", (True, 5, 0, 0)),
    ("phpunit", "Tests: 5, Assertions: 10, Failures: 1, Errors: 1, Skipped: 1.", (False, 2, 2, 1)),
    ("pest", "  Tests:    1 failed, 5 passed (12 assertions)", (False, 5, 1, 0)),
    ("swift test", "\t Executed 5 tests, with 1 failure (0 unexpected) in 0.003 (0.004) seconds", (False, 4, 1, 0)),
    ("swift test", "✔ Test run with 5 tests passed after 0.01 seconds.", (True, -1, -1, -1)),
    ("mix test", "Finished in 1.2 seconds\n2 doctests, 13 tests, 1 failure, 2 excluded, 1 skipped", (False, 11, 1, 3)),
    ("mix test", "13 tests, 0 failures (2 excluded)", (True, 13, 0, 0)),
    ("ctest", "80% tests passed, 1 tests failed out of 5", (False, 4, 1, 0)),
    ("flutter test", "00:05 +11 ~1 -1: Some tests failed.", (False, 11, 1, 1)),
    ("ruff", "Found 3 errors.", (False, -1, 3, -1)),
    ("ruff", "Found 3 errors (3 fixed, 0 remaining).", (True, -1, 0, -1)),
    ("ruff", "All checks passed!", (True, -1, 0, -1)),
    ("ruff format", "2 files would be reformatted, 5 files already formatted", (False, -1, -1, -1)),
    ("black", "All done!\n5 files would be left unchanged.", (True, -1, 0, -1)),
    ("eslint", "✖ 5 problems (2 errors, 3 warnings)", (False, -1, 2, -1)),
    ("eslint", "✖ 3 problems (0 errors, 3 warnings)", (True, -1, 0, -1)),
    ("golangci-lint", "0 issues.", (True, -1, 0, -1)),
    ("golangci-lint", "3 issues:\n* nilerr: 3", (False, -1, 3, -1)),
    ("prettier", "All matched files use Prettier code style!", (True, -1, 0, -1)),
    ("prettier", "[warn] Code style issues found in 2 files. Run Prettier with --write to fix.", (False, -1, -1, -1)),
    ("rubocop", "12 files inspected, 3 offenses detected, 1 offense autocorrectable", (False, -1, 3, -1)),
    ("mix credo", "42 mods/funs, found 3 warnings, 1 refactoring opportunity.", (False, -1, 4, -1)),
    ("mix credo", "42 mods/funs, found no issues.", (True, -1, 0, -1)),
    ("mypy", "Success: no issues found in 5 source files", (True, -1, 0, -1)),
    ("mypy", "Found 3 errors in 2 files (checked 5 source files)", (False, -1, 3, -1)),
    ("pyright", "0 errors, 2 warnings, 0 informations ", (True, -1, 0, -1)),
    ("tsc", "src/a.ts(3,1): error TS2322: Type 'x' is not y.", (False, -1, -1, -1)),
    ("tsc", "Found 3 errors in 2 files.", (False, -1, 3, -1)),
    ("mix dialyzer", "done in 0m1.2s\ndone (passed successfully)", (True, -1, 0, -1)),
    ("go build", "# x.org/a\na/b.go:1:2: undefined: y", (False, -1, -1, -1)),
    ("cargo build", "    Finished `dev` profile [unoptimized] target(s) in 0.1s", (True, -1, -1, -1)),
    ("vite", "✓ built in 1.23s", (True, -1, -1, -1)),
    ("docker build", "ERROR: failed to solve: x", (False, -1, -1, -1)),
    ("terraform apply", "Apply complete! Resources: 1 added, 0 changed, 0 destroyed.", (True, -1, -1, -1)),
)  # fmt: skip


@pytest.mark.parametrize(("framework", "output", "expected"), SAID)
def test_a_summary_line_says_outcome_and_counts(
    framework: str, output: str, expected: tuple[bool, int, int, int]
) -> None:
    found = read(readers(TEST, framework, task=False), output, 1, task=False)

    assert [summary[:4] for summary in found] == ([expected] if expected is not None else [])


@pytest.mark.parametrize("framework", sorted({framework for framework, _, _ in SAID}))
def test_words_of_others_are_no_summary(framework: str) -> None:
    said = "Error: 3 things failed\nall tests passed, said nobody\nerrors were found in the log\n1 failed attempt\n"

    assert read(readers(TEST, framework, task=False), said, 1, task=False) == []


def test_a_task_is_read_by_every_tool_of_its_kind() -> None:
    names = readers(TEST, "make", task=True)

    assert read(names, "5 passed in 0.1s", 1, task=True)[0].passed == 5
    assert read(names, "5 passed in 0.1s\nTests:       2 passed, 2 total", 1, task=True)[0].passed == 7
    assert read(names, "5 passed in 0.1s\nmake: *** [Makefile:3: test] Error 1", 1, task=True)[0].passes is False
    assert read(
        readers(LINT, "npm", task=True), "npm error Lifecycle script `lint` failed with error:", 1, task=True
    ) == [Summary(False)]


def test_as_many_summaries_as_runs_are_told_apart() -> None:
    said = "Found 2 errors.\nAll checks passed!\n"

    assert [each.passes for each in read(("ruff",), said, 2, task=False)] == [False, True]
    assert read(("ruff",), said, 3, task=False) == []


def test_every_framework_that_is_named_has_its_readers() -> None:
    frameworks = {framework for framework, _, _ in SAID}

    assert all(name in READERS for framework in frameworks for name in readers(TEST, framework, task=False))
    assert tool(("pytest",)) == ((TEST, "pytest"),)


@given(
    st.lists(st.sampled_from([output for _, output, _ in SAID] + ["", "words", "\x1b[0m"]), max_size=5),
    st.sampled_from(sorted(READERS)),
)
def test_any_output_is_read_without_fault(lines: list[str], name: str) -> None:
    for summary in read((name,), "\n".join(lines), 1, task=False):
        assert summary.passes in (True, False, None)
        assert all(count >= -1 for count in summary[1:4])


@pytest.mark.parametrize("name", sorted(READERS))
def test_every_pattern_can_be_compiled_though_that_is_done_when_it_is_first_looked_for(name: str) -> None:
    reader = READERS[name]
    patterns = [*(form.pattern for form in reader.forms), *filter(None, [reader.good, reader.bad])]

    assert patterns
    assert all(pattern.search("") is None for pattern in patterns)
