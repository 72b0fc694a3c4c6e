"""The server's disk is full: following waits, says so, and goes on when there is room again."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.outages.rig import LONG
from tests.pg import unavailable
from tests.store.namespace import in_a_mount_namespace


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that the server's user may enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.mark.slow
@pytest.mark.skipif(not LONG, reason="takes a quarter of a minute; see CCAGENT_KILLS")
@pytest.mark.parametrize("what", ["tables", "everything"])
def test_a_full_disk_at_the_server_is_waited_for(open_folder: Path, what: str) -> None:
    if reason := unavailable():
        pytest.skip(reason)

    done = in_a_mount_namespace([sys.executable, "-m", "tests.outages.full_disk", str(open_folder), what])

    assert done.returncode == 0, done.stderr[-3_000:]
    assert json.loads(done.stdout) == {"alive": True, "findings": [], "differences": 0}
