"""Evidence of what a session works on, as facts: one for each session, thing and way of finding it, however often it is
found: `<session>/<kind>/<thing>/<way>`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import orjson

from ccagent.facts.evidence import WEIGHTS, Mention
from ccagent.facts.model import EventType, Flag
from ccagent.facts.partial import NO_TIME, least, most
from ccagent.facts.projects import project_of
from ccagent.facts.targets import TARGET_NAMES, Target
from ccagent.sources.places import Held, Place

ID_CHARACTERS: Final = 300
"""A name that is longer is none."""

_ARTIFACT: Final = int(EventType.ARTIFACT)


def write(held: Held, session: str | None, mentions: Iterable[Mention], place: Place) -> None:
    """These things were named in that session; `place.id` is not looked at."""
    if session is None:
        return
    at = held.at
    for mention in mentions:
        if len(mention.id) > ID_CHARACTERS:
            continue
        kind = TARGET_NAMES[mention.target]
        native = f"{session}/{kind}/{mention.id}/{mention.strategy}"
        partial, _ = held.batch.get(_ARTIFACT, native, held.file, held.offset, held.length)
        details = {"target": mention.id} if mention.path is None else {"target": mention.id, "path": mention.path}
        partial.claim(place.rank, at, place.context, place.turn, kind, None, orjson.dumps(details).decode())
        partial.flags |= Flag.DIRECT
        if at != NO_TIME:
            partial.occurred_at = least(partial.occurred_at, at)
            partial.ended_at = most(partial.ended_at, at)
        partial.size = most(partial.size, mention.weight)
        if partial.label is None or mention.strategy > partial.label:
            partial.label = mention.strategy
        partial.closing = True


def of_folder(cwd: str | None, project: str | None) -> tuple[Mention, ...]:
    """That the folder is a worktree of the project, where the path says so."""
    if cwd is None or project is None or not project == project_of(cwd) != cwd:
        return ()
    return (Mention(Target.PROJECT, project, "worktree", WEIGHTS["worktree"], cwd),)
