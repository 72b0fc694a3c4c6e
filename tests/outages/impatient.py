"""ccagent with short limits of time, so that a test need not wait for the real ones.

    python -m tests.outages.impatient run --source DIR …

For tests; the limits of ccagent itself are constants.
"""

from __future__ import annotations

import sys

from ccagent.store import pgpool, postgres
from ccagent.store.pgconnection import Session

SILENCE_SECONDS = 1.5
"""In place of 25: a session that says nothing for so long is dead."""

PATIENCE_SECONDS = 1.0
"""In place of 10: how long a start waits for the host's lock."""


def main() -> None:
    """The ordinary command line."""
    Session.patience_seconds = SILENCE_SECONDS
    pgpool.CHECK_SECONDS = SILENCE_SECONDS  # type: ignore[misc]
    postgres.PATIENCE_SECONDS = PATIENCE_SECONDS  # type: ignore[misc]
    from ccagent.cli import main as command_line

    sys.exit(command_line())


if __name__ == "__main__":
    main()
