"""Codex beside Claude Code, with real processes: taken in once, followed, archived, verified."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.rig import Ground, now_ms, small_session
from tests.sources.codex_feed import VERSIONS, Rollout, Spent


@pytest.fixture
def home(ground: Ground) -> Path:
    """Codex's own folder, at its usual place."""
    return ground.home / ".codex"


def rollout(seed: int = 1, **more: Any) -> Rollout:
    made = Rollout(random.Random(seed), now=now_ms() - 3_600_000, version=VERSIONS[-1], **more).meta()
    made.begin()
    made.shell()
    made.patch({"/home/demo/atlas/a.py": {"type": "add", "content": "one\ntwo\n"}})
    made.tokens(1_000, cached=500, output=20, reasoning=5, write=100)
    made.repeated()
    made.end()
    return made


def put(folder: Path, *rollouts: Rollout) -> None:
    for each in rollouts:
        path = folder / each.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(each.content)


def spent(ground: Ground) -> list[int]:
    """Requests, plain input, cached, written and output of all Codex facts."""
    (row,) = ground.rows(
        "SELECT count(*), sum(token_input), sum(token_cache_read), sum(token_cache_write), sum(token_output) FROM fact"
        " WHERE type = 4 AND name IN (SELECT id FROM name WHERE value LIKE 'gpt-%')"
    )
    return [amount or 0 for amount in row]


def true(*parts: Spent) -> list[int]:
    fields = ("input", "cached", "write", "output")
    return [len(parts), *(sum(getattr(part, name) for part in parts) for name in fields)]


def test_a_tree_of_codex_is_taken_in_priced_and_verified(ground: Ground, home: Path) -> None:
    parent = rollout()
    fork, agent = parent.fork(), parent.agent(replayed=True)
    for child in (fork, agent):
        child.begin("go on")
        child.shell()
        child.compact()
        child.mcp()
        child.end()
    sources = ("--source", f"codex:{home / 'sessions'}")
    put(home / "sessions", agent, fork, parent)
    (home / "sessions" / "index.jsonl").write_text('{"type": "assistant"}\n')

    done = ground.verb("run", "--once", *sources)

    row = ground.usage()
    verdict = ground.verb("verify", "--full", "--json", *sources)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("3 files, ")
    assert spent(ground) == true(*parent.truth, *fork.truth, *agent.truth)
    assert (row["sessions"], row["compactions"], row["unpriced_requests"], row["lines_bad"]) == (3, 2, 0, 0)
    assert row["cost_microusd"] > 0
    answer = json.loads(verdict.stdout)
    assert [row for row in answer["totals"] if row["verdict"] != "equal"] == []
    assert [row for row in answer["checks"] if row["faults"]] == []
    assert (verdict.returncode, answer["files"]["recounted"]) == (0, 3), verdict.stdout


def test_a_rollout_is_followed_line_by_line_and_into_the_archive(ground: Ground, home: Path) -> None:
    made = rollout()
    ground.tree.write(small_session("one", requests=2))
    (home / "archived_sessions").mkdir(parents=True)
    live = home / "sessions" / made.path
    live.parent.mkdir(parents=True)
    often = {"CCAGENT_INGEST_SCAN_INTERVAL_SECONDS": "1", "CLAUDE_CONFIG_DIR": str(ground.folder)}
    daemon = ground.start(source=False, **often)
    daemon.until_caught_up()

    with live.open("ab", buffering=0) as file:
        for line in made.lines:
            file.write(line[:20])
            file.write(line[20:])
    daemon.until(lambda: spent(ground) == true(*made.truth), "the rollout's requests are in the store")
    archived = home / "archived_sessions" / live.name
    live.rename(archived)
    made.lines.clear()
    made.begin("once more")
    made.tokens(5)
    made.end()
    with archived.open("ab", buffering=0) as file:
        file.write(made.content)

    daemon.until(lambda: spent(ground) == true(*made.truth), "what was appended in the archive is in the store")
    daemon.until(lambda: ground.status(**often).get("sources") == {"claude": 1, "codex": 1}, "the status counts both")
    daemon.until(lambda: daemon.tokens().get("cache_read") == made.total[1] + 200, "the page has both clients")
    assert daemon.terminate() == 0
    assert ground.rows("SELECT count(*) FROM file") == [(2,)]
    verdict = ground.verb("verify", "--full", **often)
    assert verdict.returncode == 0, verdict.stdout


def test_a_codex_folder_that_comes_later_is_followed(ground: Ground, home: Path) -> None:
    daemon = ground.start(source=False, CCAGENT_INGEST_SCAN_INTERVAL_SECONDS="1")
    daemon.until_caught_up()

    made = rollout()
    put(home / "sessions", made)

    daemon.until(lambda: spent(ground) == true(*made.truth), "the rollout's requests are in the store")


def test_a_kill_in_the_middle_neither_loses_nor_doubles(ground: Ground, home: Path) -> None:
    made, lines = rollout(), 0
    for _ in range(40):
        made.begin()
        made.shell()
        made.repeated()
        made.end()
    path = home / "sessions" / made.path
    path.parent.mkdir(parents=True)
    chance = random.Random(4)
    while lines < len(made.lines):
        upto = min(len(made.lines), lines + chance.randint(20, 120))
        with path.open("ab") as file:
            file.write(b"".join(made.lines[lines:upto]))
        lines = upto
        daemon = ground.start(source=False)
        daemon.until_logged("daemon.start")
        daemon.kill()

    done = ground.verb("run", "--once")

    assert done.returncode == 0, done.stderr
    assert spent(ground) == true(*made.truth)
