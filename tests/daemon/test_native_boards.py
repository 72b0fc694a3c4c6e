"""Queries of boards that were made for Claude Code's own telemetry, on the compatible set, through a real Prometheus."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.rig import STOP_SECONDS, Daemon, Ground, now_ms, opener, until
from tests.otlp.test_rotel import free_port
from tests.transcripts import Session, Usage, text

PROMETHEUS = shutil.which("prometheus")

COST, TOKENS = "claude_code_cost_usage_USD_total", "claude_code_token_usage_tokens_total"
SESSIONS, LINES = "claude_code_session_count_total", "claude_code_lines_of_code_count_total"
DECISIONS, ACTIVE = "claude_code_code_edit_tool_decision_total", "claude_code_active_time_seconds_total"
COMMITS, PULLS = "claude_code_commit_count_total", "claude_code_pull_request_count_total"

QUERIES = {
    "cost burn rate": f"sum(rate({COST}[1m])) * 3600",
    "total cost": f"sum(increase({COST}[1m]))",
    "cost by model": f"sum by (model) (increase({COST}[1m]))",
    "cost by who asked": f'sum(increase({COST}{{query_source="main"}}[1m]))',
    "cached write tokens": f'sum by (model) (increase({TOKENS}{{type="cacheCreation"}}[1m]))',
    "regular input tokens": f'sum(increase({TOKENS}{{type="input"}}[1m]))',
    "output tokens": f'sum(increase({TOKENS}{{type="output"}}[1m]))',
    "edit acceptance": f'100 * sum(increase({DECISIONS}{{decision="accept"}}[1m])) / sum(increase({DECISIONS}[1m]))',
    "edit rejections": f'sum by (tool_name) (increase({DECISIONS}{{decision="reject"}}[1m]))',
    "edits by language": f'sum by (language) (increase({DECISIONS}{{decision="accept"}}[1m]))',
    "decision sources": f"sum by (source) (increase({DECISIONS}[1m]))",
    "cost forecast": f"sum(increase({COST}[1m])) * 30",
    "average cost a session": f"sum(increase({COST}[1m])) / sum(increase({SESSIONS}[1m]))",
    "cost a thousand tokens": f"1000 * sum(increase({COST}[1m])) / sum(increase({TOKENS}[1m]))",
    "active time by type": f"sum by (type) (increase({ACTIVE}[1m]))",
    "tokens by model": f"sum by (model) (increase({TOKENS}[1m]))",
    "tokens by type": f"sum by (type) (increase({TOKENS}[1m]))",
    "sessions": f"sum(increase({SESSIONS}[1m]))",
    "sessions by start": f'increase({SESSIONS}{{start_type="fresh"}}[1m])',
    "tokens a session": f"sum(increase({TOKENS}[1m])) / sum(increase({SESSIONS}[1m]))",
    "active time a session": f"sum(increase({ACTIVE}[1m])) / sum(increase({SESSIONS}[1m]))",
    "lines by type": f"sum by (type) (increase({LINES}[1m]))",
    "lines by model": f"sum by (model) (increase({LINES}[1m]))",
    "cache hit rate": (
        f'sum(increase({TOKENS}{{type="cacheRead"}}[1m])) / sum(increase({TOKENS}{{type=~"input|cacheRead|cacheCreation"}}[1m]))'
    ),
    "tokens a dollar": f"sum by (model) (increase({TOKENS}[1m])) / sum by (model) (increase({COST}[1m]))",
    "cost anomaly": f"sum(rate({COST}[1m])) / sum(rate({COST}[5m]))",
    "lines a minute": f"60 * sum by (type) (rate({LINES}[1m]))",
    "token rate": f"sum by (type) (rate({TOKENS}[1m]))",
    "commits": f"sum(increase({COMMITS}[1m]))",
    "pull requests": f"sum(increase({PULLS}[1m]))",
}


def worked(name: str, number: int) -> Session:
    """A session that has something for every panel; it was over two hours ago."""
    session = Session(name, seed=name, start=now_ms() - 2 * 3_600_000)
    session.prompt("hello")
    for _ in range(3):
        session.assistant(
            text("hi"), usage=Usage(input=50, output=40, cache_read=1_000, cache_write=300, cache_write_1h=100)
        )
    session.edit("/home/demo/atlas/app.py", added=5, removed=2)
    session.rejected("Write", {"file_path": "/home/demo/atlas/notes.md", "content": "x"})
    session.tool(
        "Bash",
        {"command": 'git commit -m "one"'},
        f"[main {number:07x}] one\n 1 file changed, 5 insertions(+), 2 deletions(-)",
    )
    session.pull_request(number)
    session.turn_duration(61_000)
    session.prompt("and more", after_ms=20_000)
    session.assistant(text("done"), usage=Usage(input=5, output=40))
    session.turn_duration(2_000)
    return session


class Server:
    """A Prometheus that scrapes one page every second."""

    def __init__(self, url: str) -> None:
        self._url = url

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The instant vector of an expression."""
        words = urllib.parse.urlencode({"query": expression})
        with opener().open(f"{self._url}/api/v1/query?{words}", timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found

    def value(self, expression: str) -> float:
        """Its one value, 0 without any."""
        return sum(float(row["value"][1]) for row in self.query(expression))

    def up(self) -> bool:
        try:
            return self.value("up") == 1
        except OSError:
            return False


@contextmanager
def prometheus(folder: Path, daemon: Daemon) -> Iterator[Server]:
    """Run one over the daemon's page."""
    assert PROMETHEUS is not None
    port = free_port()
    target = daemon.url.removeprefix("http://")
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        f"scrape_configs: [{{job_name: ccagent, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    command = [PROMETHEUS, f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}",
               f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]  # fmt: skip
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = Server(f"http://127.0.0.1:{port}")
    try:
        until(server.up, "Prometheus has scraped the page")
        yield server
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


@pytest.mark.skipif(PROMETHEUS is None, reason="no prometheus on this machine")
def test_no_panel_of_a_board_for_the_native_names_is_empty(ground: Ground, tmp_path: Path) -> None:
    ground.tree.write(*(worked(f"past-{number}", number) for number in range(1, 4)))
    daemon = ground.start(CCAGENT_COMPAT_CLAUDE_CODE="true", CCAGENT_METRICS_PROJECT_LABEL="false")
    daemon.until_caught_up()
    daemon.until(lambda: daemon.samples().get((SESSIONS, (("start_type", "fresh"),))) == 3, "the past is booked")
    with prometheus(tmp_path, daemon) as server:
        until(lambda: server.value(f"sum({SESSIONS})") == 3, "the past is scraped")

        ground.tree.write(*(worked(f"now-{number}", number) for number in range(11, 16)))

        until(lambda: server.value(f"sum({SESSIONS})") == 8, "what came now is scraped")
        until(lambda: server.value(f"sum({PULLS})") == 8 and server.value(f"sum({COMMITS})") == 8, "and what it led to")
        until(lambda: server.value(f"count_over_time({SESSIONS}{{start_type='fresh'}}[1m])") > 4, "a few scrapes")
        found = {panel: server.query(expression) for panel, expression in QUERIES.items()}
        empty = [panel for panel, rows in found.items() if not any(float(row["value"][1]) > 0 for row in rows)]

        assert empty == []
        assert {row["metric"]["type"] for row in found["tokens by type"]} == {
            "input",
            "output",
            "cacheRead",
            "cacheCreation",
        }
        assert {row["metric"]["type"] for row in found["active time by type"]} == {"cli", "user"}
        assert 40 < float(found["edit acceptance"][0]["value"][1]) < 60
