"""Evidence that a session worked on something: features, tasks, phases, pull requests, by names and paths alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from ccagent.facts.branches import NO_TICKETS, branch_names
from ccagent.facts.documents import feature_of_path, phase_in
from ccagent.facts.pulls import pulls_in
from ccagent.facts.shell import split
from ccagent.facts.targets import Target

MENTIONS: Final = 16
"""Things of one kind that one line's evidence may name; a command that names more is a list of all there are."""

TEXT_CHARACTERS: Final = 16 * 1_024
"""Of a longer text only so much is searched."""

TASK_PATTERN: Final = r"[A-Z]{2,10}(?:-[A-Z][A-Z0-9]*){0,3}-\d{1,6}(?:\.\d{1,4})?"
"""What a task's id looks like: LETTERS(-…)-N(.N)."""

_PR_NUMBER: Final = re.compile(r"(?<![\w&/])#(\d{1,6})(?!\w)")
_PATH: Final = re.compile(  # from the beginning of a word only: a long one is searched once
    r"(?<![^\s'\"`()<>|;,=:\[\]{}])[^\s'\"`()<>|;,=:\[\]{}]*\.(?:mdx?|markdown)\b", re.IGNORECASE
)
_OWN_PLANS: Final = re.compile(r"(?:~|/home/[^/]+|/Users/[^/]+|/root|[A-Za-z]:/Users/[^/]+)/\.claude/plans/")
_SEARCHING: Final = frozenset(("grep", "egrep", "rg", "ag", "find", "fd", "ls", "tree"))
_READING: Final = frozenset(("cat", "head", "tail", "less", "more", "bat", "wc", "diff", "stat", "nl"))
_GH_PR: Final = frozenset(
    ("view", "checkout", "diff", "merge", "checks", "review", "comment", "edit", "close", "ready")
)

NO_TASKS: Final = frozenset(word.upper() for word in NO_TICKETS) | frozenset(
    (
        "AGPL", "APACHE", "ARM", "ASCII", "BLAKE", "BSD", "CRC", "CWE", "DSA", "ECMA", "EUC", "FIPS", "GHSA", "GMT",
        "GPL", "HS", "IEEE", "ISSUE", "KOI", "LATIN", "LGPL", "MIT", "MPL", "PBKDF", "PEP", "PR", "PS", "RGB", "RS",
        "RSA", "SHA", "SSL", "TCP", "TLS", "UDP", "UTC", "UTF", "VERSION", "WINDOWS", "XXX", "XXXX",
    )
)  # fmt: skip
"""Letters before a number that name standards and versions: SHA-256, UTF-8, RFC-2119, CVE-2024-1."""


class Mention(NamedTuple):
    """One thing that was named: what it is, which, how, and how much that weighs (thousandths)."""

    target: Target
    id: str
    strategy: str
    weight: int
    path: str | None = None


WEIGHTS: Final[dict[str, int]] = {
    # the weights of evidence for a feature
    "command": 960,  # a document among a slash command's arguments
    "create": 950,  # a document that was written whole
    "write": 950,  # a document that was edited
    "shell": 840,  # a document that a shell command works with
    "branch": 840,  # the branch's own name: like a command, it was chosen for the work
    "search": 660,  # a document that was searched, or searched for
    "other": 520,  # a document that any other tool was given
    "read": 460,  # a document that was read
    # what names tasks, phases and pull requests
    "text": 600,  # in a command, an argument or a path
    "ticket": 600,  # in the branch's name
    "url": 950,  # a pull request's address in a command
    "number": 500,  # `#12` alone, or the number that `gh pr view` is given
    # where the project comes from
    "worktree": 950,  # the folder's path says that it is a worktree
}
"""Thousandths. The first eight: the measured weights of the planning tools whose sessions these links were made for."""


class Conventions(NamedTuple):
    """What a user may set: what task ids look like."""

    task: re.Pattern[str]


@lru_cache(maxsize=8)
def conventions(task_pattern: str = TASK_PATTERN) -> Conventions:
    """The conventions with this pattern of task ids. re.error where it is none."""
    return Conventions(re.compile(rf"(?<![A-Za-z0-9_-])(?:{task_pattern})(?![A-Za-z0-9])"))


DEFAULT: Final = conventions()


def of_branch(branch: str) -> tuple[Mention, ...]:
    """What the name of the session's branch is evidence of."""
    named = branch_names(branch)
    found = []
    if named.feature is not None:
        found.append(Mention(Target.FEATURE, named.feature, "branch", WEIGHTS["branch"]))
    if named.task is not None:
        found.append(Mention(Target.TASK, named.task, "ticket", WEIGHTS["ticket"]))
    if named.phase is not None:
        found.append(Mention(Target.PHASE, named.phase, "ticket", WEIGHTS["ticket"]))
    return tuple(found)


def of_path(path: str, strategy: str) -> tuple[Mention, ...]:
    """What a document at `path` is evidence of, touched in the way of `strategy` (a key of WEIGHTS).

    A plan in the client's own folder in the home has a name that the client made up: it ties sessions that follow one
    plan together, but says no more than a mention, however it was touched.
    """
    feature = feature_of_path(path)
    if feature is None:
        return ()
    if strategy != "command" and _OWN_PLANS.match(path.replace("\\", "/")):
        strategy = "other"
    found = [Mention(Target.FEATURE, feature, strategy, WEIGHTS[strategy], path)]
    phase = phase_in(path)
    if phase is not None:
        found.append(Mention(Target.PHASE, phase, "text", WEIGHTS["text"], path))
    return tuple(found)


def of_arguments(text: str, rules: Conventions = DEFAULT) -> tuple[Mention, ...]:
    """What the arguments of a slash command name: documents, task ids, a phase, pull requests."""
    text = text[:TEXT_CHARACTERS]
    found = [mention for path in _PATH.findall(text) for mention in of_path(path, "command")]
    phase = phase_in(text)
    if phase is not None:
        found.append(Mention(Target.PHASE, phase, "text", WEIGHTS["text"]))
    found += _pull_requests(text)
    found += [Mention(Target.PULL_REQUEST, number, "number", WEIGHTS["number"]) for number in _numbers(text)]
    found += tasks_in(text, rules)
    return _bounded(found)


def of_shell(command: str, rules: Conventions = DEFAULT) -> tuple[Mention, ...]:
    """What a shell command names: documents that it searches, reads or works with, task ids, pull requests.

    Rule: grep, rg, find and the like search a document, cat, head and the like read it, whatever else has its path works
    with it. Task ids count where they stand, in messages of commits too. A pull request counts by its address, and by
    the number that `gh pr view` and its kin are given.
    """
    command = command[:TEXT_CHARACTERS]
    found: list[Mention] = []
    if ".m" in command:
        for simple in split(command):
            name = simple.words[0].rsplit("/", 1)[-1]
            strategy = (
                "search" if name in _SEARCHING else "read" if name in _READING and not simple.outputs else "shell"
            )
            for word in (*simple.words[1:], *simple.outputs):
                if ".m" in word and " " not in word:
                    found += of_path(word, "shell" if word in simple.outputs else strategy)
    if "gh" in command:
        for simple in split(command):
            words = simple.words
            if words[:2] == ("gh", "pr") and len(words) > 3 and words[2] in _GH_PR and words[3].isdecimal():
                found.append(Mention(Target.PULL_REQUEST, f"#{int(words[3])}", "number", WEIGHTS["number"]))
    if "/pull/" in command or "/merge_requests/" in command:
        found += _pull_requests(command)
    found += tasks_in(command, rules)
    return _bounded(found)


def tasks_in(text: str, rules: Conventions = DEFAULT) -> Iterator[Mention]:
    """Task ids of a text, but those of standards and versions (NO_TASKS)."""
    for match in rules.task.finditer(text):
        task = match.group()
        if task.split("-", 1)[0].upper() not in NO_TASKS:
            yield Mention(Target.TASK, task, "text", WEIGHTS["text"])


def _pull_requests(text: str) -> Iterator[Mention]:
    if "://" in text:
        for pull in pulls_in(text):
            yield Mention(Target.PULL_REQUEST, pull.url, "url", WEIGHTS["url"])


def _numbers(text: str) -> Iterator[str]:
    for match in _PR_NUMBER.finditer(text):
        yield f"#{int(match.group(1))}"


def _bounded(found: Iterable[Mention]) -> tuple[Mention, ...]:
    """Each thing once a strategy, the first MENTIONS of each kind."""
    kept: dict[tuple[int, str, str], Mention] = {}
    counts: dict[int, int] = {}
    for mention in found:
        key = (mention.target, mention.id, mention.strategy)
        if key not in kept and counts.get(mention.target, 0) < MENTIONS:
            kept[key] = mention
            counts[mention.target] = counts.get(mention.target, 0) + 1
    return tuple(kept.values())
