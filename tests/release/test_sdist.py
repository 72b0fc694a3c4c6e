"""Whoever packages ccagent has the source distribution and no checkout: its own tests of files hold there, too."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.archives import SDIST_METADATA, checked_out, in_sdist
from tests.house.source import ROOT


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a source distribution, as it is unpacked: no links, no automation, no git."""
    place = tmp_path_factory.mktemp("sdist")
    for name in in_sdist(checked_out(ROOT)) - set(SDIST_METADATA):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, place / name)
    return place


@pytest.mark.parametrize(
    "command",
    [
        ["-m", "pytest", "-q", "-k", "not generated_documents", "tests/house/test_documents.py",
         "tests/cli/test_man.py", "tests/install/test_units.py"],
        ["scripts/generate_man.py", "--check"],
    ],
    ids=["tests", "man page"],
)  # fmt: skip
def test_what_asks_for_files_finds_them_there(unpacked: Path, command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *command], cwd=unpacked, capture_output=True, text=True, timeout=300, check=False
    )

    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr
