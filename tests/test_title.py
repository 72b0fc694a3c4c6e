"""What others on the machine see of a command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ccagent.title import hide

ROOT = Path(__file__).resolve().parents[1]

LOOK = """
import sys
from pathlib import Path
from ccagent.title import hide_passwords
print(hide_passwords(sys.argv[2]), sys.argv[2], Path("/proc/self/cmdline").read_bytes().split(b"\\0")[3:-1])
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells where a process keeps its arguments")


@linux
@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ann:se:cr@et@db/facts", "postgresql://ann:********@db/facts"),
        ("postgresql://ann@db/facts?password=sécret&x=y", "postgresql://ann@db/facts?password=*******&x=y"),
        ("postgresql://ann@db/facts", "postgresql://ann@db/facts"),
    ],
)
def test_a_password_in_an_argument_is_hidden_and_still_known(url: str, shown: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOOK, "--db", url, "last"], capture_output=True, text=True, check=True, cwd=ROOT
    )

    assert done.stdout == f"True {url} {[b'--db', shown.encode(), b'last']}\n"


def test_what_stands_nowhere_is_hidden_already() -> None:
    assert hide("")
    assert hide("not among this process's arguments") or sys.platform != "linux"
