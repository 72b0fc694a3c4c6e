"""Delivery in every source: facts of commits, pushes, branches and pull requests that a shell call or a tool made.

A commit is named by its hash, a pull request by its URL, so that each is one fact however often it is seen; how sure that
is stands in `attempts`, in percent. What is done to a pull request, and branches that are made or gone to, are facts of
their own (`artifact.linked`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson
from msgspec import Raw, Struct

from ccagent.facts.commits import Attempt, Commit, commits, key_of
from ccagent.facts.delivery import NUMBERED, PRINTED, RECORDED, SHOWN, Step
from ccagent.facts.model import EventType, Flag, Status
from ccagent.facts.naming import mcp_parts
from ccagent.facts.partial import NO_TIME, Partial, Result, least, most
from ccagent.facts.pulls import Pull, mcp_action, numbered, pull_of, pulls_in, recorded_action, state_action
from ccagent.facts.pushes import Push, branches, pushes
from ccagent.sources.lines import decode
from ccagent.sources.places import Held, Place, conclude

OUTPUT_CHARACTERS: Final = 64 * 1024
"""Twice what clients keep of an output; the rest of a longer one is not searched."""

KNOWN_PULLS: Final = 64
"""Pull requests that a file remembers by number and branch; the oldest go first."""

_SHA: Final = re.compile(r"[0-9a-f]{7,40}")
_SAID: Final = re.compile(r"(?:(?<![\w.-])([\w.-]{1,100}/[\w.-]{1,100}))?[#!]([1-9]\d{0,8})\b")
_COMMIT: Final = int(EventType.COMMIT)
_PUSH: Final = int(EventType.PUSH)
_PULL: Final = int(EventType.PULL_REQUEST)
_ARTIFACT: Final = int(EventType.ARTIFACT)


class PullInput(Struct):
    """Input of an MCP tool that works with a pull request; servers differ in the names."""

    owner: str | None = None
    repo: str | None = None
    pullNumber: int | None = None  # noqa: N815  # as a server names it
    pull_number: int | None = None
    prNumber: int | None = None  # noqa: N815  # likewise
    merge_request_iid: int | str | None = None
    state: str | None = None
    state_event: str | None = None
    method: str | None = None


class Operation(NamedTuple):
    """A client's own record of what git or gh did: the commit's hash and kind, the pushed branch, the pull request's
    URL and what was done to it. "" and None for what it does not say."""

    sha: str = ""
    kind: str | None = None
    branch: str | None = None
    url: str = ""
    action: str | None = None


def tool_step(name: str, given: Raw) -> Step | None:
    """What a tool of an MCP server is told to do with a pull request, by its input; None for another tool."""
    parts = mcp_parts(name)
    action = mcp_action(parts[1]) if parts is not None else None
    if action is None:
        return None
    said = decode(PullInput, given) or PullInput()
    if action == "edited":
        action = state_action(said.state or said.state_event) or action
    elif action == "reviewed" and said.method and not said.method.startswith(("create", "submit")):
        return None
    number = said.pullNumber or said.pull_number or said.prNumber
    target = ""
    if number and number > 0:
        repository = f"{said.owner}/{said.repo}" if said.owner and said.repo else ""
        target = numbered(repository, number, "github.com")
    return Step("pr." + action, target)


def shell_ended(
    held: Held,
    place: Place,
    known: Sequence[Step],
    text: str,
    status: Status,
    operation: Operation | None = None,
    *,
    unproven: bool = False,
) -> tuple[Partial, ...]:
    """What a shell command did: by the client's own record, else by what was printed. The facts that this line made.

    `unproven`: the call is over, but its exit code is not known (`status` is OPEN): then the address that was printed
    still tells of a pull request that was opened.
    """
    said = operation or Operation()
    born: list[Partial] = []
    sha = said.sha.lower()
    pushed = pushes(known, text, status, recorded=said.branch)
    heads = [(push.head, push.branch) for push in pushed if push.head and push.status == Status.OK]
    made, attempts = commits(
        known, text, status,
        recorded=(sha, said.kind) if _SHA.fullmatch(sha) else None,
        heads=[(head, branch) for head, branch in heads if len(head) >= len(key_of(head)) and _SHA.fullmatch(head)],
    )  # fmt: skip
    repository = next((push.repository for push in pushed if push.repository), None)
    born += (_commit(held, place, commit, repository) for commit in made)
    born += (_attempt(held, place, attempt) for attempt in attempts)
    born += (_push(held, place, number, push) for number, push in enumerate(pushed))
    for number, branch in enumerate(branches(known, text, status)):
        name = "branch.created" if branch.created else "branch.switched"
        native = f"branch:{place.id}#{number}/{branch.name}"
        born.append(_fact(held, _ARTIFACT, native, place, name, {"branch": branch.name}))
    if unproven:
        known = [step for step in known if step.verb == "pr.opened"]
    born += _pulls(held, place, known, text, Status.OK if unproven else status, said)
    return _of_line(held, born)


def tool_ended(held: Held, place: Place, step: Step, text: str) -> tuple[Partial, ...]:
    """What a tool of an MCP server did to a pull request: by the URL in its answer, else by the call."""
    action = step.verb[3:]
    target = pull_of(step.target)
    found = pulls_in(text.replace("\\/", "/"))
    if target is not None:
        pull = next((each for each in found if each.number == target.number), target)
    elif found:
        pull = found[0]
    else:
        return ()
    return _of_line(held, _done(held, place, pull, RECORDED if found else PRINTED, action))


def linked(held: Held, place: Place, pull: Pull) -> tuple[Partial, ...]:
    """The client knows a pull request of this session."""
    _remember(held, pull, None)
    fact, made = _pull(held, place, pull, RECORDED)
    return (fact,) if made else ()


def _of_line(held: Held, born: list[Partial]) -> tuple[Partial, ...]:
    return tuple(fact for fact in born if fact.file == held.file and fact.offset == held.offset)


# ---- facts ---------------------------------------------------------------------------------------------------------


def _fact(
    held: Held, kind: int, native: str, place: Place, name: str | None, details: dict[str, str | None]
) -> Partial:
    partial, _ = held.batch.get(kind, native, held.file, held.offset, held.length)
    kept = {key: value for key, value in details.items() if value is not None}
    extra = orjson.dumps(kept).decode() if kept else None
    partial.claim(place.rank, held.at, place.context, place.turn, name, None, extra)
    partial.flags |= Flag.DIRECT
    if held.at != NO_TIME:
        partial.occurred_at = least(partial.occurred_at, held.at)
    partial.closing = True
    return partial


def _commit(held: Held, place: Place, commit: Commit, repository: str | None) -> Partial:
    details = {"sha": commit.sha, "repository": repository}
    fact = _fact(held, _COMMIT, key_of(commit.sha), place, commit.branch, details)
    fact.attempts = most(fact.attempts, commit.confidence)
    if commit.kind is not None and (fact.label is None or commit.kind > fact.label):
        fact.label = commit.kind
    # a hash alone must not outdo what the commit itself printed, at whatever time it was seen
    at = -1 if commit.confidence <= SHOWN or held.at == NO_TIME else held.at
    conclude(fact, Result(Status.OK, at, "", -1, commit.files, -1, commit.added, commit.removed))
    return fact


def _attempt(held: Held, place: Place, attempt: Attempt) -> Partial:
    fact = _fact(held, _COMMIT, f"attempt:{place.id}#{attempt.number}", place, None, {})
    fact.flags |= Flag.INFERRED
    fact.label = attempt.kind
    if attempt.status != Status.OPEN:
        conclude(fact, Result(attempt.status, -1 if held.at == NO_TIME else held.at))
    return fact


def _push(held: Held, place: Place, number: int, push: Push) -> Partial:
    fact = _fact(held, _PUSH, f"{place.id}#{number}", place, push.branch, {"repository": push.repository})
    fact.attempts = most(fact.attempts, push.confidence)
    fact.label = push.kind
    if push.confidence <= SHOWN:
        fact.flags |= Flag.INFERRED
    if push.status != Status.OPEN:
        conclude(fact, Result(push.status, -1 if held.at == NO_TIME else held.at))
    return fact


# ---- pull requests -------------------------------------------------------------------------------------------------


def _pulls(
    held: Held, place: Place, known: Sequence[Step], text: str, status: Status, operation: Operation
) -> list[Partial]:
    born: list[Partial] = []
    said = pull_of(operation.url) if operation.url else None
    recorded = recorded_action(operation.action) if said is not None else None
    if said is not None:
        born += _done(held, place, said, RECORDED, recorded)
    if status != Status.OK:
        return born
    for step in known:
        if not step.verb.startswith("pr."):
            continue
        action = step.verb[3:]
        if said is not None and recorded == action:
            continue
        if action == "opened":
            found = pulls_in(text)
            if found:
                # the new one is printed last; addresses before it stand in warnings
                born += _done(held, place, found[-1], PRINTED, None if "already exists" in text else action)
            continue
        born += _acted(held, place, step.target, action, text)
    return born


def _acted(held: Held, place: Place, target: str, action: str, text: str) -> list[Partial]:
    """An action on a pull request that is named by URL, by number, by branch, or not at all."""
    pull = pull_of(target)
    if pull is not None:
        return _done(held, place, pull, PRINTED, action)
    match = _SAID.search(text)
    if match is not None and match[1] and (not target.startswith("#") or target[1:] == match[2]):
        pull = pull_of(numbered(match[1], int(match[2]), "github.com"))
        if pull is not None:
            return _done(held, place, pull, PRINTED, action)
    number = target if target.startswith("#") else "#" + match[2] if match is not None else ""
    by_branch = target if target and not target.startswith("#") else place.context.branch or ""
    url = held.carry.pulls.get(number or by_branch)
    pull = pull_of(url) if url is not None else None
    if pull is not None:
        return _done(held, place, pull, PRINTED, action)
    if not number:
        return []
    unknown = f"{number} in {held.carry.project or ''}"
    return _done(held, place, Pull(unknown, "", int(number[1:])), NUMBERED, action)


def _done(held: Held, place: Place, pull: Pull, confidence: int, action: str | None) -> list[Partial]:
    """The pull request, and what was done to it."""
    fact, _ = _pull(held, place, pull, confidence)
    born = [fact]
    _remember(held, pull, place.context.branch if action == "opened" else None)
    if action is not None:
        if action == "opened":
            fact.label = "opened"
        when = place.id if held.at == NO_TIME else str(held.at)
        done = _fact(held, _ARTIFACT, f"{pull.url}#{action}@{when}", place, f"pull_request.{action}", {})
        done.label = action
        born.append(done)
    return born


def _pull(held: Held, place: Place, pull: Pull, confidence: int) -> tuple[Partial, bool]:
    fact, made = held.batch.get(_PULL, pull.url, held.file, held.offset, held.length)
    _fact(held, _PULL, pull.url, place, pull.repository or None, {})
    fact.attempts = most(fact.attempts, confidence)
    fact.label = fact.label or "linked"
    conclude(fact, Result(Status.OK, -1, "", -1, pull.number))
    return fact, made


def _remember(held: Held, pull: Pull, branch: str | None) -> None:
    """Later lines may name it by number or by its branch alone."""
    if not pull.repository:
        return
    known = held.carry.pulls
    for name in (f"#{pull.number}", branch):
        if name is not None:
            known.pop(name, None)
            known[name] = pull.url
    while len(known) > KNOWN_PULLS:
        del known[next(iter(known))]
