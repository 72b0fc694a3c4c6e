"""Words planted in every text of transcripts, planning documents and commits: none leaves them, by whatever way out."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ccagent.cli import main
from tests.canaries import Canaries, pieces
from tests.claude_canaries import transcripts
from tests.codex_canaries import rollout
from tests.daemon.collector import options, receiver
from tests.daemon.rig import Ground, get, grounds, now_ms
from tests.otlp.receiver import Received
from tests.sources.feed import Feed

HOUR_MS = 3_600_000

AXES = ("total", "day", "project", "branch", "model", "tool", "skill", "agent", "session", "feature")

AWAY = (
    "metrics page",
    "OpenMetrics page",
    "metrics requests",
    "trace requests",
    "logs requests",
    "log",
    "drift report",
)
"""Ways out whose end is not this machine's user."""


@dataclass
class Told:
    """What went out by each way, and what was kept."""

    canaries: Canaries
    planted: bytes = b""
    ways: dict[str, bytes] = field(default_factory=dict)
    facts: dict[str, int] = field(default_factory=dict)


def written(canaries: Canaries, folder: Path, session: str) -> bytes:
    """A repository with a commit and a planning document, all full of words; the words as they stand there."""
    say = canaries.say
    date = f"{(now_ms() - HOUR_MS) // 1_000 + 60} +0000"
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    env |= {f"GIT_{role}_NAME": say(f"name of the {role}") for role in ("AUTHOR", "COMMITTER")}
    env |= {f"GIT_{role}_EMAIL": f"{say(f'address of the {role}')}@x.test" for role in ("AUTHOR", "COMMITTER")}
    words = f"{say('subject of a commit')}\n\n{say('body of a commit')}"
    document = folder / "docs" / "plans" / f"{canaries.name('plan')}.md"
    document.parent.mkdir(parents=True)
    document.write_text(
        f"---\ntitle: {say('title of a plan')}\nsession_ids: [{session}]\nnote: {say('front matter')}\n---\n"
        f"# {say('heading of a plan')}\n{say('text of a plan')}\n"
    )
    for command in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", words)):
        subprocess.run(("git", *command), cwd=folder, env=env, check=True, capture_output=True)
    return "".join((*env.values(), words, document.read_text())).encode()


def followed(ground: Ground, told: Told, received: Received, endpoint: str) -> None:
    """A daemon takes in the transcripts piece by piece; what it says and keeps."""
    canaries, chance = told.canaries, random.Random(4)
    session = transcripts(canaries, str(ground.folder), start=now_ms() - HOUR_MS)
    codex = rollout(canaries, start=now_ms() - HOUR_MS)
    told.planted = written(canaries, Path(session.cwd), session.session_id)
    sources = ("--source", f"codex:{ground.folder / 'codex'}")
    ground.config.write_text('[features]\ndocuments = ["docs/plans/*.md"]\n\n[git]\nhistory = true\n')
    parts = [(ground.root / each.path, each.content) for each in (session, *session.agents)]
    parts.append((ground.folder / "codex" / codex.path, codex.content))
    rest: list[tuple[Path, bytes]] = []
    for path, data in parts:
        path.parent.mkdir(parents=True, exist_ok=True)
        first, *others = pieces(data, chance, most=60)
        path.write_bytes(first)
        rest += [(path, piece) for piece in others]
        told.planted += data
    done = ground.once(*sources, "--config", str(ground.config))
    assert done.returncode == 0, done.stderr
    told.ways["words of a run"] = (done.stdout + done.stderr).encode()
    daemon = ground.start(
        *sources, "--config", str(ground.config), *options(endpoint, "http/protobuf"),
        CCAGENT_OTLP_INTERVAL_SECONDS="1",
    )  # fmt: skip
    daemon.until_caught_up()
    for path, piece in rest:
        with path.open("ab") as file:
            file.write(piece)
        size = sum(each.stat().st_size for each, _ in parts)
        daemon.until(lambda size=size: ground.taken() == size, "the piece was taken in")  # type: ignore[misc]
    daemon.until(lambda: _stated(ground), "the planning document was read")
    before = len(received.metrics)
    daemon.until(
        lambda: len(received.metrics) > before and received.spans and received.logs, "the collector has heard of it"
    )
    told.ways["metrics page"] = daemon.page().encode()
    told.ways["OpenMetrics page"] = get(f"{daemon.url}/metrics", Accept="application/openmetrics-text")[1].encode()
    for file in ground.database.parent.iterdir():
        if file.is_file():
            told.ways[file.name] = file.read_bytes()
    told.ways["status"] = json.dumps(ground.status()).encode()
    _asked(ground, told, session.session_id, codex.session)
    assert daemon.terminate() == 0
    told.ways["log"] = daemon.log.read_bytes()
    for kind in ("metrics", "trace", "logs"):
        told.ways[f"{kind} requests"] = b"".join(
            each.SerializeToString() for each in received.offered if kind in type(each).__name__.lower()
        )
    told.facts = dict(ground.rows("SELECT type, count(*) FROM fact GROUP BY type"))


def _stated(ground: Ground) -> bool:
    return bool(ground.rows("SELECT 1 FROM link WHERE kind <> 1 AND target_kind = 1"))


def _asked(ground: Ground, told: Told, *sessions: str) -> None:
    """Everything that a person may ask for."""
    asked = {f"usage by {axis}": ("usage", "--by", axis) for axis in AXES}
    for session in sessions:
        for form in ((), ("--json",)):
            asked[f"session {session} {form}"] = ("session", session, "--turns", "--timeline", "--links", *form)
    asked |= {"drift": ("drift",), "drift as JSON": ("drift", "--json", "--all"), "drift report": ("drift", "--report")}
    asked["verify"] = ("verify", "--full", "--source", str(ground.root))
    for name, (verb, *words) in asked.items():
        done = ground.verb(verb, *words)
        assert done.returncode in (0, 10, 1), (name, done.stderr)
        told.ways[name] = (done.stdout + done.stderr).encode()
    done = ground.db("backup", str(ground.folder / "copy.db"))
    assert done.returncode == 0, done.stderr
    told.ways["backup"] = (ground.folder / "copy.db").read_bytes()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    found = Told(Canaries(7))
    with grounds(tmp_path_factory.mktemp("canaries") / "ground") as ground, receiver("http/protobuf") as collector:
        followed(ground, found, collector.received, collector.http)
        yield found


def test_no_text_leaves_by_any_way(told: Told) -> None:
    leaks = {way: told.canaries.found(data) for way, data in told.ways.items()}

    assert {way: found for way, found in leaks.items() if found} == {}


def test_no_name_of_a_folder_branch_or_repository_leaves_this_machine(told: Told) -> None:
    leaks = {way: told.canaries.named(told.ways[way]) for way in AWAY}

    assert {way: found for way, found in leaks.items() if found} == {}


def test_no_text_is_in_an_archive_of_removed_facts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    canaries, now = Canaries(8), now_ms()
    database, archive = tmp_path / "facts.db", tmp_path / "archive"
    feed = Feed(database, now_ms=now)
    feed.store.set_meta("zone", "UTC")
    codex = rollout(canaries, start=now - 500 * 24 * HOUR_MS)
    feed.read(transcripts(canaries, start=now - 500 * 24 * HOUR_MS)).take((codex.path, codex.content))
    feed.tick()
    feed.close()
    monkeypatch.setenv("CCAGENT_RETENTION_ARCHIVE", str(archive))

    assert main(["db", "prune", "--db", str(database)]) == 0

    said = capsys.readouterr()
    kept = b"".join(gzip.decompress(file.read_bytes()) for file in archive.rglob("*.gz"))
    assert canaries.found(kept + (said.out + said.err).encode()) == set()
    assert len(canaries.named(kept)) > 5, "the same search finds what is kept"


def test_every_word_was_planted_and_every_way_was_taken(told: Told) -> None:
    assert told.canaries.found(told.planted) == set(told.canaries.content.values())
    assert {way for way, data in told.ways.items() if not data} <= {"ccagent.db-wal", "ccagent.db.lock"}
    assert len(told.canaries.named(told.ways["backup"])) > 5, "the same search finds what is kept"
    assert len(told.facts) >= 20, told.facts
