"""What the summary lines of test runners, linters, compilers and builders say: outcome and counts.

Only a tool's own form counts, never a word like "error" in a line of anybody's. A reader is a set of such forms; each
holds the shapes of several versions, and numbers stand before their word ("3 failed") or behind it ("Failures: 3").
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from ccagent.facts.quality.kinds import BUILD, DEPLOY, LINT, TEST, TYPE_CHECK


class Summary(NamedTuple):
    """passes: None where the lines do not tell; -1 for a count that they do not name. `failed` of a linter or a type
    checker is the number of its findings."""

    passes: bool | None
    passed: int = -1
    failed: int = -1
    skipped: int = -1
    part: bool = False
    """The lines speak of one package, binary or module each: where some may be missing, they prove no pass."""


class Form(NamedTuple):
    """A line with counts. style: `number` "3 failed", `word` "Failures: 3", `group` by the pattern's groups p f s t.
    merge: one run writes several such lines, which complete or continue one another."""

    pattern: re.Pattern[str]
    style: str = "number"
    merge: bool = False


class Reader(NamedTuple):
    """The forms of one tool. good, bad: lines that tell the outcome without counts."""

    kind: str
    forms: tuple[Form, ...] = ()
    good: re.Pattern[str] | None = None
    bad: re.Pattern[str] | None = None
    part: bool = False
    """Each line speaks of one package, binary, module or hook."""
    marks: tuple[str, ...] = ()
    """See `_MARKS`."""


def _re(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.MULTILINE)


def _form(pattern: str, style: str = "number", *, merge: bool = False) -> Form:
    return Form(_re(pattern), style, merge)


_NUMBER: Final = re.compile(r"(\d+) ([a-z]+)")
_WORD: Final = re.compile(r"([A-Za-z]+)[:=]? *[:= ] *(\d+)")
_PASSED, _FAILED, _SKIPPED, _TOTAL = "passed", "failed", "skipped", "total"
_MEANINGS: Final[dict[str, str]] = {
    **dict.fromkeys(("passed", "passing", "pass", "succeeded", "successes"), _PASSED),
    **dict.fromkeys(
        ("failed", "failing", "failure", "failures", "fail", "error", "errors", "issues", "issue"), _FAILED
    ),
    **dict.fromkeys(("problem", "violations", "violation", "offense", "offenses", "diagnostics", "warned"), _FAILED),
    **dict.fromkeys(("skipped", "skip", "skips", "pending", "ignored", "todo", "excluded", "incomplete"), _SKIPPED),
    **dict.fromkeys(("total", "tests", "test", "examples", "example", "runs", "run", "doctests", "doctest"), _TOTAL),
    **dict.fromkeys(("properties", "property", "cancelled", "canceled", "specs"), ""),
}
_PYTEST_WORD: Final = r"(?:failed|passed|skipped|deselected|xfailed|xpassed|warnings?|errors?|rerun|subtests passed)"

_FORMS: Final[dict[str, Reader]] = {
    "pytest": Reader(
        TEST,
        (_form(rf"^(?:=+ )?\d+ {_PYTEST_WORD}(?:, \d+ {_PYTEST_WORD})* in [\d.]+s(?: \([\d:]+\))?(?: =+)?$"),),
        bad=_re(r"^!+ Interrupted: \d+ errors? during collection !+$"),
    ),
    "unittest": Reader(
        TEST,
        (
            _form(
                r"^Ran (?P<t>\d+) tests? in [\d.]+s\n+(?:OK|FAILED)(?: \((?:(?:failures=(?P<f>\d+)|errors=(?P<f2>\d+)"
                r"|skipped=(?P<s>\d+)|(?:un)?expected \w+=\d+)(?:, )?)*\))?$",
                "group",
            ),
        ),
    ),
    "jest": Reader(
        TEST,
        (_form(r"^Tests: +(?:\d+ (?:failed|skipped|todo|passed), )*\d+ total$"),),
        bad=_re(r"^Test Suites: +[1-9]\d* failed,"),
    ),
    "vitest": Reader(
        TEST,
        (_form(r"^ *Tests +(?:\d+ (?:failed|passed|skipped|todo|expected fail)(?: \| )?)+ \(\d+\)$"),),
        bad=_re(r"^ *(?:Test Files +[1-9]\d* failed\b.*|Errors +[1-9]\d* errors?)$"),
    ),
    "mocha": Reader(TEST, (_form(r"^ +\d+ (?:passing \(\d+\w+\)|pending|failing)$", merge=True),)),
    "playwright": Reader(
        TEST,
        (_form(r"^ +\d+ (?:failed|flaky|skipped|did not run|interrupted|passed)(?: \([\d.]+\w+\))?$", merge=True),),
    ),
    "cypress": Reader(
        TEST,
        (_form(r"^ +[✔✖] .*?(?P<t>\d+) +(?P<p>\d+|-) +(?P<f>\d+|-) +(?P<w>\d+|-) +(?P<s>\d+|-) *$", "group"),),
        good=_re(r"^ +✔ +All specs passed!"),
        bad=_re(r"^ +✖ +\d+ of \d+ failed"),
    ),
    "node": Reader(TEST, (_form(r"^(?:#|ℹ) (?:pass|fail|skipped) \d+$", "word", merge=True),)),
    "bun": Reader(TEST, (_form(r"^ *\d+ (?:pass|fail|skip|todo)$", merge=True),)),
    "deno": Reader(TEST, (_form(r"^(?:ok|FAILED) \| \d+ passed.* \| \d+ failed.*$"),)),
    "go": Reader(
        TEST,
        (),
        good=_re(r"^(?:ok  \t.*|PASS)$"),
        bad=_re(r"^(?:FAIL\b.*|--- FAIL: .*|\[build failed\]|panic: .*)$"),
        part=True,
    ),
    "gotestsum": Reader(TEST, (_form(r"^DONE (?:\d+ runs, )?\d+ tests?(?:, \d+ \w+)* in [\d.]+\w+$"),)),
    "ginkgo": Reader(TEST, (_form(r"^(?:SUCCESS|FAIL)! -- \d+ Passed \| .*$", "capital", merge=True),)),
    "cargo": Reader(
        TEST,
        (
            _form(r"^test result: \w+\. \d+ passed; \d+ failed; \d+ ignored;.*$", merge=True),
            _form(r"^ +Summary \[ *[\d.]+s\] \d+(?:/\d+)? tests? run: .*$"),
        ),
        bad=_re(r"^error(?:\[E\d+\])?: (?:could not compile|test failed|\d+ targets? failed).*$"),
        part=True,
    ),
    "maven": Reader(
        TEST,
        (
            _form(
                r"^\[(?:INFO|WARNING|ERROR)\] Tests run: \d+, Failures: \d+, Errors: \d+, Skipped: \d+$",
                "word",
                merge=True,
            ),
        ),
        good=_re(r"^\[INFO\] BUILD SUCCESS$"),
        bad=_re(r"^\[INFO\] BUILD FAILURE$"),
        part=True,
    ),
    "gradle": Reader(
        TEST,
        (_form(r"^\d+ tests? completed(?:, \d+ (?:failed|skipped))*$"),),
        good=_re(r"^BUILD SUCCESSFUL in .*$"),
        bad=_re(r"^BUILD FAILED in .*$"),
    ),
    "sbt": Reader(
        TEST,
        (_form(r"^\[(?:info|error)\] (?:Passed|Failed): Total \d+, Failed \d+, Errors \d+, Passed \d+.*$", "word"),),
        good=_re(r"^\[success\] Total time: .*$"),
        bad=_re(r"^\[error\] Total time: .*$"),
    ),
    "dotnet": Reader(
        TEST,
        (
            _form(r"^(?:Passed|Failed)! +- Failed: +\d+, Passed: +\d+, Skipped: +\d+, Total: +\d+.*$", "word", merge=True),
            _form(r"^Test summary: total: \d+, failed: \d+, succeeded: \d+, skipped: \d+.*$", "word"),
            _form(r"^Total tests: \d+\. Passed: \d+\. Failed: \d+\. Skipped: \d+\.$", "word"),
            _form(r"^Total tests: \d+\n(?: +(?:Passed|Failed|Skipped): \d+\n?)+", "word"),
        ),
        good=_re(r"^Test Run Successful\.$"),
        bad=_re(r"^(?:Test Run Failed\.|Build FAILED\.)$"),
    ),
    "rspec": Reader(
        TEST,
        (_form(r"^\d+ examples?, \d+ failures?(?:, \d+ (?:pending|errors? occurred outside of examples))*$"),),
    ),
    "minitest": Reader(
        TEST, (_form(r"^\d+ (?:runs|tests), \d+ assertions, \d+ failures, \d+ errors(?:, \d+ (?:skips|pendings))?"),)
    ),
    "phpunit": Reader(
        TEST,
        (
            _form(r"^OK \(\d+ tests?, \d+ assertions?\)$"),
            _form(r"^Tests: \d+, Assertions: \d+(?:, [A-Z][\w ]*: \d+)*\.$", "word"),
            _form(r"^ +Tests: +(?:\d+ [a-z]+(?:, )?)+ \(\d+ assertions?\)$"),
        ),
    ),
    "swift": Reader(
        TEST,
        (_form(r"^\t? *Executed \d+ tests?, with (?:\d+ tests? skipped and )?\d+ failures? .*$"),),
        good=_re(r"^(?:. Test run with \d+ tests? (?:in \d+ suites? )?passed after .*|\*\* TEST SUCCEEDED \*\*.*)$"),
        bad=_re(r"^(?:. Test run with \d+ tests? (?:in \d+ suites? )?failed after .*|\*\* TEST FAILED \*\*.*)$"),
    ),
    "exunit": Reader(
        TEST,
        (
            _form(
                r"^(?:\d+ (?:doctests?|properties|property|tests?|features?), )*\d+ (?:doctests?|properties|tests?), "
                r"\d+ failures?(?:, \d+ (?:excluded|skipped|invalid))*(?: \(.*\))?$"
            ),
        ),
        bad=_re(r"^== Compilation error in file .*$"),
    ),
    "ctest": Reader(TEST, (_form(r"^\d+% tests passed, (?P<f>\d+) tests failed out of (?P<t>\d+)$", "group"),)),
    "dart": Reader(
        TEST,
        (
            _form(
                r"^\d\d:\d\d \+(?P<p>\d+)(?: ~(?P<s>\d+))?(?: -(?P<f>\d+))?: (?:All tests passed!|Some tests failed\.)$",
                "group",
            ),
        ),
    ),
    "behave": Reader(TEST, (_form(r"^\d+ scenarios? passed, \d+ failed, \d+ skipped.*$"),)),
    "tox": Reader(TEST, good=_re(r"^  congratulations :\).*$"), bad=_re(r"^  evaluation failed :\(.*$")),
    "bazel": Reader(
        TEST,
        good=_re(r"^Executed \d+ out of \d+ tests?: \d+ tests? pass(?:es)?\.$"),
        bad=_re(r"^(?:FAILED: Build did NOT complete.*|Executed \d+ out of \d+ tests?:.* fails? .*)$"),
    ),
    # ---- linters
    "ruff": Reader(
        LINT,
        (_form(r"^Found \d+ errors?(?: \((?:\d+) fixed, (?P<f>\d+) remaining\))?\.$", "ruff"),),
        good=_re(r"^All checks passed!$"),
    ),
    "ruff format": Reader(
        LINT,
        good=_re(r"^\d+ files? already formatted$"),
        bad=_re(r"^\d+ files? would be reformatted(?:, \d+ files? already formatted)?$"),
    ),
    "black": Reader(
        LINT,
        good=_re(r"^\d+ files? would be left unchanged\.$"),
        bad=_re(r"^\d+ files? would be reformatted(?:, \d+ files? would be .*)?\.$"),
    ),
    "eslint": Reader(LINT, (_form(r"^✖ \d+ problems? \((?P<f>\d+) errors?, \d+ warnings?\)$", "group"),)),
    "stylelint": Reader(LINT, (_form(r"^✖ \d+ problems? \((?P<f>\d+) errors?, \d+ warnings?\)$", "group"),)),
    "golangci-lint": Reader(LINT, (_form(r"^\d+ issues?[.:]$"),), bad=_re(r"^level=error msg=.*$")),
    "biome": Reader(
        LINT,
        (_form(r"^Found (?P<f>\d+) errors?\.$", "group"),),
        good=_re(r"^Checked \d+ files? in [\d.]+\w+\. (?:No fixes applied|Fixed \d+ files?)\.$"),
    ),
    "prettier": Reader(
        LINT,
        good=_re(r"^All matched files use Prettier code style!$"),
        bad=_re(r"^\[warn\] Code style issues (?:found in|were found in).*$"),
    ),
    "rubocop": Reader(
        LINT,
        (_form(r"^\d+ files? inspected, (?P<f>\d+) offenses? detected.*$", "group"),),
        good=_re(r"^\d+ files? inspected, no offenses detected$"),
    ),
    "clippy": Reader(
        LINT,
        good=_re(r"^ +Finished `?\w+`? .*$"),
        bad=_re(r"^error: (?:could not compile|aborting due to) .*$"),
    ),
    "credo": Reader(
        LINT,
        (_form(r"^\d+ mods/funs, found (?P<list>(?:\d+ [a-z ]+(?:, | and )?)+)\.$", "findings"),),
        good=_re(r"^\d+ mods/funs, found no issues\.$"),
    ),
    "swiftlint": Reader(LINT, (_form(r"^Done linting! Found (?P<w>\d+) violations?, (?P<f>\d+) serious.*$", "group"),)),
    "pre-commit": Reader(
        LINT, good=_re(r"^.{1,70}\.{3,}(?:\(.*\))?Passed$"), bad=_re(r"^.{1,70}\.{3,}(?:\(.*\))?Failed$"), part=True
    ),
    "next lint": Reader(LINT, good=_re(r"^✔ No ESLint warnings or errors$")),
    "terraform validate": Reader(LINT, good=_re(r"^Success! The configuration is valid.*$")),
    # ---- type checkers
    "mypy": Reader(
        TYPE_CHECK,
        (_form(r"^Found (?P<f>\d+) errors? in \d+ files? \(.*\)$", "group"),),
        good=_re(r"^Success: no issues found in \d+ source files?$"),
    ),
    "pyright": Reader(TYPE_CHECK, (_form(r"^(?P<f>\d+) errors?, \d+ warnings?(?:, \d+ \w+)? *$", "group"),)),
    "tsc": Reader(
        TYPE_CHECK,
        (_form(r"^Found (?P<f>\d+) errors?(?: in .*|\. Watching.*)?\.?$", "group"),),
        bad=_re(r"^\S+\(\d+,\d+\): error TS\d+: .*$"),
    ),
    "svelte-check": Reader(TYPE_CHECK, (_form(r"^svelte-check found (?P<f>\d+) errors? and .*$", "group"),)),
    "astro": Reader(TYPE_CHECK, (_form(r"^- (?P<f>\d+) errors?$", "group"),)),
    "phpstan": Reader(
        TYPE_CHECK, (_form(r"^ \[ERROR\] Found (?P<f>\d+) errors? *$", "group"),), good=_re(r"^ \[OK\] No errors *$")
    ),
    "dialyzer": Reader(
        TYPE_CHECK,
        good=_re(r"^done \(passed successfully\)$"),
        bad=_re(r"^(?:done \(warnings were emitted\)|Halting VM with exit status 2)$"),
    ),
    "cargo check": Reader(
        TYPE_CHECK, good=_re(r"^ +Finished `?\w+`? .*$"), bad=_re(r"^error: could not compile .*$")
    ),
    "ty": Reader(TYPE_CHECK, (_form(r"^Found (?P<f>\d+) diagnostics?$", "group"),), good=_re(r"^All checks passed!$")),
    # ---- builds and deploys
    "go build": Reader(BUILD, bad=_re(r"^(?:\S+\.go:\d+:\d+: .*|# [\w./-]+)$")),
    "go vet": Reader(LINT, bad=_re(r"^(?:\S+\.go:\d+:\d+: .*|# [\w./-]+)$")),
    "cargo build": Reader(BUILD, good=_re(r"^ +Finished `?\w+`? .*$"), bad=_re(r"^error: could not compile .*$")),
    "mix compile": Reader(
        BUILD,
        good=_re(r"^Generated \w+ app$"),
        bad=_re(r"^(?:== Compilation error in file .*|Compilation failed due to warnings while using .*)$"),
    ),
    "next build": Reader(BUILD, good=_re(r"^ *✓ Generating static pages.*$"), bad=_re(r"^ *(?:Failed to compile\.|> Build .*)$")),
    "vite": Reader(BUILD, good=_re(r"^✓ built in [\d.]+m?s$"), bad=_re(r"^(?:error during build:|✗ Build failed in .*)$")),
    "webpack": Reader(
        BUILD, good=_re(r"^webpack [\d.]+ compiled (?:successfully|with \d+ warnings?) in .*$"),
        bad=_re(r"^webpack [\d.]+ compiled with \d+ errors? .*$"),
    ),
    "dotnet build": Reader(
        BUILD,
        good=_re(r"^(?:Build succeeded\.|Build succeeded in .*)$"),
        bad=_re(r"^Build (?:FAILED\.|failed with .*)$"),
    ),
    "docker build": Reader(
        BUILD,
        good=_re(r"^(?:Successfully built [0-9a-f]+|#\d+ naming to .* done|#\d+ DONE .*exporting.*)$"),
        bad=_re(r"^(?:ERROR: failed to (?:solve|build).*|The command .* returned a non-zero code: \d+)$"),
    ),
    "swift build": Reader(
        BUILD,
        good=_re(r"^(?:Build complete!.*|\*\* BUILD SUCCEEDED \*\*.*)$"),
        bad=_re(r"^(?:\*\* BUILD FAILED \*\*.*|error: fatalError)$"),
    ),
    "turbo": Reader(BUILD, good=_re(r"^ *Tasks: +(\d+) successful, \1 total$"), bad=_re(r"^ *Failed: +\S+#\S+.*$")),
    "terraform": Reader(DEPLOY, good=_re(r"^(?:Apply|Destroy) complete! Resources: .*$")),
    "helm": Reader(DEPLOY, good=_re(r"^STATUS: deployed$"), bad=_re(r"^Error: (?:INSTALLATION|UPGRADE) FAILED: .*$")),
    "npm publish": Reader(DEPLOY, good=_re(r"^\+ (?:@[\w.-]+/)?[\w.-]+@\d+\.\d+\.\d+\S*$")),
}  # fmt: skip

_MARKS: Final[dict[str, tuple[str, ...]]] = {
    "pytest": (" in ", "collection !"), "unittest": ("Ran ",), "jest": ("Test Suites:", "Tests:"),
    "vitest": ("Tests  ", "Test Files ", "Errors  "), "mocha": (" passing (", " failing", " pending"),
    "playwright": (" passed", " failed", " flaky", " skipped", "did not run", "interrupted"), "cypress": ("✔", "✖"),
    "node": ("pass ", "fail "), "bun": (" pass", " fail"), "deno": (" | ",),
    "go": ("ok  \t", "PASS", "FAIL", "panic: ", "[build failed]"), "gotestsum": ("DONE ",), "ginkgo": ("! -- ",),
    "cargo": ("test result: ", " Summary [", "error: ", "error["), "maven": ("Tests run: ", "BUILD "),
    "gradle": (" completed", "BUILD "), "sbt": ("Total ",),
    "dotnet": ("ed!", "Test summary: ", "Total tests: ", "Test Run ", "Build FAILED."), "rspec": (" example",),
    "minitest": (" assertions, ",), "phpunit": (" assertion", "Assertions: "),
    "swift": ("Executed ", "Test run with ", "** TEST "), "exunit": (" failure", "== Compilation error"),
    "ctest": ("% tests passed, ",), "dart": ("All tests passed!", "Some tests failed."), "behave": (" passed, ",),
    "tox": ("  congratulations :)", "  evaluation failed :("), "bazel": ("Executed ", "Build did NOT complete"),
    "ruff": ("Found ", "All checks passed!"), "ruff format": (" already formatted", " would be reformatted"),
    "black": (" would be ",), "eslint": ("✖ ",), "stylelint": ("✖ ",), "golangci-lint": (" issue", "level=error"),
    "biome": ("Found ", "Checked "), "prettier": ("Prettier code style!", "Code style issues"),
    "rubocop": (" inspected, ",), "clippy": (" Finished ", "error: "), "credo": (" mods/funs, ",),
    "swiftlint": ("Done linting! ",), "pre-commit": ("...Passed", "...Failed", ")Passed", ")Failed"),
    "next lint": ("No ESLint warnings",), "terraform validate": ("Success! ",), "mypy": ("Found ", "Success: "),
    "pyright": (" error",), "tsc": ("Found ", "error TS"), "svelte-check": ("svelte-check found ",),
    "astro": (" error",), "phpstan": ("[ERROR] ", "[OK] "), "dialyzer": ("done (", "Halting VM"),
    "cargo check": (" Finished ", "error: "), "ty": ("Found ", "All checks passed!"), "go build": (".go:", "# "),
    "go vet": (".go:", "# "), "cargo build": (" Finished ", "error: "), "mix compile": ("Generated ", "ompilation "),
    "next build": ("Generating static pages", "Failed to compile", "> Build "),
    "vite": ("built in ", "error during build:", "Build failed in "), "webpack": (" compiled ",),
    "dotnet build": ("Build ",), "docker build": ("Successfully built ", "#", "ERROR: ", "returned a non-zero"),
    "swift build": ("Build complete!", "** BUILD ", "fatalError"), "turbo": ("Tasks: ", "Failed: "),
    "terraform": (" complete! ",), "helm": ("STATUS: ", "FAILED: "), "npm publish": ("+ ",),
}  # fmt: skip
"""Texts of which one stands in any line that a reader knows: without them its patterns need not be tried."""

READERS: Final = {name: reader._replace(marks=_MARKS[name]) for name, reader in _FORMS.items()}
"""By tool. A task of a repository (`make test`) is read by all of its kind."""

_RUN_FAILED: Final = _re(
    r"^(?:(?:\[[\w:./-]+\] )?ERROR task failed|(?:g?make|mingw32-make)(?:\[\d+\])?: \*\*\* .*|npm (?:ERR!|error) Lifecycle script .*"
    r"|npm ERR! (?:Test failed\.|code ELIFECYCLE).*|.?ELIFECYCLE.? .*|error Command failed with exit code \d+\."
    r"|error: [Rr]ecipe `.*` failed .*|task: Failed to run task .*|rake aborted!|error: script \".*\" exited with code \d+)$"
)
"""What the runners of tasks write themselves when a task failed."""
_FAILED_MARKS: Final = (
    "ERROR task",
    ": *** ",
    "npm ",
    "ELIFECYCLE",
    "exited with",
    "exit code",
    "ecipe `",
    "aborted!",
    "Failed to run task",
)

_SAME: Final[dict[str, tuple[str, ...]]] = {
    "nose2": ("unittest",), "manage.py": ("unittest",), "setup.py test": ("unittest", "pytest"),
    "py.test": ("pytest",), "hatch test": ("pytest",), "react-scripts test": ("jest",), "ng test": ("jest", "karma"),
    "vue-cli-service test:unit": ("jest", "mocha"), "node": ("node",), "tap": ("node",), "bun test": ("bun",),
    "deno test": ("deno",), "go test": ("go",), "ginkgo": ("ginkgo", "go"), "cargo test": ("cargo",),
    "cargo t": ("cargo",), "cargo nextest": ("cargo",), "cargo llvm-cov": ("cargo",), "mvn": ("maven",),
    "sbt": ("sbt",), "dotnet test": ("dotnet",), "cucumber": ("behave",), "rails test": ("minitest", "rspec"),
    "minitest": ("minitest",), "pest": ("phpunit",), "paratest": ("phpunit",), "codecept": ("phpunit",),
    "artisan": ("phpunit",), "swift test": ("swift",), "xcodebuild test": ("swift",), "mix test": ("exunit",),
    "bats": ("exunit",), "flutter test": ("dart",), "dart test": ("dart",), "tox": ("tox", "pytest", "unittest"),
    "nox": ("pytest", "unittest"), "bazel test": ("bazel",), "playwright": ("playwright",), "cypress": ("cypress",),
    "biome check": ("biome",), "biome lint": ("biome",), "biome ci": ("biome",), "cargo clippy": ("clippy",),
    "mix credo": ("credo",), "mix dialyzer": ("dialyzer",), "basedpyright": ("pyright",), "vue-tsc": ("tsc",),
    "tsgo": ("tsc",), "cargo c": ("cargo check",), "astro check": ("astro",), "cargo b": ("cargo build",),
    "next build": ("next build",), "vite": ("vite",), "xcodebuild build": ("swift build",), "mkdocs": (),
    "docker buildx build": ("docker build",), "podman build": ("docker build",), "dotnet publish": ("dotnet build",),
    "terraform apply": ("terraform",), "terraform destroy": ("terraform",), "tofu apply": ("terraform",),
    "helm install": ("helm",), "helm upgrade": ("helm",), "gradle": ("gradle",), "go install": ("go build",),
    "ruff": ("ruff",), "standard": ("eslint",), "docker compose build": ("docker build",),
}  # fmt: skip
"""Frameworks whose lines are read by a reader of another name."""

SILENT: Final = frozenset(
    (
        "tsc", "vue-tsc", "tsgo", "flake8", "shellcheck", "yamllint", "hadolint", "actionlint", "codespell", "eslint",
        "stylelint", "phpcs", "staticcheck", "revive", "golint", "oxlint", "go build", "go vet", "go install", "mix compile",
        "mix format", "terraform fmt", "cargo fmt", "gofmt", "gofumpt", "goimports", "shfmt", "xo", "standard", "esbuild",
    )
)  # fmt: skip
"""Tools that write nothing when all is well."""

BY_OUTPUT: Final = frozenset(("gofmt", "gofumpt", "goimports"))
"""Tools that exit with 0 whatever they found: what they write is what they found."""


_PREFIXES: Final = {
    "mise": _re(r"^\[[\w:./-]+\] "),
    "turbo": _re(r"^[\w@./-]+:[\w:-]+: "),
    "pnpm": _re(r"^[\w@./-]+ [\w:-]+: "),
    "lerna": _re(r"^[\w@./-]+: "),
}


@lru_cache(maxsize=256)
def readers(kind: str, framework: str, *, task: bool) -> tuple[str, ...]:
    """Names of the readers for the output of that framework."""
    if not task:
        return _SAME.get(framework, (framework,) if framework in READERS else ())
    found = tuple(name for name, reader in READERS.items() if reader.kind == kind)
    # a task for types or for lint may be either
    return found + (("eslint", "ruff", "tsc", "mypy") if kind in (LINT, TYPE_CHECK) else ())


def read(names: tuple[str, ...], text: str, count: int, *, task: bool) -> list[Summary]:
    """The summaries of `count` runs in an output without colours, in its order; [] where they cannot be told apart."""
    if task and count == 1 and any(mark in text for mark in _FAILED_MARKS) and _RUN_FAILED.search(text):
        counted = _counted(names, text, 1, task=True)
        return [counted[0]._replace(passes=False) if counted else Summary(False)]
    return _counted(names, text, count, task=task)


def _counted(names: tuple[str, ...], text: str, count: int, *, task: bool) -> list[Summary]:
    found: dict[tuple[int, int], Summary] = {}
    failed = False
    said: Summary | None = None
    for name in _concerned(names, text):
        reader = READERS[name]
        for form in reader.forms:
            lines = {
                each.span(): _summary(form, each)._replace(part=reader.part) for each in form.pattern.finditer(text)
            }
            found.update(_merged(lines) if form.merge else lines)
        if reader.bad is not None and reader.bad.search(text):
            failed = True
        elif reader.good is not None:
            if reader.kind in (LINT, TYPE_CHECK) and not reader.part:
                found.update((each.span(), Summary(True, -1, 0, -1)) for each in reader.good.finditer(text))
            elif reader.good.search(text) and (said is None or said.part):
                said = Summary(True, part=reader.part)
    ordered = [found[place] for place in sorted(found)]
    if count > 1:
        return ordered if len(ordered) == count and not failed else []
    if not ordered:
        return [Summary(False)] if failed else [said] if said is not None else []
    summary = ordered[-1]
    for each in ordered[:-1] if task else ():
        summary = _add(summary, each)
    return [summary._replace(passes=False) if failed else summary]


@lru_cache(maxsize=128)
def _marked(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple(dict.fromkeys((mark, name) for name in names for mark in READERS[name].marks))


def _concerned(names: tuple[str, ...], text: str) -> list[str]:
    """The readers that may find a line of theirs."""
    found: list[str] = []
    for mark, name in _marked(names):
        if mark in text and name not in found:
            found.append(name)
    return found


def _merged(lines: dict[tuple[int, int], Summary]) -> dict[tuple[int, int], Summary]:
    """One summary of the lines that one run writes."""
    summary = None
    for each in lines.values():
        summary = each if summary is None else _add(summary, each)
    return {} if summary is None else {next(iter(lines)): summary}


def _summary(form: Form, match: re.Match[str]) -> Summary:
    counts: dict[str, int] = {}
    if form.style == "findings":
        counts[_FAILED] = sum(int(number) for number in re.findall(r"\d+", match.group("list")))
    elif form.style == "ruff":
        left = match.group("f")
        counts[_FAILED] = int(left if left is not None else re.findall(r"\d+", match.group())[0])
    elif form.style == "group":
        for name, value in match.groupdict().items():
            meaning = {"p": _PASSED, "f": _FAILED, "s": _SKIPPED, "t": _TOTAL}.get(name[0])
            if meaning is not None and value is not None and value.isdecimal():
                counts[meaning] = counts.get(meaning, 0) + int(value)
    else:
        text = (
            re.sub(r"\(.*?\)", "", match.group())
            if form.style != "word" and "assert" not in match.group()
            else match.group()
        )
        if form.style == "word":
            pairs = [(word, number) for word, number in _WORD.findall(text)]
        else:
            pairs = [
                (word, number) for number, word in _NUMBER.findall(text.lower() if form.style == "capital" else text)
            ]
        for word, number in pairs:
            meaning = _MEANINGS.get(word.lower())
            if meaning:
                counts[meaning] = counts.get(meaning, 0) + int(number)
    return _judged(counts)


def _judged(counts: dict[str, int]) -> Summary:
    failed, skipped = counts.get(_FAILED), counts.get(_SKIPPED)
    passed, total = counts.get(_PASSED), counts.get(_TOTAL)
    if passed is None and total is not None:
        passed = max(total - (failed or 0) - (skipped or 0), 0)
    if failed is None and passed is not None:
        failed = 0  # runners leave out what is none
    passes = None if not counts or (passed == 0 and not failed) else not failed
    if skipped is None and passed is not None:
        skipped = 0
    passed, failed, skipped = (-1 if value is None else value for value in (passed, failed, skipped))
    return Summary(passes, passed, failed, skipped)


def unprefixed(framework: str, text: str) -> str:
    """An output without what a runner of tasks puts before each line."""
    prefix = _PREFIXES.get(framework)
    return prefix.sub("", text) if prefix is not None else text


def _add(one: Summary, two: Summary) -> Summary:
    """Both together: one failure is a failure, and a count that only one names is the sum."""
    passes = False if False in (one.passes, two.passes) else True if True in (one.passes, two.passes) else None
    passed, failed, skipped = (a if b < 0 else b if a < 0 else a + b for a, b in zip(one[1:4], two[1:4], strict=True))
    return Summary(passes, passed, failed, skipped, one.part or two.part)
