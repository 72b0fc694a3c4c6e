"""A real daemon as a process of its own, on a tree and a database of its own, and what the system says of it."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.figures import MEBIBYTE
from ccagent.service.live import read_status

ROOT: Final = Path(__file__).resolve().parents[1]

DEADLINE_SECONDS: Final = 600.0
"""A daemon that has not done by then what is waited for has hung; 1 GB takes a minute."""

STOP_SECONDS: Final = 20.0
POLL_SECONDS: Final = 0.002
"""Between two looks at something that is timed."""

SLOW_POLL_SECONDS: Final = 0.05
"""Between two looks at something that is only waited for: looking must not cost what is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where daemons run: the tree they follow, their database and a home without any configuration."""

    tree: Path
    home: Path

    @property
    def database(self) -> Path:
        """The database of the next daemon."""
        return self.home / "data" / "ccagent.db"

    @classmethod
    def below(cls, folder: Path, tree: Path | None = None) -> Ground:
        """A ground in `folder`; `tree` lies elsewhere where it is given."""
        ground = cls(tree=tree or folder / "projects", home=folder / "home")
        ground.tree.mkdir(parents=True, exist_ok=True)
        ground.database.parent.mkdir(parents=True, exist_ok=True)
        return ground

    def environment(self) -> dict[str, str]:
        """Only what a process needs, so that nothing of the machine's own configuration applies."""
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "PYTHONPATH": path}

    def command(self, *more: str) -> list[str]:
        """`ccagent run` on this ground."""
        paths = ("--source", str(self.tree), "--db", str(self.database))
        return [sys.executable, "-m", "ccagent", "run", *paths, *more]

    def take_in(self) -> None:
        """`run --once`: afterwards the database holds the tree."""
        subprocess.run(
            self.command("--once"), env=self.environment(), cwd=self.home, check=True, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, timeout=DEADLINE_SECONDS,
        )  # fmt: skip

    def forget(self) -> None:
        """Remove the database."""
        for path in self.database.parent.iterdir():
            path.unlink()


class Daemon:
    """A running `ccagent run`; `started` is the steady time just before its process was made."""

    def __init__(self, ground: Ground, port: int, *options: str) -> None:
        self.ground = ground
        self.port = port
        self._log = ground.home / "daemon.log"
        with self._log.open("wb") as log:
            self.started = time.perf_counter()
            self.process = subprocess.Popen(
                ground.command("--listen", f"127.0.0.1:{port}", *options),
                env=ground.environment(), cwd=ground.home, stdout=log, stderr=log,
            )  # fmt: skip
        self._proc = Path("/proc") / str(self.process.pid)

    # ---- waiting ---------------------------------------------------------------------------------------------------

    def wait_ready(self) -> float:
        """Wait until `/readyz` says so; the steady time of that moment."""
        deadline = time.perf_counter() + DEADLINE_SECONDS
        while self._status("/readyz") != 200:
            self.check(deadline, "was not ready")
            time.sleep(POLL_SECONDS)
        return time.perf_counter()

    def wait_caught_up(self) -> None:
        """Wait until the daemon says that all there was is taken in, and its rollups are computed."""
        deadline = time.perf_counter() + DEADLINE_SECONDS
        while True:
            status = read_status(str(self.ground.database)) or {}
            if status.get("caught_up") and status.get("rollups_at") and status.get("pid") == self.process.pid:
                return
            self.check(deadline, "did not catch up")
            time.sleep(SLOW_POLL_SECONDS)

    def check(self, deadline: float, what: str) -> None:
        """RuntimeError with the end of the log when the process ended or the deadline has passed."""
        if self.process.poll() is None and time.perf_counter() < deadline:
            return
        tail = self._log.read_text(errors="replace")[-2_000:]
        raise RuntimeError(f"the daemon {what} (exit code {self.process.poll()}):\n{tail}")

    # ---- asking ----------------------------------------------------------------------------------------------------

    def connection(self) -> http.client.HTTPConnection:
        """A connection to its listener, to be kept open by the caller."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def _status(self, path: str) -> int:
        connection = self.connection()
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    # ---- the system's view (Linux) ---------------------------------------------------------------------------------

    def cpu_seconds(self) -> float:
        """User and system time of the process so far.

        From the scheduler's own nanoseconds where the system gives them: the clock ticks of `stat` are as long as what
        an idle daemon uses in several seconds. A thread that ended takes its time with it there, so the larger one of
        both counts.
        """
        fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        ticks = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        try:
            exact = sum(int(path.read_text().split()[0]) for path in (self._proc / "task").glob("*/schedstat")) / 1e9
        except (OSError, ValueError, IndexError):
            return ticks
        return exact if ticks - exact < 0.1 else ticks

    def memory_mib(self, field: str) -> float:
        """`VmRSS` (now) or `VmHWM` (the most so far)."""
        return memory_mib(field, self._proc)

    def stop(self) -> float:
        """SIGTERM; seconds until the process was gone. RuntimeError when its exit code is not 0."""
        self.process.send_signal(signal.SIGTERM)
        asked = time.perf_counter()
        self.process.wait(STOP_SECONDS)
        took = time.perf_counter() - asked
        if self.process.returncode != 0:
            self.check(0.0, "did not end well")
        return took


@contextmanager
def running(ground: Ground, *options: str) -> Iterator[Daemon]:
    """A daemon, killed at the end where it still runs."""
    daemon = Daemon(ground, free_port(), *options)
    try:
        yield daemon
    finally:
        if daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.wait()


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def memory_mib(field: str, process: Path = Path("/proc/self")) -> float:
    """A field of a process' `status` in MiB."""
    status: Mapping[str, str] = dict(
        line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line
    )
    return int(status[field].split()[0]) * 1_024 / MEBIBYTE


def require_linux(name: str) -> None:
    """SystemExit elsewhere: what a process uses is read from /proc."""
    if not Path("/proc/self/stat").exists():
        raise SystemExit(f"{name} reads /proc and runs on Linux only; run it in a Linux machine or container")
