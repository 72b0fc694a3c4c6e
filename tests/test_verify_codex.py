"""Codex in the jobs: backfill, rebuild and verification read a rollout as what it is, each by itself."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from ccagent.backfill import backfill
from ccagent.config import Config, load
from ccagent.rebuild import rebuild
from ccagent.recount_codex import failed, made_at
from ccagent.selection import Selection
from ccagent.store.open import open_reader
from ccagent.store.view import canonical_dump
from ccagent.verify import verify
from tests.sources.codex_feed import Rollout
from tests.sources.test_codex_tokens import family
from tests.transcripts import Session, Tree


class Host:
    """Both clients' trees, and a database."""

    def __init__(self, home: Path) -> None:
        self.home, self.codex = home, home / ".codex" / "sessions"
        self.env = {"HOME": str(home), "TZ": "UTC"}
        session = Session("s")
        session.prompt("hello")
        session.bash("ls")
        Tree(home / ".claude" / "projects").write(session)

    def config(self, **more: Any) -> Config:
        return load({"database": str(self.home / "facts.db"), **more}, self.env)

    def put(self, *rollouts: Rollout) -> None:
        for each in rollouts:
            path = self.codex / each.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(each.content)

    def take_in(self) -> None:
        backfill(self.config(), self.env, Selection())

    def dump(self) -> list[str]:
        with open_reader(str(self.home / "facts.db")) as conn:
            return list(canonical_dump(conn))

    def verify(self, **more: Any) -> dict[str, Any]:
        return dict(verify(self.config(), self.env, full=True, **more))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.mark.parametrize("seed", range(12))
def test_an_independent_count_finds_what_the_store_holds(host: Host, seed: int) -> None:
    host.put(*family(random.Random(seed)))
    host.take_in()

    answer = host.verify()

    assert [row for row in answer["totals"] if row["verdict"] != "equal"] == []
    assert [row for row in answer["checks"] if row["faults"]] == []
    assert (answer["status"], answer["facts_at_fault"], answer["files_at_fault"]) == ("equal", [], [])


def test_a_token_too_many_in_the_store_is_found(host: Host) -> None:
    host.put(*family(random.Random(1)))
    host.take_in()
    import apsw

    conn = apsw.Connection(str(host.home / "facts.db"))
    conn.execute("UPDATE fact SET token_input = token_input + 1 WHERE key = (SELECT key FROM fact WHERE type = 4"
                 " AND native LIKE 'codex:%' LIMIT 1)")  # fmt: skip
    conn.close()

    answer = host.verify()

    assert answer["status"] == "fault"
    assert answer["facts_at_fault"][0]["key"].startswith("llm:codex:")


def test_a_rebuild_gives_the_same_facts(host: Host) -> None:
    host.put(*family(random.Random(2)))
    host.take_in()
    before = host.dump()

    rebuild(host.config(), host.env)

    assert host.dump() == before
    assert host.verify()["status"] == "equal"


def test_a_manifest_holds_both_kinds_of_files(host: Host, tmp_path: Path) -> None:
    host.put(*family(random.Random(3)))
    host.take_in()
    manifest = tmp_path / "manifest.json"

    written = host.verify(manifest=manifest)
    checked = host.verify(manifest=manifest)

    assert written["manifest"]["written"] is True
    assert (checked["manifest"]["faults"], checked["manifest"]["gone"]) == ([], 0)
    assert checked["manifest"]["same"] == len(json.loads(manifest.read_text())["files"]) > 2


def test_what_lies_among_rollouts_and_is_none_is_not_missed(host: Host) -> None:
    host.put(*family(random.Random(4)))
    (host.codex / "index.jsonl").write_text("{}\n")
    host.take_in()

    assert host.verify()["files"]["not_taken_in"] == 0


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("Exit code: 0\nOutput:\nExit code: 1", False), ("Exit code: 1\nOutput:\n", True), ("fine", False),
        ('{"output":"","metadata":{"exit_code":2}}', True), ('{"output":"","metadata":{"exit_code":0}}', False),
        ([{"type": "input_text", "text": "Process exited with code 3\nOutput:"}], True), ([], False), (None, False),
        ({"success": False}, True), ("unsupported call: x", True), ('{"not json', False),
    ],
)  # fmt: skip
def test_the_recount_judges_outputs_by_itself(output: object, expected: bool) -> None:
    assert failed(output) is expected


def test_the_recount_reads_times_of_ids_by_itself() -> None:
    assert made_at("019a9777-0a51-7092-90de-d816b661a402") == 0x019A97770A51
    assert made_at("019a9777-0a51-4092-90de-d816b661a402") is None
    assert made_at("7") is None
