"""Starts real daemons as processes on a ground of their own, asks them from outside, and ends what is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
from prometheus_client.parser import text_string_to_metric_families

from tests.transcripts import Session, Tree, Usage, text

ROOT = Path(__file__).resolve().parents[2]

DEADLINE_SECONDS = 120.0
"""Whatever takes longer has hung, however busy the machine is."""

POLL_SECONDS = 0.02

STOP_SECONDS = 5.0
"""Two and a half times what a daemon may take to end."""

KINDS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")


def until(condition: Callable[[], object], what: str, seconds: float = DEADLINE_SECONDS) -> None:
    """Wait until the condition holds; fails, saying what did not come true, at the deadline."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"did not happen within {seconds:g} s: {what}"
        time.sleep(POLL_SECONDS)


def now_ms() -> int:
    """The wall clock, ms UTC."""
    return time.time_ns() // 1_000_000


def small_session(name: str, *, requests: int = 2, start: int | None = None, cwd: str = "/home/demo/atlas") -> Session:
    """A session of one closed turn; request number n has n + 1 input tokens and 10 output tokens."""
    session = Session(seed=name, start=now_ms() - 60_000 if start is None else start, cwd=cwd)
    session.prompt("hello")
    for number in range(requests):
        session.assistant(text("a reply"), usage=Usage(input=number + 1, output=10, cache_read=100))
    session.turn_duration(5_000)
    return session


@dataclass
class Daemon:
    """One `ccagent run`, started and not yet ended."""

    ground: Ground
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-4_000:]

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for the condition while the daemon lives."""

        def met() -> bool:
            if condition():
                return True
            assert self.process.poll() is None, f"the daemon ended with {self.process.returncode}:\n{self.words}"
            return False

        try:
            until(met, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.words}") from error

    def until_logged(self, event: str) -> None:
        """Wait until its log holds a line of this event."""
        self.until(lambda: f'"{event}"' in self.words, f"the log says {event}")

    def until_caught_up(self) -> None:
        """Wait until it has read what was there and its faces are open."""
        self.until_logged("ingest.caught_up")
        self.until(lambda: '"listen.' in self.words or self.ground.listen == "off", "the listener is open")

    @property
    def url(self) -> str:
        """Where it listens, as its log says."""
        opened = [json.loads(line) for line in self.log.read_text().splitlines() if '"listen.open"' in line]
        return str(opened[-1]["url"])

    def page(self) -> str:
        """Its metrics page."""
        with opener().open(f"{self.url}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    def samples(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """The samples of its page by name and labels."""
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(self.page())
            for sample in family.samples
        }

    def tokens(self) -> dict[str, int]:
        """The tokens on its page by kind; {} while there are none."""
        return tokens_of(self.samples())

    def terminate(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()


def tokens_of(samples: Mapping[tuple[str, tuple[tuple[str, str], ...]], float]) -> dict[str, int]:
    """The tokens among samples, by kind."""
    found: dict[str, int] = {}
    for (name, labels), value in samples.items():
        if name == "ccagent_tokens_total":
            kind = dict(labels)["type"]
            found[kind] = found.get(kind, 0) + int(value)
    return found


def opener() -> urllib.request.OpenerDirector:
    """Without the machine's proxies."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class Ground:
    """Where one test plays: tree, database and home, all below one folder; and the processes on it."""

    folder: Path
    listen: str = "127.0.0.1:0"
    started: list[Daemon] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.home = self.folder / "home"
        self.home.mkdir(parents=True)
        self.database = self.folder / "data" / "ccagent.db"
        self.root = self.folder / "projects"
        self.tree = Tree(self.root)
        self.config = self.folder / "config.toml"

    def environment(self, **more: str) -> dict[str, str]:
        """Only what a process needs, so that nothing of the machine's own configuration applies."""
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "PYTHONPATH": path, "TZ": "UTC", **more}

    def command(self, verb: str, *options: str) -> list[str]:
        """A verb on this ground."""
        return [sys.executable, "-m", "ccagent", verb, "--db", str(self.database), *options]

    def verb(self, verb: str, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a verb to its end; the caller judges the return code."""
        return subprocess.run(
            self.command(verb, *options), env=self.environment(**variables), cwd=self.home, text=True,
            capture_output=True, timeout=DEADLINE_SECONDS, check=False,
        )  # fmt: skip

    def group(self, group: str, verb: str, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a verb of a group, as `ccagent db check`, to its end; the caller judges the return code."""
        command = [sys.executable, "-m", "ccagent", group, verb, "--db", str(self.database), *options]
        return subprocess.run(
            command, env=self.environment(**variables), cwd=self.home, text=True, capture_output=True,
            timeout=DEADLINE_SECONDS, check=False,
        )  # fmt: skip

    def db(self, verb: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run `ccagent db VERB` to its end; the caller judges the return code."""
        return self.group("db", verb, *options)

    def once(self, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """`run --once` over the tree."""
        return self.verb("run", "--once", "--source", str(self.root), *options, **variables)

    def usage(self) -> dict[str, Any]:
        """The one row of `usage --json`; an empty store gives {}."""
        done = self.verb("usage", "--json")
        if done.returncode == 20:
            return {}
        assert done.returncode == 0, done.stderr
        row: dict[str, Any] = json.loads(done.stdout)["rows"][0]
        return row

    def status(self, *options: str, **variables: str) -> dict[str, Any]:
        """The document of `status --json`."""
        document: dict[str, Any] = json.loads(self.verb("status", "--json", *options, **variables).stdout)
        return document

    def start(
        self,
        *options: str,
        prefix: Sequence[str] = (),
        listen: str | None = None,
        source: bool = True,
        **variables: str,
    ) -> Daemon:
        """Start `ccagent run`; it is ended with the ground at the latest."""
        log = self.folder / f"daemon-{len(self.started)}.log"
        self.listen = listen or "127.0.0.1:0"
        places = ["--source", str(self.root)] if source else []
        command = [*prefix, *self.command("run", *places, "--listen", self.listen, *options)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, env=self.environment(**variables), cwd=self.home, stdin=subprocess.DEVNULL,
                stdout=output, stderr=output,
            )  # fmt: skip
        daemon = Daemon(ground=self, process=process, log=log)
        self.started.append(daemon)
        return daemon

    def end(self) -> None:
        """Kill what still runs."""
        for daemon in self.started:
            if daemon.process.poll() is None:
                daemon.kill()

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the database from outside; no row while it is not there yet.

        With the library of the daemon: some tests run one in this process, where a second SQLite would release the locks
        of the first when it closes the file, and cut the index of the log below it.
        """
        if not self.database.exists():
            return []
        with closing(apsw.Connection(str(self.database), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            connection.set_busy_timeout(5_000)
            try:
                return connection.execute(sql, values).fetchall()
            except apsw.SQLError as error:
                if "no such table" in str(error):
                    return []
                raise

    def taken(self) -> int:
        """Bytes taken in so far."""
        return int((self.rows('SELECT coalesce(sum("offset"), 0) FROM file') or [(0,)])[0][0])

    def requests(self) -> int:
        """Requests in the store."""
        return int((self.rows("SELECT count(*) FROM fact WHERE type = 4") or [(0,)])[0][0])


@contextmanager
def grounds(folder: Path) -> Iterator[Ground]:
    """A ground for one test, empty of processes at its end."""
    ground = Ground(folder)
    try:
        yield ground
    finally:
        ground.end()


def get(url: str, **headers: str) -> tuple[int, str]:
    """Status and body of a GET, whatever the status."""
    request = urllib.request.Request(url, headers=headers)
    try:
        with opener().open(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
