"""A server whose disk is full and is emptied again, and a daemon that writes into it: what became of that, as JSON.

    unshare --mount python -m tests.outages.full_disk FOLDER tables|everything

Run where it may mount. Below FOLDER a small disk is made: for the database's tables, or for all that the server has. Its
own log of changes is then on it, too; without room for that a server ends, and is started again when there is room.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.daemon.rig import until
from tests.outages.rig import served
from tests.pg import Server, give_away

DISK_MIB = {"tables": 48, "everything": 192}
BALLAST_STEP = 256 * 1024
LEFT_BYTES = 1_500_000
"""What the ballast leaves: a few thousand facts."""


def main(folder: Path, what: str) -> None:
    """Mount, play, and print what was found."""
    disk = folder / "disk"
    disk.mkdir()
    size = f"size={DISK_MIB[what]}m,mode=0777"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", disk], check=True)
    with serving(disk, what) as (server, url), served(folder / "ground", url) as ground:
        daemon = ground.start()
        with ground.writing(seed=1):
            daemon.until(ground.taken, "something is taken in")
            _fill(disk)
            words = "no room left" if what == "tables" else "postgresql://"
            daemon.until(lambda: words in ground.problems(), "the status says so")
            (disk / "ballast").unlink()
            stuck = ground.taken()

            def goes_on() -> bool:
                if not server.running:
                    server.start()
                return ground.taken() > stuck

            daemon.until(goes_on, "it goes on")
        ground.until_all_is_taken(daemon)
        until(lambda: not ground.problems(), "the status is clean again")
        found = {
            "alive": daemon.process.poll() is None,
            "findings": ground.findings(),
            "differences": ground.differences(),
        }
    print(json.dumps(found))


@contextmanager
def serving(disk: Path, what: str) -> Iterator[tuple[Server, str]]:
    """A server with that on the small disk, and a database in it."""
    place = disk / what
    place.mkdir()
    give_away(place)
    if what == "everything":
        with Server(folder=place, settings={"max_wal_size": "64MB", "restart_after_crash": "off"}) as server:
            yield server, server.tcp_uri(server.create_database())
        return
    with Server() as server:
        server.rows(f"CREATE TABLESPACE small LOCATION '{place}'")
        yield server, server.tcp_uri(server.create_database(options="TABLESPACE small"))


def _fill(disk: Path) -> None:
    with (disk / "ballast").open("wb") as ballast:
        while os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize > LEFT_BYTES:
            ballast.write(bytes(BALLAST_STEP))
            ballast.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
