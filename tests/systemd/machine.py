"""A machine that boots a real systemd in namespaces of its own, runs the scenario there, and gives its report."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

BOOT_SECONDS = 1_200.0
"""The scenario takes about two minutes; whatever takes so long has hung."""

GONE_SECONDS = 10.0
"""What the kernel gets to clear away the processes of a machine that was ended."""

PROGRAMS = ("unshare", "setpriv", "useradd", "systemctl", "journalctl", "dbus-daemon")

NAMESPACES = (
    "setpriv",
    "--pdeathsig",
    "KILL",
    "unshare",
    *"-m -p -f --kill-child -u -i -C -n --propagation private".split(),
)
"""The machine ends with whoever has asked for it, however that ends. Its network is its own, so ports are free there."""

GROUPS = ("scope", "slice", "mount", "service", "socket", "swap")
"""What names of control groups end with that a systemd makes below the one in which it is started."""


PROGRAM = """
import sys
sys.path[:0] = ["/opt/app", "/opt/sources", "/opt/site"]
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
    places = [ROOT, Path(sysconfig.get_path("purelib")), Path(sys.base_prefix)]
    if closed := [str(path) for path in places if path.stat().st_mode & 0o005 != 0o005]:
        return f"others than their owner cannot read {', '.join(closed)}"
    probe = folder / "probe"
    probe.mkdir(exist_ok=True)
    mounts = f"mount -t tmpfs tmpfs {probe} && mkdir {probe}/u {probe}/w {probe}/m {probe}/c"
    overlay = f"mount -t overlay overlay -o lowerdir=/,upperdir={probe}/u,workdir={probe}/w {probe}/m"
    tried = subprocess.run(
        [*NAMESPACES, "sh", "-c", f"{mounts} && {overlay} && mount -t cgroup2 cgroup2 {probe}/c"],
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
    with alone(), orderly_end(), (folder / "boot.log").open("wb") as log:
        clear_groups()  # of a machine whose test was ended with no chance to do it
        try:
            # 130 is usual: the machine's end is a signal to whoever made its namespaces.
            subprocess.run(
                [*NAMESPACES, "sh", str(HERE / "boot.sh"), *places],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=BOOT_SECONDS, check=False,
            )  # fmt: skip
        finally:
            clear_groups()
    report = inside / "report.json"
    told = [folder / "boot.log", console, inside / "scenario.log"]
    words = [path.read_text(errors="replace")[-3_000:] for path in told if path.exists()]
    assert report.exists(), "the machine gave no report:\n" + "\n".join(words)
    document: dict[str, Any] = json.loads(report.read_text())
    return document


@contextmanager
def alone() -> Iterator[None]:
    """One machine at a time: two would share their control groups. The lock ends with this process."""
    end = time.monotonic() + BOOT_SECONDS
    with socket.socket(socket.AF_UNIX) as lock:
        while True:
            try:
                lock.bind("\0ccagent-tests-systemd")
                break
            except OSError:
                assert time.monotonic() < end, "another machine of these tests runs and does not end"
                time.sleep(1.0)
        yield


@contextmanager
def orderly_end() -> Iterator[None]:
    """SIGTERM ends as Ctrl-C does, so that what was made is cleared away."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def clear_groups() -> None:
    """Remove the control groups that a machine has left. Those in which anything runs stay."""
    end = time.monotonic() + GONE_SECONDS
    while left := sorted(_groups(), reverse=True):  # the deepest first
        for group in left:
            with suppress(OSError):
                group.rmdir()
        if time.monotonic() > end:
            return
        time.sleep(0.1)


def _groups() -> list[Path]:
    """The control groups below this process's own that only a machine makes."""
    own = [line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")]
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    here = [Path(f"{words[1]}{name}") for words in mounts if words[2] == "cgroup2" for name in own]
    roots = [path for folder in here for kind in GROUPS for path in folder.glob(f"*.{kind}")]
    return [path for root in roots for path in (root, *root.rglob("*")) if path.is_dir()]


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
