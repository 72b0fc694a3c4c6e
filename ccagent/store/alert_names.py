"""What subjects and dimensions of alert rules are called: projects and their worktrees, features of sessions, texts."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

from ccagent.alerts.rule import Scope, is_meant
from ccagent.facts.targets import Target
from ccagent.store.interning import Names

if TYPE_CHECKING:
    from ccagent.store.connection import Connection

_FOLDERS: Final = (
    f"SELECT l.source, l.target FROM link l WHERE l.kind = {int(Target.PROJECT)}"
    f" AND l.target_kind = {int(Target.PROJECT)} AND l.place = 1"
)
_FEATURES: Final = (
    f"SELECT l.source, l.target FROM link l WHERE l.kind = {int(Target.SESSION)}"
    f" AND l.target_kind = {int(Target.FEATURE)} AND l.place = 1"
)
_PROJECTS: Final = "SELECT DISTINCT c.project FROM context c WHERE c.project IS NOT NULL"
_ROLLED_UP: Final = "SELECT DISTINCT r.project FROM rollup r WHERE r.period = 3 AND r.project <> 0"
"""Projects whose facts and contexts retention has removed have weeks."""
_NUMBER: Final = "SELECT n.id FROM {texts} JOIN name n ON n.value = k.value"


class Known:
    """Texts and links of one moment, each asked for once."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._names = Names(conn)
        self._folders: dict[int, int] | None = None
        self._features: dict[int, int] | None = None
        self._projects: dict[int, str] | None = None

    def text(self, number: int) -> str:
        """The text of a name id, empty for 0."""
        return self._names.text(number) or "" if number else ""

    def texts(self, numbers: Iterable[int]) -> dict[int, str]:
        """Texts of name ids, looked up together."""
        wanted = {number for number in numbers if number}
        self._names.learn(wanted)
        return {number: self.text(number) for number in wanted}

    def numbers(self, texts: Collection[str]) -> set[int]:
        """Name ids of these texts, of those that there are."""
        if not texts:
            return set()
        dialect = self._conn.dialect
        rows = self._conn.execute(_NUMBER.format(texts=dialect.texts), (dialect.listed(sorted(texts)),))
        return {int(row[0]) for row in rows}

    def repository(self, project: int) -> int:
        """The repository of a folder that is a worktree of it, else the folder."""
        if self._folders is None:
            self._folders = {int(source): int(target) for source, target in self._conn.execute(_FOLDERS)}
        return self._folders.get(project, project)

    def feature(self, session: int) -> int | None:
        """The feature that a session is linked to most strongly."""
        if self._features is None:
            self._features = {int(source): int(target) for source, target in self._conn.execute(_FEATURES)}
        return self._features.get(session)

    def subjects(self, scope: Scope, number: int) -> tuple[int, ...]:
        """The subject that an amount of this project or session belongs to: one, or none where it is not known."""
        if scope is Scope.GLOBAL:
            return (0,)
        if scope is Scope.PROJECT:
            return (self.repository(number),) if number else ()
        if scope is Scope.SESSION:
            return (number,) if number else ()
        feature = self.feature(number)
        return () if feature is None else (feature,)

    def projects_named(self, wanted: Collection[str]) -> set[int]:
        """Folders (name ids) that `where` or `only` means: by the path, or the last folder, of the project they count in."""
        if self._projects is None:
            numbers = {int(row[0]) for sql in (_PROJECTS, _ROLLED_UP) for row in self._conn.execute(sql)}
            self._projects = self.texts(numbers | {self.repository(number) for number in numbers})
        return {
            number for number in self._projects
            if any(is_meant(self.text(each), Scope.PROJECT, wanted) for each in (number, self.repository(number)))
        }  # fmt: skip
