"""How long a reader may hold a moment of a SQLite database: what it holds, the write-ahead log cannot let go of.

The time runs from the first statement outside of a transaction, or from its BEGIN; a statement that runs longer, or is
asked to go on later than that, ends with apsw.InterruptError, and with it the transaction is to end.
"""

from __future__ import annotations

import time
from typing import Any, Final

import apsw

STEPS: Final = 20_000
"""Instructions of SQLite's machine between two looks at the clock: about a millisecond."""


class Patience:
    """The limit of one connection. It lives as long as the connection does."""

    def __init__(self, conn: apsw.Connection, seconds: float) -> None:
        self.seconds = seconds
        self._conn = conn
        self._end = time.monotonic() + seconds
        conn.exec_trace = self._begins
        conn.set_progress_handler(self._over, STEPS)

    def _begins(self, cursor: Any, statement: str, bindings: Any) -> bool:
        del cursor, statement, bindings
        if not self._conn.in_transaction:
            self._end = time.monotonic() + self.seconds
        return True

    def _over(self) -> bool:
        return time.monotonic() > self._end
