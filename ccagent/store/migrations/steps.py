"""The steps there are, by the version they start from. Whoever raises SCHEMA_VERSION adds one and never changes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ccagent.store.connection import Connection
from ccagent.store.migrations import to_2, to_3, to_4


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step. `statements` yields what is run, in the words of the connection's dialect; it may read on the way.

    The views are gone while it runs, and made anew after the last step.
    """

    to: int
    statements: Callable[[Connection], Iterable[str]]


STEPS: Final[Mapping[int, Migration]] = {
    1: Migration(to=2, statements=to_2.statements),
    2: Migration(to=3, statements=to_3.statements),
    3: Migration(to=4, statements=to_4.statements),
}
