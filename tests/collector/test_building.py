"""The script that builds the Collector: what it says where it cannot, and that it builds nothing twice."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.collector.stage import TOOLS, packaged, tool
from tests.daemon.rig import ROOT

SCRIPT = ROOT / "scripts" / "build_collector.sh"
PARTS = ROOT / "tests" / "collector" / "parts"


def build(folder: Path, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", str(SCRIPT), str(folder)], env={"PATH": path, "HOME": str(folder.parent)}, text=True,
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip


def test_without_go_it_says_so_and_builds_nothing(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("dirname", "mkdir"):
        (programs / name).symlink_to(packaged(name))

    done = build(tmp_path / "tools", str(programs))

    assert (done.returncode, len(done.stdout.splitlines()), done.stderr) == (3, 1, "")
    assert not (tmp_path / "tools").exists()


@pytest.mark.collector
def test_what_is_built_is_not_built_again(tmp_path: Path) -> None:
    """With a Go that can do nothing but say its version, a build would fail."""
    tool("otelcol")
    go = Path(packaged("go"))
    version = subprocess.run([go, "version"], text=True, capture_output=True, check=True).stdout
    tools = tmp_path / "tools"
    shutil.copytree(TOOLS, tools)
    stub = tmp_path / "bin" / "go"
    stub.parent.mkdir()
    stub.write_text(f'#!/bin/sh\n[ "$1" = version ] && echo "{version.strip()}"\n')
    stub.chmod(0o755)

    done = build(tools, f"{stub.parent}:/usr/bin:/bin")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    (tools / ".victoria.key").write_text("another")
    assert build(tools, f"{stub.parent}:/usr/bin:/bin").returncode == 1


def test_what_the_collector_is_built_from_belongs_together() -> None:
    parts = re.findall(r"- gomod: \S+/([\w]+) v([\d.]+)$", (PARTS / "otelcol.yaml").read_text(), re.MULTILINE)
    releases = {release for part, release in parts if not part.endswith("provider") and part != "basicauthextension"}

    assert releases == {"0.159.0"}
    assert f"builder@v{releases.pop()}" in SCRIPT.read_text()
