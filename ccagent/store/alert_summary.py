"""Alerts in a few words, for the status: no rule is read for it, so it costs next to nothing."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from ccagent.store.connection import Connection, scalar

SHOWN: Final = 50
"""Alerts that are listed at most; all are counted."""

STUCK_ATTEMPTS: Final = 3
"""Tries in vain after which a delivery is stuck."""

_FIRING: Final = (
    "SELECT s.rule, s.subject, s.fired_at, s.value, s.threshold, (SELECT h.severity FROM alert_history h WHERE"
    " h.rule = s.rule AND h.subject = s.subject AND h.episode = s.episode AND h.after = 'firing' ORDER BY h.id DESC LIMIT 1)"
    f" FROM alert_state s WHERE s.state = 'firing' ORDER BY s.fired_at DESC, s.rule, s.subject LIMIT {SHOWN}"
)
_COUNTS: Final = (
    "SELECT (SELECT COUNT(*) FROM alert_state WHERE state = 'firing'),"
    " (SELECT COUNT(*) FROM alert_rule WHERE enabled = 1 AND note IS NULL)"
)
_STUCK: Final = "SELECT COUNT(*) FROM alert_delivery WHERE next_at IS NOT NULL AND state = 'waiting' AND attempts >= ?"


class Firing(NamedTuple):
    """An alert that fires, since `since` (ms UTC). A subject is a project, a feature, a session or ""."""

    rule: str
    subject: str
    since: int
    value: float | None
    threshold: float | None
    severity: str | None


class Summary(NamedTuple):
    """What fires, the latest first and the first of many; how many fire, how many rules are active, and how many
    deliveries were tried in vain and still wait."""

    firing: list[Firing]
    firing_count: int
    active: int
    stuck: int


def summary(conn: Connection) -> Summary:
    """Alerts as they stand."""
    row: tuple[Any, ...] = conn.execute(_COUNTS).fetchone() or (0, 0)
    stuck = int(scalar(conn, _STUCK, (STUCK_ATTEMPTS,)))
    return Summary([Firing(*found) for found in conn.execute(_FIRING)], int(row[0]), int(row[1]), stuck)
