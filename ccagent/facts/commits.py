"""Commits that a shell call made, by its steps (facts/delivery.py) and what it printed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from typing import Final, NamedTuple

from ccagent.facts.delivery import (
    AMEND,
    COMMIT,
    ELSE,
    FOLLOWED,
    MAKERS,
    PRINTED,
    QUIET,
    RECORDED,
    SHOW,
    SHOWN,
    UNSURE,
    Step,
)
from ccagent.facts.model import Status

HASH_DIGITS: Final = 7
"""Digits of a hash that name a commit; git prints no fewer by default, and more in large repositories."""

LINES: Final = 64
"""`[branch hash]` lines of one output that are heeded; a call that prints more shows a file of such lines."""

LINES_CHANGED_WITHIN: Final = 5
"""`N files changed` stands so many lines after its `[branch hash]` line at the latest: date and author may come between."""

_LINE: Final = re.compile(
    r"^\[(?P<branch>detached HEAD|[^\s\]]+)(?P<root> \([^)\n]*\))? (?P<sha>[0-9a-f]{7,40})\](?: (?P<subject>.{0,80}))?",
    re.MULTILINE,
)
_CHANGED: Final = re.compile(
    r"^ (\d{1,9}) files? changed(?:, (\d{1,9}) insertions?\(\+\))?(?:, (\d{1,9}) deletions?\(-\))?", re.MULTILINE
)
_HASH: Final = re.compile(r"^(?:commit )?([0-9a-f]{7,40})(?=\s|$)", re.MULTILINE)
_MERGED: Final = re.compile(r"^Merge made by the '[\w-]+' strategy", re.MULTILINE)
_MERGE_SUBJECT: Final = re.compile(r"Merge (?:(?:remote-tracking )?branch(?:es)?|pull request|tag|commit) ")
_NOTHING: Final = re.compile(
    r"nothing to commit|no changes added to commit|nothing added to commit|^Aborting commit|^fatal: "
    r"|Committing is not possible|^Author identity unknown",
    re.MULTILINE,
)
_NOT_REACHED: Final = re.compile(r"^The following paths are ignored by|^fatal: pathspec ", re.MULTILINE)
"""What `git add` says when it fails: a commit behind it did not run."""

_KINDS: Final = {
    "committed": "commit", "commit": "commit", "amended": "amend", "amend": "amend", "merged": "merge",
    "cherry-picked": "cherry-pick", "reverted": "revert",
}  # fmt: skip


class Commit(NamedTuple):
    """A commit of which the hash is known. files, added, removed: -1 where git did not say."""

    sha: str
    kind: str | None
    """commit, amend, merge, cherry-pick, revert, rebase; None where only its hash is known."""
    branch: str | None
    confidence: int
    files: int = -1
    added: int = -1
    removed: int = -1


class Attempt(NamedTuple):
    """A commit that left no hash: quiet, refused by a hook or a person, or unknown. `number` counts those of a call."""

    number: int
    kind: str
    status: Status


def key_of(sha: str) -> str:
    """What names a commit: the first seven digits of its hash, nothing of where it was seen.

    Git prints seven digits or, in larger repositories, more; records give all forty; all of them begin alike. A place is
    left out on purpose: the same commit is seen from worktrees, clones, subfolders and copies of a session, and each of
    them would make it another one. The price: of 10,000 commits in one database one pair in five databases falls
    together by chance (n² / 2²⁹), of 100,000 about twenty pairs.
    """
    return sha[:HASH_DIGITS]


def commits(
    steps: Sequence[Step],
    text: str,
    status: Status,
    *,
    recorded: tuple[str, str | None] | None = None,
    heads: Sequence[tuple[str, str | None]] = (),
) -> tuple[list[Commit], list[Attempt]]:
    """What the call committed. `text` is its output, `recorded` hash and kind of the client's own record, `heads` hash
    and branch of what a push of this call moved its branch to.

    Rule, the surest first: the client's record (1.0); each `[branch hash]` line of a call with a command that may commit
    (0.95); for a `git commit` without such a line the first hash that a later `git log` or `git rev-parse HEAD` of the
    call printed, else the head that a push of the call moved to (0.6); else an attempt. A push's new head counts by
    itself too (0.6). Other hashes in outputs of git are of commits made elsewhere and count for nothing.
    Cannot see: commits made by other programs, and whether a hash after a quiet commit was HEAD's.
    """
    found = _printed(steps, text)
    if recorded is not None:
        _record(found, recorded)
    made = [step for step in steps if step.verb == COMMIT]
    missing = made[len(found) :]
    attempts: list[Attempt] = []
    if missing:
        known = {key_of(commit.sha) for commit in found}
        sha = _shown(steps, text) if not _NOTHING.search(text) else None
        branch = None
        if sha is None and heads and status == Status.OK:
            sha, branch = heads[-1]
        if sha is not None and key_of(sha) not in known and len(missing) == 1:
            found.append(Commit(sha, _kind(missing[0]), branch, SHOWN))
            missing = []
    for number, step in enumerate(missing):
        outcome = _outcome(step, text, status, traced=bool(found))
        if outcome is not None:
            attempts.append(Attempt(number, _kind(step), outcome))
    if any(step.verb in ("merge", "pull") for step in steps) and _MERGED.search(text):
        attempts.append(Attempt(len(missing), "merge", Status.OK))
    known = {key_of(commit.sha) for commit in found}
    for sha, branch in heads:
        if key_of(sha) not in known:
            found.append(Commit(sha, None, branch, SHOWN))
            known.add(key_of(sha))
    return found, attempts


def _kind(step: Step) -> str:
    return "amend" if AMEND in step.marks else step.verb


def _printed(steps: Sequence[Step], text: str) -> list[Commit]:
    """The commits of the `[branch hash]` lines."""
    makers = [step for step in steps if step.verb in MAKERS]
    if not makers or "[" not in text:
        return []
    lines = list(islice(_LINE.finditer(text), LINES))
    made = [step for step in makers if step.verb == COMMIT]
    found = []
    for number, line in enumerate(lines):
        end = lines[number + 1].start() if number + 1 < len(lines) else len(text)
        after = "\n".join(text[line.end() : end].split("\n", LINES_CHANGED_WITHIN)[:LINES_CHANGED_WITHIN])
        changed = _CHANGED.search(after)
        if _MERGE_SUBJECT.match(line["subject"] or ""):
            kind = "merge"
        elif not made:
            kind = makers[0].verb
        elif len(made) == len(lines):
            kind = _kind(made[number])
        else:
            kind = "amend" if "\n Date:" in after and any(AMEND in step.marks for step in made) else COMMIT
        files, added, removed = (-1, -1, -1)
        if changed:
            files, added, removed = (int(part or 0) for part in changed.groups())
        branch = None if line["branch"] == "detached HEAD" else line["branch"]
        found.append(Commit(line["sha"], kind, branch, PRINTED, files, added, removed))
    return found


def _record(found: list[Commit], recorded: tuple[str, str | None]) -> None:
    """Add what the client recorded, or make a printed one certain."""
    sha, kind = recorded
    for place, commit in enumerate(found):
        if key_of(commit.sha) == key_of(sha):
            found[place] = commit._replace(sha=max(sha, commit.sha, key=len), confidence=RECORDED)
            return
    found.append(Commit(sha, _KINDS.get(kind or "", COMMIT), None, RECORDED))


def _shown(steps: Sequence[Step], text: str) -> str | None:
    """The first hash that stands at the beginning of a line, where HEAD's was asked for after a commit."""
    verbs = [step.verb for step in steps]
    if SHOW not in verbs[verbs.index(COMMIT) :]:
        return None
    match = _HASH.search(text)
    return match.group(1) if match else None


def _outcome(step: Step, text: str, status: Status, *, traced: bool) -> Status | None:
    """How a commit without a hash ended; None where it may well not have run.

    Refused calls are refused; git's own words for "no commit" are an error whatever the exit code, which may be a
    pipe's; an error may be an earlier command's (then the commit did not run) or, of a quiet commit, a later one's
    (then how it ended is not known).
    """
    if status in (Status.REJECTED, Status.INTERRUPTED):
        return status
    if status == Status.ERROR and _NOT_REACHED.search(text):
        return None
    if _NOTHING.search(text):
        return Status.ERROR
    if status == Status.OK:
        return None if ELSE in step.marks else Status.OK
    if status == Status.OPEN:
        return Status.OPEN
    if UNSURE in step.marks or ELSE in step.marks or traced:
        return None
    return Status.OPEN if QUIET in step.marks and FOLLOWED in step.marks else status
