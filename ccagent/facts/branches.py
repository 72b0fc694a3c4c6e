"""What a branch's name says of the work on it: a feature, a ticket, a phase."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from ccagent.facts.documents import GENERIC, phase_in, slug

TRUNKS: Final = frozenset(
    (
        "backup", "canary", "default", "dev", "develop", "development", "gh-pages", "head", "hotfix", "integration",
        "local", "main", "master", "next", "play", "prod", "production", "qa", "release", "scratch", "stable",
        "staging", "temp", "test", "testing", "tests", "tmp", "trunk", "wip", "work", "worktree",
    )
)  # fmt: skip
"""Branches on which everything is done."""

NO_FEATURES: Final = frozenset(("release", "releases", "dependabot", "renovate", "backup", "archive", "tags"))
"""What stands before the first slash of branches that are no features."""

NUMBERED: Final = frozenset(("issue", "issues", "gh", "bug", "fix", "feat", "feature", "hotfix", "pr"))
"""Words before a number that make it an issue of the repository: `issue-307-x`, `fix-12-x` are #307 and #12."""

NO_TICKETS: Final = frozenset(
    (
        "alpha", "android", "angular", "api", "attempt", "aes", "base", "batch", "beta", "claude", "cve", "day",
        "draft", "es", "go", "gpt", "http", "ios", "ipv", "iso", "iteration", "java", "level", "llama", "md", "node",
        "opus", "option", "part", "pass", "pg", "phase", "php", "plan", "postgres", "py", "python", "rails", "rc",
        "react", "redis", "release", "rev", "rfc", "round", "ruby", "rust", "sha", "sonnet", "step", "test", "tier",
        "try", "utf", "version", "vue", "wave", "week",
    )
)  # fmt: skip
"""Words before a number that name no ticket: `python-3-upgrade`, `sha-256`, `phase-2`."""

_TICKET: Final = re.compile(r"^([a-z][a-z0-9]{1,9})-(\d{1,6})(?=$|-)")
_ISSUE: Final = re.compile(r"^#?([1-9]\d{0,4})-(?=[a-z])")
_DATE: Final = re.compile(r"^(?:\d{8}|\d{4}-\d{2}-\d{2})(?:-|$)")
_TAIL: Final = re.compile(r"-(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{6,40}$")
_SESSION: Final = re.compile(r"-01[0-9A-Za-z]{18,30}$")
_AGENT: Final = re.compile(r"^(?:worktree-)?agent-[0-9a-f]{6,40}$")
_SLUG: Final = re.compile(r"^[a-z0-9][a-z0-9._+-]{2,79}$")

BRANCH_CHARACTERS: Final = 256


class Named(NamedTuple):
    """What a branch names; None for what it does not."""

    feature: str | None = None
    task: str | None = None
    phase: str | None = None


@lru_cache(maxsize=4_096)
def branch_names(branch: str) -> Named:
    """The feature, ticket and phase that a branch's name holds.

    Rule: the part behind the last slash counts (before it stand kinds of work and people: `feat/`, `alex/`), in lower
    case with hyphens, without a date or an issue number before it and an id that a tool has put behind it. A ticket is
    letters, hyphen, number at its beginning (`ent-109-…` → ENT-109); a number behind `issue`, `fix` … or alone is that
    issue (#307). What is left is the feature; if nothing is, the ticket. Trunks, releases and dependency updates have
    none. Reason: the tools and people of the measured corpus name branches so. Not seen: branches named after people
    alone, which become features.
    """
    text = branch[:BRANCH_CHARACTERS].strip("/")
    before, _, last = text.rpartition("/")
    if not last or before.split("/", 1)[0].lower() in NO_FEATURES or _AGENT.match(last.lower()):
        return Named()
    phase = phase_in(text)
    name = _SESSION.sub("", last).lower().replace("_", "-").replace(" ", "-")
    name = _DATE.sub("", _TAIL.sub("", name.removeprefix("worktree-"))).strip("-.")
    task = None
    rest = name
    found = _TICKET.match(name)
    if found is not None and found.group(1) not in NO_TICKETS:
        word, number = found.groups()
        task = f"#{int(number)}" if word in NUMBERED else f"{word.upper()}-{number}"
        rest = name[found.end() :].strip("-")
    elif (issue := _ISSUE.match(name)) is not None:
        task, rest = f"#{issue.group(1)}", name[issue.end() :]
    feature = _feature(rest) or (_feature(name) if task is not None else None)
    return Named(feature, task, phase)


def _feature(name: str) -> str | None:
    text = slug(name)
    if text in TRUNKS or text in GENERIC or not _SLUG.match(text) or not any(letter.isalpha() for letter in text):
        return None
    return text
