"""Alert rules, silences and history saved after a damage: they are the user's, and no transcript holds them.

Whatever source is read, the later row of a rule or a subject stands, and of the history whatever any of them has. What was
still to be told is told. A new era begins, so that no alert to come has the key of one that was told and is not remembered.
"""

from __future__ import annotations

from typing import Any, Final

from ccagent.alerts.states import Reason, State
from ccagent.store import alert_states, alert_version
from ccagent.store.alert_states import ERA
from ccagent.store.connection import Connection, scalar
from ccagent.store.writer import set_meta

TABLES: Final = ("alert_rule", "alert_state", "alert_history", "alert_silence", "alert_delivery")

_RULE: Final = "id, origin, definition, enabled, changed_at, base, note"
_STATE: Final = (
    "rule, subject, state, held_ms, clear_ms, unknown_ms, episode, since, fired_at, resolved_at, evaluated_at, value,"
    " threshold, period"
)
_HISTORY: Final = "key, rule, subject, before, after, at, reason, episode, value, threshold, severity, silenced, period"
_SILENCE: Final = "rule, subject, until, comment, created_at"
_PUT_RULE: Final = (
    f"INSERT INTO alert_rule ({_RULE}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO UPDATE SET origin = ?2,"
    " definition = ?3, enabled = ?4, changed_at = ?5, base = ?6, note = ?7 WHERE excluded.changed_at > alert_rule.changed_at"
)
_PUT_STATE: Final = (
    f"INSERT INTO alert_state ({_STATE}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
    " ON CONFLICT (rule, subject) DO UPDATE SET state = ?3, held_ms = ?4, clear_ms = ?5, unknown_ms = ?6, episode = ?7,"
    " since = ?8, fired_at = ?9, resolved_at = ?10, evaluated_at = ?11, value = ?12, threshold = ?13, period = ?14"
    " WHERE excluded.evaluated_at > alert_state.evaluated_at"
)
_KNOWN: Final = (
    "SELECT id FROM alert_history WHERE rule = ? AND subject = ? AND at = ? AND after = ? AND episode = ? LIMIT 1"
)
_PUT_HISTORY: Final = (
    f"INSERT INTO alert_history ({_HISTORY}, host) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"
)
_OPEN: Final = (
    "SELECT history, channel, state, attempts, next_at, error FROM alert_delivery WHERE next_at IS NOT NULL ORDER BY id"
)
_TELL: Final = (
    "INSERT INTO alert_delivery (history, channel, state, attempts, next_at, error) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)


def carry_alerts(source: Connection, conn: Connection, host: int, now_ms: int) -> int:
    """Take over what `source` has, within a transaction of `conn`; how many rules, subjects and transitions it had.

    `source` may hold anything: a row that says what cannot be is left out. Doing it again changes nothing.
    """
    rules = source.execute(f"SELECT {_RULE} FROM alert_rule").fetchall()
    states = [row for row in source.execute(f"SELECT {_STATE} FROM alert_state").fetchall() if row[2] in set(State)]
    conn.executemany(_PUT_RULE, rules)
    conn.executemany(_PUT_STATE, states)
    numbers = _carry_history(source, conn, host)
    for number, channel, state, attempts, next_at, error in source.execute(_OPEN).fetchall():
        if number in numbers:
            conn.execute(_TELL, (numbers[number], channel, state, attempts, next_at, error))
    known = {row[:3] for row in conn.execute(f"SELECT {_SILENCE} FROM alert_silence").fetchall()}
    silences = [
        row for row in source.execute(f"SELECT {_SILENCE} FROM alert_silence").fetchall() if row[:3] not in known
    ]
    conn.executemany(f"INSERT INTO alert_silence ({_SILENCE}) VALUES (?, ?, ?, ?, ?)", silences)
    if rules or states or numbers:
        set_meta(conn, ERA, str(now_ms))
        alert_version.touch(conn)
    return len(rules) + len(states) + len(numbers)


def _carry_history(source: Connection, conn: Connection, host: int) -> dict[int, int]:
    """Numbers of transitions in the source → those here."""
    numbers: dict[int, int] = {}
    limit = alert_states.HISTORY_ROWS
    rows: list[tuple[Any, ...]] = source.execute(
        f"SELECT id, {_HISTORY} FROM alert_history ORDER BY id DESC LIMIT {limit}"
    ).fetchall()
    for row in reversed(rows):
        _, key, rule, subject, before, after, at, reason, episode, *_ = row
        if not {before, after} <= set(State) or reason not in set(Reason):
            continue
        found = scalar(conn, _KNOWN, (rule, subject, at, after, episode))
        if found is None and key is not None:
            found = scalar(conn, "SELECT id FROM alert_history WHERE key = ?", (key,))
        numbers[row[0]] = int(scalar(conn, _PUT_HISTORY, (*row[1:], host)) if found is None else found)
    return numbers
