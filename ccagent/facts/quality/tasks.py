"""Tasks of a repository: what `npm run lint`, `make test` or `mise run build` is for, by the task's name.

Rule: the name is cut at `:`, `-`, `_`, `.`, `/`, and its first word, else its last one, tells the kind, as people name
tasks: `test:unit`, `unit-test`, `lint-fix`, `docker-build`. A name with a word that prepares something (setup, seed,
install …) is none, nor is `format` without `check`, which writes instead of judging.
"""

from __future__ import annotations

import re
from typing import Final

from ccagent.facts.quality.kinds import BUILD, DEPLOY, LINT, TEST, TYPE_CHECK

_WORDS: Final[dict[str, str]] = {
    **dict.fromkeys(("test", "tests", "spec", "specs", "unit", "integration", "e2e", "coverage", "unittest"), TEST),
    **dict.fromkeys(("pytest", "jest", "vitest", "mocha", "playwright", "cypress", "phpunit", "rspec", "cov"), TEST),
    **dict.fromkeys(("lint", "linter", "linting", "eslint", "ruff", "stylelint", "flake8", "rubocop", "clippy"), LINT),
    **dict.fromkeys(("check", "vet", "shellcheck", "prettier", "biome", "credo", "pylint"), LINT),
    **dict.fromkeys(("typecheck", "typechecks", "typing", "tsc", "mypy", "pyright", "types", "dialyzer"), TYPE_CHECK),
    **dict.fromkeys(("build", "compile", "bundle", "dist", "package", "assemble"), BUILD),
    **dict.fromkeys(("deploy", "publish", "release", "ship"), DEPLOY),
}
_PREPARES: Final = frozenset(
    "setup seed reset clean install data db database fixture fixtures generate gen server serve deps init migrate up"
    " down start stop create prepare list help version watch fmt format update".split()
)
_CUT: Final = re.compile(r"[:\-_./]+")
_CHECKED: Final = frozenset(("fmt", "format", "formatting", "prettier", "style"))


def task_kind(task: str) -> str | None:
    """The kind of a task of that name, None where the name does not tell."""
    words = [word for word in _CUT.split(task.lower()) if word]
    if not words:
        return None
    check = "check" in words
    if check and any(word in ("type", "types", "typing") for word in words):
        return TYPE_CHECK
    if check and any(word in _CHECKED for word in words):
        return LINT
    if any(word in _PREPARES for word in words):
        return None
    return _WORDS.get(words[0]) or _WORDS.get(words[-1])
