"""The rig itself: servers end with the run that started them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.pg import unavailable

ROOT = Path(__file__).resolve().parents[1]
DEADLINE_SECONDS = 30.0

RUN = """
import sys
from tests.pg import Server
servers = [Server(), Server()]
for server in servers:
    server.start()
    print(server.tcp_port, server.data, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))
def test_a_killed_run_leaves_no_server_and_no_file() -> None:
    run = subprocess.Popen([sys.executable, "-c", RUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    with run:
        assert run.stdout is not None
        lines = [run.stdout.readline().decode().split() for _ in range(2)]
        ports, folders = [int(line[0]) for line in lines], [Path(line[1]) for line in lines]
        assert all(map(listens, ports))
        assert all(folder.exists() for folder in folders)

        run.kill()

    end = time.monotonic() + DEADLINE_SECONDS
    while any(map(listens, ports)) or folders[0].parents[1].exists():
        assert time.monotonic() < end, f"still there: {ports} {folders}"
        time.sleep(0.05)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))
def test_what_is_set_for_another_server_does_not_reach_the_tests() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "half_open"]

    done = subprocess.run(
        [*command, "tests/store/test_pgpool.py"], env={**os.environ, "PGSSLMODE": "require"}, cwd=ROOT,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-2_000:]
