"""Links of a session to what it worked on: from its evidence, with confidence, shares and ambiguity.

A pure function of the evidence: its order does not matter, and the same evidence always gives the same links.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Final, NamedTuple

from ccagent.facts.evidence import DEFAULT
from ccagent.facts.model import EventType
from ccagent.facts.targets import TARGETS, Target

WHOLE: Final = 1_000_000
"""Shares of one source and kind of target add up to this."""

CERTAIN: Final = 1_000
"""Confidence and weights are thousandths."""

LOW: Final = 600
"""Links below are of low confidence."""


class Strategy(IntEnum):
    """How a link was found; the number is what the store keeps, `STRATEGY_NAMES` what a user sees."""

    OTHER = 1
    READ = 2
    SEARCH = 3
    SHELL = 4
    BRANCH = 5
    WRITE = 6
    CREATE = 7
    COMMAND = 8
    FRONT_MATTER = 9
    TEXT = 10
    TICKET = 11
    NUMBER = 12
    URL = 13
    RECORD = 14  # the client's own record of a commit, a push, a pull request, a task
    OUTPUT = 15  # the tool's output said so
    MENTIONED = 16  # a hash in other output of git
    WINDOW = 17  # nothing but the time
    WORKTREE = 18
    GIT_FILE = 19
    FORKED_FROM = 20  # lines say that they were copied from that session
    PROCESS = 21  # lines were written by that session's process
    SAME_FILE = 22  # the file began with that session


STRATEGY_NAMES: Final[dict[int, str]] = {strategy: strategy.name.lower().replace("_", "-") for strategy in Strategy}
STRATEGIES: Final[dict[str, Strategy]] = {strategy.name.lower(): strategy for strategy in Strategy}
"""By the word that facts keep."""

CONFIDENCE: Final[dict[int, int]] = {
    Strategy.FRONT_MATTER: CERTAIN,
    Strategy.RECORD: CERTAIN,
    Strategy.FORKED_FROM: CERTAIN,
    Strategy.PROCESS: 900,
    Strategy.SAME_FILE: 950,
    Strategy.GIT_FILE: CERTAIN,
    Strategy.OUTPUT: 950,
    Strategy.URL: 950,
    Strategy.WORKTREE: 950,
    Strategy.MENTIONED: 600,
    Strategy.TEXT: 600,
    Strategy.TICKET: 600,
    Strategy.NUMBER: 500,
    Strategy.WINDOW: 400,
}
"""Confidence of commits, pull requests, tasks, phases and projects, by how they were found; others by their weight."""

# ---- features: the table of weights is evidence.WEIGHTS -----------------------------------------------------------

BASE_COMMAND_AND_WRITE: Final = 900
BASE_COMMAND: Final = 750
BASE_STRONG_WRITE: Final = 750
"""A document that was written whole, not only edited: it is this session's work."""
BASE_WRITE: Final = 620
BASE_BRANCH: Final = 620
"""The branch's name is as good as a write: chosen for the work, but it may have been left standing."""
BASE_SHELL: Final = 550
BASE_ELSE: Final = 350
SIGNALS_THREE: Final = 50
SIGNALS_TWO: Final = 30
WRITTEN: Final = 20
CAP: Final = 950
MINOR: Final = 500
MINOR_LOSS: Final = 200
NOT_CLEAR: Final = 700
NOT_CLEAR_LOSS: Final = 100
READ_ONLY_LOSS: Final = 80
LEAST: Final = 350

FEATURES: Final = 32
"""A session's features by weight; what is behind them was touched in passing."""

TARGETS_OF_A_KIND: Final = 64
"""Links of a session to one other kind of thing."""


class Evidence(NamedTuple):
    """One fact that speaks for a link. `weight` in thousandths, times in ms UTC."""

    target: Target
    id: str
    strategy: Strategy
    weight: int
    first: int | None = None
    last: int | None = None


class Link(NamedTuple):
    """One link of a session. `confidence` and `ambiguity` in thousandths, `share` in millionths; `place` counts the
    links of one kind from 1, the strongest first; `evidence`: facts behind it."""

    target: Target
    id: str
    strategy: Strategy
    confidence: int
    inferred: bool
    ambiguity: int
    share: int
    place: int
    evidence: int
    first: int | None
    last: int | None


class _Found(NamedTuple):
    id: str
    weight: int
    confidence: int
    strategy: Strategy
    evidence: int
    first: int | None
    last: int | None


def links(evidence: Iterable[Evidence]) -> tuple[Link, ...]:
    """The links that the evidence of one session amounts to, by kind and place.

    Rule: of several pieces of one kind, thing and strategy the heaviest counts. Shares are by weight, with the largest
    remainder, so that they add up to one exactly. Ambiguity is one minus the share of the strongest link of the kind: 0
    where there is but one. A link of full confidence is explicit, every other is inferred.
    """
    kinds: dict[Target, dict[str, dict[Strategy, Evidence]]] = {}
    for piece in evidence:
        known = kinds.setdefault(piece.target, {}).setdefault(piece.id, {})
        before = known.get(piece.strategy)
        known[piece.strategy] = piece if before is None else _united(before, piece)
    if Target.PULL_REQUEST in kinds:
        _name_numbers(kinds[Target.PULL_REQUEST])
    found: list[Link] = []
    for target in sorted(kinds):
        found += _feature_links(kinds[target]) if target is Target.FEATURE else _plain_links(target, kinds[target])
    return tuple(found)


def _name_numbers(things: dict[str, dict[Strategy, Evidence]]) -> None:
    """A pull request that is known by its number alone is the one of that number whose address is known, if that is
    one only: a session may work in several repositories."""
    for id_ in [each for each in things if each.startswith("#")]:
        named = [each for each in things if is_numbered(each, id_)]
        if len(named) == 1:
            known = things[named[0]]
            for strategy, piece in things.pop(id_).items():
                piece = piece._replace(id=named[0])
                known[strategy] = piece if strategy not in known else _united(known[strategy], piece)


def is_numbered(url: str, number: str) -> bool:
    """Whether a pull request's address is of that number (`#12`)."""
    return "/" in url and url.rpartition("/")[2] == number[1:]


def _united(one: Evidence, two: Evidence) -> Evidence:
    first = min((at for at in (one.first, two.first) if at is not None), default=None)
    last = max((at for at in (one.last, two.last) if at is not None), default=None)
    return one._replace(weight=max(one.weight, two.weight), first=first, last=last)


def _feature_links(things: Mapping[str, Mapping[Strategy, Evidence]]) -> list[Link]:
    weights = {id_: sum(piece.weight for piece in pieces.values()) for id_, pieces in things.items()}
    kept = sorted(things, key=lambda id_: (-weights[id_], id_))[:FEATURES]
    total = sum(weights[id_] for id_ in kept)
    found = []
    for id_ in kept:
        pieces = things[id_]
        confidence = feature_confidence({each: piece.weight for each, piece in pieces.items()}, weights[id_], total)
        found.append(_thing(id_, pieces, weights[id_], confidence))
    return _placed(Target.FEATURE, found)


def _plain_links(target: Target, things: Mapping[str, Mapping[Strategy, Evidence]]) -> list[Link]:
    found = []
    for id_, pieces in things.items():
        confidence = max(CONFIDENCE.get(strategy, piece.weight) for strategy, piece in pieces.items())
        found.append(_thing(id_, pieces, confidence, confidence))
    found.sort(key=_order)
    return _placed(target, found[:TARGETS_OF_A_KIND])


def _thing(id_: str, pieces: Mapping[Strategy, Evidence], weight: int, confidence: int) -> _Found:
    best = max(pieces, key=lambda strategy: (CONFIDENCE.get(strategy, pieces[strategy].weight), strategy))
    first = min((piece.first for piece in pieces.values() if piece.first is not None), default=None)
    last = max((piece.last for piece in pieces.values() if piece.last is not None), default=None)
    return _Found(id_, weight, confidence, best, len(pieces), first, last)


def _order(found: _Found) -> tuple[object, ...]:
    return -found.weight, -found.confidence, found.first is None, found.first or 0, found.id


def _placed(target: Target, found: list[_Found]) -> list[Link]:
    found.sort(key=_order)
    parts = shares([each.weight for each in found])
    ambiguity = CERTAIN - round(max(parts, default=WHOLE) * CERTAIN / WHOLE)
    return [
        Link(
            target, each.id, each.strategy, each.confidence, each.confidence < CERTAIN, ambiguity, share, place,
            each.evidence, each.first, each.last,
        )
        for place, (each, share) in enumerate(zip(found, parts, strict=True), 1)
    ]  # fmt: skip


def feature_confidence(weights: Mapping[Strategy, int], weight: int, total: int) -> int:
    """How sure it is that the session worked on a feature, in thousandths.

    `weights`: of each strategy that found it; `weight` is their sum, `total` that of all features of the session.

    Rule: front matter that names the session is certain. Else a base by the best kind of evidence (command and write 0.90;
    command, or a document written whole, 0.75; an edit or the branch 0.62; shell 0.55; else 0.35), +0.05 for three kinds
    of evidence, +0.03 for two, +0.02 for a write, 0.95 at most. Where no command named it: −0.20 if it has less than half
    of the session's weight, −0.10 if less than 0.7, −0.08 if it was only read. Never outside of 0.35–0.95. Reason: the
    table of the planning tools that had the most practice with such links; the branch is this house's addition. Not seen:
    how often a document was touched.
    """
    if Strategy.FRONT_MATTER in weights:
        return CERTAIN
    commanded = Strategy.COMMAND in weights
    created = Strategy.CREATE in weights
    written = created or Strategy.WRITE in weights
    if commanded and written:
        score = BASE_COMMAND_AND_WRITE
    elif commanded:
        score = BASE_COMMAND
    elif created:
        score = BASE_STRONG_WRITE
    elif written:
        score = BASE_WRITE
    elif Strategy.BRANCH in weights:
        score = BASE_BRANCH
    elif Strategy.SHELL in weights:
        score = BASE_SHELL
    else:
        score = BASE_ELSE
    if len(weights) >= 3:
        score += SIGNALS_THREE
    elif len(weights) == 2:
        score += SIGNALS_TWO
    if written:
        score += WRITTEN
    score = min(score, CAP)
    if not commanded:
        if weight * CERTAIN < total * MINOR:
            score -= MINOR_LOSS
        elif weight * CERTAIN < total * NOT_CLEAR:
            score -= NOT_CLEAR_LOSS
        if weights.keys() == {Strategy.READ}:
            score -= READ_ONLY_LOSS
    return max(LEAST, min(score, CAP))


def shares(weights: list[int], whole: int = WHOLE) -> list[int]:
    """Parts of `whole` in proportion to the weights, by the largest remainder, the first of equals; they add up to it.

    Weights of nothing at all are shared evenly; no weights give no parts.
    """
    total = sum(weights)
    if total <= 0:
        weights, total = [1] * len(weights), len(weights)
    if not weights:
        return []
    parts = [whole * weight // total for weight in weights]
    rests = sorted(range(len(weights)), key=lambda number: (-(whole * weights[number] % total), number))
    for number in rests[: whole - sum(parts)]:
        parts[number] += 1
    return parts


# ---- what facts say ------------------------------------------------------------------------------------------------

SPEAKING: Final = frozenset((EventType.TASK, EventType.COMMIT, EventType.PULL_REQUEST, EventType.ARTIFACT))
"""Kinds of facts that are evidence of links."""

HUNDREDTHS: Final = 10
"""Facts of deliveries keep their confidence in hundredths, as `attempts`."""


class Said(NamedTuple):
    """The columns of a stored fact that tell what it is evidence of; only such as retention leaves. Times in ms UTC."""

    type: int
    native: str
    label: str | None
    attempts: int | None
    size: int | None
    first: int | None = None
    last: int | None = None


def spoken(said: Said, session: str) -> Evidence | None:
    """What one stored fact of a session is evidence of; None for nothing.

    Commits and pull requests carry their own confidence: 1.0 where the client has recorded them, 0.95 where a tool's
    output did, less for a hash or a number alone. Entries of the client's own task lists are numbers that mean nothing
    outside of their session, so they make no link, unless a ticket's id was given for one.
    """
    kind = said.type
    if kind == EventType.ARTIFACT:
        return _artifact(said, session)
    if kind == EventType.TASK and said.label is not None and DEFAULT.task.fullmatch(said.label):
        return Evidence(Target.TASK, said.label, Strategy.RECORD, CERTAIN, said.first, said.last)
    if kind in (EventType.COMMIT, EventType.PULL_REQUEST) and said.attempts is not None:
        target = Target.COMMIT if kind == EventType.COMMIT else Target.PULL_REQUEST
        weight = min(CERTAIN, said.attempts * HUNDREDTHS)
        strategy = Strategy.RECORD
        if weight < CERTAIN:
            strategy = Strategy.OUTPUT if weight >= CONFIDENCE[Strategy.OUTPUT] else Strategy.MENTIONED
        return Evidence(target, said.native, strategy, weight, said.first, said.last)
    return None


def _artifact(said: Said, session: str) -> Evidence | None:
    kind, _, rest = said.native.removeprefix(f"{session}/").partition("/")
    id_, _, word = rest.rpartition("/")
    target = TARGETS.get(kind)
    if target is None or not id_ or id_ == session:
        return None
    strategy = STRATEGIES.get(word, Strategy.OTHER)
    return Evidence(
        target, id_, strategy, LEAST if said.size is None else min(said.size, CERTAIN), said.first, said.last
    )
