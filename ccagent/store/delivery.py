"""What was delivered: commits and pull requests with the time that the work behind each of them took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from ccagent.facts.cycle import Cycle, cycle, own_branch, reopened
from ccagent.facts.model import EVENT_NAMES, EventType
from ccagent.facts.prompts import PromptKind
from ccagent.store.connection import Connection, snapshot

ASKED: Final = (PromptKind.HUMAN.value, PromptKind.COMMAND.value)
"""Prompts that a person gave to the model: with the first of them work begins."""

_COMMIT, _PULL, _ARTIFACT = int(EventType.COMMIT), int(EventType.PULL_REQUEST), int(EventType.ARTIFACT)

_DELIVERED: Final = (
    "SELECT f.type, f.native, f.occurred_at, f.attempts, c.session, c.project, COALESCE(f.name, c.branch), c.branch"
    " FROM fact f JOIN context c ON c.id = f.context"
    # the first two name the index of these facts
    f" WHERE f.type >= {int(EventType.TASK)} AND f.type <= {_ARTIFACT} AND f.type IN ({_COMMIT}, {_PULL})"
    " AND f.attempts IS NOT NULL AND f.occurred_at >= ? AND f.occurred_at < ? ORDER BY f.occurred_at, f.type, f.native"
)
_ACTIONS: Final = (
    "SELECT f.native, n.value, f.occurred_at FROM fact f JOIN name n ON n.id = f.name"
    f" WHERE f.type >= {int(EventType.TASK)} AND f.type <= {_ARTIFACT} AND f.type = {_ARTIFACT}"
    " AND n.value IN ('pull_request.opened', 'pull_request.reopened')"
)
_FIRST: Final = (
    "SELECT {group}, MIN(f.occurred_at) FROM {keys} JOIN context c ON c.{column} = k.value JOIN fact f ON"
    f" f.context = c.id JOIN name n ON n.id = f.stop WHERE f.type = {int(EventType.PROMPT)}"
    f" AND n.value IN {ASKED!r} AND f.occurred_at >= 0 GROUP BY {{group}}"
)
_ALWAYS: Final = (-1, 1 << 62)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A commit or a pull request. Times are ms UTC.

    `at`: when the commit was made; when the pull request was opened, None where that was not seen. `strategy`: how the
    work behind it was found, `branch` or `session`, None with `began` and `cycle_ms` where no prompt is known.
    `reopened`: of a pull request, None where it may have been reopened unseen. `confidence`: 0 to 1.
    """

    kind: str
    native: str
    at: int | None
    confidence: float
    session: str | None
    project: str | None
    branch: str | None
    strategy: str | None
    began: int | None
    cycle_ms: int | None
    reopened: int | None = None


def deliveries(reader: Connection, *, since_ms: int | None = None, until_ms: int | None = None) -> list[Delivery]:
    """Commits of which the hash is known and pull requests first seen in [since_ms, until_ms), in order of time.

    The work behind each may have begun long before the range. Costs the facts of the branches and sessions concerned.
    """
    with snapshot(reader):
        bounds = (_ALWAYS[0] if since_ms is None else since_ms, _ALWAYS[1] if until_ms is None else until_ms)
        rows = reader.execute(_DELIVERED, bounds).fetchall()
        if not rows:
            return []
        names = texts_of_numbers(reader, {number for row in rows for number in row[4:] if number is not None})
        opened, again = _actions(reader) if any(row[0] == _PULL for row in rows) else ({}, Counter())
        branches = {row[6] if row[0] == _COMMIT else row[7] for row in rows}
        own = {number for number in branches if number is not None and own_branch(names[number])}
        by_branch = {(row[0], row[1]): row[2] for row in first_prompts(reader, "branch", "c.project, c.branch", own)}
        sessions = {row[4] for row in rows if row[4] is not None}
        by_session = {row[0]: row[1] for row in first_prompts(reader, "session", "c.session", sessions)}
    found = []
    for kind, native, occurred, percent, session, project, printed, current in rows:
        # of a pull request the name is its repository
        number = printed if kind == _COMMIT else current
        branch = None if number is None else names[number]
        at = occurred if kind == _COMMIT else opened.get(native)
        took: Cycle = cycle(at, branch, by_branch.get((project, number)), by_session.get(session))
        found.append(
            Delivery(
                kind="commit" if kind == _COMMIT else EVENT_NAMES[_PULL],
                native=native,
                at=at,
                confidence=percent / 100,
                session=None if session is None else names[session],
                project=None if project is None else names[project],
                branch=branch,
                strategy=took.strategy,
                began=took.began,
                cycle_ms=took.ms,
                reopened=None if kind == _COMMIT else reopened(opened=native in opened, times=again[native]),
            )
        )
    return found


def _actions(reader: Connection) -> tuple[dict[str, int], Counter[str]]:
    """Of each pull request, when it was opened first and how often it was reopened."""
    opened: dict[str, int] = {}
    again: Counter[str] = Counter()
    for native, name, at in reader.execute(_ACTIONS).fetchall():
        pull = native.rpartition("#")[0]
        if name == "pull_request.reopened":
            again[pull] += 1
        elif at is not None:
            opened[pull] = min(at, opened.get(pull, at))
    return opened, again


def first_prompts(reader: Connection, column: str, group: str, numbers: Collection[int]) -> list[tuple[int, ...]]:
    """The first prompts of people by `group`, of contexts whose `column` is one of these names."""
    if not numbers:
        return []
    dialect = reader.dialect
    sql = _FIRST.format(group=group, keys=dialect.numbers, column=column)
    return [tuple(row) for row in reader.execute(sql, (dialect.listed(sorted(numbers)),)).fetchall()]


def texts_of_numbers(reader: Connection, numbers: Collection[int]) -> dict[int, str]:
    """Texts by their numbers."""
    if not numbers:
        return {}
    dialect = reader.dialect
    sql = f"SELECT n.id, n.value FROM {dialect.numbers} JOIN name n ON n.id = k.value"
    return {int(row[0]): str(row[1]) for row in reader.execute(sql, (dialect.listed(sorted(numbers)),)).fetchall()}
