"""A whole folder of transcripts, recounted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ccagent.recount import Recount
from ccagent.recount_lines import transcript_files


def recount(root: Path) -> dict[str, Any]:
    """The totals of all transcripts below `root`."""
    count = Recount()
    for path in transcript_files(root):
        count.add_file(path)
    return count.totals()
