"""The disk of the database is full: following waits and says so, and goes on when there is room again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.store.namespace import in_a_mount_namespace


def test_a_full_disk_is_told_and_waited_for_and_nothing_is_lost_by_it(tmp_path: Path) -> None:
    done = in_a_mount_namespace([sys.executable, "-m", "tests.daemon.full_disk", str(tmp_path / "ground")])

    assert done.returncode == 0, done.stderr[-3_000:]
    assert json.loads(done.stdout) == {
        "reads": True, "sound": 0, "backs_off": True, "alive": True, "code": 0, "integrity": "ok", "equal": True,
    }  # fmt: skip
