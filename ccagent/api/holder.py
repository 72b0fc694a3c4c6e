"""Which process listens on a port, where the system tells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

LISTENING: Final = "0A"
"""State column of /proc/net/tcp for a listening socket."""

PROC: Final = Path("/proc")


def listener_pid(port: int, proc: Path = PROC) -> int | None:
    """The pid that listens on TCP `port`; None where /proc is absent or does not show it (another user's process)."""
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port, proc)}
    if not wanted:
        return None
    for entry in proc.glob("[0-9]*"):
        try:
            if any(str(descriptor.readlink()) in wanted for descriptor in (entry / "fd").iterdir()):
                return int(entry.name)
        except OSError:
            continue  # ended meanwhile, or not ours to look into
    return None


def _listening_inodes(port: int, proc: Path) -> Iterator[str]:
    """Inodes of the sockets that listen on `port`, of both address families."""
    for table in ("tcp", "tcp6"):
        try:
            rows = (proc / "net" / table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            columns = row.split()
            if len(columns) > 9 and columns[3] == LISTENING and int(columns[1].rpartition(":")[2], 16) == port:
                yield columns[9]
