"""Version 2 to 3: a context says who serves the model, and links between sessions and what they worked on have a table.

Facts stay what they are: those that version 3 knows more of come from a rebuild (docs/backfill.md). The texts are those
of version 3 as it was released; schema.py goes on, they do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ccagent.store.connection import Connection

_INT: Final = {"sqlite": "INTEGER", "postgres": "BIGINT"}

_LINK: Final = """CREATE TABLE link (
    kind {int} NOT NULL, source {int} NOT NULL, target_kind {int} NOT NULL, target {int} NOT NULL,
    strategy {int} NOT NULL, confidence {int} NOT NULL, inferred {int} NOT NULL, ambiguity {int} NOT NULL,
    share {int} NOT NULL, place {int} NOT NULL, evidence {int} NOT NULL, first_at {int}, last_at {int},
    PRIMARY KEY (kind, source, target_kind, target)){tail}"""

_CONTEXT_WHOLE: Final = (
    "CREATE UNIQUE INDEX context_whole ON context (COALESCE(session, 0), COALESCE(project, 0), COALESCE(cwd, 0),"
    " COALESCE(branch, 0), COALESCE(version, 0), COALESCE(entrypoint, 0), COALESCE(permission_mode, 0),"
    " COALESCE(agent, 0), COALESCE(skill, 0), COALESCE(provider, 0), rank)"
)


def statements(conn: Connection) -> Iterator[str]:
    """The step's statements, in order."""
    dialect = conn.dialect.name
    yield f"ALTER TABLE context ADD COLUMN provider {_INT[dialect]}"
    if dialect == "postgres":
        yield "DROP INDEX context_whole"
        yield _CONTEXT_WHOLE
    yield _LINK.format(int=_INT[dialect], tail=" WITHOUT ROWID" if dialect == "sqlite" else "")
    yield "CREATE INDEX fact_evidence ON fact(context) WHERE type >= 17 AND type <= 22"
    yield "CREATE INDEX fact_unknown ON fact(context) WHERE type = 10"
    yield "CREATE INDEX link_target ON link(target_kind, target)"
