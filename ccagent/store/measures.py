"""What is measured of a subject when it closes, and booked in the transaction in which it does: once and for ever.

Sessions: active time, sub-agents, links. Long turns: the time at work in them. Commits and pull requests: how long the
work behind them took, where they close after the first catch-up; those of history are measured in the transaction that
ends the catch-up, since files are read newest first and the beginning of a work may be in the last of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Protocol

from ccagent.facts.cycle import cycle, own_branch
from ccagent.facts.keys import fact_key
from ccagent.facts.links import CERTAIN
from ccagent.facts.model import EventType
from ccagent.facts.partial import Partial
from ccagent.facts.targets import TARGET_NAMES, Target
from ccagent.metrics.occurrences import has_address, sure_commit, worked
from ccagent.rollups.buckets import IDLE_CUTOFF_MS
from ccagent.store import rows
from ccagent.store.delivery import first_prompts, texts_of_numbers
from ccagent.store.session_facts import KINDS, session_number

if TYPE_CHECKING:
    from ccagent.metrics.occurrences import Occurrences
    from ccagent.store.connection import Connection
    from ccagent.store.interning import Names
    from ccagent.store.work import Work

_MOMENTS: Final = (
    "SELECT f.occurred_at, f.ended_at, f.result_at FROM context c JOIN fact f ON f.context = c.id"
    f" WHERE c.session = ? AND f.type IN ({', '.join(str(int(kind)) for kind in KINDS if kind != EventType.SESSION)})"
)
_MEANWHILE: Final = (
    "SELECT f.occurred_at, f.ended_at, f.result_at FROM fact f JOIN context c ON c.id = f.context"
    " WHERE f.occurred_at >= ? AND f.occurred_at <= ? AND c.session = ?"
)
"""Records that began between two moments: by their time, since a session of weeks has many others."""
_TREE: Final = (
    "SELECT a.agent, a.depth FROM context c JOIN agent a ON a.agent = c.agent"
    " WHERE c.session = ? AND a.linked_at IS NOT NULL GROUP BY a.agent, a.depth"
)
_LINKS: Final = f"SELECT target_kind, confidence FROM link WHERE kind = {int(Target.SESSION)} AND source = ?"
_TYPES: Final = "SELECT f.native, n.value FROM {blobs} JOIN fact f ON f.key = k.value JOIN name n ON n.id = f.stop"
_OPENED: Final = (
    "SELECT f.native, f.occurred_at FROM context c JOIN fact f ON f.context = c.id JOIN name n ON n.id = f.name"
    # the first two name the index of these facts
    f" WHERE c.session = ? AND f.type >= {int(EventType.TASK)} AND f.type <= {int(EventType.ARTIFACT)}"
    f" AND f.type = {int(EventType.ARTIFACT)} AND n.value = 'pull_request.opened' AND f.occurred_at IS NOT NULL"
)
_HISTORY: Final = (
    # the first two name the index of these facts
    f"WHERE f.type >= {int(EventType.TASK)} AND f.type <= {int(EventType.ARTIFACT)}"
    f" AND f.type IN ({int(EventType.COMMIT)}, {int(EventType.PULL_REQUEST)}) AND f.closed_host = ?"
)


class Asking(Protocol):
    """Who asks what facts tell together: whoever books, or whoever only reads."""

    conn: Connection
    names: Names


def measure(work: Work) -> None:
    """Book what is measured of all that has closed in this transaction; at its end, when its rows are written."""
    occurrences = work.ledger.occurrences
    for turn, leaves in occurrences.long:
        milliseconds = time_in_turn(work, turn)
        occurrences.worked(milliseconds, leaves)
        if work.ledger.compat is not None:
            work.ledger.compat.worked(turn, milliseconds, leaves)
    for session, leaves in occurrences.ended:
        measure_session(work, occurrences, session, leaves)
    if occurrences.delivered and work.live:
        measure_deliveries(work, occurrences, occurrences.delivered)
    occurrences.clear()


def end_catch_up(work: Work) -> None:
    """Note, once, that all history was read, with the amounts that had to wait for it."""
    noted = work.conn.execute(
        "UPDATE host SET catch_up_done = ?, ledger_start = (SELECT MIN(occurred_at) FROM fact)"
        " WHERE id = ? AND catch_up_done IS NULL RETURNING id",
        (work.now_ms, work.host),
    ).fetchall()
    if noted:
        work.wrote = True
        _measure_history(work)


def _measure_history(work: Work) -> None:
    """Book what was delivered before."""
    found = rows.fetch(work.conn, _HISTORY, (work.host,))
    work.contexts.learn(row[rows.CONTEXT] for row in found)
    work.names.learn(row[column] for row in found for column in rows.NAMED)
    facts = [rows.read(row, work.names, work.contexts) for row in found]
    delivered = [(fact, work.ledger.leaves(fact.context.cwd, fact.context.project)) for fact in facts]
    measure_deliveries(work, work.ledger.occurrences, delivered)


def types_of(work: Asking, agents: Iterable[str]) -> dict[str, str]:
    """The types of these sub-agents, of those of which a record told it by now."""
    keys = sorted(fact_key(EventType.SUBAGENT_RUN, agent) for agent in agents)
    if not keys:
        return {}
    dialect = work.conn.dialect
    return {
        str(native): str(kind)
        for native, kind in work.conn.execute(_TYPES.format(blobs=dialect.blobs), (dialect.listed(keys),))
    }


def time_in_turn(work: Asking, turn: Partial) -> int:
    """Milliseconds at work in a long turn: without the gaps in which nothing of its session was written."""
    span, session = worked(turn), turn.context.session
    if span is None or session is None:
        return 0
    start, end = span
    moments = {start, end}
    for row in work.conn.execute(_MEANWHILE, (start, end, work.names.id(session))):
        moments.update(at for at in row if at is not None and start <= at <= end)
    return active(moments)


def measure_session(work: Asking, occurrences: Occurrences, fact: Partial, leaves: bool) -> None:
    """Book the active time, the sub-agents and the links of a session."""
    conn = work.conn
    number = session_number(conn, fact.native)
    if number is None:
        return
    moments = {at for row in conn.execute(_MOMENTS, (number,)) for at in row if at is not None}
    depths = [int(row[1] or 0) for row in conn.execute(_TREE, (number,))]
    links = [(TARGET_NAMES[int(kind)], value / CERTAIN) for kind, value in conn.execute(_LINKS, (number,))]
    occurrences.session_ended(
        fact, leaves, active(moments), sum(depth == 1 for depth in depths), max(depths, default=0), links
    )


def active(moments: Iterable[int]) -> int:
    """Milliseconds between these moments, without gaps beyond the idle cut-off."""
    gaps = (later - earlier for earlier, later in pairwise(sorted(moments)))
    return sum(gap for gap in gaps if gap <= IDLE_CUTOFF_MS)


def measure_deliveries(work: Asking, occurrences: Occurrences, delivered: Sequence[tuple[Partial, bool]]) -> None:
    """Book how long the work behind these commits and pull requests took, where its beginning is known."""
    counted = [
        (fact, leaves) for fact, leaves in delivered
        if (sure_commit(fact) if fact.type == EventType.COMMIT else has_address(fact))
    ]  # fmt: skip
    if not counted:
        return
    conn = work.conn
    opened = _opened(conn, {fact.context.session for fact, _ in counted if fact.type == EventType.PULL_REQUEST})
    by_session = _by_session(conn, {fact.context.session for fact, _ in counted})
    by_branch = _by_branch(conn, {branch for fact, _ in counted if (branch := branch_of(fact)) is not None})
    for fact, leaves in counted:
        at = fact.occurred_at if fact.type == EventType.COMMIT else opened.get(fact.native)
        branch = branch_of(fact)
        took = cycle(at, branch, by_branch.get((fact.context.project, branch)), by_session.get(fact.context.session)).ms
        if took is not None:
            occurrences.took(fact, took, leaves)


def branch_of(fact: Partial) -> str | None:
    """The branch of a commit is the one that git printed, else the session's; a pull request's is the session's."""
    printed = fact.name if fact.type == EventType.COMMIT else None
    return printed or fact.context.branch


def _opened(conn: Connection, sessions: set[str | None]) -> dict[str, int]:
    """When pull requests were opened first, as far as it was seen in these sessions."""
    found: dict[str, int] = {}
    for number in _numbers(conn, sessions):
        for native, at in conn.execute(_OPENED, (number,)):
            pull = str(native).rpartition("#")[0]
            found[pull] = min(int(at), found.get(pull, int(at)))
    return found


def _by_session(conn: Connection, sessions: set[str | None]) -> dict[str | None, int]:
    numbers = _numbers(conn, sessions)
    return {numbers[number]: at for number, at in first_prompts(conn, "session", "c.session", numbers)}


def _by_branch(conn: Connection, branches: set[str]) -> dict[tuple[str | None, str | None], int]:
    """The first prompts by project and branch, on branches that stand for one piece of work."""
    numbers = _numbers(conn, {branch for branch in branches if own_branch(branch)})
    found = first_prompts(conn, "branch", "c.project, c.branch", numbers)
    projects = texts_of_numbers(conn, {row[0] for row in found if row[0]})
    return {(projects.get(project), numbers[branch]): at for project, branch, at in found}


def _numbers(conn: Connection, texts: set[str] | set[str | None]) -> dict[int, str]:
    wanted = sorted(text for text in texts if text is not None)
    if not wanted:
        return {}
    dialect = conn.dialect
    sql = f"SELECT n.id, n.value FROM {dialect.texts} JOIN name n ON n.value = k.value"
    return {int(number): str(text) for number, text in conn.execute(sql, (dialect.listed(wanted),))}
