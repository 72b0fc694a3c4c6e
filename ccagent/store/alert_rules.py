"""The table of alert rules, the one truth of what is evaluated, whatever a rule comes from.

A definition is kept as the document that its author wrote (`alerts/parsing.py`), without `enabled`, which has a column of
its own. One that this version cannot read, since a newer one wrote it, stays as it is and is not evaluated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from ccagent.alerts.rule import Rule
from ccagent.store.alert_states import retire
from ccagent.store.alert_version import touch
from ccagent.store.connection import Connection

_COLUMNS: Final = "id, origin, definition, enabled, changed_at, base, note"
_ALL: Final = f"SELECT {_COLUMNS} FROM alert_rule ORDER BY id"
_ONE: Final = f"SELECT {_COLUMNS} FROM alert_rule WHERE id = ?"
_PUT: Final = (
    f"INSERT INTO alert_rule ({_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO UPDATE SET"
    " origin = ?2, definition = ?3, enabled = ?4, changed_at = ?5, base = ?6, note = ?7"
)


class Origin(StrEnum):
    """Who defined a rule."""

    DEFAULT = "default"  # the pack that comes with ccagent
    CONFIG = "config"  # the configuration file, which alone can change it
    CLI = "cli"
    API = "api"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRule:
    """A rule as the table has it.

    `rule` is None where this version cannot read the definition, and `problem` says why. `note` says why an enabled rule
    that can be read is not evaluated (a budget that nobody has set), None where it is.
    """

    id: str
    origin: Origin
    document: Mapping[str, Any]
    enabled: bool
    changed_at: int
    base: Mapping[str, Any] | None = None
    note: str | None = None
    rule: Rule | None = None
    problem: str | None = None

    @property
    def active(self) -> bool:
        """Whether it is evaluated."""
        return self.enabled and self.rule is not None and self.note is None

    @property
    def edited(self) -> bool:
        """Whether a rule of the pack says something else than the pack."""
        return self.origin is Origin.DEFAULT and self.base is not None and bare(self.document) != bare(self.base)


def rules(conn: Connection) -> list[StoredRule]:
    """All rules, by id."""
    return [_stored(row) for row in conn.execute(_ALL).fetchall()]


def read_rule(conn: Connection, rule: str) -> StoredRule | None:
    """One rule, None where there is none of that id."""
    row = conn.execute(_ONE, (rule,)).fetchone()
    return None if row is None else _stored(row)


def put_rule(
    conn: Connection,
    document: Mapping[str, Any],
    *,
    origin: Origin,
    now_ms: int,
    enabled: bool | None = None,
    base: Mapping[str, Any] | None = None,
    note: str | None = None,
) -> None:
    """Enter a rule, or put it in the place of the one with its id. The caller has parsed `document`, whose `id` it has.

    `enabled`: None means as the document says. What fires by a rule that means something else now is resolved.
    """
    whether = bool(document.get("enabled", True)) if enabled is None else enabled
    before = read_rule(conn, str(document["id"]))
    if before is not None and (not whether or note is not None or not _goes_on(before, document)):
        retire(conn, before.id, now_ms=now_ms)
    conn.execute(
        _PUT,
        (
            str(document["id"]), str(origin), _text(bare(document)), int(whether), now_ms,
            None if base is None else _text(base), note,
        ),
    )  # fmt: skip
    touch(conn)


def set_enabled(conn: Connection, rule: str, enabled: bool, now_ms: int) -> bool:
    """Switch a rule on or off; whether there is one of that id. What fires is resolved when it is switched off."""
    if not enabled:
        retire(conn, rule, now_ms=now_ms)
    found = conn.execute(
        "UPDATE alert_rule SET enabled = ?, changed_at = ? WHERE id = ? RETURNING id", (int(enabled), now_ms, rule)
    ).fetchall()
    if found:
        touch(conn)
    return bool(found)


def remove_rule(conn: Connection, rule: str, now_ms: int | None = None) -> bool:
    """Remove a rule; whether there was one. Its history stays. What fires is resolved, at `now_ms`; without it by the next
    evaluation."""
    if now_ms is not None:
        retire(conn, rule, now_ms=now_ms)
    found = conn.execute("DELETE FROM alert_rule WHERE id = ? RETURNING id", (rule,)).fetchall()
    if found:
        touch(conn)
    return bool(found)


def bare(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document without `enabled`, which says nothing of what the rule means."""
    return {name: value for name, value in document.items() if name != "enabled"}


def _goes_on(before: StoredRule, document: Mapping[str, Any]) -> bool:
    """Whether what fires by a rule may go on by this document, which says the same in other words."""
    from ccagent.alerts.engine import judges_alike
    from ccagent.alerts.parsing import parse

    return before.rule is not None and judges_alike(before.rule, parse({**document, "enabled": before.enabled}))


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _stored(row: tuple[Any, ...]) -> StoredRule:
    from ccagent.alerts.parsing import AlertRuleError, parse

    identifier, origin, definition, enabled, changed_at, base, note = row
    document: dict[str, Any] = {}
    rule, problem = None, None
    try:
        document = _document(definition)
        rule = parse({**document, "id": identifier, "enabled": bool(enabled)})
    except (AlertRuleError, ValueError) as error:
        problem = str(error)
    return StoredRule(
        id=str(identifier), origin=_origin(origin), document={**document, "enabled": bool(enabled)},
        enabled=bool(enabled), changed_at=int(changed_at), base=_base(base), note=note, rule=rule, problem=problem,
    )  # fmt: skip


def _document(text: str) -> dict[str, Any]:
    """ValueError for what is no JSON object."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("the definition is no object")
    return found


def _base(text: str | None) -> dict[str, Any] | None:
    try:
        return None if text is None else _document(text)
    except ValueError:
        return {}


def _origin(text: str) -> Origin:
    """A word of a newer version stands for somebody who is not to be changed from here: as the API's."""
    return Origin(text) if text in set(Origin) else Origin.API
