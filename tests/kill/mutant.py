"""ccagent with a defect put in on purpose: file offsets commit in a transaction of their own, before the facts.

    python -m tests.kill.mutant run --source DIR …

A kill between the two commits loses what lies between the offsets. The oracle must see that, or it sees nothing.
"""

from __future__ import annotations

import sys
from typing import Any

import ccagent.store.sqlite
from ccagent.store.sqlite import SqliteStore


class TwoCommitsStore(SqliteStore):
    """The store with its one transaction torn in two."""

    def _write_facts(self, *arguments: Any, **options: Any) -> Any:
        self._held_back = (arguments, options)

    def _write_files(self, *arguments: Any, **options: Any) -> Any:
        answer = super()._write_files(*arguments, **options)
        self.ingest_state.wrote = True
        self._post()
        self.end_transaction(True)
        self.open_transaction()
        held, held_options = self._held_back
        super()._write_facts(*held, **held_options)
        return answer


def main() -> None:
    """The ordinary command line over the defective store."""
    ccagent.store.sqlite.SqliteStore = TwoCommitsStore  # type: ignore[misc]  # the defect
    from ccagent.cli import main as command_line  # after the defect is in place

    sys.exit(command_line())


if __name__ == "__main__":
    main()
