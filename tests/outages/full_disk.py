"""A server whose disk is full and is emptied again, and a daemon that writes into it: what became of that, as JSON.

    unshare --mount python -m tests.outages.full_disk FOLDER

Run where it may mount. FOLDER becomes a disk of DISK_MIB for the database's tables (not for the server's own log of
changes: without that a server does not run at all).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.daemon.rig import until
from tests.outages.rig import served
from tests.pg import Server, give_away

DISK_MIB = 48
BALLAST_STEP = 256 * 1024
LEFT_BYTES = 1_500_000
"""What the ballast leaves: a few thousand facts."""


def main(folder: Path) -> None:
    """Mount, play, and print what was found."""
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=0777", "none", disk], check=True)
    with Server() as server:
        tables = disk / "tables"
        tables.mkdir()
        give_away(tables)
        server.rows(f"CREATE TABLESPACE small LOCATION '{tables}'")
        url = server.tcp_uri(server.create_database(options="TABLESPACE small"))
        with served(folder / "ground", url) as ground:
            daemon = ground.start()
            with ground.writing(seed=1):
                daemon.until(ground.taken, "something is taken in")
                _fill(disk)
                daemon.until(lambda: "no room left" in ground.problems(), "the status says that the disk is full")
                refused = ground.events(daemon, "store.refused")
                (disk / "ballast").unlink()
                stuck = ground.taken()
                daemon.until(lambda: ground.taken() > stuck, "it goes on")
            ground.until_all_is_taken(daemon)
            until(lambda: not ground.problems(), "the status is clean again")
            found = {
                "refused": refused,
                "alive": daemon.process.poll() is None,
                "findings": ground.findings(),
                "differences": ground.differences(),
            }
    print(json.dumps(found))


def _fill(disk: Path) -> None:
    with (disk / "ballast").open("wb") as ballast:
        while os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize > LEFT_BYTES:
            ballast.write(bytes(BALLAST_STEP))
            ballast.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
