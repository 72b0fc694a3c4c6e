"""What a shell command does about delivery: commits, pushes, branches and pull requests, as steps in their order.

The steps are all that a result's line needs of its call. They hold names and numbers (a branch, a pull request), never
the command. What came of them: facts/commits.py, facts/pushes.py, facts/pulls.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from ccagent.facts.pulls import numbered, pull_of
from ccagent.facts.shell import Simple, literal, split

RECORDED: Final = 100
"""Percent: the result's own record, or a record that is about nothing else (`gitOperation`, `pr-link`)."""

PRINTED: Final = 95
"""Percent: the line that the tool itself prints for it (`[branch sha]`, `abc..def  main -> main`, the new URL)."""

SHOWN: Final = 60
"""Percent: a hash in other output of git, a push or a new branch that printed nothing."""

NUMBERED: Final = 50
"""Percent: a pull request known by its number alone."""

HISTORY: Final = 40
"""Percent: a commit of the local history, given to a session by its time alone."""

STEPS: Final = 32
"""Of one command line no more are kept: they wait in the file's carry."""

TARGET_CHARACTERS: Final = 256

AMEND: Final = "a"
QUIET: Final = "q"
"""It prints nothing, or not to where it could be read."""
UNSURE: Final = "u"
"""It runs only if something before it did well that may fail by itself."""
ELSE: Final = "e"
"""It may not have run although the call did well: after `||`, in a condition or a loop."""
FOLLOWED: Final = "f"
"""Something after it may fail by itself: the exit code is not its own."""

COMMIT, PUSH, SHOW, BRANCH, SWITCH = "commit", "push", "show", "branch", "switch"
MAKERS: Final = frozenset((COMMIT, "merge", "cherry-pick", "revert", "rebase", "am", "pull"))
"""Commands of git that may write commits."""

FETCHERS: Final = frozenset(("fetch", "pull", "clone", "remote"))


class Step(NamedTuple):
    """One command of the line that concerns delivery.

    verb: a word of MAKERS or FETCHERS, `push`, `branch` (made), `switch`, `show` (prints a hash of HEAD), or
    `pr.<action>` with the words of pulls.ACTIONS. target: branch, or pull request: a URL without its scheme, `#7`, "".
    marks: some of AMEND QUIET UNSURE ELSE FOLLOWED.
    """

    verb: str
    target: str = ""
    marks: str = ""


_WORDS: Final = re.compile(rb"(?:\b|\\[nrt])(?:git|gh|glab|hub)\b")
"""In JSON a new line ends in a letter, so that no word seems to begin behind it."""
_VERBS: Final = re.compile(
    rb"commit|push|merge|pull|cherry-pick|revert|rebase|checkout|switch|worktree|branch|\b(?:am|pr|mr)\b"
)

_GLOBAL_VALUES: Final = frozenset(
    ("-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--config-env")
)
_COMMIT_VALUES: Final = frozenset("mFCctS")
"""Short options of `git commit` whose value may stand in the same word: `-qm` is -q -m, `-mq` the message "q"."""
_NO_COMMIT: Final = frozenset(
    ("--dry-run", "--porcelain", "--short", "--long", "-h", "--help", "--abort", "--quit", "--skip")
)
_PUSH_VALUES: Final = frozenset(("-o", "--push-option", "--receive-pack", "--exec", "--repo", "--recurse-submodules"))
_SURE: Final = frozenset(
    ("cd", "echo", "printf", "export", "set", "true", "sleep", "cat", "pwd", "ls", "tail", "head", "date", "mkdir", "cp",
     "mv", "rm", "touch", "wc", "sort", "uniq", "sed", "tr", "tee", "cut")
)  # fmt: skip
_SURE_GIT: Final = frozenset(("add", "rm", "mv", "status", "diff", "log", "config", "branch", "show", "rev-parse"))


def concerns(command: bytes) -> bool:
    """Whether a command line (any bytes that hold it) may deliver anything: the one test that every shell call costs."""
    return _WORDS.search(command) is not None and _VERBS.search(command) is not None


def steps(command: str) -> tuple[Step, ...]:
    """The steps of a command line, at most STEPS, in the order in which they run."""
    simples = split(command)
    found: list[Step] = []
    unsure = other = False
    before: Simple | None = None
    for number, simple in enumerate(simples):
        if simple.nested:
            found.extend(
                Step(step.verb, step.target, step.marks + QUIET) for step in _steps(simple, "") if step.verb != SHOW
            )
            continue
        if simple.joiner == "&&":
            unsure = unsure or (before is not None and not _sure(before))
        elif simple.joiner == "||":
            other = True
        elif simple.joiner != "|":
            unsure = other = False
        marks = (UNSURE if unsure else "") + (ELSE if other or simple.compound else "")
        if any(not _sure(after) for after in simples[number + 1 :] if not after.nested):
            marks += FOLLOWED
        found.extend(_steps(simple, marks))
        before = simple
    return tuple(found[:STEPS])


def _sure(simple: Simple) -> bool:
    """Whether a command hardly ever fails in practice."""
    if simple.name == "git":
        name, _ = _git(simple.words)
        return name in _SURE_GIT
    return simple.name in _SURE


def _steps(simple: Simple, marks: str) -> Iterator[Step]:
    name = simple.name.removesuffix(".exe")
    if name == "git":
        yield from _git_steps(simple, marks)
    elif name in ("gh", "glab", "hub"):
        step = _forge_step(name, simple.words[1:], marks)
        if step is not None:
            yield step


def _git(words: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The command of git and what follows it; "" where there is none."""
    place = 1
    while place < len(words) and words[place].startswith("-"):
        place += 2 if words[place] in _GLOBAL_VALUES else 1
    return (words[place], tuple(words[place + 1 :])) if place < len(words) else ("", ())


def _git_steps(simple: Simple, marks: str) -> Iterator[Step]:
    name, rest = _git(simple.words)
    if name in MAKERS:
        if name in (COMMIT, "merge", "pull", "rebase") and not _NO_COMMIT.isdisjoint(rest):
            return
        if "--no-commit" in rest or (name in ("cherry-pick", "revert") and "-n" in rest):
            return
        quiet = _quiet(rest) if name == COMMIT else "-q" in rest or "--quiet" in rest
        if quiet or simple.outputs:
            marks += QUIET
        yield Step(name, "", marks + (AMEND if "--amend" in rest else ""))
    elif name in FETCHERS:
        yield Step(name)
    elif name == PUSH:
        if "--dry-run" not in rest and "-n" not in rest and "-h" not in rest and "--help" not in rest:
            yield Step(PUSH, _pushed(rest), marks)
    elif name == "log" or (name == "rev-parse" and any(word == "HEAD" for word in rest)):
        if not simple.outputs:
            yield Step(SHOW)
    elif name in ("checkout", "switch", "worktree", "branch"):
        yield from _branch_steps(name, rest, marks)


def _quiet(rest: Sequence[str]) -> bool:
    """Whether `git commit` is told to print nothing."""
    for word in rest:
        if word == "--quiet":
            return True
        if word.startswith("-") and not word.startswith("--"):
            for letter in word[1:]:
                if letter == "q":
                    return True
                if letter in _COMMIT_VALUES:
                    break
    return False


def _pushed(rest: Sequence[str]) -> str:
    """The branch that `git push` names, "" where it names none, or several."""
    words = [
        word for place, word in enumerate(rest)
        if not word.startswith("-") and (place == 0 or rest[place - 1] not in _PUSH_VALUES)
    ]  # fmt: skip
    if len(words) != 2:
        return ""
    branch = words[1].removeprefix("+").rpartition(":")[2].removeprefix("refs/heads/")
    return _name(branch) if branch != "HEAD" and not branch.startswith("refs/") else ""


def _branch_steps(name: str, rest: Sequence[str], marks: str) -> Iterator[Step]:
    """Branches that are made or gone to. A plain `git checkout X` may name a file: its output decides."""
    made = {"checkout": ("-b", "-B", "--orphan"), "switch": ("-c", "-C", "--create", "--force-create", "--orphan"),
            "worktree": ("-b", "-B"), "branch": ()}[name]  # fmt: skip
    if name == "worktree" and rest[:1] != ("add",):
        return
    for place, word in enumerate(rest[:-1]):
        if word in made:
            branch = _name(rest[place + 1])
            if branch:
                yield Step(BRANCH, branch, marks)
            return
    if name == "branch" and 1 <= len(rest) <= 2 and not any(word.startswith("-") for word in rest):
        branch = _name(rest[0])
        if branch:
            yield Step(BRANCH, branch, marks)
    elif name in ("checkout", "switch") and "--" not in rest:
        yield Step(SWITCH)


def _name(word: str) -> str:
    """A branch's name as it was written; "" where the shell would have expanded it."""
    return word[:TARGET_CHARACTERS] if literal(word) and not word.startswith("-") else ""


# ---- pull requests -----------------------------------------------------------------------------------------------

_GH: Final = {
    "create": "opened", "new": "opened", "merge": "merged", "close": "closed", "reopen": "reopened",
    "review": "reviewed", "ready": "ready", "edit": "edited",
}  # fmt: skip
_GLAB: Final = {
    "create": "opened", "new": "opened", "merge": "merged", "accept": "merged", "close": "closed",
    "reopen": "reopened", "approve": "reviewed", "update": "edited",
}  # fmt: skip
_FORGE_VALUES: Final = frozenset(
    ("-R", "--repo", "-t", "--title", "-b", "--body", "-F", "--body-file", "-B", "--base", "-H", "--head", "-a",
     "--assignee", "-l", "--label", "-m", "--milestone", "-d", "--description", "--reviewer", "-A", "--author-email",
     "--match-head-commit", "--subject", "--message", "--add-label", "--remove-label", "--add-reviewer", "-c", "--comment")
)  # fmt: skip
"""Options whose value is another word. Some are flags in other commands (`gh pr merge -m`): a number after them counts."""
_FLAGS_OF_MERGE: Final = frozenset(("-m", "-d", "-b", "-c"))
_NUMBER: Final = re.compile(r"[#!]?([1-9]\d{0,8})")


def _forge_step(name: str, rest: Sequence[str], marks: str) -> Step | None:
    """`gh pr …`, `glab mr …`, `hub pull-request`."""
    repository = ""
    words = []
    place = 0
    while place < len(rest):
        word = rest[place]
        option, separator, value = word.partition("=")
        if option in ("-R", "--repo"):
            repository = value if separator else "".join(rest[place + 1 : place + 2])
            place += 1 if separator else 2
        else:
            words.append(word)
            place += 1
    if name == "hub":
        return Step("pr.opened", "", marks) if words[:1] == ["pull-request"] else None
    if len(words) < 2 or words[0] != ("pr" if name == "gh" else "mr"):
        return None
    action = (_GH if name == "gh" else _GLAB).get(words[1])
    if action is None or not {"--dry-run", "--web", "-w", "--help", "-h", "--auto"}.isdisjoint(words[2:]):
        return None
    if action == "opened":
        return Step("pr.opened", "", marks)
    if "--undo" in words and action == "ready":
        action = "edited"
    host = "github.com" if name == "gh" else "gitlab.com"
    return Step("pr." + action, _target(words[2:], repository, host, flags=action in ("merged", "reviewed")), marks)


def _target(words: Sequence[str], repository: str, host: str, *, flags: bool) -> str:
    """Which pull request is meant: URL, `#7`, a branch, or "" for the one of the current branch."""
    for place, word in enumerate(words):
        before = words[place - 1] if place else ""
        if before in _FORGE_VALUES and not (flags and before in _FLAGS_OF_MERGE and _NUMBER.fullmatch(word)):
            continue
        pull = pull_of(word)
        if pull is not None:
            return pull.url
        number = _NUMBER.fullmatch(word)
        if number:
            return numbered(repository, int(number.group(1)), host)
        if not word.startswith("-"):
            return _name(word)
    return ""
