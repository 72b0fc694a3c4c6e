"""Which commands are quality runs: the tools that are known, by their name and, where it has several, their verb.

A framework is the tool's name, with its verb where one tool does several things (`go test`, `cargo clippy`). What only
prints help, a version or a plan runs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Final

from ccagent.facts.quality.kinds import BUILD, DEPLOY, LINT, TEST
from ccagent.facts.quality.launchers import LAUNCHERS, base
from ccagent.facts.quality.tasks import task_kind
from ccagent.facts.quality.tools import (
    ANYWHERE,
    CHECKERS,
    DEEP,
    DEEP_NAMES,
    NOT,
    NOT_AFTER,
    TOOLS,
    VALUED,
    VERBS,
)

Found = tuple[tuple[str, str], ...]
"""Pairs of kind and framework: `make lint test` are two runs."""


def _operands(words: tuple[str, ...]) -> list[str]:
    """Words that are neither options, nor their values, nor assignments; up to `--`."""
    found = []
    index = 1
    while index < len(words):
        word = words[index]
        if word == "--":
            break
        if word in VALUED:
            index += 1
        elif not word.startswith(("-", "+")) and not re.match(r"[A-Za-z_]\w*=", word):
            found.append(word)
        index += 1
    return found


# ---- runners of tasks -----------------------------------------------------------------------------------------------


def _tasks(framework: str, names: list[str]) -> Found:
    found: dict[tuple[str, str], None] = {}
    for name in names:
        kind = task_kind(name)
        if kind is not None:
            found[kind, framework] = None
    return tuple(found)


def _scripts(name: str, words: tuple[str, ...]) -> Found:
    """npm, pnpm, yarn, bun: `test`, `run NAME`, and for those that allow it the script's bare name."""
    operands = _operands(words)
    if operands[:1] == ["workspace"]:  # yarn workspace NAME script
        operands = operands[2:]
    if operands[:1] == ["workspaces"] or not operands:
        return ()
    first = operands[0]
    if first in ("test", "t", "tst") and (name != "bun"):
        return ((TEST, name),)
    if first in ("run", "run-script", "rum"):
        return _tasks(name, operands[1:2])
    if first == "publish":
        return ((DEPLOY, name + " publish"),)
    if name in ("yarn", "pnpm"):
        return _bare_script(name, operands)
    return ()


def _bare_script(name: str, operands: list[str]) -> Found:
    """`yarn lint` runs a script, `yarn eslint .` a tool."""
    if operands[0] in TOOLS or operands[0] in VERBS or operands[0] in CHECKERS:
        return tool(tuple(operands))
    return _tasks(name, operands[:1])


def _make(words: tuple[str, ...]) -> Found:
    targets = _operands(words)
    if not targets:
        return ((BUILD, "make"),)
    if targets == ["check"]:
        return ((TEST, "make"),)  # what GNU calls the tests
    if targets == ["all"]:
        return ((BUILD, "make"),)
    return _tasks("make", targets)


def _mise(words: tuple[str, ...]) -> Found:
    operands = _operands(words)
    if operands[:1] not in (["run"], ["r"]):
        return ()
    names = [name for before, name in pairwise(operands) if before in ("run", "r", ":::")]
    return _tasks("mise", names)


def _first(name: str) -> Callable[[tuple[str, ...]], Found]:
    return lambda words: _tasks(name, _operands(words)[:1])


def _every(name: str) -> Callable[[tuple[str, ...]], Found]:
    return lambda words: _tasks(name, _operands(words))


def _behind_run(name: str) -> Callable[[tuple[str, ...]], Found]:
    def read(words: tuple[str, ...]) -> Found:
        operands = _operands(words)
        return _tasks(name, operands[1:] if operands[:1] in (["run"], ["run-many"]) else operands[:1])

    return read


def _nx(words: tuple[str, ...]) -> Found:
    operands = _operands(words)
    if operands[:1] == ["run"]:
        return _tasks("nx", [operands[1].rpartition(":")[2]] if len(operands) > 1 else [])
    for word, value in zip(words, (*words[1:], ""), strict=True):
        if word in ("-t", "--target", "--targets"):
            return _tasks("nx", value.split(","))
        if word.startswith(("--target=", "--targets=")):
            return _tasks("nx", word.partition("=")[2].split(","))
    return _tasks("nx", operands[:1])


_MAVEN: Final = {
    "test": TEST, "verify": TEST, "integration-test": TEST, "surefire:test": TEST, "failsafe:integration-test": TEST,
    "compile": BUILD, "package": BUILD, "install": BUILD, "test-compile": BUILD, "deploy": DEPLOY,
    "checkstyle:check": LINT, "spotless:check": LINT, "spotbugs:check": LINT, "pmd:check": LINT,
}  # fmt: skip


def _maven(words: tuple[str, ...]) -> Found:
    """The last phase names the run, as it holds those before it."""
    kinds = [_MAVEN[word] for word in words[1:] if word in _MAVEN]
    return ((kinds[-1], "mvn"),) if kinds else ()


def _gradle(words: tuple[str, ...]) -> Found:
    found: dict[tuple[str, str], None] = {}
    for word in _operands(words):
        task = word.rpartition(":")[2]
        words_of = re.sub(r"([A-Z])", r"-\1", task)
        kind = TEST if task == "check" else DEPLOY if task.startswith("publish") else task_kind(words_of)
        if task.startswith("compile"):
            kind = BUILD
        if kind is not None:
            found[kind, "gradle"] = None
    return tuple(found)


def _sbt(words: tuple[str, ...]) -> Found:
    names = [each.rpartition("/")[2] for word in words[1:] for each in word.split()]
    return _tasks("sbt", ["test" if each.startswith("testOnly") else each for each in names])


def _ruby_task(name: str) -> Callable[[tuple[str, ...]], Found]:
    def read(words: tuple[str, ...]) -> Found:
        operands = _operands(words)
        return _tasks(name, operands) if operands or name == "rails" else ((TEST, name),)

    return read


def _environments(name: str, option: str) -> Callable[[tuple[str, ...]], Found]:
    """tox -e lint,py311 · nox -s lint tests: tests, unless the environments' names tell another kind."""

    def read(words: tuple[str, ...]) -> Found:
        named: list[str] = []
        for index, word in enumerate(words):
            if word in (option, "--session", "--sessions") or (name == "tox" and word == "-m"):
                named += words[index + 1].split(",") if index + 1 < len(words) else []
        found = {(task_kind(each) or TEST, name): None for each in named}
        return tuple(found) if found else ((TEST, name),)

    return read


TASK_RUNNERS: Final[dict[str, Callable[[tuple[str, ...]], Found]]] = {
    "npm": lambda words: _scripts("npm", words),
    "pnpm": lambda words: _scripts("pnpm", words),
    "yarn": lambda words: _scripts("yarn", words),
    "bun": lambda words: _scripts("bun", words),
    "make": _make,
    "gmake": _make,
    "mise": _mise,
    "just": _every("just"),
    "task": _every("task"),
    "poe": _first("poe"),
    "inv": _first("invoke"),
    "invoke": _first("invoke"),
    "gulp": _every("gulp"),
    "grunt": _every("grunt"),
    "ant": _every("ant"),
    "mage": _every("mage"),
    "turbo": _behind_run("turbo"),
    "lerna": _behind_run("lerna"),
    "moon": _behind_run("moon"),
    "composer": _behind_run("composer"),
    "hatch": _behind_run("hatch"),
    "pdm": _behind_run("pdm"),
    "pixi": _behind_run("pixi"),
    "poetry": _behind_run("poetry"),
    "earthly": lambda words: _tasks("earthly", [word.partition("+")[2] for word in words[1:] if "+" in word]),
    "deno": lambda words: _tasks("deno", _operands(words)[1:2]) if _operands(words)[:1] == ["task"] else (),
    "nx": _nx,
    "mvn": _maven,
    "mvnw": _maven,
    "gradle": _gradle,
    "gradlew": _gradle,
    "sbt": _sbt,
    "rake": _ruby_task("rake"),
    "rails": _ruby_task("rails"),
    "tox": _environments("tox", "-e"),
    "nox": _environments("nox", "-s"),
}
"""What runs tasks of the repository: the kind follows from the task's name. All their results are read by any tool's
summary of that kind, for nobody knows what they run."""


# ---- all of them ----------------------------------------------------------------------------------------------------


_KNOWN: Final = (
    frozenset(TOOLS) | frozenset(CHECKERS) | frozenset(VERBS) | frozenset(TASK_RUNNERS) | DEEP_NAMES
    | frozenset(LAUNCHERS) | frozenset(("bash", "sh", "zsh", "pwsh", "powershell"))
)  # fmt: skip


def known(word: str) -> bool:
    """Whether a command of that name may be a quality run: a cheap look before `tool` and `launched`."""
    return word in _KNOWN or "/" in word or "\\" in word or word.startswith("py") or word.endswith(".exe")


def tool(words: tuple[str, ...]) -> Found:
    """The quality runs of a command that no launcher stands before; () for any other command."""
    name = base(words[0])
    if name in DEEP_NAMES:
        for path, kind in DEEP.items():
            if path[0] == name and _holds(words, path) and "--dry-run" not in words:
                options = tuple(word for word in path[1:] if not word.startswith("-"))
                return ((kind, " ".join((name, *options))),)
    verbs, only, runner = VERBS.get(name), TOOLS.get(name), TASK_RUNNERS.get(name)
    flags = CHECKERS.get(name)
    if verbs is None and only is None and runner is None and flags is None:
        return _script(words)
    if (
        not NOT.isdisjoint(words)
        or any(word.startswith("--dry-run=") for word in words)
        or not NOT_AFTER.get(name, frozenset()).isdisjoint(words)
    ):
        return ()
    if verbs is not None:
        found = _verb(name, verbs, words)
        if found:
            return found
    if runner is not None:
        return runner(words)
    if only is not None:
        return ((only, "pytest" if name in ("py.test", "pytest-3") else name),)
    return ((LINT, name),) if flags is not None and any(word in flags for word in words) else ()


def _verb(name: str, verbs: dict[str, str], words: tuple[str, ...]) -> Found:
    operands = _operands(words)
    wanted = operands if name in ANYWHERE else operands[:1]
    for verb in wanted:
        if verb in verbs:
            return ((verbs[verb], f"{name} {verb}" if len(verbs) > 1 else name),)
    if name == "ruff" and operands and operands[0] in (".", "src"):
        return ((LINT, "ruff"),)  # before 0.1 without a verb
    return ()


def _holds(words: tuple[str, ...], path: tuple[str, ...]) -> bool:
    index = 0
    for each in path[1:]:
        try:
            index = words.index(each, index + 1)
        except ValueError:
            return False
    return True


_SCRIPT_NAME: Final = re.compile(r"(?:run[-_])?([a-z0-9_-]+?)(?:\.(?:sh|bash|ps1|py))?")
_SHELLS: Final = frozenset(("bash", "sh", "zsh", "pwsh", "powershell"))


def _script(words: tuple[str, ...]) -> Found:
    """A script of the repository that is named for what it does: `./test.sh`, `bash scripts/lint.sh`, `bin/build`."""
    path = words[0]
    if base(path) in _SHELLS:
        path = next((word for word in words[1:] if not word.startswith("-")), "")
        if "/" not in path and not path.endswith((".sh", ".ps1")):
            return ()
    elif not path.startswith((".", "bin/", "script/", "scripts/", "tools/", "hack/", "ci/")):
        return ()
    found = _SCRIPT_NAME.fullmatch(path.rpartition("/")[2])
    return _tasks("script", [found.group(1)]) if found else ()
