"""Questions about links: what a session worked on, by what evidence, and which features its usage belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from ccagent.facts.links import CERTAIN, LOW, STRATEGY_NAMES, WHOLE, Said, Strategy, is_numbered, spoken
from ccagent.facts.model import EVENT_NAMES
from ccagent.facts.targets import TARGET_NAMES, Target
from ccagent.store.connection import Connection, scalar, snapshot
from ccagent.store.link_view import MANUAL
from ccagent.store.links import evidence_facts

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_SESSION: Final = int(Target.SESSION)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEvidence:
    """One fact behind a link. `detail`: the document's path, where there is one; times in ms UTC."""

    source_key: str
    event_type: str
    strategy: str
    at: int | None
    file: str | None
    offset: int | None
    detail: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLink:
    """One link of a session. `confidence`, `ambiguity` and `share` from 0 to 1; times in ms UTC."""

    target_type: str
    target: str
    confidence: float
    inferred: bool
    low: bool
    strategy: str
    origin: str
    ambiguity: float
    share: float
    first_at: int | None
    last_at: int | None
    evidence: list[LinkEvidence] = field(default_factory=list)


def features_of(reader: Connection, sessions: Collection[int]) -> dict[int, dict[int, int]]:
    """Of each of these sessions that has features: feature → share in millionths, the largest first. All are name ids."""
    if not sessions:
        return {}
    dialect = reader.dialect
    sql = (
        f"SELECT l.source, l.target, l.share FROM {dialect.numbers} JOIN link l ON l.kind = {_SESSION}"
        f" AND l.source = k.value AND l.target_kind = {int(Target.FEATURE)} ORDER BY l.source, l.place"
    )
    found: dict[int, dict[int, int]] = {}
    for session, feature, share in reader.execute(sql, (dialect.listed(sessions),)):
        found.setdefault(int(session), {})[int(feature)] = int(share)
    return found


def session_links(reader: Connection, session: str) -> list[SessionLink]:
    """The links of a session by kind and strength, each with the facts behind it; none for a session that is not known,
    or worked on nothing that has a name."""
    with snapshot(reader):
        number = scalar(reader, "SELECT id FROM name WHERE value = ?", (session,))
        if number is None:
            return []
        evidence: dict[tuple[int, str], list[LinkEvidence]] = {}
        for key, piece in _evidence(reader, int(number), session):
            evidence.setdefault(key, []).append(piece)
        rows = reader.execute(
            "SELECT l.target_kind, t.value, l.confidence, l.inferred, l.strategy, l.ambiguity, l.share, l.first_at,"
            f" l.last_at FROM link l JOIN name t ON t.id = l.target WHERE l.kind = {_SESSION} AND l.source = ?"
            " ORDER BY l.target_kind, l.place",
            (int(number),),
        ).fetchall()
    for kind, target, *_ in rows:
        # A number alone is evidence of the pull request whose address is known.
        for alias in [each for each in evidence if each[0] == kind == Target.PULL_REQUEST and each[1][:1] == "#"]:
            if is_numbered(target, alias[1]) and (kind, alias[1]) not in {row[:2] for row in rows}:
                evidence.setdefault((kind, target), []).extend(evidence.pop(alias))
    return [
        SessionLink(
            target_type=TARGET_NAMES[kind],
            target=target,
            confidence=confidence / CERTAIN,
            inferred=bool(inferred),
            low=confidence < LOW,
            strategy=STRATEGY_NAMES[strategy],
            origin="manual" if strategy in MANUAL else "auto",
            ambiguity=ambiguity / CERTAIN,
            share=share / WHOLE,
            first_at=first,
            last_at=last,
            evidence=evidence.get((kind, target), []),
        )
        for kind, target, confidence, inferred, strategy, ambiguity, share, first, last in rows
    ]


def _evidence(reader: Connection, number: int, session: str) -> Iterator[tuple[tuple[int, str], LinkEvidence]]:
    rows = reader.execute(
        "SELECT f.type, f.native, stop.value, f.attempts, f.size, f.occurred_at, f.ended_at, f.extra, f.place, x.path"
        " FROM (SELECT f.type, f.native, f.stop, f.attempts, f.size, f.occurred_at, f.ended_at, f.extra, f.file,"
        f' f."offset" AS place {evidence_facts(reader.dialect)}) f LEFT JOIN name stop ON stop.id = f.stop'
        " LEFT JOIN file x ON x.id = f.file",
        (number,),
    ).fetchall()
    # An unknown time last, in either database.
    for row in sorted(rows, key=lambda row: (row[5] is None, row[5] or 0, row[1])):
        found = spoken(Said(*row[:7]), session)
        if found is not None:
            path = None if row[9] is None else bytes(row[9]).decode("utf-8", "replace")
            yield (
                (int(found.target), found.id),
                LinkEvidence(
                    source_key=row[1],
                    event_type=EVENT_NAMES[row[0]],
                    strategy=STRATEGY_NAMES[found.strategy],
                    at=row[5],
                    file=path,
                    offset=row[8],
                    detail=_path(row[7]),
                ),
            )
    stated = reader.execute(
        "SELECT l.kind, t.value, l.last_at FROM link l JOIN name t ON t.id = l.source"
        f" WHERE l.target_kind = {_SESSION} AND l.target = ? AND l.strategy = {int(Strategy.FRONT_MATTER)}",
        (number,),
    ).fetchall()
    for kind, target, at in stated:
        yield (
            (kind, target),
            LinkEvidence(
                source_key=target, event_type="document", strategy=STRATEGY_NAMES[Strategy.FRONT_MATTER], at=at,
                file=None, offset=None, detail=None,
            ),
        )  # fmt: skip


def _path(extra: str | None) -> str | None:
    if extra is None:
        return None
    said: dict[str, Any] = orjson.loads(extra)
    path = said.get("path")
    return path if isinstance(path, str) else None
