"""`python -m ccagent`: the same as the `ccagent` command."""

from __future__ import annotations

import sys

from ccagent.cli import main

if __name__ == "__main__":
    sys.exit(main())
