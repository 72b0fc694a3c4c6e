"""What retention would remove now, by rule: counted, and its room estimated. Only reads."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from ccagent.rollups.buckets import bucket_start
from ccagent.rollups.spans import FIRST
from ccagent.store.connection import Connection, scalar
from ccagent.store.expired import NOBODY, Expired, expired, payload_sums
from ccagent.store.location import Database
from ccagent.store.retention import DENSITY, FLOOR_MS, PAYLOADS
from ccagent.store.retention_rules import Rules
from ccagent.store.size import used_bytes

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

ROLLUP_BYTES: Final = 75
"""A rollup row with its share of pages, measured; rollups stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one rule would remove. Times in ms UTC, None where there is nothing; `bytes` of payloads as they are, of facts
    estimated."""

    rule: str
    facts: int = 0
    sessions: int = 0
    payloads: int = 0
    lines: int = 0
    bytes: int = 0
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What would go by each rule, and how large the database is: bytes in use."""

    shares: tuple[Share, ...]
    used: int


def forecast(conn: Connection, database: Database, rules: Rules, zone: ZoneInfo, now_ms: int) -> Forecast:
    """What a run at `now_ms` would remove, under `rules`."""
    density = scalar(conn, "SELECT value FROM meta WHERE name = ?", (DENSITY,))
    used = used_bytes(conn, database, None if density is None else float(density))
    each = _fact_bytes(conn, used)
    shares = []
    bound = rules.payload_bound(now_ms)
    if bound is not None:
        shares.append(_payloads(conn, bound))
    bound = rules.fact_bound(now_ms)
    gone: list[Expired] = []
    if bound is not None:
        gone = list(expired(conn, bucket_start(zone, "hour", bound)))
        shares.append(_sessions("fact_months", gone, each))
    if rules.max_bytes:
        over = used - sum(share.bytes for share in shares) - rules.max_bytes
        shares.append(_too_large(conn, over, {one.session for one in gone}, each, now_ms))
    return Forecast(shares=tuple(shares), used=used)


def _payloads(conn: Connection, bound: int) -> Share:
    done = scalar(conn, "SELECT value FROM meta WHERE name = ?", (PAYLOADS,))
    number, size, first, last = payload_sums(conn, FIRST if done is None else min(int(done), bound), bound)
    lines = scalar(
        conn,
        "SELECT COUNT(*) FROM quarantine q JOIN file x ON x.id = q.file WHERE q.seen_at < ? AND x.state = 1",
        (bound,),
    )
    return Share(rule="payload_days", payloads=number, lines=int(lines), bytes=size, first=first, last=last)


def _sessions(rule: str, gone: list[Expired], each: float) -> Share:
    facts = sum(one.facts for one in gone)
    return Share(
        rule=rule, facts=facts, sessions=sum(one.session != NOBODY for one in gone), bytes=int(facts * each),
        first=min((one.first for one in gone), default=None), last=max((one.last for one in gone), default=None),
    )  # fmt: skip


def _too_large(conn: Connection, over: int, gone: set[int], each: float, now_ms: int) -> Share:
    """Sessions beside those that go by age, the oldest first, until their facts take `over` bytes. Payloads are left out:
    SQLite does not give their room back."""
    taken = 0

    def wanted(one: Expired) -> bool:
        nonlocal taken
        enough = taken * each >= over
        taken += one.facts
        return not enough

    others = (one for one in expired(conn, now_ms - FLOOR_MS) if one.session not in gone)
    return _sessions("max_database_bytes", list(takewhile(wanted, others)) if over > 0 else [], each)


def _fact_bytes(conn: Connection, used: int) -> float:
    """Bytes that a fact takes on average, with its indexes and its part of texts and contexts."""
    facts = int(scalar(conn, "SELECT COUNT(*) FROM fact"))
    rollups = int(scalar(conn, "SELECT COUNT(*) FROM rollup"))
    return max(0, used - rollups * ROLLUP_BYTES) / facts if facts else 0.0
