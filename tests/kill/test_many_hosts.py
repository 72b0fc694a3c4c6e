"""Many hosts, one database: daemons over overlapping trees are killed at random, and in the end all is there, once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ccagent.export.otlp.closed import SPAN_TYPES
from ccagent.facts.model import KEY_PREFIXES, EventType
from ccagent.facts.trace_ids import span_id
from ccagent.store.connection import Connection, scalar
from ccagent.store.open import open_reader
from ccagent.store.view import canonical_dump
from tests.kill import oracle
from tests.kill.harness import DEADLINE_SECONDS, Ground, run_once, writing
from tests.otlp.receiver import Received, Running, http_receiver

FULL = bool(os.environ.get("CCAGENT_NO_SKIPS"))
HOSTS, SECONDS, KILLS = (20, 60.0, 50) if FULL else (4, 6.0, 4)
"""In full under .ci/run; else so short that an ordinary run hardly notices."""

WRITERS = 3
"""Processes that write, four folders each."""

TREES_OF_A_HOST = 4
"""Folders that a host follows of all that there are, so that each folder has several hosts."""

PAUSE_MS = 40.0

TOKENS = (
    "SELECT COALESCE(SUM(token_input), 0), COALESCE(SUM(token_output), 0), COALESCE(SUM(token_cache_read), 0),"
    " COALESCE(SUM(token_cache_write - token_cache_write_1h), 0), COALESCE(SUM(token_cache_write_1h), 0) FROM fact"
    f" WHERE type = {int(EventType.LLM_REQUEST)}"
)


@dataclass
class Host:
    """A machine: its name, what it follows, a home of its own, and its daemon while that lives."""

    number: int
    ground: Ground
    sources: list[Path]
    url: str
    collector: str
    process: subprocess.Popen[bytes] | None = None
    failures: list[str] = field(default_factory=list)

    @property
    def options(self) -> list[str]:
        """Options of `ccagent run`."""
        found = ["--db", self.url, "--listen", "off", "--otlp-endpoint", self.collector]
        found += ["--otlp-protocol", "http/protobuf"]
        return found + [part for source in self.sources for part in ("--source", str(source))]

    @property
    def command(self) -> list[str]:
        """The daemon."""
        return [*self.ground.command()[:4], *self.options]

    @property
    def environment(self) -> dict[str, str]:
        """Its name, and nothing of the machine's own configuration."""
        return self.ground.environment(CCAGENT_HOST_ID=f"host-{self.number}", CCAGENT_OTLP_SIGNALS="traces")

    @property
    def log(self) -> Path:
        """What its daemons said, one after the other."""
        return self.ground.home / "daemon.log"

    def start(self) -> None:
        """Start the daemon."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.environment, cwd=self.ground.home, stdout=log, stderr=log
            )

    def end(self, number: int) -> int:
        """Send the signal and wait; the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(DEADLINE_SECONDS)
        self.process = None
        return code

    def settle(self) -> None:
        """Take in what is left and send what is due."""
        done = subprocess.run(
            [*self.command, "--once"], env=self.environment, cwd=self.ground.home, capture_output=True, text=True,
            timeout=DEADLINE_SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"host {self.number} ended with {done.returncode}:\n{done.stderr[-3_000:]}"


@pytest.fixture
def collector() -> Iterator[Running]:
    with http_receiver() as running:
        yield running


def hosts_on(folder: Path, tree: Path, url: str, collector: str, chance: random.Random) -> list[Host]:
    """Hosts over the folders that the writers will make; each folder has at least two of them."""
    folders = [tree / f"-home-dev-w{seed}t{number}" for seed in range(1, WRITERS + 1) for number in range(4)]
    for each in folders:
        each.mkdir(parents=True, exist_ok=True)
    taken = [chance.sample(folders, TREES_OF_A_HOST) for _ in range(HOSTS)]
    for number, each in enumerate(folders * 2):
        if sum(each in some for some in taken) < 2:
            other = taken[number % HOSTS]
            other += [each] if each not in other else []
    return [
        Host(number, Ground.below(folder / f"host-{number}"), sources, url, collector)
        for number, sources in enumerate(taken)
    ]


def kill_some(hosts: list[Host], chance: random.Random) -> int:
    """Kill random daemons and start them again, until the time is over and there were enough; how many."""
    end = time.monotonic() + SECONDS
    kills = 0
    while time.monotonic() < end or kills < KILLS:
        victim = chance.choice(hosts)
        process = victim.process
        assert process is not None
        ended = process.poll()
        assert ended is None, f"host {victim.number} ended with {ended}:\n{victim.log.read_text()[-3_000:]}"
        assert victim.end(signal.SIGKILL) == -signal.SIGKILL
        victim.start()
        kills += 1
        time.sleep(chance.uniform(0, 2 * SECONDS / KILLS) / 2)
    return kills


def senders(received: Received) -> dict[bytes, set[str]]:
    """Which instances sent each span."""
    found: dict[bytes, set[str]] = {}
    for request in received.taken:
        for resource in getattr(request, "resource_spans", ()):
            (instance,) = (
                item.value.string_value for item in resource.resource.attributes if item.key == "service.instance.id"
            )
            for scope in resource.scope_spans:
                for span in scope.spans:
                    found.setdefault(span.span_id, set()).add(instance)
    return found


def due(conn: Connection) -> dict[bytes, str]:
    """The spans that must have left, with the instance of the host that closed each."""
    kinds = ", ".join(str(int(kind)) for kind in SPAN_TYPES)
    rows = conn.execute(
        "SELECT f.type, f.native, h.instance_id FROM fact f JOIN host h ON h.id = f.closed_host"
        f" WHERE f.closed_seq IS NOT NULL AND f.type IN ({kinds})"
    )
    return {span_id(KEY_PREFIXES[kind] + native): instance for kind, native, instance in rows}


def booked(conn: Connection) -> Counter[str]:
    """Tokens on the counters of all hosts, by kind."""
    sums: Counter[str] = Counter()
    for kind in oracle.KINDS:
        sql = "SELECT COALESCE(SUM(value), 0) FROM total WHERE metric = 'tokens' AND labels LIKE ?"
        sums[kind] = int(scalar(conn, sql, (f'%,"{kind}",%',)))
    return sums


@pytest.mark.slow
def test_hosts_over_overlapping_trees_survive_kills(tmp_path: Path, pg_database: str, collector: Running) -> None:
    chance = random.Random(3)
    ground = Ground.below(tmp_path)
    hosts = hosts_on(tmp_path, ground.tree, pg_database, collector.http, chance)
    with ExitStack() as stack:
        for host in hosts:
            host.start()
            stack.callback(lambda host=host: host.process and host.process.kill())  # type: ignore[misc]
        for seed in range(1, WRITERS + 1):
            stack.enter_context(writing(ground, seed=seed, pause_ms=PAUSE_MS))
        kills = kill_some(hosts, chance)
        for host in hosts:
            code = host.end(signal.SIGTERM)  # one that was started a moment ago does not know the signal yet
            assert code in (0, -signal.SIGTERM), (
                f"host {host.number} ended with {code}:\n{host.log.read_text()[-3_000:]}"
            )
    for host in hosts * 2:  # what one host links or closes at the end is sent by another at its next turn
        host.settle()

    keys, tokens = oracle.read_manifest(ground.manifest)
    assert run_once(ground, database=ground.fresh).returncode == 0
    with open_reader(pg_database) as conn:
        assert kills >= KILLS
        assert list(canonical_dump(conn)) == oracle.dump(ground.fresh)
        assert conn.execute(TOKENS).fetchone() == tokens
        assert tuple(booked(conn)[kind] for kind in oracle.KINDS) == tokens
        sent, expected = senders(collector.received), due(conn)
        assert {span for span, instances in sent.items() if len(instances) > 1} == set()
        assert sent.keys() == expected.keys()
        assert {span: instances == {expected[span]} for span, instances in sent.items()} == dict.fromkeys(sent, True)
        assert len(keys) > 0
