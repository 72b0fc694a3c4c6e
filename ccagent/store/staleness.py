"""Which hours' rollup rows do not hold what the facts say, at this moment: told by the marks of the ingest.

A mark is a quarter hour around a time of a fact that changed. Usage by tool and by model ties a call to its request,
which may lie in another hour: what is stale for one makes the hour of the other stale too. Where a call or request has
no time, or was parted from the other, no quarter leads there: the ingest marks the quarters of both.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

from ccagent.facts.model import EventType
from ccagent.rollups.buckets import QUARTER_MS, marked_session
from ccagent.rollups.spans import FIRST, Span, merged, whole
from ccagent.rollups.usage import UsageFamily
from ccagent.store.connection import Connection, scalar
from ccagent.store.sources import in_spans, searched

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_LLM: Final = int(EventType.LLM_REQUEST)
_TOOL: Final = int(EventType.TOOL_CALL)
_OTHERS: Final[dict[UsageFamily, str]] = {
    # the requests of calls: their shares by tool change with a call
    UsageFamily.TOOL: f"f.type = {_TOOL} AND o.key = f.request AND o.type = {_LLM}",
    # the calls of requests: their model is that of the request
    UsageFamily.MODEL: f"f.type = {_LLM} AND o.request = f.key AND o.type = {_TOOL}",
}


def quarters(marks: Iterable[int]) -> list[Span]:
    """The time that quarter marks stand for; marks of sessions are none."""
    return merged((mark, mark + QUARTER_MS) for mark in marks if marked_session(mark) is None)


def tied(conn: Connection, spans: Collection[Span], family: UsageFamily) -> list[Span]:
    """Quarters outside of `spans` whose rows of `family` change with what lies in them."""
    if not spans or family not in _OTHERS:
        return []
    facts = in_spans(conn.dialect, spans)
    others = searched(conn.dialect, "o", _OTHERS[family])
    sql = (
        f"SELECT DISTINCT o.occurred_at - o.occurred_at % {QUARTER_MS} FROM {facts.source}{others}"
        f" WHERE {facts.where} AND o.occurred_at >= 0 AND (o.occurred_at < s.start OR o.occurred_at >= s.until)"
    )
    return quarters(int(row[0]) for row in conn.execute(sql, facts.values))


def stale_hours(conn: Connection, zone: ZoneInfo, families: Collection[UsageFamily] = ()) -> list[Span]:
    """Spans of whole hours of `zone` in which rows of the event types, of `PLACE` or of one of `families` are stale."""
    marked = quarters(int(row[0]) for row in conn.execute("SELECT DISTINCT quarter FROM dirty"))
    others = [span for family in families for span in tied(conn, marked, family)]
    return whole(zone, "hour", [*marked, *others])


def sealed_before(conn: Connection) -> int:
    """Rows of hours that begin before this instant (ms UTC) are never computed again: their facts may be gone."""
    value = scalar(conn, "SELECT value FROM meta WHERE name = 'sealed_before'")
    return FIRST if value is None else int(value)


def stale_quarters(conn: Connection) -> int:
    """How many quarter hours and sessions are marked."""
    return int(scalar(conn, "SELECT COUNT(DISTINCT quarter) FROM dirty"))
