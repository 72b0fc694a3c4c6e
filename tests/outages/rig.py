"""A ground whose database a Postgres serves, with a writer at work and the oracle at hand."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

import psycopg

from tests.daemon.rig import Daemon, Ground, until
from tests.kill import harness, oracle

LONG = bool(os.environ.get("CCAGENT_KILLS"))
"""Whether the tests run at length, as under .ci/run."""

WRITER_PAUSE_MS = 10.0
"""Between the two halves of a line: some four hundred lines a second over four threads."""

IMPATIENT = "tests.outages.impatient"
"""The command with short limits of time."""


@dataclass
class Served(Ground):
    """As Ground; `url` is what the daemon is given (through a proxy, say), `direct` where the test itself asks;
    `module` is the command line."""

    url: str = ""
    direct: str = ""
    module: str = "ccagent"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.direct = self.direct or self.url
        self.play = harness.Ground.below(self.folder / "play", self.direct)
        self.root, self.database = self.play.tree, self.url  # type: ignore[assignment]
        self.tree.root = self.root

    def command(self, verb: str, *options: str) -> list[str]:
        """A verb on this ground."""
        python, minus_m, _, *rest = super().command(verb, *options)
        return [python, minus_m, self.module, *rest]

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the database from outside; no row while it is not there yet, or out of reach."""
        try:
            with oracle.asking(self.direct) as ask:
                return ask(sql, *values)
        except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
            return []

    def writing(self, seed: int) -> AbstractContextManager[Popen[bytes]]:
        """Four sessions are being written meanwhile."""
        return harness.writing(self.play, seed=seed, pause_ms=WRITER_PAUSE_MS)

    def write_turns(self, turns: int, seed: int = 1) -> None:
        """Four sessions of so many turns."""
        harness.write_turns(self.play, seed=seed, turns=turns)

    def size(self) -> int:
        """Bytes of all transcripts."""
        return sum(path.stat().st_size for path in self.root.rglob("*.jsonl"))

    def until_all_is_taken(self, daemon: Daemon) -> None:
        """Wait until the daemon has taken in what has been written by now."""
        size = self.size()
        assert size
        daemon.until(lambda: self.taken() >= size, f"all {size} bytes are taken in")

    def findings(self) -> list[str]:
        """Everything that is wrong with what is in the database."""
        return oracle.findings(self.direct, self.play.tree, self.play.manifest)

    def differences(self) -> int:
        """Lines in which the canonical dump differs from that of one fresh ingest, into SQLite."""
        done = harness.run_once(self.play, database=self.play.fresh)
        assert done.returncode == 0, done.stderr
        return len(set(oracle.dump(self.direct)) ^ set(oracle.dump(self.play.fresh)))

    def problems(self) -> str:
        """What `status` says is wrong."""
        return "; ".join(self.status()["problems"])

    def until_clean(self) -> None:
        """Wait until `status` has nothing to complain of."""
        until(lambda: not self.problems(), "status is clean again")

    def events(self, daemon: Daemon, event: str) -> int:
        """Lines of that event in a daemon's log."""
        return daemon.log.read_text(errors="replace").count(f'"{event}"')


@contextmanager
def served(folder: Path, url: str, direct: str = "", module: str = "ccagent") -> Iterator[Served]:
    """A ground for one test, empty of processes at its end."""
    ground = Served(folder, url=url, direct=direct, module=module)
    try:
        yield ground
    finally:
        ground.end()


def at_random(chance: random.Random, times: int, least: float, most: float, work: Callable[[], object]) -> None:
    """Do something so many times, with pauses between these limits (seconds)."""
    for _ in range(times):
        time.sleep(chance.uniform(least, most))
        work()
