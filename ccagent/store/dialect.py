"""What differs between the databases in the SQL that the store speaks; everything else is one text for both.

Placeholders are SQLite's, `?` or `?1`; the Postgres connection translates them. Written so that both understand it:
`IS NOT DISTINCT FROM`, `ON CONFLICT`, `COUNT(*) FILTER (WHERE …)` instead of sums of booleans, no scalar MAX.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

import apsw


@dataclass(frozen=True, slots=True)
class Dialect:
    """The words of one database."""

    name: str
    """`sqlite` or `postgres`: the key of schema.WORDS and view.WORDS."""

    greatest: str
    """Scalar maximum. With a NULL among its arguments the two disagree: wrap them in COALESCE."""

    blobs: str
    """A table `k` with one column `value` from one parameter, a list of keys made by `listed`."""

    numbers: str
    """The same of integers."""

    texts: str
    """The same of texts."""

    locking: str
    """Ends a SELECT whose rows are to be changed: other hosts wait for them."""

    shared: bool
    """Whether several hosts may write at once."""

    listed: Callable[[Collection[Any]], Any]
    """The parameter for `blobs`, `numbers` or `texts`; not for an empty list."""


def _carray(values: Collection[Any]) -> Any:
    items = tuple(values)
    return apsw.carray(array("q", items) if isinstance(items[0], int) else items)


SQLITE: Final = Dialect(
    name="sqlite",
    greatest="MAX",
    blobs="carray(?) k",
    numbers="carray(?) k",
    texts="carray(?) k",
    locking="",
    shared=False,
    listed=_carray,
)

POSTGRES: Final = Dialect(
    name="postgres",
    greatest="GREATEST",
    blobs="unnest(?::bytea[]) k(value)",
    numbers="unnest(?::bigint[]) k(value)",
    texts="unnest(?::text[]) k(value)",
    locking=" FOR UPDATE OF f",
    shared=True,
    listed=list,
)
