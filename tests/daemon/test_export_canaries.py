"""Words planted in transcripts, with every signal and every switch on: none is in a request, a page or a log.

Names that a person gave to tools, MCP servers, skills and kinds of agents are labels by design (docs/metrics.md): they
leave at tier 1. Folders, branches, files, repositories, addresses and people do not, at any tier.
"""

from __future__ import annotations

import getpass
import random
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ccagent.export.otlp.log_facts import LOG_TYPES
from tests.canaries import Canaries, pieces
from tests.claude_canaries import transcripts
from tests.codex_canaries import rollout
from tests.daemon.collector import attributes, expected, points, receiver
from tests.daemon.rig import Daemon, Ground, get, grounds, now_ms
from tests.otlp.receiver import Received, logs_of
from tests.transcripts import Session, Usage

HALF_HOUR_MS = 1_800_000
IDENTITY = "quiet-heron"
HIDDEN = "zzhidden"
"""Stands in every name of the project that allows nothing."""

SHORT = 5
"""Shorter names of machines and users (`root`, `ci`) stand in other words."""

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
KINDS = ",".join(str(int(kind)) for kind in LOG_TYPES)


OWN = tuple(
    f"ccagent.{part}"
    for part in ("alert.evaluations", "build", "config", "export", "process", "rollup", "starts", "store")
)
"""How the names of those metrics begin that a daemon exports of itself, whatever it follows."""


@dataclass
class Told:
    """What went out by each way, what was kept, and what had been planted."""

    tier: int
    canaries: Canaries
    received: Received
    paths: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)
    ways: dict[str, bytes] = field(default_factory=dict)
    kept: dict[str, bytes] = field(default_factory=dict)
    spans: set[bytes] = field(default_factory=set)
    usage: dict[str, Any] = field(default_factory=dict)

    @property
    def requests(self) -> bytes:
        """Every request as it came, unpacked, and as text, with its headers and path."""
        texts = [str(request) for request in self.received.offered]
        return b"\n".join([*self.received.bodies, repr((texts, self.received.headers, self.received.paths)).encode()])


def configuration(tier: int, endpoint: str, protocol: str) -> str:
    """Everything that can leave is switched on, and the log says all that it can."""
    name = f'identity = "{IDENTITY}"\n' if tier == 2 else ""
    return (
        f'[privacy]\ntier = {tier}\n{name}\n[otlp]\nendpoint = "{endpoint}"\nprotocol = "{protocol}"\n'
        "interval_seconds = 1\nnative_names = true\nnative_events = true\nself_traces = true\n\n"
        '[compat]\nclaude_code = true\n\n[metrics]\nproject_label = true\n\n[log]\nlevel = "debug"\n'
    )


def hidden_session(folder: Path, seed: str = HIDDEN) -> Session:
    """A session of a project that allows nothing, every name of its own choice marked."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".ccagent.toml").write_text("tier = 0\n")
    session = Session(seed, cwd=str(folder), branch=HIDDEN, start=now_ms() - HALF_HOUR_MS)
    session.model = f"claude-{HIDDEN}-9"
    session.prompt(f"{HIDDEN} please")
    session.bash("true", usage=Usage(input=1_000_003, output=1_000_033))
    session.tool(f"mcp__{HIDDEN}__look", {}, "found", usage=Usage(input=1_000_037, output=1_000_039))
    session.tool("Skill", {"skill": f"{HIDDEN}-skill"}, "done", usage=Usage(input=7, output=8))
    launched = session.launch(kind=f"{HIDDEN}-agent", words="search", usage=Usage(input=6, output=70))
    child = session.agent()
    child.prompt("search")
    child.request("found", usage=Usage(input=8, output=90))
    session.landed(launched, child, kind=f"{HIDDEN}-agent")
    session.api_failure(words="API Error: 529")
    session.request("done", usage=Usage(input=11, output=120))
    session.turn_duration(30_000)
    return session


def identifiers(session: Session) -> set[str]:
    """Ids that would tell of a session: its own, its messages', its calls' and its agents'."""
    found = {session.session_id}
    for part in (session, *session.agents):
        for line in part.lines:
            found |= {word for word in line.raw.decode().split('"') if word.startswith(("toolu_", "msg_", "req_"))}
        if part.agent_id:
            found.add(part.agent_id)
    return found


def followed(ground: Ground, told: Told, endpoint: str, protocol: str) -> None:
    """A daemon takes in the transcripts piece by piece, while everything is sent that may leave."""
    canaries, chance = told.canaries, random.Random(told.tier)
    start = now_ms() - HALF_HOUR_MS
    session, codex = transcripts(canaries, str(ground.folder), start=start), rollout(canaries, start=start)
    hidden = hidden_session(ground.folder / HIDDEN)
    told.hidden = identifiers(hidden) | {HIDDEN}
    told.paths = {str(ground.folder), session.cwd, codex.cwd}
    parts = [(ground.root / each.path, each.content) for one in (session, hidden) for each in (one, *one.agents)]
    parts.append((ground.folder / "codex" / codex.path, codex.content))
    ground.config.write_text(configuration(told.tier, endpoint, protocol))
    for path, _ in parts:
        path.parent.mkdir(parents=True, exist_ok=True)
    daemon = ground.start("--source", f"codex:{ground.folder / 'codex'}", "--config", str(ground.config))
    daemon.until_caught_up()
    written = 0
    for path, data in parts:
        for piece in pieces(data, chance, most=200):
            with path.open("ab") as file:
                file.write(piece)
            written += len(piece)
        daemon.until(lambda: ground.taken() == written, "the piece was taken in")  # noqa: B023 - called here and now
    settled(ground, daemon, told.received)
    told.ways["metrics page"] = daemon.page().encode()
    told.ways["OpenMetrics page"] = get(f"{daemon.url}/metrics", Accept=OPENMETRICS)[1].encode()
    told.kept = {str(file): file.read_bytes() for file in ground.folder.rglob("*")
                 if file.is_file() and file not in dict(parts) and "daemon-" not in file.name}  # fmt: skip
    done = ground.db("backup", str(ground.folder / "copy.db"))
    assert done.returncode == 0, done.stderr
    told.kept["backup"] = (ground.folder / "copy.db").read_bytes()
    told.spans = expected(ground)
    told.usage = ground.usage()
    assert daemon.terminate() == 0
    told.ways["log"] = daemon.log.read_bytes()
    told.ways["requests"] = told.requests


def settled(ground: Ground, daemon: Daemon, received: Received) -> None:
    """Wait until each closed fact is behind the cursors, and metrics came after the last of them."""
    done = f"""SELECT 1 FROM export_cursor WHERE signal = 'logs' AND closed_seq >=
               (SELECT max(closed_seq) FROM fact WHERE type IN ({KINDS}))"""
    daemon.until(lambda: received.spans and ground.rows(done), "all log records are at the collector")
    seen = len(received.metrics)
    daemon.until(lambda: len(received.metrics) > seen, "the metrics that follow are there, too")


@pytest.fixture(scope="module", params=[(1, "http/protobuf"), (2, "grpc")], ids=["tier-1-http", "tier-2-grpc"])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """One run for each tier, over both protocols."""
    tier, protocol = request.param
    folder = tmp_path_factory.mktemp("canaries") / "ground"
    with grounds(folder) as ground, receiver(protocol) as collector:
        found = Told(tier, Canaries(20 + tier), collector.received)
        followed(ground, found, collector.http, protocol)
        yield found


def test_every_signal_and_every_switch_was_on(told: Told) -> None:
    received = told.received
    metrics = {metric.name for metric in received.metrics}
    events = {record.event_name for record in received.logs}

    assert {type(request).__name__ for request in received.offered} == {
        "ExportTraceServiceRequest", "ExportMetricsServiceRequest", "ExportLogsServiceRequest",
    }  # fmt: skip
    assert "ccagent.tokens" in metrics
    assert "claude_code.token.usage" in metrics
    assert any("span.type" in attributes(span) for span in received.spans)
    assert any(record.body.string_value.startswith("claude_code.") for record in received.logs)
    assert {"ccagent.tool.call", "ccagent.llm.request"} <= events
    assert len(events) >= 15, events


def test_no_text_is_in_any_request_page_or_log_at_debug(told: Told) -> None:
    leaks = {way: told.canaries.found(data) for way, data in told.ways.items()}

    assert {way: found for way, found in leaks.items() if found} == {}


def test_no_text_is_kept_in_any_file(told: Told) -> None:
    leaks = {file: told.canaries.found(data) for file, data in told.kept.items()}

    assert {file: found for file, found in leaks.items() if found} == {}
    assert any(file.endswith(".db") for file in leaks)


def test_no_name_of_a_folder_branch_file_or_repository_is_in_a_request(told: Told) -> None:
    assert told.canaries.named(told.ways["requests"]) == set()
    assert [path for path in told.paths if path.encode() in told.ways["requests"]] == []
    assert len(told.canaries.named(told.kept["backup"])) > 5, "the same search finds what is kept"


def test_a_model_leaves_without_the_account_that_its_id_names(told: Told) -> None:
    ways = {way: told.ways[way] for way in ("requests", "metrics page", "OpenMetrics page", "log")}
    shown = {label["model"] for label, *_ in points(told.received, "ccagent.tokens")}

    assert {way: places for way, data in ways.items() if (places := of_a_model(told.canaries.named(data)))} == {}
    assert {way for way, data in ways.items() if b"arn:" in data} == set()
    assert any(model.startswith("claude-sonnet-4-5") for model in shown)
    assert any("claude-sonnet-4-5" in str(attributes(span).get("gen_ai.request.model")) for span in told.received.spans)
    assert of_a_model(told.canaries.named(told.kept["backup"])), "the same search finds what is kept"


def of_a_model(places: set[str]) -> set[str]:
    return {place for place in places if place.endswith("of a model")}


def test_the_name_of_this_machine_and_of_its_user_is_in_no_request(told: Told) -> None:
    names = {name for name in (socket.gethostname(), getpass.getuser()) if len(name) > SHORT}

    assert {name for name in names if name.encode() in told.ways["requests"]} == set()
    assert b"host.name" not in told.ways["requests"]
    assert b"process.owner" not in told.ways["requests"]


def test_the_page_names_projects_where_the_owner_switched_that_on_and_nothing_else(told: Told) -> None:
    pages = told.ways["metrics page"] + told.ways["OpenMetrics page"]

    assert told.canaries.named(pages) <= {"folder", "folder of Codex"}
    assert [path for path in told.paths if path.encode() in pages] == []


def test_the_owners_name_leaves_at_tier_2_alone(told: Told) -> None:
    assert (IDENTITY.encode() in told.ways["requests"]) == (told.tier == 2)


def test_nothing_of_a_project_that_allows_nothing_is_in_a_request(told: Told) -> None:
    requests = told.ways["requests"]

    assert {word for word in told.hidden if word.encode() in requests} == set()
    assert HIDDEN in told.ways["metrics page"].decode(), "the page of this machine shows it"


def test_the_tokens_that_leave_are_those_of_the_projects_that_allow_it(told: Told) -> None:
    left: Counter[str] = Counter()
    for labels, value, _ in points(told.received, "ccagent.tokens"):
        left[labels["type"]] += int(value)
    here: Counter[str] = Counter()
    for line in told.ways["metrics page"].decode().splitlines():
        if line.startswith("ccagent_tokens_total{") and HIDDEN not in line:
            here[line.partition('type="')[2].partition('"')[0]] += int(float(line.rpartition(" ")[2]))

    assert +left == +here
    assert told.usage["tokens"]["input"] - left["input"] >= 2_000_000, "those of the other stay here"


def test_each_log_record_and_exemplar_belongs_to_a_span_that_left(told: Told) -> None:
    traces = {span.trace_id for span in told.received.spans}
    of_records = {record.trace_id for record in told.received.logs if record.trace_id}
    exemplars = {
        exemplar.trace_id
        for metric in told.received.metrics
        for point in metric.histogram.data_points
        for exemplar in point.exemplars
    }

    assert of_records
    assert of_records <= traces
    assert exemplars <= traces


def test_a_tree_of_such_projects_alone_exports_no_fact_at_all(tmp_path: Path) -> None:
    with grounds(tmp_path / "ground") as ground, receiver("http/protobuf") as collector:
        hidden = hidden_session(ground.folder / HIDDEN)
        ground.tree.write(hidden)
        ground.config.write_text(configuration(1, collector.http, "http/protobuf"))
        daemon = ground.start("--config", str(ground.config))
        daemon.until_caught_up()
        daemon.until(
            lambda: ground.rows("SELECT 1 FROM export_cursor WHERE signal = 'traces' AND closed_seq > 0"),
            "the cursor has passed the facts",
        )
        seen = len(collector.received.metrics)
        daemon.until(lambda: len(collector.received.metrics) > seen, "metrics came afterwards")
        own = {record.event_name for request in collector.received.offered if hasattr(request, "resource_logs")
               for record in logs_of(request)}  # fmt: skip
        body = b"\n".join(collector.received.bodies)
        counted = {
            metric.name
            for metric in collector.received.metrics
            for point in (*metric.sum.data_points, *metric.gauge.data_points)
            if point.as_int or point.as_double
        }

    observed = {
        metric.name
        for metric in collector.received.metrics
        for point in metric.histogram.data_points
        if point.count and not metric.name.startswith(OWN)
    }
    assert (collector.received.spans, own) == ([], set())
    assert HIDDEN.encode() not in body
    assert observed == set()
    assert {name for name in counted if not name.startswith(OWN)} == set()
    assert counted
