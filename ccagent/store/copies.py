"""Sessions that hold the same turns: noted when the second one is met, and who of them was there first.

A resume under a new id, or a fork, copies prompts with their uuid, so a turn is one fact whatever the session; its owner
alone stands in its row. That others have it too is kept as one fact for each session and turn, whoever came first, so
that the order of reading cannot be seen. Which session is the parent is asked of the facts, never stored.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import orjson

from ccagent.facts.batch import NO_FILE, Batch
from ccagent.facts.keys import fact_key
from ccagent.facts.lineage import FORKED, RESUMED, Shared, kind_of, parent_of
from ccagent.facts.model import EventType, Rank
from ccagent.facts.partial import NO_TIME, NOWHERE
from ccagent.store.connection import Connection, scalar
from ccagent.store.session_facts import session_number

HISTORY: Final = "history"
"""Name of the facts that tell of a copied turn."""

COPIED: Final = "copied"
"""How a parent was found that no record names: by turns that both sessions hold."""


class Origin(NamedTuple):
    """Where a session comes from. kind: fresh, resumed or forked; strategy: forked_from, process, same_file, copied."""

    kind: str
    parent: str | None = None
    strategy: str | None = None


def note_copies(conn: Connection, batch: Batch) -> None:
    """Add to the batch a fact for each session and turn of it that stands in several sessions."""
    if not batch.turn_sessions:
        return
    dialect = conn.dialect
    keys = {fact_key(EventType.TURN, native): native for native in batch.turn_sessions}
    stored = conn.execute(
        f"SELECT f.key, n.value FROM {dialect.blobs} JOIN fact f ON f.key = k.value JOIN context c ON c.id = f.context"
        " JOIN name n ON n.id = c.session",
        (dialect.listed(sorted(keys)),),
    )
    sessions = {native: set(held) for native, held in batch.turn_sessions.items()}
    for key, session in stored:
        sessions[keys[bytes(key)]].add(str(session))
    for native, held in sessions.items():
        if len(held) < 2:
            continue
        for session in sorted(held):
            # no transcript alone says so: a rebuild that has but one of them left must not drop it
            fact, _ = batch.get(EventType.ARTIFACT, f"{session}/{HISTORY}/{native}", NO_FILE, 0, 0)
            context = NOWHERE._replace(session=session, rank=int(Rank.MAIN))
            fact.claim(Rank.MAIN, NO_TIME, context, None, HISTORY)
            fact.label = COPIED
            fact.closing = True


_LINKED: Final = (
    "FROM fact f JOIN context c ON c.id = f.context JOIN name session ON session.id = c.session"
    " JOIN name n ON n.id = f.name"
    # the bounds are those of the index of evidence
    f" WHERE f.type >= {int(EventType.COMMIT)} AND f.type <= {int(EventType.ARTIFACT)}"
    f" AND f.type = {int(EventType.ARTIFACT)}"
)
_NAMED: Final = f"SELECT n.value, f.native, f.extra {_LINKED} AND c.session = ? AND n.value IN ('session', '{HISTORY}')"
_TURN: Final = "substr(f.native, length(session.value) + 1)"
_SHARING: Final = (
    f"SELECT DISTINCT session.value {_LINKED} AND n.value = '{HISTORY}' AND {_TURN} IN"
    f" (SELECT {_TURN} {_LINKED} AND n.value = '{HISTORY}' AND c.session = ?) ORDER BY 1"
)
_TURNS: Final = (
    "SELECT f.native, f.occurred_at FROM context c JOIN fact f ON f.context = c.id"
    f" WHERE c.session = ? AND f.type = {int(EventType.TURN)} AND f.occurred_at IS NOT NULL"
)
_LABEL: Final = "SELECT stop.value FROM fact f LEFT JOIN name stop ON stop.id = f.stop WHERE f.key = ?"


def origin(reader: Connection, session: str) -> Origin:
    """Kind and parent of a session: what its own lines name first, else the session whose turns it repeats."""
    label = scalar(reader, _LABEL, (fact_key(EventType.SESSION, session),))
    number = session_number(reader, session)
    if number is None:
        return Origin(kind_of(label))
    found = sorted(reader.execute(_NAMED, (number,)))
    named = {native.rpartition("/")[2]: str(extra) for name, native, extra in found if name == "session"}
    for strategy in ("forked_from", "spawned", "same_file", "process"):
        if strategy in named:
            return Origin(kind_of(label), _target(named[strategy]), strategy)
    shared = {native.rpartition("/")[2] for name, native, _ in found if name == HISTORY}
    if shared:
        me = _shared(reader, session, shared)
        for other in (str(row[0]) for row in reader.execute(_SHARING, (number,))):
            its = _shared(reader, other, shared)
            if other != session and parent_of(me, its) == other:
                kind = RESUMED if its.own is None else FORKED
                return Origin(kind_of(kind if label is None else max(label, kind)), other, COPIED)
    return Origin(kind_of(label))


def _shared(reader: Connection, session: str, shared: set[str]) -> Shared:
    own = [at for native, at in reader.execute(_TURNS, (session_number(reader, session),)) if native not in shared]
    started = scalar(reader, "SELECT occurred_at FROM fact WHERE key = ?", (fact_key(EventType.SESSION, session),))
    return Shared(session, min(own, default=None), started)


def _target(extra: str) -> str | None:
    target = orjson.loads(extra).get("target")
    return target if isinstance(target, str) else None
