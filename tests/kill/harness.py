"""Starts real daemons and writers as processes, kills them, and ends what is left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.kill import oracle

ROOT = Path(__file__).resolve().parents[2]

DEADLINE_SECONDS = 120.0
"""Any single step of a daemon that takes longer has hung."""

POLL_SECONDS = 0.02

DAEMON = "ccagent"
MUTANT = "tests.kill.mutant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where one test plays: the tree that is written, its manifest, the database (a file, or the URL of one that
    Postgres serves), and a home of its own."""

    tree: Path
    manifest: Path
    database: Path | str
    home: Path

    @classmethod
    def below(cls, folder: Path, database: str | None = None) -> Ground:
        """All four below `folder`, the tree and the home made; `database` is the URL of one that lies elsewhere."""
        file = folder / "data" / "ccagent.db"
        ground = cls(
            tree=folder / "projects", manifest=folder / "manifest", database=database or file, home=folder / "home"
        )
        for path in (ground.tree, ground.manifest, file.parent, ground.home):
            path.mkdir(parents=True, exist_ok=True)
        return ground

    @property
    def fresh(self) -> Path:
        """A database file that nothing has been read into yet."""
        return self.home.parent / "data" / "fresh.db"

    def environment(self, **more: str) -> dict[str, str]:
        """Only what a process needs, so that nothing of the machine's own configuration applies."""
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "PYTHONPATH": path, **more}

    def command(self, *options: str, module: str = DAEMON, database: Path | str | None = None) -> list[str]:
        """`ccagent run` on this ground, without a listener."""
        return [
            *(sys.executable, "-m", module, "run"),
            *("--source", str(self.tree), "--db", str(database or self.database), "--listen", "off"),
            *options,
        ]


def run_once(
    ground: Ground, *options: str, module: str = DAEMON, database: Path | str | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Take in all there is and end; the caller judges the return code."""
    return subprocess.run(
        ground.command("--once", *options, module=module, database=database),
        env=ground.environment(**variables),
        cwd=ground.home,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


def settle(ground: Ground, *options: str, module: str = DAEMON) -> None:
    """A clean `run --once`, which must succeed."""
    done = run_once(ground, *options, module=module)
    assert done.returncode == 0, f"run --once ended with {done.returncode}:\n{done.stderr[-3000:]}"


def write_turns(ground: Ground, *, seed: int, turns: int) -> None:
    """Let a writer append `turns` turns a thread, and wait for it."""
    subprocess.run(
        _writer_command(ground, seed, pause_ms=0, turns=turns),
        env=ground.environment(),
        timeout=DEADLINE_SECONDS,
        check=True,
    )


@contextmanager
def writing(ground: Ground, *, seed: int, pause_ms: float) -> Iterator[subprocess.Popen[bytes]]:
    """A writer at work; at the end it finishes its turns and stops."""
    writer = subprocess.Popen(_writer_command(ground, seed, pause_ms=pause_ms), env=ground.environment())
    try:
        yield writer
        assert writer.poll() is None, "the writer ended before it was told to"
        writer.send_signal(signal.SIGTERM)
        assert writer.wait(DEADLINE_SECONDS) == 0
    finally:
        if writer.poll() is None:
            writer.kill()
            writer.wait()


def kill_repeatedly(ground: Ground, *, kills: int, seed: int, module: str = DAEMON) -> int:
    """Start the daemon and SIGKILL it, `kills` times; returns how many died in the middle of taking lines in.

    Three of four are killed a random moment after they have taken in something new, the fourth at a random moment
    after its start, wherever it is then.
    """
    choice = random.Random(seed)
    busy = 0
    for number in range(kills):
        before = oracle.progress(ground.database)
        with (ground.home / "daemon.log").open("wb") as log:
            daemon = subprocess.Popen(
                ground.command(module=module), env=ground.environment(), cwd=ground.home, stdout=log, stderr=log
            )
            try:
                if number % 4 != 3:
                    _wait_for_progress(daemon, ground, before)
                    busy += 1
                    time.sleep(choice.uniform(0, 0.3))
                else:
                    time.sleep(choice.uniform(0.08, 0.45))
            finally:
                daemon.kill()
                code = daemon.wait()
        assert code == -signal.SIGKILL, f"the daemon ended by itself with {code}:\n{_log(ground)}"
    return busy


def _wait_for_progress(daemon: subprocess.Popen[bytes], ground: Ground, before: int) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while oracle.progress(ground.database) <= before:
        assert daemon.poll() is None, f"the daemon ended by itself with {daemon.returncode}:\n{_log(ground)}"
        assert time.monotonic() < deadline, f"the daemon took in nothing:\n{_log(ground)}"
        time.sleep(POLL_SECONDS)


def _log(ground: Ground) -> str:
    return (ground.home / "daemon.log").read_text(errors="replace")[-3000:]


def _writer_command(ground: Ground, seed: int, *, pause_ms: float, turns: int | None = None) -> list[str]:
    where = (str(ground.tree), str(ground.manifest))
    command = [sys.executable, "-m", "tests.kill.writer", *where, str(seed), str(pause_ms)]
    return command if turns is None else [*command, str(turns)]
