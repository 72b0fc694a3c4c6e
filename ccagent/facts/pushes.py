"""Pushes and changes of branch that a shell call made, by its steps (facts/delivery.py) and what it printed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from ccagent.facts.delivery import (
    BRANCH,
    ELSE,
    FETCHERS,
    FOLLOWED,
    PRINTED,
    PUSH,
    RECORDED,
    SHOWN,
    SWITCH,
    UNSURE,
    Step,
)
from ccagent.facts.model import Status
from ccagent.facts.pulls import repository_of

REFS: Final = 64
"""Of one push no more references are told apart (`git push --mirror`)."""

_REF: Final = re.compile(
    r"^ (?P<flag>[ +*!=-]) (?P<summary>\[[^\]\n]+\]|[0-9a-f]{4,40}\.{2,3}[0-9a-f]{4,40}) +"
    r"(?P<source>\S+)(?: +-> (?P<target>\S+))?"
)
_SWITCHED: Final = re.compile(r"^Switched to (?:(a new )|and reset )?branch '([^'\n]{1,256})'", re.MULTILINE)
_FAILED: Final = re.compile(r"^(?:fatal: |error: failed to push)", re.MULTILINE)
_KINDS: Final = {" ": "update", "+": "forced", "*": "new", "-": "deleted", "!": "rejected", "=": "unchanged"}


class Push(NamedTuple):
    """One reference of a push. kind: update, forced, new, tag, deleted, rejected, unchanged; None where not printed."""

    branch: str | None
    kind: str | None
    status: Status
    confidence: int
    repository: str | None = None
    head: str | None = None
    """Hash that the branch was moved to."""


class Branch(NamedTuple):
    """A branch that was made (`created`) or gone to."""

    name: str
    created: bool


def pushes(steps: Sequence[Step], text: str, status: Status, *, recorded: str | None = None) -> list[Push]:
    """What the call pushed. `text` is its output, `recorded` the branch of the client's own record.

    Rule: each reference line below `To <remote>` (0.95; 1.0 where the client recorded that branch), where `!` is an
    error; else the record (1.0); else one for the first `git push`: an error with git's own words for it (0.95) or
    where nothing before it may have failed, done where the call did not fail (0.6), left out where it may not have run.
    Cannot see: pushes of hooks and other programs, and what a quiet one moved.
    """
    wanted = [step for step in steps if step.verb == PUSH]
    if not wanted and recorded is None:
        return []
    found = _references(steps, text)
    if recorded is not None:
        for place, push in enumerate(found):
            if push.branch == recorded:
                found[place] = push._replace(confidence=RECORDED)
                return found
        return [*found, Push(recorded, None, Status.OK, RECORDED)]
    if found:
        return found
    step = wanted[0]
    branch = step.target or None
    if status in (Status.REJECTED, Status.INTERRUPTED, Status.OPEN):
        return [Push(branch, None, status, SHOWN)]
    if "Everything up-to-date" in text:
        return [Push(branch, "unchanged", Status.OK, PRINTED)]
    if _FAILED.search(text):
        return [Push(branch, None, Status.ERROR, PRINTED)]
    doubtful = ELSE if status == Status.OK else UNSURE + ELSE + FOLLOWED
    return [] if any(mark in step.marks for mark in doubtful) else [Push(branch, None, status, SHOWN)]


def _references(steps: Sequence[Step], text: str) -> list[Push]:
    """The reference lines of pushes; those of a fetch look alike and stand below `From`."""
    found: list[Push] = []
    # `2>&1 | tail` may have cut the line that begins the list
    pushing = FETCHERS.isdisjoint(step.verb for step in steps)
    repository = None
    for line in text.split("\n"):
        if line.startswith("To "):
            pushing, repository = True, repository_of(line[3:])
        elif line.startswith("From "):
            pushing = False
        elif pushing and line[:1] == " " and len(found) < REFS:
            match = _REF.match(line)
            if match:
                found.append(_reference(match, repository))
    return found


def _reference(match: re.Match[str], repository: str | None) -> Push:
    kind, summary = _KINDS[match["flag"]], match["summary"]
    target = match["target"] or match["source"]
    if summary == "[new tag]" or target.startswith("refs/tags/"):
        kind = "tag"
    head = summary.rpartition(".")[2] if summary[0] != "[" else None
    status = Status.ERROR if kind == "rejected" else Status.OK
    return Push(target.removeprefix("refs/heads/")[:256], kind, status, PRINTED, repository, head)


def branches(steps: Sequence[Step], text: str, status: Status) -> list[Branch]:
    """Branches made, as the command says where it did well, and those gone to, as the output says."""
    if all(step.verb not in (BRANCH, SWITCH) for step in steps):
        return []
    found: dict[str, bool] = {}
    for match in _SWITCHED.finditer(text):
        found[match[2]] = bool(match[1])
    if status == Status.OK:
        for step in steps:
            if step.verb == BRANCH and ELSE not in step.marks:
                found[step.target] = True
    return [Branch(name, created) for name, created in found.items()]
