"""The command line with a log that is long soon, and a look every moment whether the database is still the same.

With CCAGENT_TEST_SLOW_BACKUP set a backup takes a page a second.
"""

from __future__ import annotations

import os
import sys

from ccagent import cli
from ccagent.service import caring, scheduling
from ccagent.service.caring import LogLimits
from ccagent.store import backup

KIB = 1_024

LIMITS = LogLimits(passive=64 * KIB, truncate=256 * KIB, alarm=512 * KIB, pause=1_024 * KIB)


def main() -> int:
    """The ordinary command line; its exit code."""
    scheduling.REPLACED_SECONDS = 1.0  # type: ignore[misc]
    caring.LOG_SECONDS = 0.2  # type: ignore[misc]
    caring.LogLimits = lambda: LIMITS  # type: ignore[assignment,misc]
    if os.environ.get("CCAGENT_TEST_SLOW_BACKUP"):
        backup.PAGES_BETWEEN_WRITES = 1  # type: ignore[misc]
        caring.SLICE_SECONDS = 0.0  # type: ignore[misc]
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
