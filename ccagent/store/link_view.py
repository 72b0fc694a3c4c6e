"""Links in the views: what `telemetry_events` joins of them, and `analytics_entity_links`, one row a link."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ccagent.facts.links import CERTAIN, STRATEGY_NAMES, WHOLE, Strategy
from ccagent.facts.targets import TARGET_NAMES, Target

ANCESTORS: Final = 8
"""Levels of sessions that were resumed or copied which are followed to the root; a ring ends there too."""

TARGET: Final = (
    "substr(f.native, length(session.value) + length(n.value) + 3,"
    " length(f.native) - length(session.value) - length(n.value) - length(stop.value) - 3)"
)
"""What an `artifact.linked` fact points to: its native id is session/kind/target/strategy."""

MANUAL: Final = (int(Strategy.FRONT_MATTER),)
"""Strategies that are somebody's statement; all others are ccagent's own finding."""

_TIMES: Final = {"sqlite": "{}", "postgres": "to_timestamp({} / 1000.0)"}


def linked() -> str:
    """The joins of `telemetry_events` over a fact `f` in a context `c`: `best`, the strongest feature of its session;
    `named`, the feature that its branch names, and `on_branch`, its session's link to that one; `lineage`, its
    session's parent and root. Each finds one row at most."""
    session, feature, branch = int(Target.SESSION), int(Target.FEATURE), int(Target.BRANCH)
    joins = [
        f"LEFT JOIN link best ON best.kind = {session} AND best.source = c.session AND best.target_kind = {feature}"
        " AND best.place = 1",
        f"LEFT JOIN link named ON named.kind = {branch} AND named.source = c.branch AND named.target_kind = {feature}",
        f"LEFT JOIN link on_branch ON on_branch.kind = {session} AND on_branch.source = c.session"
        f" AND on_branch.target_kind = {feature} AND on_branch.target = named.target",
    ]
    joins.append(f"LEFT JOIN ({_lineage()}) lineage ON lineage.session = c.session")
    return "\n".join(joins)


def _lineage() -> str:
    """Parent and root of each session that has a parent: few, so made once a question and not looked up fact by fact."""
    session = int(Target.SESSION)
    place = f"{{0}}.kind = {session} AND {{0}}.target_kind = {session} AND {{0}}.place = 1".format
    above = "".join(
        f" LEFT JOIN link up{level} ON up{level}.source = up{level - 1}.target AND {place(f'up{level}')}"
        for level in range(2, ANCESTORS + 1)
    )
    roots = ", ".join(f"up{level}.target" for level in range(ANCESTORS, 0, -1))
    return (
        f"SELECT up1.source AS session, up1.target AS parent, COALESCE({roots}) AS root FROM link up1{above}"
        f" WHERE {place('up1')}"
    )


def links_select(dialect: str) -> str:
    """The SELECT behind `analytics_entity_links`.

    `link_type`: `child` for a session below another one, `related` for all else; `origin`: `manual` where somebody stated
    it in a document, else `auto`; `confidence`, `ambiguity` and `share` from 0 to 1; `depth` is 1, since links are direct.
    """
    time = _TIMES[dialect].format
    real = "CAST(l.{} AS DOUBLE PRECISION) / {}".format
    manual = ", ".join(map(str, MANUAL))
    session = int(Target.SESSION)
    return (
        f"SELECT {_case('l.kind', TARGET_NAMES)} AS source_type, s.value AS source_id,"
        f" {_case('l.target_kind', TARGET_NAMES)} AS target_type, t.value AS target_id,"
        f" CASE WHEN l.kind = {session} AND l.target_kind = {session} THEN 'child' ELSE 'related' END AS link_type,"
        f" CASE WHEN l.strategy IN ({manual}) THEN 'manual' ELSE 'auto' END AS origin,"
        f" {real('confidence', CERTAIN)} AS confidence, {_case('l.strategy', STRATEGY_NAMES)} AS strategy,"
        f" l.inferred AS inferred, {real('ambiguity', CERTAIN)} AS ambiguity, {real('share', WHOLE)} AS share,"
        f" l.place AS place, 1 AS depth, l.evidence AS evidence, {time('l.first_at')} AS first_at,"
        f" {time('l.last_at')} AS last_at\n"
        "FROM link l JOIN name s ON s.id = l.source JOIN name t ON t.id = l.target"
    )


def _case(subject: str, names: Mapping[int, str]) -> str:
    arms = " ".join(f"WHEN {number} THEN '{name}'" for number, name in names.items())
    return f"CASE {subject} {arms} END"
