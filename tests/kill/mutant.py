"""ccagent with a defect put in on purpose: file offsets commit in a transaction of their own, before the facts.

    python -m tests.kill.mutant run --source DIR …

A kill between the two commits loses what lies between the offsets. The oracle must see that, or it sees nothing.
"""

from __future__ import annotations

import sys
from typing import Any

import ccagent.store.postgres
import ccagent.store.sqlite
from ccagent.store.postgres import PostgresStore
from ccagent.store.sqlite import SqliteStore
from ccagent.store.writer import Writer


class TwoCommits(Writer):
    """A store with its one transaction torn in two."""

    def _write_facts(self, *arguments: Any, **options: Any) -> None:
        self._held_back = (arguments, options)

    def _write_files(self, *arguments: Any, **options: Any) -> None:
        super()._write_files(*arguments, **options)
        self.conn.execute("COMMIT")
        self.conn.execute(self.begin)
        held, held_options = self._held_back
        super()._write_facts(*held, **held_options)


class TwoCommitsSqlite(TwoCommits, SqliteStore):
    """The defect over a file."""


class TwoCommitsPostgres(TwoCommits, PostgresStore):
    """The defect over a server."""


class HastyStore(PostgresStore):
    """Takes a COMMIT without an answer for one that did not take place, and just runs the transaction again."""

    def _took_place(self) -> bool:
        super()._took_place()
        return False

    def _require_standing(self, commits: int) -> None:
        pass


def main() -> None:
    """The ordinary command line over the defective store."""
    ccagent.store.sqlite.SqliteStore = TwoCommitsSqlite  # type: ignore[misc]  # the defect
    ccagent.store.postgres.PostgresStore = TwoCommitsPostgres  # type: ignore[misc]  # the defect
    from ccagent.cli import main as command_line  # after the defect is in place

    sys.exit(command_line())


if __name__ == "__main__":
    main()
