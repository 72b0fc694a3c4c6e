"""Fills the disk of a daemon's database, looks at what it does, and gives it room again.

    python -m tests.daemon.full_disk FOLDER

To be run where it may mount. Prints one JSON document.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import apsw

from ccagent.demo.writer import past_week
from tests.daemon.rig import Ground, now_ms
from tests.kill.oracle import dump

SMALL, LARGE = "900k", "60m"


def mount(place: Path, *options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "none", str(place)], check=True)


def play(ground: Ground) -> dict[str, object]:
    """Fill, look, give room; what was seen."""
    data = ground.database.parent
    data.mkdir(parents=True)
    mount(data, f"size={SMALL}", "mode=700")
    ground.tree.write(*past_week(now_ms(), 1))
    daemon = ground.start()
    daemon.until(
        lambda: any("is full" in one for one in ground.status()["problems"]), "the status says that it is full"
    )
    refusals = daemon.log.read_text().count('"store.refused"')
    daemon.until(
        lambda: daemon.log.read_text().count('"store.refused"') > refusals + 1, "it tries again, later each time"
    )
    waits = [
        json.loads(line)["retry_seconds"] for line in daemon.log.read_text().splitlines() if '"store.refused"' in line
    ]
    seen: dict[str, object] = {
        "reads": ground.verb("usage", "--json").returncode in (0, 20),
        "sound": ground.db("check").returncode,
        "backs_off": waits == sorted(waits) and waits[-1] > waits[0],
        "alive": daemon.process.poll() is None,
    }
    subprocess.run(["mount", "-o", f"remount,size={LARGE}", str(data)], check=True)
    daemon.until_logged("ingest.caught_up")
    daemon.until(lambda: not ground.status()["problems"], "the status says nothing any more")
    seen["code"] = daemon.terminate()
    with closing(apsw.Connection(str(ground.database))) as conn:
        seen["integrity"] = conn.execute("PRAGMA integrity_check").fetchall()[0][0]
    found = dump(ground.database)
    ground.database = ground.folder / "fresh.db"
    assert ground.once().returncode == 0
    seen["equal"] = found == dump(ground.database)
    return seen


if __name__ == "__main__":
    ground = Ground(Path(sys.argv[1]))
    try:
        print(json.dumps(play(ground)))
    finally:
        ground.end()
