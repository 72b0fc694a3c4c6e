"""The lines in which test runners, linters, type checkers and builders say how they ended, tool by tool.

Only a tool's own form counts, never a word like "error" in a line of anybody's. A reader is a set of such forms; each
holds the shapes of several versions, and numbers stand before their word ("3 failed") or behind it ("Failures: 3").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from ccagent.facts.quality.kinds import BUILD, DEPLOY, LINT, TEST, TYPE_CHECK


class Pattern:
    """A pattern of whole lines that is compiled when it is first looked for: there are a hundred, for tools of which most
    machines have five, and compiling them all would be a good part of a start."""

    __slots__ = ("_compiled", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._compiled: re.Pattern[str] | None = None

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """Every place where it stands."""
        return self._made().finditer(text)

    def search(self, text: str) -> re.Match[str] | None:
        """The first of them."""
        return self._made().search(text)

    def _made(self) -> re.Pattern[str]:
        if self._compiled is None:
            self._compiled = re.compile(self.text, re.MULTILINE)
        return self._compiled


class Form(NamedTuple):
    """A line with counts. style: `number` "3 failed", `word` "Failures: 3", `group` by the pattern's groups p f s t.
    merge: one run writes several such lines, which complete or continue one another."""

    pattern: Pattern
    style: str = "number"
    merge: bool = False


class Reader(NamedTuple):
    """The forms of one tool. good, bad: lines that tell the outcome without counts."""

    kind: str
    forms: tuple[Form, ...] = ()
    good: Pattern | None = None
    bad: Pattern | None = None
    part: bool = False
    """Each line speaks of one package, binary, module or hook."""
    marks: tuple[str, ...] = ()
    """See `_MARKS`."""


def _form(pattern: str, style: str = "number", *, merge: bool = False) -> Form:
    return Form(Pattern(pattern), style, merge)


_PYTEST_WORD: Final = r"(?:failed|passed|skipped|deselected|xfailed|xpassed|warnings?|errors?|rerun|subtests passed)"

_FORMS: Final[dict[str, Reader]] = {
    "pytest": Reader(
        TEST,
        (_form(rf"^(?:=+ )?\d+ {_PYTEST_WORD}(?:, \d+ {_PYTEST_WORD})* in [\d.]+s(?: \([\d:]+\))?(?: =+)?$"),),
        bad=Pattern(r"^!+ Interrupted: \d+ errors? during collection !+$"),
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
        bad=Pattern(r"^Test Suites: +[1-9]\d* failed,"),
    ),
    "vitest": Reader(
        TEST,
        (_form(r"^ *Tests +(?:\d+ (?:failed|passed|skipped|todo|expected fail)(?: \| )?)+ \(\d+\)$"),),
        bad=Pattern(r"^ *(?:Test Files +[1-9]\d* failed\b.*|Errors +[1-9]\d* errors?)$"),
    ),
    "mocha": Reader(TEST, (_form(r"^ +\d+ (?:passing \(\d+\w+\)|pending|failing)$", merge=True),)),
    "playwright": Reader(
        TEST,
        (_form(r"^ +\d+ (?:failed|flaky|skipped|did not run|interrupted|passed)(?: \([\d.]+\w+\))?$", merge=True),),
    ),
    "cypress": Reader(
        TEST,
        (_form(r"^ +[✔✖] .*?(?P<t>\d+) +(?P<p>\d+|-) +(?P<f>\d+|-) +(?P<w>\d+|-) +(?P<s>\d+|-) *$", "group"),),
        good=Pattern(r"^ +✔ +All specs passed!"),
        bad=Pattern(r"^ +✖ +\d+ of \d+ failed"),
    ),
    "node": Reader(TEST, (_form(r"^(?:#|ℹ) (?:pass|fail|skipped) \d+$", "word", merge=True),)),
    "bun": Reader(TEST, (_form(r"^ *\d+ (?:pass|fail|skip|todo)$", merge=True),)),
    "deno": Reader(TEST, (_form(r"^(?:ok|FAILED) \| \d+ passed.* \| \d+ failed.*$"),)),
    "go": Reader(
        TEST,
        (),
        good=Pattern(r"^(?:ok  \t.*|PASS)$"),
        bad=Pattern(r"^(?:FAIL\b.*|--- FAIL: .*|\[build failed\]|panic: .*)$"),
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
        bad=Pattern(r"^error(?:\[E\d+\])?: (?:could not compile|test failed|\d+ targets? failed).*$"),
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
        good=Pattern(r"^\[INFO\] BUILD SUCCESS$"),
        bad=Pattern(r"^\[INFO\] BUILD FAILURE$"),
        part=True,
    ),
    "gradle": Reader(
        TEST,
        (_form(r"^\d+ tests? completed(?:, \d+ (?:failed|skipped))*$"),),
        good=Pattern(r"^BUILD SUCCESSFUL in .*$"),
        bad=Pattern(r"^BUILD FAILED in .*$"),
    ),
    "sbt": Reader(
        TEST,
        (_form(r"^\[(?:info|error)\] (?:Passed|Failed): Total \d+, Failed \d+, Errors \d+, Passed \d+.*$", "word"),),
        good=Pattern(r"^\[success\] Total time: .*$"),
        bad=Pattern(r"^\[error\] Total time: .*$"),
    ),
    "dotnet": Reader(
        TEST,
        (
            _form(r"^(?:Passed|Failed)! +- Failed: +\d+, Passed: +\d+, Skipped: +\d+, Total: +\d+.*$", "word", merge=True),
            _form(r"^Test summary: total: \d+, failed: \d+, succeeded: \d+, skipped: \d+.*$", "word"),
            _form(r"^Total tests: \d+\. Passed: \d+\. Failed: \d+\. Skipped: \d+\.$", "word"),
            _form(r"^Total tests: \d+\n(?: +(?:Passed|Failed|Skipped): \d+\n?)+", "word"),
        ),
        good=Pattern(r"^Test Run Successful\.$"),
        bad=Pattern(r"^(?:Test Run Failed\.|Build FAILED\.)$"),
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
        good=Pattern(r"^(?:. Test run with \d+ tests? (?:in \d+ suites? )?passed after .*|\*\* TEST SUCCEEDED \*\*.*)$"),
        bad=Pattern(r"^(?:. Test run with \d+ tests? (?:in \d+ suites? )?failed after .*|\*\* TEST FAILED \*\*.*)$"),
    ),
    "exunit": Reader(
        TEST,
        (
            _form(
                r"^(?:\d+ (?:doctests?|properties|property|tests?|features?), )*\d+ (?:doctests?|properties|tests?), "
                r"\d+ failures?(?:, \d+ (?:excluded|skipped|invalid))*(?: \(.*\))?$"
            ),
        ),
        bad=Pattern(r"^== Compilation error in file .*$"),
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
    "tox": Reader(TEST, good=Pattern(r"^  congratulations :\).*$"), bad=Pattern(r"^  evaluation failed :\(.*$")),
    "bazel": Reader(
        TEST,
        good=Pattern(r"^Executed \d+ out of \d+ tests?: \d+ tests? pass(?:es)?\.$"),
        bad=Pattern(r"^(?:FAILED: Build did NOT complete.*|Executed \d+ out of \d+ tests?:.* fails? .*)$"),
    ),
    # ---- linters
    "ruff": Reader(
        LINT,
        (_form(r"^Found \d+ errors?(?: \((?:\d+) fixed, (?P<f>\d+) remaining\))?\.$", "ruff"),),
        good=Pattern(r"^All checks passed!$"),
    ),
    "ruff format": Reader(
        LINT,
        good=Pattern(r"^\d+ files? already formatted$"),
        bad=Pattern(r"^\d+ files? would be reformatted(?:, \d+ files? already formatted)?$"),
    ),
    "black": Reader(
        LINT,
        good=Pattern(r"^\d+ files? would be left unchanged\.$"),
        bad=Pattern(r"^\d+ files? would be reformatted(?:, \d+ files? would be .*)?\.$"),
    ),
    "eslint": Reader(LINT, (_form(r"^✖ \d+ problems? \((?P<f>\d+) errors?, \d+ warnings?\)$", "group"),)),
    "stylelint": Reader(LINT, (_form(r"^✖ \d+ problems? \((?P<f>\d+) errors?, \d+ warnings?\)$", "group"),)),
    "golangci-lint": Reader(LINT, (_form(r"^\d+ issues?[.:]$"),), bad=Pattern(r"^level=error msg=.*$")),
    "biome": Reader(
        LINT,
        (_form(r"^Found (?P<f>\d+) errors?\.$", "group"),),
        good=Pattern(r"^Checked \d+ files? in [\d.]+\w+\. (?:No fixes applied|Fixed \d+ files?)\.$"),
    ),
    "prettier": Reader(
        LINT,
        good=Pattern(r"^All matched files use Prettier code style!$"),
        bad=Pattern(r"^\[warn\] Code style issues (?:found in|were found in).*$"),
    ),
    "rubocop": Reader(
        LINT,
        (_form(r"^\d+ files? inspected, (?P<f>\d+) offenses? detected.*$", "group"),),
        good=Pattern(r"^\d+ files? inspected, no offenses detected$"),
    ),
    "clippy": Reader(
        LINT,
        good=Pattern(r"^ +Finished `?\w+`? .*$"),
        bad=Pattern(r"^error: (?:could not compile|aborting due to) .*$"),
    ),
    "credo": Reader(
        LINT,
        (_form(r"^\d+ mods/funs, found (?P<list>(?:\d+ [a-z ]+(?:, | and )?)+)\.$", "findings"),),
        good=Pattern(r"^\d+ mods/funs, found no issues\.$"),
    ),
    "swiftlint": Reader(LINT, (_form(r"^Done linting! Found (?P<w>\d+) violations?, (?P<f>\d+) serious.*$", "group"),)),
    "pre-commit": Reader(
        LINT, good=Pattern(r"^.{1,70}\.{3,}(?:\(.*\))?Passed$"), bad=Pattern(r"^.{1,70}\.{3,}(?:\(.*\))?Failed$"), part=True
    ),
    "next lint": Reader(LINT, good=Pattern(r"^✔ No ESLint warnings or errors$")),
    "terraform validate": Reader(LINT, good=Pattern(r"^Success! The configuration is valid.*$")),
    # ---- type checkers
    "mypy": Reader(
        TYPE_CHECK,
        (_form(r"^Found (?P<f>\d+) errors? in \d+ files? \(.*\)$", "group"),),
        good=Pattern(r"^Success: no issues found in \d+ source files?$"),
    ),
    "pyright": Reader(TYPE_CHECK, (_form(r"^(?P<f>\d+) errors?, \d+ warnings?(?:, \d+ \w+)? *$", "group"),)),
    "tsc": Reader(
        TYPE_CHECK,
        (_form(r"^Found (?P<f>\d+) errors?(?: in .*|\. Watching.*)?\.?$", "group"),),
        bad=Pattern(r"^\S+\(\d+,\d+\): error TS\d+: .*$"),
    ),
    "svelte-check": Reader(TYPE_CHECK, (_form(r"^svelte-check found (?P<f>\d+) errors? and .*$", "group"),)),
    "astro": Reader(TYPE_CHECK, (_form(r"^- (?P<f>\d+) errors?$", "group"),)),
    "phpstan": Reader(
        TYPE_CHECK, (_form(r"^ \[ERROR\] Found (?P<f>\d+) errors? *$", "group"),), good=Pattern(r"^ \[OK\] No errors *$")
    ),
    "dialyzer": Reader(
        TYPE_CHECK,
        good=Pattern(r"^done \(passed successfully\)$"),
        bad=Pattern(r"^(?:done \(warnings were emitted\)|Halting VM with exit status 2)$"),
    ),
    "cargo check": Reader(
        TYPE_CHECK, good=Pattern(r"^ +Finished `?\w+`? .*$"), bad=Pattern(r"^error: could not compile .*$")
    ),
    "ty": Reader(TYPE_CHECK, (_form(r"^Found (?P<f>\d+) diagnostics?$", "group"),), good=Pattern(r"^All checks passed!$")),
    # ---- builds and deploys
    "go build": Reader(BUILD, bad=Pattern(r"^(?:\S+\.go:\d+:\d+: .*|# [\w./-]+)$")),
    "go vet": Reader(LINT, bad=Pattern(r"^(?:\S+\.go:\d+:\d+: .*|# [\w./-]+)$")),
    "cargo build": Reader(BUILD, good=Pattern(r"^ +Finished `?\w+`? .*$"), bad=Pattern(r"^error: could not compile .*$")),
    "mix compile": Reader(
        BUILD,
        good=Pattern(r"^Generated \w+ app$"),
        bad=Pattern(r"^(?:== Compilation error in file .*|Compilation failed due to warnings while using .*)$"),
    ),
    "next build": Reader(BUILD, good=Pattern(r"^ *✓ Generating static pages.*$"), bad=Pattern(r"^ *(?:Failed to compile\.|> Build .*)$")),
    "vite": Reader(BUILD, good=Pattern(r"^✓ built in [\d.]+m?s$"), bad=Pattern(r"^(?:error during build:|✗ Build failed in .*)$")),
    "webpack": Reader(
        BUILD, good=Pattern(r"^webpack [\d.]+ compiled (?:successfully|with \d+ warnings?) in .*$"),
        bad=Pattern(r"^webpack [\d.]+ compiled with \d+ errors? .*$"),
    ),
    "dotnet build": Reader(
        BUILD,
        good=Pattern(r"^(?:Build succeeded\.|Build succeeded in .*)$"),
        bad=Pattern(r"^Build (?:FAILED\.|failed with .*)$"),
    ),
    "docker build": Reader(
        BUILD,
        good=Pattern(r"^(?:Successfully built [0-9a-f]+|#\d+ naming to .* done|#\d+ DONE .*exporting.*)$"),
        bad=Pattern(r"^(?:ERROR: failed to (?:solve|build).*|The command .* returned a non-zero code: \d+)$"),
    ),
    "swift build": Reader(
        BUILD,
        good=Pattern(r"^(?:Build complete!.*|\*\* BUILD SUCCEEDED \*\*.*)$"),
        bad=Pattern(r"^(?:\*\* BUILD FAILED \*\*.*|error: fatalError)$"),
    ),
    "turbo": Reader(BUILD, good=Pattern(r"^ *Tasks: +(\d+) successful, \1 total$"), bad=Pattern(r"^ *Failed: +\S+#\S+.*$")),
    "terraform": Reader(DEPLOY, good=Pattern(r"^(?:Apply|Destroy) complete! Resources: .*$")),
    "helm": Reader(DEPLOY, good=Pattern(r"^STATUS: deployed$"), bad=Pattern(r"^Error: (?:INSTALLATION|UPGRADE) FAILED: .*$")),
    "npm publish": Reader(DEPLOY, good=Pattern(r"^\+ (?:@[\w.-]+/)?[\w.-]+@\d+\.\d+\.\d+\S*$")),
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
