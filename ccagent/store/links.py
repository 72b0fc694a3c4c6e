"""The table `link`: what each session worked on, computed anew whenever its evidence has changed.

Links are derived and never merged, so the order in which evidence came makes no difference. A session whose own fact
retention has removed keeps its links as they are: usage by feature must outlive the facts. Links that people state in
planning documents, and folders whose `.git` file names their repository, are rows of their own kinds: evidence of other
sources, which computing a session's links reads and never touches.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from ccagent.facts.branches import branch_names
from ccagent.facts.frontmatter import Stated
from ccagent.facts.keys import fact_key
from ccagent.facts.links import CERTAIN, SPEAKING, WHOLE, Evidence, Link, Said, Strategy, links, spoken
from ccagent.facts.model import EventType
from ccagent.facts.partial import Partial
from ccagent.facts.targets import Target
from ccagent.metrics import names as metric
from ccagent.store.connection import Connection, scalar
from ccagent.store.interning import Names
from ccagent.store.sources import searched

if TYPE_CHECKING:
    from ccagent.store.dialect import Dialect
    from ccagent.store.work import Work

COLUMNS: Final = (
    "kind", "source", "target_kind", "target", "strategy", "confidence", "inferred", "ambiguity", "share", "place",
    "evidence", "first_at", "last_at",
)  # fmt: skip
_NAMED: Final = (1, 3)
_INSERT: Final = f"INSERT INTO link ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
_KEEP: Final = f"{_INSERT} ON CONFLICT DO NOTHING"
_DELETE: Final = "DELETE FROM link WHERE kind = ? AND source = ?"
_KNOWN: Final = f"SELECT {', '.join(COLUMNS)} FROM link WHERE kind = ? AND source = ? ORDER BY target_kind, place"
_SESSION: Final = int(Target.SESSION)
_STATED: Final = (
    "SELECT l.kind, l.source, l.strategy, l.confidence, l.first_at, l.last_at FROM link l"
    f" WHERE l.target_kind = {_SESSION} AND l.target = ? AND l.strategy = {int(Strategy.FRONT_MATTER)}"
)
"""What planning documents say of a session."""

BATCH: Final = 500
"""Sessions of one question."""

Row = tuple[int, ...]


def speaks(fact: Partial) -> bool:
    """Whether the fact is evidence of a link of its session."""
    session = fact.context.session
    return fact.type in SPEAKING and session is not None and spoken(_said(fact), session) is not None


def _said(fact: Partial) -> Said:
    return Said(fact.type, fact.native, fact.label, fact.attempts, fact.size)


def texts_of(fact: Partial) -> Iterator[str]:
    """Texts that the links of a fact need numbers for, where these are given before the transaction."""
    branch = fact.context.branch
    if branch is not None:
        feature = branch_names(branch).feature
        if feature is not None:
            yield feature
    session = fact.context.session
    if session is not None and fact.type in SPEAKING:
        evidence = spoken(_said(fact), session)
        if evidence is not None:
            yield evidence.id


def name_branches(work: Work, branches: Iterable[str]) -> None:
    """Enter which features these branches name, so that a fact on such a branch belongs to that feature."""
    found = []
    for branch in sorted(branches):
        feature = branch_names(branch).feature
        if feature is not None:
            found.append(
                (
                    int(Target.BRANCH), work.names.id(branch), int(Target.FEATURE), work.names.id(feature),
                    int(Strategy.BRANCH), CERTAIN, 0, 0, WHOLE, 1, 1, None, None,
                )
            )  # fmt: skip
    if found:
        work.conn.executemany(_KEEP, found)


def take_branches(conn: Connection, side: str) -> None:
    """Which features branches name, as the tables behind the prefix `side` have it, whose texts have the same numbers."""
    columns = ", ".join(COLUMNS)
    conn.execute(
        f"INSERT INTO link ({columns}) SELECT {columns} FROM {side}link WHERE kind = {int(Target.BRANCH)}"
        " ON CONFLICT DO NOTHING"
    )


def relink(work: Work, sessions: Iterable[str]) -> None:
    """Compute the links of these sessions from their evidence, as it stands in the tables now.

    Costs the evidence of each. Where several hosts write, the sessions' own facts are locked first, in the order of
    their keys, so that whoever comes second sees the evidence of both.
    """
    keys = {fact_key(EventType.SESSION, session): session for session in sessions}
    if not keys:
        return
    conn = work.conn
    listed = (conn.dialect.listed(sorted(keys)),)
    if conn.dialect.shared:
        conn.execute(
            f"SELECT f.key FROM {conn.dialect.blobs} JOIN fact f ON f.key = k.value ORDER BY f.key{conn.dialect.locking}",
            listed,
        )
    kept: set[bytes] = set()
    if work.pruning:
        sql = f"SELECT p.key FROM {conn.dialect.blobs} JOIN pruned p ON p.key = k.value"
        kept = {bytes(row[0]) for row in conn.execute(sql, listed)}
    for key in sorted(keys.keys() - kept):
        _relink(work, keys[key])


def _relink(work: Work, session: str) -> None:
    conn, names = work.conn, work.names
    number = names.id(session)
    wanted = [_row(names, number, link) for link in links(evidence_of(conn, names, session))]
    known = [tuple(row) for row in conn.execute(_KNOWN, (_SESSION, number))]
    if sorted(wanted, key=repr) == sorted(known, key=repr):
        return
    conn.execute(_DELETE, (_SESSION, number))
    conn.executemany(_INSERT, sorted(wanted, key=repr))
    if scalar(conn, "SELECT closed_seq FROM fact WHERE key = ?", (fact_key(EventType.SESSION, session),)) is not None:
        work.booking.count(metric.TOTALS_RELABELLED, ("link",))  # its links were observed when it closed
    work.wrote = True


def _row(names: Names, session: int, link: Link) -> tuple[int | None, ...]:
    return (
        _SESSION, session, int(link.target), names.id(link.id), int(link.strategy), link.confidence,
        int(link.inferred), link.ambiguity, link.share, link.place, link.evidence, link.first, link.last,
    )  # fmt: skip


def evidence_facts(dialect: Dialect) -> str:
    """FROM and WHERE of the facts `f` that are evidence for the session `?` (a name id), with their context `c`."""
    # The bounds are those of the index fact_evidence; only the list after them is meant.
    condition = f"f.context = c.id AND f.type >= {int(EventType.TASK)} AND f.type <= {int(EventType.ARTIFACT)}"
    listed = ", ".join(str(int(each)) for each in sorted(SPEAKING))
    return f"FROM context c{searched(dialect, 'f', condition)} WHERE c.session = ? AND f.type IN ({listed})"


def evidence_of(conn: Connection, names: Names, session: str) -> Iterator[Evidence]:
    """What the facts of a session, and planning documents, say that it worked on."""
    number = names.id(session)
    rows = conn.execute(
        "SELECT f.type, f.native, stop.value, f.attempts, f.size, f.occurred_at, f.ended_at FROM (SELECT f.type, f.native,"
        f" f.stop, f.attempts, f.size, f.occurred_at, f.ended_at {evidence_facts(conn.dialect)}) f"
        " LEFT JOIN name stop ON stop.id = f.stop",
        (number,),
    ).fetchall()
    for row in rows:
        evidence = spoken(Said(*row), session)
        if evidence is not None:
            yield evidence
    for kind, source, strategy, confidence, first, last in conn.execute(_STATED, (number,)).fetchall():
        yield Evidence(Target(kind), names.text(source) or "", Strategy(strategy), confidence, first, last)


def relink_everything(work: Work) -> None:
    """Compute the links of all sessions that have evidence or links: after an exchange of facts."""
    conn = work.conn
    condition = f"f.context = c.id AND f.type >= {int(EventType.TASK)} AND f.type <= {int(EventType.ARTIFACT)}"
    sql = (
        f"SELECT n.value FROM (SELECT c.session FROM context c{searched(conn.dialect, 'f', condition)}"
        f" WHERE c.session IS NOT NULL UNION SELECT source FROM link WHERE kind = {_SESSION}) s"
        " JOIN name n ON n.id = s.session ORDER BY n.value"
    )
    found = [str(row[0]) for row in conn.execute(sql).fetchall()]
    for first in range(0, len(found), BATCH):
        relink(work, found[first : first + BATCH])


# ---- between databases ---------------------------------------------------------------------------------------------

_SELECT: Final = f"SELECT {', '.join(f'l.{column}' for column in COLUMNS)} FROM link l"


def kept_links(source: Connection, names: Names) -> list[tuple[Any, ...]]:
    """Links of a database that cannot be computed from facts: of sessions whose own fact was removed, and those that
    other sources have stated; with texts in the place of numbers. Rows that name nothing are left out."""
    pruned = "SELECT 1 FROM pruned WHERE key = ?"
    gone: dict[int, bool] = {}
    found = []
    for row in source.execute(_SELECT).fetchall():
        values = list(row)
        texts = [names.text(row[column]) for column in _NAMED]
        if None in texts:
            continue
        if row[0] == _SESSION:
            if row[1] not in gone:
                key = fact_key(EventType.SESSION, texts[0] or "")
                gone[row[1]] = source.execute(pruned, (key,)).fetchone() is not None
            if not gone[row[1]]:
                continue
        for column, text in zip(_NAMED, texts, strict=True):
            values[column] = text
        found.append(tuple(values))
    return found


def put_links(work: Work, rows: Sequence[tuple[Any, ...]]) -> int:
    """Enter such links where the database knows none of that source; how many."""
    conn, names = work.conn, work.names
    by_source: dict[tuple[int, str], list[tuple[Any, ...]]] = {}
    for row in rows:
        by_source.setdefault((row[0], row[1]), []).append(row)
    added = 0
    for (kind, source), group in sorted(by_source.items()):
        number = names.id(source)
        if kind == _SESSION and conn.execute(_KNOWN, (kind, number)).fetchone() is not None:
            continue
        conn.executemany(_KEEP, [(kind, number, row[2], names.id(row[3]), *row[4:]) for row in group])
        added += len(group)
    work.wrote = True
    return added


def link_dump(conn: Connection, kinds: Collection[int] = (_SESSION,)) -> Iterator[str]:
    """One line a link of these kinds of sources: a JSON array of COLUMNS with texts for numbers, ordered by them. The
    same from every database and after any order of reading."""
    columns = ", ".join(f"l.{column}" for column in COLUMNS[4:])
    found = conn.execute(
        f"SELECT l.kind, s.value, l.target_kind, t.value, {columns} FROM link l JOIN name s ON s.id = l.source"
        " JOIN name t ON t.id = l.target"
    ).fetchall()
    for row in sorted((row for row in found if row[0] in kinds), key=lambda row: row[:4]):
        yield json.dumps(row, ensure_ascii=True, separators=(",", ":"))


# ---- worktrees -----------------------------------------------------------------------------------------------------

Ask = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]


def unfolded_projects(ask: Ask, host: int, since_ms: int, limit: int) -> list[str]:
    """Projects of this host's sessions that were heard of since a moment and are not folded into another one, those of
    the latest sessions first."""
    project = int(Target.PROJECT)
    sql = (
        "SELECT n.value FROM fact f JOIN context c ON c.id = f.context JOIN name n ON n.id = c.project"
        f" JOIN file x ON x.id = f.file WHERE f.type = {int(EventType.SESSION)} AND f.ended_at >= ? AND x.host = ?"
        f" AND NOT EXISTS (SELECT 1 FROM link l WHERE l.kind = {project} AND l.source = c.project"
        f" AND l.target_kind = {project}) GROUP BY n.value ORDER BY MAX(f.ended_at) DESC, n.value LIMIT ?"
    )
    return [str(row[0]) for row in ask(sql, (since_ms, host, limit))]


def fold_project(work: Work, found: Sequence[tuple[str, str]]) -> None:
    """Enter which repository these folders belong to: (folder, repository)."""
    project = int(Target.PROJECT)
    rows = [
        (
            project, work.names.id(folder), project, work.names.id(repository), int(Strategy.GIT_FILE), CERTAIN, 0, 0,
            WHOLE, 1, 1, None, None,
        )
        for folder, repository in sorted(found)
    ]  # fmt: skip
    work.conn.executemany(_KEEP, rows)
    work.wrote = True


# ---- planning documents --------------------------------------------------------------------------------------------


def recent_projects(ask: Ask, host: int, since_ms: int, limit: int) -> list[str]:
    """Projects of this host's sessions that were heard of since a moment, those of the latest sessions first."""
    sql = (
        "SELECT n.value FROM fact f JOIN context c ON c.id = f.context JOIN name n ON n.id = c.project"
        f" JOIN file x ON x.id = f.file WHERE f.type = {int(EventType.SESSION)} AND f.ended_at >= ? AND x.host = ?"
        " GROUP BY n.value ORDER BY MAX(f.ended_at) DESC, n.value LIMIT ?"
    )
    return [str(row[0]) for row in ask(sql, (since_ms, host, limit))]


def state_links(work: Work, statements: Sequence[Stated]) -> None:
    """Enter what documents state of their features, in the place of what they stated before, and compute the links of
    the sessions that this concerns."""
    conn, names = work.conn, work.names
    wanted: dict[str, set[tuple[int, str]]] = {}
    for said in statements:
        targets = wanted.setdefault(said.feature, set())
        targets |= {(_SESSION, session) for session in said.sessions}
        targets |= {(int(Target.COMMIT), commit) for commit in said.commits}
        targets |= {(int(Target.PULL_REQUEST), pull) for pull in said.pulls}
    feature_kind, concerned = int(Target.FEATURE), set()
    known = (
        "SELECT l.target_kind, t.value FROM link l JOIN name t ON t.id = l.target WHERE l.kind = ? AND l.source = ?"
        f" AND l.strategy = {int(Strategy.FRONT_MATTER)}"
    )
    for feature in sorted(wanted):
        found = conn.execute("SELECT id FROM name WHERE value = ?", (feature,)).fetchone()
        before = set()
        if found is not None:
            before = {(int(kind), str(value)) for kind, value in conn.execute(known, (feature_kind, found[0]))}
        changed = before ^ wanted[feature]
        if not changed:
            continue
        source = names.id(feature)
        for kind, target in sorted(before - wanted[feature]):
            conn.execute(
                "DELETE FROM link WHERE kind = ? AND source = ? AND target_kind = ? AND target = ?",
                (feature_kind, source, kind, names.id(target)),
            )
        rows = [
            (
                feature_kind, source, kind, names.id(target), int(Strategy.FRONT_MATTER), CERTAIN, 0, 0, 0, 1, 1,
                None, None,
            )
            for kind, target in sorted(wanted[feature] - before)
        ]  # fmt: skip
        conn.executemany(_KEEP, rows)
        work.wrote = True
        concerned |= {target for kind, target in changed if kind == _SESSION}
    relink(work, concerned)
