"""What a user sees of a database that Postgres serves is what is seen of a file; and the password is never seen."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from ccagent.store.open import open_reader
from ccagent.store.queries import usage
from tests.daemon.collector import all_left, attributes, expected, play, rich_session
from tests.daemon.rig import Daemon, Ground, small_session, tokens_of
from tests.otlp.receiver import Received, http_receiver
from tests.outages.rig import Served, served
from tests.pg import PASSWORD, Server

GROUPS = ("total", "hour", "day", "week", "project", "model", "tool", "agent", "session")


@dataclass
class Followed:
    """A session that was followed line by line, and all that could be heard of it."""

    ground: Served
    daemon: Daemon
    received: Received
    heard: dict[str, str] = field(default_factory=dict)

    def hear(self, verb: str, *options: str) -> str:
        """What a verb prints."""
        done = self.ground.verb(verb, *options)
        assert done.returncode == 0, done.stderr
        self.heard[" ".join((verb, *options))] = done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory, pg_server: Server) -> Iterator[Followed]:
    folder = tmp_path_factory.mktemp("faces")
    name = pg_server.create_database()
    with served(folder / "ground", pg_server.tcp_uri(name)) as ground, http_receiver() as collector:
        daemon = ground.start(
            "--otlp-endpoint", collector.http, "--otlp-protocol", "http/protobuf", CCAGENT_OTLP_INTERVAL_SECONDS="1",
            CCAGENT_LOG_LEVEL="debug",
        )  # fmt: skip
        daemon.until_caught_up()
        play(ground, daemon, rich_session("rich"))
        ground.tree.write(small_session("small"))
        ground.until_all_is_taken(daemon)
        daemon.until(lambda: all_left(ground, collector.received), "every closed fact is at the collector")
        yield Followed(ground, daemon, collector.received)
    pg_server.drop_database(name)


def test_usage_is_that_of_a_file(followed: Followed, tmp_path: Path) -> None:
    file = Ground(tmp_path / "file")
    file.root = followed.ground.root
    assert file.once().returncode == 0

    assert followed.hear("usage", "--json") == file.verb("usage", "--json").stdout
    with open_reader(followed.ground.url) as one, open_reader(file.database) as other:
        for group in GROUPS:
            rows = usage(one, by=group, since_ms=None, until_ms=None, timezone=None)
            assert rows == usage(other, by=group, since_ms=None, until_ms=None, timezone=None), group
            assert rows, group


def test_the_metrics_page_has_the_tokens_of_the_facts(followed: Followed) -> None:
    page = followed.daemon.samples()

    tokens = {kind: amount for kind, amount in tokens_of(page).items() if amount}
    assert tokens == {kind: amount for kind, amount in followed.ground.usage()["tokens"].items() if amount}
    assert page["ccagent_store_size_bytes", ()] > 0


def test_spans_and_metrics_are_at_the_collector(followed: Followed) -> None:
    row = followed.ground.usage()
    spans = followed.received.spans
    chats = [attributes(span) for span in spans if span.name.startswith("chat ")]

    assert {span.span_id for span in spans} == expected(followed.ground)
    assert len(spans) == len(expected(followed.ground))
    for kind, amount in row["tokens"].items():
        assert sum(int(chat.get(f"ccagent.tokens.{kind}", 0)) for chat in chats) == amount, kind
    followed.daemon.until(
        lambda: "ccagent.tokens" in {metric.name for metric in followed.received.metrics}, "metrics arrive"
    )


def test_verify_finds_no_fault(followed: Followed) -> None:
    assert json.loads(followed.hear("verify", "--full", "--json"))["status"] != "fault"


def test_the_status_is_that_of_a_running_daemon(followed: Followed) -> None:
    status = json.loads(followed.hear("status", "--json"))

    assert status["pid"] == followed.daemon.process.pid
    assert status["problems"] == []
    assert status["caught_up"]
    assert status["database"]["bytes"] > 0
    assert status["today"]["requests"] == followed.ground.usage()["requests"]


def test_the_password_is_nowhere_to_be_seen(followed: Followed, pg_server: Server) -> None:
    for verb in (("usage",), ("status",), ("status", "--json"), ("verify",)):
        followed.hear(*verb)
    process = Path("/proc") / str(followed.daemon.process.pid)
    shown = subprocess.run(
        [sys.executable, "-m", "ccagent", "config", "show", "--origin"], capture_output=True, text=True, check=True,
        env=followed.ground.environment(CCAGENT_DATABASE_URL=followed.ground.url),
    )  # fmt: skip
    seen = {
        **followed.heard,
        "log": followed.daemon.log.read_text(),
        "config show": shown.stdout + shown.stderr,
        "metrics": followed.daemon.page(),
        "sessions": str(pg_server.rows("SELECT application_name FROM pg_stat_activity")),
        "sent": str([request.SerializeToString() for request in followed.received.offered]),
        "state": "".join(path.read_text() for path in followed.ground.home.rglob("*.json")),
    }
    if process.exists():
        seen["process"] = (process / "cmdline").read_text()

    found = {
        place for place, words in seen.items() for secret in (PASSWORD, quote(PASSWORD, safe="")) if secret in words
    }

    assert found == set()
    assert "postgresql://postgres:***@127.0.0.1" in seen["config show"]
