"""Where the subjects of alert rules stand, and the history of how they got there.

A transition is one write transaction with what belongs to it: the standing, a row of the history and a delivery for each
channel that is to hear of it. So a kill at any moment leaves all of it or nothing, and each transition is there once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from ccagent.alerts import engine
from ccagent.alerts.silence import concerns
from ccagent.alerts.states import Reason, Standing, State, Transition
from ccagent.failpoints import hit
from ccagent.store import alert_version
from ccagent.store.connection import Connection, scalar

HISTORY_MS: Final = 400 * 24 * 3_600_000
"""How long a transition is kept: the same month of last year can be looked at."""

HISTORY_ROWS: Final = 100_000
"""Transitions that are kept at most: some 25 MB, and thousands of firings a month."""

PRUNED: Final = 1_000
"""Rows of the history that one transaction removes at most."""

ERA: Final = "alert_era"
"""Name in `meta` of a number that goes into every key: it is another one in a backup, and after a rescue. Both take the
count of episodes back, and must not give a new alert the key of one that was told already."""

TOLD: Final = (State.FIRING, State.RESOLVED)
"""What people are told of."""

_PLACE: Final = (
    f"SELECT (SELECT instance_id FROM host ORDER BY id LIMIT 1), (SELECT value FROM meta WHERE name = '{ERA}')"
)
_STANDING: Final = (
    "rule, subject, state, held_ms, clear_ms, unknown_ms, episode, since, fired_at, resolved_at, evaluated_at, value,"
    " threshold, period"
)
_STANDINGS: Final = f"SELECT {_STANDING} FROM alert_state"
_PUT: Final = (
    f"INSERT INTO alert_state ({_STANDING}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
    " ON CONFLICT (rule, subject) DO UPDATE SET state = ?3, held_ms = ?4, clear_ms = ?5, unknown_ms = ?6, episode = ?7,"
    " since = ?8, fired_at = ?9, resolved_at = ?10, evaluated_at = ?11, value = ?12, threshold = ?13, period = ?14"
)
_FORGET: Final = "DELETE FROM alert_state WHERE rule = ? AND subject = ?"
_HISTORY: Final = (
    "h.id, h.key, h.rule, h.subject, h.before, h.after, h.at, h.reason, h.episode, h.value, h.threshold, h.severity,"
    " h.silenced, h.period, h.host"
)
_ADD: Final = (
    "INSERT INTO alert_history (key, rule, subject, before, after, at, reason, episode, value, threshold, severity,"
    " silenced, period, host) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"
)
_TELL: Final = (
    "INSERT INTO alert_delivery (history, channel, state, attempts, next_at) VALUES (?, ?, 'waiting', 0, ?)"
    " ON CONFLICT DO NOTHING"
)
_FIRED: Final = (
    "SELECT id, silenced, severity FROM alert_history WHERE rule = ? AND subject = ? AND episode = ? AND after = 'firing'"
    " ORDER BY id DESC LIMIT 1"
)
_LATEST: Final = (
    "SELECT h.host, h.severity FROM alert_history h WHERE h.rule = ? AND h.subject = ? ORDER BY h.id DESC LIMIT 1"
)
_CHANNELS: Final = "SELECT channel FROM alert_delivery WHERE history = ? ORDER BY id"
_OLD: Final = (
    "DELETE FROM alert_history WHERE id IN (SELECT h.id FROM alert_history h WHERE (h.at < ? OR h.id <= ?)"
    " AND NOT EXISTS (SELECT 1 FROM alert_delivery d WHERE d.history = h.id AND d.next_at IS NOT NULL)"
    f" ORDER BY h.id LIMIT {PRUNED}) RETURNING id"
)
_NEWEST_OLD: Final = f"SELECT id FROM alert_history ORDER BY id DESC LIMIT 1 OFFSET {HISTORY_ROWS}"
_TOLD: Final = "DELETE FROM alert_delivery WHERE history = ?"
_IDLE: Final = (
    "DELETE FROM alert_state WHERE state = 'inactive' AND evaluated_at < ?"
    " AND NOT EXISTS (SELECT 1 FROM alert_history h WHERE h.rule = alert_state.rule AND h.subject = alert_state.subject)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A transition as the history has it. `key` is None for those that nobody is told of; `host` is a number."""

    id: int
    key: str | None
    rule: str
    subject: str
    before: State
    after: State
    at: int
    reason: Reason
    episode: int
    value: float | None
    threshold: float | None
    severity: str
    silenced: bool
    period: int | None
    host: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Until then (ms UTC) nobody is told that it fires. Rules and subjects by pattern; None means all of them."""

    id: int
    rule: str | None
    subject: str | None
    until: int
    comment: str
    created_at: int

    def covers(self, rule: str, subject: str) -> bool:
        """Whether it is about this."""
        return concerns(self.rule, self.subject, rule, subject)


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """How a rule's transitions are kept and told: its severity and its channels."""

    severity: str
    channels: tuple[str, ...]


Tellings = Callable[[str], Telling]
"""Of a rule, by its id."""


# ---- standings -------------------------------------------------------------------------------------------------------


def standings(conn: Connection, rule: str | None = None) -> list[Standing]:
    """Where every subject stands that has anything to remember; of one rule alone, if one is named."""
    found = conn.execute(*((_STANDINGS, ()) if rule is None else (f"{_STANDINGS} WHERE rule = ?", (rule,))))
    return sorted((_standing(row) for row in found.fetchall()), key=lambda one: (one.rule, one.subject))


def firing(conn: Connection) -> list[Standing]:
    """What fires, the longest first."""
    rows = conn.execute(f"{_STANDINGS} WHERE state = 'firing'").fetchall()
    return sorted(map(_standing, rows), key=lambda one: (one.fired_at or 0, one.rule, one.subject))


# ---- what an evaluation leaves ---------------------------------------------------------------------------------------


def record(
    conn: Connection,
    *,
    host: int,
    standings: Iterable[Standing],
    transitions: Sequence[Transition],
    telling: Tellings,
    now_ms: int,
    forgotten: Iterable[tuple[str, str]] = (),
    version: int | None = None,
) -> bool:
    """Keep what an evaluation found, within the caller's transaction; False, and nothing written, where rules were changed
    after `version` (alert_version.py): then the evaluation is of yesterday.

    `standings` are those that changed, `forgotten` (rule, subject) those of which nothing is left to remember. Whoever was
    told that something fires is told that it no longer does, on the same channels and as severe as it was, silence or not;
    what begins while it is silenced is kept and told to nobody.
    """
    if version is not None and alert_version.version(conn) != version:
        return False
    changed = list(standings)
    conn.executemany(_PUT, [_row(one) for one in changed])
    conn.executemany(_FORGET, list(forgotten))
    hit("after_standing")
    periods = {(one.rule, one.subject): one.period for one in changed}
    quiet = silences(conn, now_ms) if transitions else []
    place = place_of(conn) if transitions else ""
    for transition in transitions:
        _keep(conn, transition, periods, host, place, telling, quiet, now_ms)
    return True


def _keep(
    conn: Connection,
    transition: Transition,
    periods: Mapping[tuple[str, str], int | None],
    host: int,
    place: str,
    telling: Tellings,
    quiet: Sequence[Silence],
    now_ms: int,
) -> None:
    one = telling(transition.rule)
    silenced, channels = any(each.covers(transition.rule, transition.subject) for each in quiet), one.channels
    severity = one.severity
    if transition.after is State.RESOLVED:
        fired = conn.execute(_FIRED, (transition.rule, transition.subject, transition.episode)).fetchone()
        silenced = fired is not None and bool(fired[1])
        channels = tuple(str(row[0]) for row in conn.execute(_CHANNELS, (fired[0],)).fetchall()) if fired else ()
        severity = severity if fired is None else str(fired[2])
    number = scalar(
        conn,
        _ADD,
        (
            key_of(place, transition) if transition.after in TOLD else None, transition.rule, transition.subject,
            str(transition.before), str(transition.after), transition.at, str(transition.reason), transition.episode,
            transition.value, transition.threshold, severity, int(silenced),
            periods.get((transition.rule, transition.subject)), host,
        ),
    )  # fmt: skip
    hit("after_history")
    if transition.after in TOLD and not silenced:
        conn.executemany(_TELL, [(number, channel, now_ms) for channel in dict.fromkeys(channels)])


def place_of(conn: Connection) -> str:
    """What keys of this database have in common: whoever of several hosts evaluates gives a transition the same key."""
    instance, era = conn.execute(_PLACE).fetchone() or ("", None)
    return f"{instance}/{era or 0}"


def key_of(place: str, transition: Transition) -> str:
    """The idempotency key: a pure function of the transition, so that one that is found again after a power cut has the
    same. `place`: that of `place_of`."""
    parts = (place, transition.rule, transition.subject, str(transition.episode), str(transition.after))
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def retire(conn: Connection, rule: str, *, now_ms: int) -> int:
    """A rule was changed, disabled or removed: nothing of it fires any more. How many subjects did.

    Each is resolved in the name of the host that let it fire. The count of episodes stays, so that no later alert of a rule
    of this id has the key of an earlier one.
    """
    return sum(after is State.RESOLVED for after in _end(conn, standings(conn, rule), now_ms, Reason.RULE))


def expire(conn: Connection, unseen_since: Mapping[str, int], now_ms: int) -> int:
    """Nothing of these rules is pending or fires for subjects that nobody has evaluated since then (ms UTC by rule): how many
    did.

    Whoever evaluates them after all begins anew with what stands here.
    """
    unseen = [one for rule, since in unseen_since.items() for one in standings(conn, rule) if one.evaluated_at < since]
    ended = _end(conn, unseen, now_ms, Reason.NO_DATA)
    if ended:
        alert_version.touch(conn)
    return len(ended)


def _end(conn: Connection, those: Sequence[Standing], now_ms: int, reason: Reason) -> list[State]:
    """End what is pending or fires, and keep it; the states that were entered."""
    entered = []
    for one in those:
        after, transition = engine.retire(one, now_ms, reason)
        if transition is None:
            continue
        host, severity = _fired_by(conn, transition)
        record(
            conn, host=host, standings=[] if after is None else [after],
            forgotten=[(one.rule, one.subject)] if after is None else [], transitions=[transition],
            telling=partial(_no_channels, severity=severity), now_ms=now_ms,
        )  # fmt: skip
        entered.append(transition.after)
    return entered


def _no_channels(rule: str, severity: str) -> Telling:
    """Of a resolve, whose channels are those of its firing."""
    del rule
    return Telling(severity=severity, channels=())


def _fired_by(conn: Connection, transition: Transition) -> tuple[int, str]:
    """Number of the host that recorded the subject last, and with what severity."""
    found = conn.execute(_LATEST, (transition.rule, transition.subject)).fetchone()
    if found is None:
        found = conn.execute("SELECT id, 'warning' FROM host ORDER BY id LIMIT 1").fetchone()
    return (0, "warning") if found is None else (int(found[0]), str(found[1]))


# ---- history ---------------------------------------------------------------------------------------------------------


def history(
    conn: Connection,
    *,
    since_ms: int | None = None,
    until_ms: int | None = None,
    rule: str | None = None,
    limit: int | None = None,
    told_only: bool = False,
) -> list[Entry]:
    """Transitions, the newest first."""
    bounds: list[tuple[str, Any]] = []
    if since_ms is not None:
        bounds.append(("h.at >= ?", since_ms))
    if until_ms is not None:
        bounds.append(("h.at < ?", until_ms))
    if rule is not None:
        bounds.append(("h.rule = ?", rule))
    where = [text for text, _ in bounds] + (["h.key IS NOT NULL"] if told_only else [])
    sql = f"SELECT {_HISTORY} FROM alert_history h" + (f" WHERE {' AND '.join(where)}" if where else "")
    sql += " ORDER BY h.id DESC" + ("" if limit is None else f" LIMIT {int(limit)}")
    return [entry(row) for row in conn.execute(sql, tuple(value for _, value in bounds)).fetchall()]


def prune(conn: Connection, now_ms: int) -> int:
    """Remove transitions beyond HISTORY_MS and HISTORY_ROWS, and what hung on them; how many. What is still to be told
    stays. To be called until it removes nothing."""
    newest = scalar(conn, _NEWEST_OLD)
    gone = conn.execute(_OLD, (now_ms - HISTORY_MS, -1 if newest is None else newest)).fetchall()
    if gone:
        conn.executemany(_TOLD, gone)
        conn.execute(_IDLE, (now_ms - HISTORY_MS,))
    return len(gone)


# ---- silences --------------------------------------------------------------------------------------------------------


def silences(conn: Connection, now_ms: int | None = None) -> list[Silence]:
    """Silences, those of this moment alone if one is given; the ones that end first come first."""
    rows = conn.execute("SELECT id, rule, subject, until, comment, created_at FROM alert_silence ORDER BY until, id")
    found = [Silence(id=r[0], rule=r[1], subject=r[2], until=r[3], comment=r[4], created_at=r[5]) for r in rows]
    return [one for one in found if now_ms is None or one.until > now_ms]


def add_silence(
    conn: Connection, *, rule: str | None, subject: str | None, until: int, comment: str, now_ms: int
) -> int:
    """Tell nobody until then; the number of the silence. Those that are over are removed on the way."""
    conn.execute("DELETE FROM alert_silence WHERE until <= ?", (now_ms,))
    number = scalar(
        conn,
        "INSERT INTO alert_silence (rule, subject, until, comment, created_at) VALUES (?, ?, ?, ?, ?) RETURNING id",
        (rule, subject, until, comment, now_ms),
    )
    return int(number)


def remove_silences(conn: Connection, numbers: Collection[int]) -> int:
    """End these silences; how many there were."""
    return sum(
        len(conn.execute("DELETE FROM alert_silence WHERE id = ? RETURNING id", (number,)).fetchall())
        for number in numbers
    )


# ---- rows ------------------------------------------------------------------------------------------------------------


def _standing(row: tuple[Any, ...]) -> Standing:
    return Standing(
        rule=row[0], subject=row[1], state=State(row[2]), held_ms=row[3], clear_ms=row[4], unknown_ms=row[5],
        episode=row[6], since=row[7], fired_at=row[8], resolved_at=row[9], evaluated_at=row[10], value=row[11],
        threshold=row[12], period=row[13],
    )  # fmt: skip


def _row(one: Standing) -> tuple[Any, ...]:
    return (
        one.rule, one.subject, str(one.state), one.held_ms, one.clear_ms, one.unknown_ms, one.episode, one.since,
        one.fired_at, one.resolved_at, one.evaluated_at, one.value, one.threshold, one.period,
    )  # fmt: skip


def entry(row: Sequence[Any]) -> Entry:
    """A row of the history, its columns in the order of the table."""
    return Entry(
        id=row[0], key=row[1], rule=row[2], subject=row[3], before=State(row[4]), after=State(row[5]), at=row[6],
        reason=Reason(row[7]), episode=row[8], value=row[9], threshold=row[10], severity=row[11], silenced=bool(row[12]),
        period=row[13], host=row[14],
    )  # fmt: skip
