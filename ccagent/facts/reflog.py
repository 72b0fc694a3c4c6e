"""Commits in a repository's own log of what was done here (`git log -g`), and the session that was active then."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

AFTER_MS: Final = 5 * 60 * 1_000
"""A commit so long after a session's last record still belongs to it: one made by hand when the agent was done."""

FORMAT: Final = "%H%x00%gd%x00%gs"
"""What `git log -g --date=unix` is asked for: hash, `branch@{seconds}`, and what was done."""

_ENTRY: Final = re.compile(
    r"([0-9a-f]{40}(?:[0-9a-f]{24})?)\x00(.{1,256})@\{(\d{1,12})\}\x00([^:\n]{1,64})(?::(.{0,64}))?"
)
_KINDS: Final = {
    "commit": "commit", "commit (initial)": "commit", "commit (amend)": "amend", "commit (merge)": "merge",
    "commit (cherry-pick)": "cherry-pick", "cherry-pick": "cherry-pick", "revert": "revert", "am": "am",
}  # fmt: skip


class Made(NamedTuple):
    """A commit that was made in this repository. at: ms UTC; branch: None where HEAD alone knows of it."""

    sha: str
    at: int
    kind: str
    branch: str | None


class Span(NamedTuple):
    """A session and the time from its first record to its last, ms UTC."""

    session: str
    project: str
    began: int
    ended: int


def made(text: str) -> list[Made]:
    """The commits of such a log, each once, by its earliest entry; a branch's name before HEAD's.

    Entries that bring commits of others (pull, clone, fast-forward, rebase) or move HEAD are left out. Of what was done
    only its kind is kept, never the message.
    """
    found: dict[str, Made] = {}
    for line in text.split("\n"):
        entry = _ENTRY.match(line)
        if entry is None:
            continue
        sha, branch, seconds, word, rest = entry.groups()
        kind = _KINDS.get(word)
        if kind is None and word.startswith("merge ") and rest is not None and rest.startswith(" Merge made by"):
            kind = "merge"
        if kind is None:
            continue
        one = Made(sha, int(seconds) * 1_000, kind, None if branch == "HEAD" else branch.removeprefix("refs/heads/"))
        known = found.get(sha)
        if known is not None:
            one = known._replace(at=min(known.at, one.at), branch=known.branch or one.branch)
        found[sha] = one
    return list(found.values())


def active(at: int, spans: Iterable[Span]) -> Span | None:
    """The session that was active at that time: of those whose span, with AFTER_MS behind it, holds it, the one that
    began last; of two the smaller id. None where there is none.

    Threshold and reason: AFTER_MS. Cannot see: which of several sessions in one repository made the commit.
    """
    held = [span for span in spans if span.began <= at <= span.ended + AFTER_MS]
    return min(held, key=lambda span: (-span.began, span.session)) if held else None


def assigned(commits: Sequence[Made], spans: Sequence[Span], before: int) -> list[tuple[Made, Span]]:
    """Commits made before that time, with the session that was active then; others belong to no session."""
    found = ((commit, active(commit.at, spans)) for commit in commits if commit.at < before)
    return [(commit, span) for commit, span in found if span is not None]
