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
_OF_PROJECT: Final = (
    f"{_PLACES} WHERE p.value = ? OR c.project IN (SELECT l.source FROM link l JOIN name r ON r.id = l.target"
    " WHERE l.kind = {project} AND l.target_kind = {project} AND l.place = 1 AND r.value = ?)"
)
"""A project's own, and that of its worktrees."""
_OF_ALL: Final = (
    "SELECT w.value, p.value FROM (SELECT DISTINCT c.cwd, c.project FROM context c WHERE c.project IS NOT NULL) c"
    " LEFT JOIN name w ON w.id = c.cwd LEFT JOIN name p ON p.id = c.project"
)


def places(conn: Connection, scope: Scope, subject: str) -> list[tuple[str | None, str | None]]:
    """Folder and project of all work of a subject; of scope `global` of every project. Of a project its own folder comes
    first, and those below it and its worktrees follow in which it was worked on. Empty where none is known."""
    if scope is Scope.PROJECT:
        worked = _pairs(conn, _OF_PROJECT.format(project=int(Target.PROJECT)), subject, subject)
        folders = dict.fromkeys((subject, *(each for pair in worked for each in pair if each is not None)))
        return [(folder, subject) for folder in folders]
    if scope is Scope.GLOBAL:
        return _pairs(conn, _OF_ALL)
    if scope is Scope.SESSION:
        return _pairs(conn, _OF_SESSION, subject)
    sql = _OF_FEATURE.format(session=int(Target.SESSION), feature=int(Target.FEATURE))
    return _pairs(conn, sql, subject)


def _pairs(conn: Connection, sql: str, *values: str) -> list[tuple[str | None, str | None]]:
    return [
        (None if folder is None else str(folder), None if project is None else str(project))
        for folder, project in conn.execute(sql, values).fetchall()
    ]
