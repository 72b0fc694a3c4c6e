"""Where the work of an alert's subject was done: what may leave of the alert depends on it."""

from __future__ import annotations

from typing import Final

from ccagent.alerts.rule import Scope
from ccagent.facts.targets import Target
from ccagent.store.connection import Connection

_PLACES: Final = "SELECT DISTINCT w.value, p.value FROM context c LEFT JOIN name w ON w.id = c.cwd LEFT JOIN name p ON p.id = c.project"
_OF_SESSION: Final = f"{_PLACES} JOIN name s ON s.id = c.session WHERE s.value = ?"
_OF_FEATURE: Final = (
    f"{_PLACES} JOIN link l ON l.source = c.session JOIN name f ON f.id = l.target"
    " WHERE l.kind = {session} AND l.target_kind = {feature} AND f.value = ?"
)
_OF_ALL: Final = "SELECT DISTINCT p.value FROM context c JOIN name p ON p.id = c.project"


def places(conn: Connection, scope: Scope, subject: str) -> list[tuple[str | None, str | None]]:
    """Folder and project of all work of a subject; of scope `global` of every project. Empty where none is known."""
    if scope is Scope.PROJECT:
        return [(subject, subject)]
    if scope is Scope.GLOBAL:
        return [(str(row[0]), str(row[0])) for row in conn.execute(_OF_ALL).fetchall()]
    if scope is Scope.SESSION:
        return _pairs(conn, _OF_SESSION, subject)
    sql = _OF_FEATURE.format(session=int(Target.SESSION), feature=int(Target.FEATURE))
    return _pairs(conn, sql, subject)


def _pairs(conn: Connection, sql: str, subject: str) -> list[tuple[str | None, str | None]]:
    return [
        (None if folder is None else str(folder), None if project is None else str(project))
        for folder, project in conn.execute(sql, (subject,)).fetchall()
    ]
