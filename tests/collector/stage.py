"""Real programs for the tests: the Collector with its shipped configuration, and the backends behind it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.rig import ROOT, get, until

DEPLOY = ROOT / "deploy" / "collector"

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
TOOLS = Path(os.environ.get("CCAGENT_TOOLS") or CACHE / "ccagent-tools")
"""Where scripts/build_collector.sh puts what it builds; read before the tests get an environment of their own."""

START_SECONDS = 60.0


def tool(name: str) -> str:
    """Path of a program that scripts/build_collector.sh builds; skips where it was not built."""
    found = TOOLS / name
    if not found.is_file():
        pytest.skip(f"{name} is not in {TOOLS}: run scripts/build_collector.sh")
    return str(found)


def packaged(name: str) -> str:
    """Path of a program that the system's packages bring; skips where it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def free_ports(count: int) -> list[int]:
    """Ports of this machine on which nobody listens."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports


@dataclass
class Program:
    """A program that can be started, stopped, killed and started again at the same ports and in the same folder.

    `ready` is a URL that answers 200 once it is up.
    """

    command: Sequence[str]
    ready: str
    log: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is up."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.log.parent), **self.variables}
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        until(self._up, f"{self.command[0]} is up:\n{self.words[-2_000:]}", START_SECONDS)

    def _up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self.command[0]} ended:\n{self.words[-4_000:]}"
        try:
            return get(self.ready)[0] == 200
        except OSError:
            return False

    @property
    def words(self) -> str:
        """Its whole log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait for its end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def kill(self) -> None:
        """SIGKILL."""
        self.stop(signal.SIGKILL)


@dataclass
class Collector(Program):
    """The Collector, and where it is reached."""

    grpc: int = 0
    http: int = 0
    own_metrics: int = 0

    def url(self, protocol: str) -> str:
        """What ccagent is given as its endpoint."""
        return f"http://127.0.0.1:{self.grpc if protocol == 'grpc' else self.http}"

    @property
    def complaints(self) -> list[str]:
        """Lines of its log that are warnings or worse."""
        return [line for line in self.words.splitlines() if "\tinfo\t" not in line and "\tdebug\t" not in line]

    def queued(self) -> int:
        """Bytes in its queues, as its own metrics say."""
        page = get(f"http://127.0.0.1:{self.own_metrics}/metrics")[1]
        sizes = [line for line in page.splitlines() if line.startswith("otelcol_exporter_queue_size{")]
        return int(sum(float(line.rpartition(" ")[2]) for line in sizes))


def configured(*files: str) -> list[str]:
    """Options that name shipped configurations."""
    return [word for name in files for word in ("--config", str(DEPLOY / name))]


def collector(folder: Path, configuration: str = "collector.yaml", *laid_over: str, **variables: str) -> Collector:
    """A Collector with a shipped configuration; `variables` are those of collector.env.example. Not yet started."""
    folder.mkdir(parents=True, exist_ok=True)
    grpc, http, health, metrics = free_ports(4)
    return Collector(
        command=[tool("otelcol"), *configured(configuration, *laid_over)],
        ready=f"http://127.0.0.1:{health}/",
        log=folder / "collector.log",
        variables={
            "COLLECTOR_GRPC": f"127.0.0.1:{grpc}",
            "COLLECTOR_HTTP": f"127.0.0.1:{http}",
            "COLLECTOR_HEALTH": f"127.0.0.1:{health}",
            "COLLECTOR_METRICS_PORT": str(metrics),
            "COLLECTOR_STORAGE": str(folder / "queue"),
            **variables,
        },
        grpc=grpc,
        http=http,
        own_metrics=metrics,
    )


@dataclass
class Traces(Program):
    """Jaeger with its store on disk: stands in for Tempo, spoken to over OTLP and gRPC as Tempo is."""

    endpoint: str = ""
    query: str = ""

    def trace(self, trace_id: str) -> list[dict[str, Any]]:
        """The spans of a trace; [] where it has none of it."""
        status, body = get(f"{self.query}/api/traces/{trace_id}")
        if status != 200:
            return []
        return [span for trace in json.loads(body)["data"] for span in trace["spans"]]


def traces(folder: Path) -> Traces:
    """A store of traces; not yet started."""
    folder.mkdir(parents=True, exist_ok=True)
    faces = ("collector.otlp.grpc", "collector.otlp.http", "collector.grpc-server", "collector.http-server",
             "query.http-server", "query.grpc-server", "admin.http")  # fmt: skip
    ports = free_ports(len(faces))
    places = [f"--{face}.host-port=127.0.0.1:{port}" for face, port in zip(faces, ports, strict=True)]
    return Traces(
        command=[tool("jaeger"), *places, "--badger.ephemeral=false", f"--badger.directory-key={folder / 'keys'}",
                 f"--badger.directory-value={folder / 'values'}", "--log-level=warn"],
        variables={"SPAN_STORAGE_TYPE": "badger"},
        ready=f"http://127.0.0.1:{ports[6]}/",
        log=folder / "traces.log",
        endpoint=f"127.0.0.1:{ports[0]}",
        query=f"http://127.0.0.1:{ports[4]}",
    )  # fmt: skip


Sums = dict[tuple[str, ...], float]
"""Values of the labels that were asked for → value."""


@dataclass
class Metrics(Program):
    """A store of metrics with the query interface of Prometheus."""

    url: str = ""

    def sums(self, query: str, *labels: str) -> Sums:
        """The instant vector of a query by these labels."""
        status, body = get(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': query})}")
        assert status == 200, body
        rows = json.loads(body)["data"]["result"]
        return {tuple(row["metric"].get(label, "") for label in labels): float(row["value"][1]) for row in rows}


def victoria_metrics(folder: Path) -> Metrics:
    """VictoriaMetrics: stands in for Prometheus 3, spoken to by OTLP over HTTP as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    return Metrics(
        command=[tool("victoria-metrics"), f"-httpListenAddr=127.0.0.1:{port}", f"-storageDataPath={folder / 'data'}",
                 "-search.latencyOffset=0s", "-opentelemetry.usePrometheusNaming", "-loggerLevel=WARN"],
        ready=f"http://127.0.0.1:{port}/health",
        log=folder / "metrics.log",
        url=f"http://127.0.0.1:{port}",
    )  # fmt: skip


def prometheus(folder: Path, scrapes: str = "") -> Metrics:
    """Prometheus with its receiver of remote writes; `scrapes` are its scrape configurations."""
    folder.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    configuration = folder / "prometheus.yml"
    configuration.write_text(f"global:\n  scrape_interval: 1s\n{scrapes}")
    return Metrics(
        command=[packaged("prometheus"), f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'data'}",
                 f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver", "--log.level=warn"],
        ready=f"http://127.0.0.1:{port}/-/ready",
        log=folder / "prometheus.log",
        url=f"http://127.0.0.1:{port}",
    )  # fmt: skip


@dataclass
class Logs(Program):
    """VictoriaLogs: stands in for Loki, spoken to by OTLP over HTTP as it is."""

    url: str = ""

    def all(self, query: str = "*") -> list[dict[str, str]]:
        """The records that a query finds."""
        asked = urllib.parse.urlencode({"query": query, "limit": 100_000})
        status, body = get(f"{self.url}/select/logsql/query?{asked}")
        assert status == 200, body
        return [json.loads(line) for line in body.splitlines()]


def victoria_logs(folder: Path) -> Logs:
    """A store of log records; not yet started."""
    folder.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    return Logs(
        command=[tool("victoria-logs"), f"-httpListenAddr=127.0.0.1:{port}", f"-storageDataPath={folder / 'data'}",
                 "-loggerLevel=WARN"],
        ready=f"http://127.0.0.1:{port}/health",
        log=folder / "logs.log",
        url=f"http://127.0.0.1:{port}",
    )  # fmt: skip


@dataclass
class Stack:
    """The three backends and the Collector in front of them."""

    traces: Traces
    metrics: Metrics
    logs: Logs
    collector: Collector

    @property
    def backends(self) -> tuple[Program, ...]:
        """All but the Collector."""
        return (self.traces, self.metrics, self.logs)


@contextmanager
def running(*programs: Program) -> Iterator[None]:
    """Started in this order, ended in the opposite one."""
    try:
        for program in programs:
            program.start()
        yield
    finally:
        for program in reversed(programs):
            program.stop()


@contextmanager
def stack(folder: Path, exporter: str = "otlp_http/prometheus", **variables: str) -> Iterator[Stack]:
    """All of it, up; metrics leave by `exporter`, into the store that takes what it sends."""
    store = prometheus if exporter == "prometheus_remote_write" else victoria_metrics
    found, sums, lines = traces(folder / "traces"), store(folder / "metrics"), victoria_logs(folder / "logs")
    between = collector(
        folder / "collector",
        COLLECTOR_METRICS=exporter,
        TEMPO_ENDPOINT=found.endpoint,
        PROMETHEUS_OTLP_ENDPOINT=f"{sums.url}/opentelemetry",
        PROMETHEUS_REMOTE_WRITE_ENDPOINT=f"{sums.url}/api/v1/write",
        LOKI_ENDPOINT=f"{lines.url}/insert/opentelemetry",
        **variables,
    )
    with running(found, sums, lines, between):
        yield Stack(traces=found, metrics=sums, logs=lines, collector=between)
