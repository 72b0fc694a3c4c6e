"""Cycle time: how long the work behind a commit or a pull request took, and how often a pull request was reopened."""

from __future__ import annotations

from typing import Final, NamedTuple

from ccagent.facts.branches import TRUNKS

BY_BRANCH: Final = "branch"
BY_SESSION: Final = "session"


class Cycle(NamedTuple):
    """strategy: how the work was found, `branch` or `session`; began: time of its first prompt; ms: from there to the
    delivery. All three None where no prompt is known that came before it."""

    strategy: str | None = None
    began: int | None = None
    ms: int | None = None


def own_branch(branch: str | None) -> bool:
    """Whether a branch stands for one piece of work: everything is done on main, develop and the like, and on no
    branch at all nothing can be told apart."""
    return branch is not None and bool(branch) and branch.lower() not in TRUNKS


def cycle(at: int | None, branch: str | None, branch_began: int | None, session_began: int | None) -> Cycle:
    """From the first prompt of the work to the delivery at `at`. `branch_began` and `session_began` are the first prompts
    of a person on that branch of the project and in that session.

    Rule: the work is what was done on the same branch of the same project, if the branch is its own; else, or where
    nobody had asked for anything on that branch before the delivery (it was made a moment ago), the same session.
    Cannot see: work that began on another branch, and waiting within the time.
    """
    if at is None:
        return Cycle()
    for strategy, began in ((BY_BRANCH, branch_began if own_branch(branch) else None), (BY_SESSION, session_began)):
        if began is not None and began <= at:
            return Cycle(strategy, began, at - began)
    return Cycle()


def reopened(*, opened: bool, times: int) -> int | None:
    """How often a pull request was reopened, as far as was seen: 0 only if its opening was seen, else it may have lived
    before anybody looked; what was seen counts in any case."""
    return times if opened or times else None
