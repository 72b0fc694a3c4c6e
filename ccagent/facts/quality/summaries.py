"""What the summary lines of test runners, linters, compilers and builders say: outcome and counts.

How these lines look, tool by tool: ccagent/facts/quality/forms.py.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from ccagent.facts.quality.forms import READERS, Form
from ccagent.facts.quality.kinds import LINT, TYPE_CHECK


class Summary(NamedTuple):
    """passes: None where the lines do not tell; -1 for a count that they do not name. `failed` of a linter or a type
    checker is the number of its findings."""

    passes: bool | None
    passed: int = -1
    failed: int = -1
    skipped: int = -1
    part: bool = False
    """The lines speak of one package, binary or module each: where some may be missing, they prove no pass."""


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

_RUN_FAILED: Final = re.compile(
    r"^(?:(?:\[[\w:./-]+\] )?ERROR task failed|(?:g?make|mingw32-make)(?:\[\d+\])?: \*\*\* .*|npm (?:ERR!|error) Lifecycle script .*"
    r"|npm ERR! (?:Test failed\.|code ELIFECYCLE).*|.?ELIFECYCLE.? .*|error Command failed with exit code \d+\."
    r"|error: [Rr]ecipe `.*` failed .*|task: Failed to run task .*|rake aborted!|error: script \".*\" exited with code \d+)$",
    re.MULTILINE,
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
    "mise": re.compile(r"^\[[\w:./-]+\] ", re.MULTILINE),
    "turbo": re.compile(r"^[\w@./-]+:[\w:-]+: ", re.MULTILINE),
    "pnpm": re.compile(r"^[\w@./-]+ [\w:-]+: ", re.MULTILINE),
    "lerna": re.compile(r"^[\w@./-]+: ", re.MULTILINE),
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
