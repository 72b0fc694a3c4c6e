"""The generated pages say what the code does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "generate_docs.py"


def test_the_pages_in_the_tree_are_fresh() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, timeout=120, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_stale_page_fails_the_check(tmp_path: Path) -> None:
    copy = tmp_path / "scripts" / SCRIPT.name
    copy.parent.mkdir()
    copy.write_text(SCRIPT.read_text())
    (tmp_path / "ccagent").symlink_to(ROOT / "ccagent")

    done = subprocess.run([sys.executable, copy, "--check"], capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 1
    assert "docs/configuration.md is stale" in done.stderr
