"""The metrics that leave: under the names that projects may have elsewhere, never under those of their folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ccagent.metrics.labels import EMPTY, OVERFLOW, project_label
from ccagent.metrics.snapshot import Family, Snapshot
from ccagent.metrics.spec import PROJECT
from ccagent.store.consent import project_key
from ccagent.store.exported import project_paths

if TYPE_CHECKING:
    from ccagent.export.privacy import Policy
    from ccagent.service.exporting import Reader
    from ccagent.store.connection import Connection

CACHE_MS: Final = 60_000
"""How long names are kept: as long as what a project's file says."""

KEPT: Final = frozenset((EMPTY, OVERFLOW))
"""Values of the label that name no project."""


def leaving(conn: Connection, policy: Callable[[str | None, str | None], Policy]) -> Leaving:
    """The same over one connection, for who looks once."""
    from ccagent.export.privacy import anonymous

    key = project_key(conn) or ""
    return Leaving(lambda: nullcontext(conn), policy, lambda label: anonymous(label, key))


class Leaving:
    """Gives a snapshot's projects the names under which they leave. For one thread at a time.

    `policy` tells the name of a project's path, `number` makes one of a label where no path is known for it, or several
    are. Two folders that would get the same name keep apart under numbers, and so does one that calls itself what stands
    for no project: what was added up for one label is never added to another's.
    """

    def __init__(
        self, reader: Reader, policy: Callable[[str | None, str | None], Policy], number: Callable[[str], str]
    ) -> None:
        self._reader = reader
        self._policy = policy
        self._number = number
        self._names: dict[str, str] = {}
        self._until = 0

    def renamed(self, snapshot: Snapshot, now_ms: int) -> Snapshot:
        """The same with other values of the label `project`; without such a label, itself."""
        if not any(PROJECT in family.spec.labels for family in snapshot.families):
            return snapshot
        if not 0 <= self._until - now_ms <= CACHE_MS:
            self._names, self._until = self._look(), now_ms + CACHE_MS
        return replace(snapshot, families=tuple(self._family(family) for family in snapshot.families))

    def _look(self) -> dict[str, str]:
        with self._reader() as conn:
            paths = project_paths(conn)
        names: dict[str, str] = {}
        shared: set[str] = set()
        for path in paths:
            label = project_label(path)
            name = self._policy(path, path).project
            if name is None or name in KEPT or names.setdefault(label, name) != name:
                shared.add(label)
        uses = Counter(names.values())
        return {label: name for label, name in names.items() if label not in shared and uses[name] == 1}

    def _family(self, family: Family) -> Family:
        if PROJECT not in family.spec.labels:
            return family
        place = family.spec.labels.index(PROJECT)
        points = tuple(
            point._replace(labels=(*point.labels[:place], self._name(point.labels[place]), *point.labels[place + 1 :]))
            for point in family.points
        )
        return Family(spec=family.spec, points=points)

    def _name(self, label: str) -> str:
        return label if label in KEPT else self._names.get(label) or self._number(label)
