"""Usage added up under one grouping: rollup rows and facts, in rows of one shape, in one SELECT."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from ccagent.facts.targets import Target
from ccagent.rollups.buckets import QUARTER_MS
from ccagent.rollups.metrics import Period
from ccagent.rollups.usage import ITEM, SAID, UsageFamily
from ccagent.store.sources import Facts, in_spans, searched, undated
from ccagent.store.usage_rows import USAGE_VALUES, Select, relation

if TYPE_CHECKING:
    from ccagent.rollups.spans import Cover
    from ccagent.store.connection import Connection
    from ccagent.store.dialect import Dialect


@dataclass(frozen=True, slots=True)
class Grouping:
    """What rows of usage are grouped by: an expression over a rollup row `r`, and one over a fact's `u` and its context
    `c`. Both give the same name id, or a moment in the same period; NULL for what has no time."""

    family: UsageFamily
    of_row: str
    of_fact: str
    folded: bool = False
    """Whether what a link of the same kind leads elsewhere counts there: worktrees in their repository."""


def _place(column: str, row: str | None = None) -> Grouping:
    return Grouping(UsageFamily.PLACE, f"r.{row or column}", f"COALESCE(c.{column}, 0)")


TOTAL: Final = Grouping(UsageFamily.PLACE, "0", "0")
TIME: Final = Grouping(
    # Quarters lie whole in the periods of every zone's present offset, and are few enough to place one by one.
    UsageFamily.PLACE,
    "r.bucket",
    f"u.occurred_at - (u.occurred_at % {QUARTER_MS} + {QUARTER_MS}) % {QUARTER_MS}",
)
GROUPINGS: Final[dict[str, Grouping]] = {
    "project": replace(_place("project"), folded=True),
    "branch": _place("branch"),
    "model": Grouping(UsageFamily.MODEL, f"r.{ITEM}", "COALESCE(u.item, 0)"),
    # A provider that the transcript names, as a negative name id; else the model, whose form tells who serves it.
    "provider": Grouping(
        UsageFamily.MODEL,
        f"CASE WHEN r.{SAID} <> 0 THEN -r.{SAID} ELSE r.{ITEM} END",
        "CASE WHEN c.provider IS NOT NULL THEN -c.provider ELSE COALESCE(u.item, 0) END",
    ),
    "tool": Grouping(UsageFamily.TOOL, f"r.{ITEM}", "COALESCE(u.item, 0)"),
    "skill": _place("skill"),
    "agent": _place("agent"),
    "session": _place("session", "name"),
}
"""By name id."""

_COLUMNS: Final = ", ".join(USAGE_VALUES)

FOLDED: Final = (
    f"l.kind = {int(Target.PROJECT)} AND l.source = {{}} AND l.target_kind = {int(Target.PROJECT)} AND l.place = 1"
)
"""The link `l` of a folder to the repository that its `.git` file names."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """Usage under one grouping in what `cover` covers, with facts that have no time if `undated`."""

    grouping: Grouping
    cover: Cover
    undated: bool

    def sums(self, conn: Connection) -> Iterator[tuple[int | None, int, tuple[int, ...]]]:
        """Of each group: its key, the number of its sessions, the sums of `USAGE_VALUES`."""
        found = self.select(conn.dialect)
        if found is not None:
            # Postgres adds up whole numbers to a decimal one, which takes the driver ten times as long to read.
            sums = ", ".join(f"CAST(SUM({column}) AS BIGINT)" for column in USAGE_VALUES)
            group, folding = "g", ""
            if self.grouping.folded:
                group, folding = "COALESCE(l.target, g)", f" LEFT JOIN link l ON {FOLDED.format('a.g')}"
            sql = f"SELECT {group}, COUNT(DISTINCT NULLIF(session, 0)), {sums} FROM ({found[0]}) a{folding} GROUP BY 1"
            for row in conn.execute(sql, found[1]):
                yield row[0], int(row[1]), row[2:]

    def sessions(self, conn: Connection, groups: Collection[int]) -> Iterator[tuple[int, int]]:
        """Pairs of a group's key and a session (name id) in it, each once, for these groups."""
        found = self.select(conn.dialect)
        if found is not None and groups:
            dialect = conn.dialect
            sql = (
                f"SELECT DISTINCT g, session FROM ({found[0]}) a"
                f" WHERE session <> 0 AND g IN (SELECT k.value FROM {dialect.numbers})"
            )
            for row in conn.execute(sql, (*found[1], dialect.listed(groups))):
                yield int(row[0]), int(row[1])

    def select(self, dialect: Dialect) -> Select | None:
        """Rows of g (the group), session (name id) and `USAGE_VALUES`, not yet summed; None if nothing is covered."""
        parts: list[Select] = []
        spans = [(Period.DAILY, span) for span in self.cover.days] + [
            (Period.HOURLY, span) for span in self.cover.hours
        ]
        if spans:
            parts.append((self._rows(dialect, ", ".join(f"({int(period)}, {a}, {b})" for period, (a, b) in spans)), ()))
        if self.cover.facts:
            parts.append(self._facts(dialect, in_spans(dialect, self.cover.facts)))
        if self.undated:
            parts.append(self._facts(dialect, undated()))
        if not parts:
            return None
        values: tuple[Any, ...] = sum((values for _, values in parts), ())
        return " UNION ALL ".join(sql for sql, _ in parts), values

    def _rows(self, dialect: Dialect, spans: str) -> str:
        grouping = self.grouping
        columns = ", ".join(f"r.{column}" for column in USAGE_VALUES)
        covered = (
            f"r.period = s.period AND r.family = {int(grouping.family)} AND r.bucket >= s.start AND r.bucket < s.until"
        )
        return (
            f"SELECT {grouping.of_row} AS g, r.name AS session, {columns}"
            f" FROM (WITH span(period, start, until) AS (VALUES {spans}) SELECT period, start, until FROM span) s"
            f"{searched(dialect, 'r', covered, table='rollup')}"
        )

    def _facts(self, dialect: Dialect, facts: Facts) -> Select:
        sql, values = relation(dialect, self.grouping.family, facts)
        columns = ", ".join(f"u.{column}" for column in USAGE_VALUES)
        return (
            f"SELECT {self.grouping.of_fact} AS g, COALESCE(c.session, 0) AS session, {columns}"
            f" FROM ({sql}) u JOIN context c ON c.id = u.context"
        ), values
