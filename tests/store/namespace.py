"""Runs a command where it may mount what it likes: a mount namespace of its own, which ends with it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SECONDS = 60.0


@cache
def prefix() -> tuple[str, ...]:
    """The command that enters such a namespace; the test skips, with the reason, where the system has none for us."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare(1) on this system")
    reasons = []
    for way in (("unshare", "--mount"), ("unshare", "--user", "--map-root-user", "--mount")):
        tried = subprocess.run(
            [*way, "mount", "-t", "tmpfs", "-o", "size=64k", "none", "/tmp"],
            capture_output=True,
            text=True,
            check=False,
        )
        if tried.returncode == 0:
            return way
        reasons.append(tried.stderr.strip())
    pytest.skip(f"this system lets nobody mount in a namespace of their own: {'; '.join(reasons)}")


def in_a_mount_namespace(
    command: Sequence[str], *, needs: str | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in a namespace of its own; `needs` is a device that it cannot do without."""
    way = prefix()
    if needs is not None and not Path(needs).exists():
        pytest.skip(f"there is no {needs} on this system")
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [*way, *command], capture_output=True, text=True, timeout=SECONDS, check=False,
        env={**os.environ, "PYTHONPATH": path, **(env or {})},
    )  # fmt: skip
