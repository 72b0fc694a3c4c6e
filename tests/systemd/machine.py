"""A machine that boots a real systemd in namespaces of its own, runs the scenario there, and gives its report."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

BOOT_SECONDS = 300.0
"""The scenario takes about one minute; whatever takes so long has hung."""

PROGRAMS = ("unshare", "useradd", "systemctl", "journalctl", "dbus-daemon")
NAMESPACES = ("-m", "-p", "-f", "--kill-child", "-u", "-i", "-C", "--propagation", "private")


PROGRAM = """
import sys
sys.path[:0] = ["/opt/sources", "/opt/site"]
sys.argv[0] = "/opt/cc/bin/ccagent"
from ccagent.cli import main
sys.exit(main())
"""
"""What an installed command does, for a package that lies beside its dependencies."""


def unavailable(folder: Path) -> str | None:
    """Why no machine can be booted here; None where one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "the rig boots a systemd and needs root on Linux"
    if not Path("/lib/systemd/systemd").exists():
        return "there is no systemd to boot"
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        return f"not installed: {', '.join(missing)}"
    probe = folder / "probe"
    probe.mkdir(exist_ok=True)
    mounts = f"mount -t tmpfs tmpfs {probe} && mkdir {probe}/u {probe}/w {probe}/m {probe}/c"
    overlay = f"mount -t overlay overlay -o lowerdir=/,upperdir={probe}/u,workdir={probe}/w {probe}/m"
    tried = subprocess.run(
        ["unshare", *NAMESPACES, "sh", "-c", f"{mounts} && {overlay} && mount -t cgroup2 cgroup2 {probe}/c"],
        capture_output=True, text=True, timeout=BOOT_SECONDS, check=False,
    )  # fmt: skip
    return f"namespaces or mounts are forbidden: {tried.stderr.strip()}" if tried.returncode else None


def boot(folder: Path) -> dict[str, Any]:
    """Boot, play the scenario, end; what it reported. AssertionError with the console where there is no report."""
    inside = folder / "cc"
    (inside / "bin").mkdir(parents=True)
    (folder / "tmpfs").mkdir()
    console = folder / "console"
    console.touch()
    _program(inside / "bin" / "ccagent", PROGRAM)
    _program(inside / "scenario", (HERE / "scenario.py").read_text(encoding="utf-8"))
    places = [str(folder), str(ROOT), sysconfig.get_path("purelib"), sys.base_prefix]
    before = set(_groups())
    with (folder / "boot.log").open("wb") as log:
        # 130 is usual: the machine's end is a signal to whoever made its namespaces.
        subprocess.run(
            ["unshare", *NAMESPACES, "sh", str(HERE / "boot.sh"), *places],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=BOOT_SECONDS, check=False,
        )  # fmt: skip
    for group in sorted(set(_groups()) - before, reverse=True):  # the machine's, empty by now; the deepest first
        with suppress(OSError):
            group.rmdir()
    report = inside / "report.json"
    told = [folder / "boot.log", console, inside / "scenario.log"]
    words = [path.read_text(errors="replace")[-3_000:] for path in told if path.exists()]
    assert report.exists(), "the machine gave no report:\n" + "\n".join(words)
    document: dict[str, Any] = json.loads(report.read_text())
    return document


def _groups() -> list[Path]:
    """The control groups below this process's own: a machine makes its groups there, and its end leaves them."""
    own = [line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")]
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    roots = [Path(words[1]) for words in mounts if words[2] == "cgroup2"]
    return [path for root in roots for name in own for path in Path(f"{root}{name}").rglob("*") if path.is_dir()]


def _program(path: Path, text: str) -> None:
    """A program for the machine's own Python, which may lie where only root can go on this one."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    path.with_suffix(".py").write_text(text, encoding="utf-8")
    path.write_text(
        "#!/bin/sh\nexport LD_LIBRARY_PATH=/opt/python/lib\n"
        f'exec /opt/python/bin/{version} -B "$(readlink -f "$0").py" "$@"\n',
        encoding="utf-8",
    )
    path.chmod(0o755)
