"""Shell calls of every source: what a command line runs and deletes, and the facts of that once its end is known."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import orjson

from ccagent.facts.dangerous import dangerous
from ccagent.facts.deletions import Deletion, deletions, happened, joined
from ccagent.facts.model import EventType, Flag, Status
from ccagent.facts.partial import Partial, Result, least, most
from ccagent.facts.quality.runs import Run, runs
from ccagent.facts.quality.verdicts import Verdict, judge, settled
from ccagent.sources.places import Held, Place, conclude, time_of

OUTPUT_END: Final = 64 * 1024
"""Characters of the end of an output that are read: summaries stand there."""

OUTPUT_START: Final = 4 * 1024
"""Characters of the start of an output that are read besides."""

_QUALITY: Final = int(EventType.QUALITY)
_FILE: Final = int(EventType.FILE_UPDATE)
_OWN: Final = frozenset((Status.REJECTED, Status.INTERRUPTED, Status.TIMEOUT))


class Looked(NamedTuple):
    """What a command line is told by itself: names of dangerous patterns, quality runs, files that it deletes."""

    patterns: tuple[str, ...]
    runs: tuple[Run, ...]
    deletions: tuple[Deletion, ...]


class Ending(NamedTuple):
    """How a shell call ended. exit_code -1 where it is not known; `whole`: `text` is all of its output; `away`: it went
    on in the background; `began`: ms UTC of the call; `tool`: its name; `more`: a later line may tell its end."""

    status: Status
    failure: str
    exit_code: int
    text: str
    whole: bool
    away: bool
    began: int | None
    tool: str | None
    more: bool = False


@lru_cache(maxsize=256)
def looked(command: str) -> Looked:
    """Patterns, runs and deletions of a command line. A quarter of all lines was read not long ago."""
    return Looked(dangerous(command), runs(command), deletions(command))


def warn(fact: Partial, patterns: Sequence[str]) -> None:
    """Mark a call whose command is dangerous."""
    if patterns:
        label = "+".join(patterns)
        if fact.label is None or label > fact.label:
            fact.label = label


def unread(exit_code: int, found: Sequence[Run], gone: Sequence[Deletion]) -> bool:
    """Whether the exit code says everything, so that the output need not be read."""
    return exit_code == 0 and settled(found) and all(deletion.proven for deletion in gone)


def ends_of(text: str) -> tuple[str, bool]:
    """Start and end of an output, and whether that is all of it."""
    if len(text) <= OUTPUT_START + OUTPUT_END:
        return text, True
    return text[:OUTPUT_START] + "\n" + text[-OUTPUT_END:], False


def derive_runs(held: Held, place: Place, found: tuple[Run, ...], ending: Ending) -> tuple[Partial, ...]:
    """The quality runs of a call that has ended, or has gone on in the background."""
    verdicts: tuple[Verdict | None, ...]
    if ending.away and ending.status == Status.OK:
        verdicts = tuple(Verdict(Status.OPEN) for _ in found)
    else:
        verdicts = judge(found, Status(ending.status), ending.exit_code, ending.text, whole=ending.whole)
    born: tuple[Partial, ...] = ()
    for number, (run, verdict) in enumerate(zip(found, verdicts, strict=True)):
        if verdict is not None:
            native = place.id if len(found) == 1 else f"{place.id}#{number + 1}"
            born += _run(held, place, native, run, verdict, ending, alone=len(found) == 1 and not ending.away)
    return born


def derive_deletions(
    held: Held, place: Place, gone: Sequence[Deletion], ending: Ending, folder: str | None
) -> tuple[Partial, ...]:
    """The files that a call in that folder has deleted, if it did well."""
    born: tuple[Partial, ...] = ()
    if ending.status == Status.OK and not ending.away:
        for number, deletion in enumerate(gone):
            if happened(deletion, ending.text):
                path = joined(folder, deletion.path)
                born += _deleted(held, place, f"{place.id}#rm{number + 1}", path, ending.tool)
    return born


def _run(
    held: Held, place: Place, native: str, run: Run, verdict: Verdict, ending: Ending, *, alone: bool
) -> tuple[Partial, ...]:
    fact, made = held.batch.get(_QUALITY, native, held.file, held.offset, held.length)
    fact.claim(place.rank, held.at, place.context, place.turn, run.framework)
    fact.flags |= Flag.DIRECT
    fact.label = run.kind
    began, ended = ending.began, time_of(held)
    fact.occurred_at = least(fact.occurred_at, ended if began is None else began)
    fact.ended_at = most(fact.ended_at, ended)
    if verdict.status != Status.OPEN:
        proven = (run.passes and ending.exit_code == 0) or (run.fails and ending.exit_code > 0)
        milliseconds = -1
        if alone and began is not None and ended is not None and ended >= began and verdict.status not in _OWN:
            milliseconds = ended - began
        result = Result(
            verdict.status,
            -1 if ended is None else ended,
            ending.failure if verdict.status in _OWN else "",
            ending.exit_code if proven else -1,
            verdict.skipped,
            milliseconds,
            verdict.passed,
            verdict.failed,
        )
        conclude(fact, result)
    fact.closing = fact.closing or not ending.more
    return (fact,) if made else ()


def _deleted(held: Held, place: Place, native: str, path: str, tool: str | None) -> tuple[Partial, ...]:
    fact, made = held.batch.get(_FILE, native, held.file, held.offset, held.length)
    extra = orjson.dumps({"path": path}).decode()
    fact.claim(place.rank, held.at, place.context, place.turn, tool, None, extra)
    fact.flags |= Flag.DIRECT | Flag.INFERRED
    fact.label = "delete"
    at = time_of(held)
    fact.occurred_at = least(fact.occurred_at, at)
    conclude(fact, Result(Status.OK, -1 if at is None else at))
    fact.closing = True
    return (fact,) if made else ()
