"""Evidence of what a session works on, as lines leave it in the store."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ccagent.facts.evidence import DEFAULT, conventions
from ccagent.sources.claude.standing import Standing
from tests.sources.feed import START_MS, Feed
from tests.store.worked import links
from tests.transcripts import Session, tool_use

pytestmark = pytest.mark.usefixtures("either_store")

PLAN = "/home/demo/atlas/docs/plans/login-form.md"


def evidence(feed: Feed) -> dict[str, dict[str, Any]]:
    """Rows of artifact.linked by kind/target/way."""
    found = {}
    for event in feed.events("artifact.linked"):
        found[event["source_key"].removeprefix(f"artifact:{event['session_id']}/")] = event
    return found


def session(branch: str = "main", cwd: str = "/home/demo/atlas") -> Session:
    made = Session("one", branch=branch, cwd=cwd)
    made.prompt("hello")
    return made


CALLS = [
    ("Read", {"file_path": PLAN}, "read"),
    ("Write", {"file_path": PLAN, "content": "x"}, "create"),
    ("Edit", {"file_path": PLAN, "old_string": "a", "new_string": "b"}, "write"),
    ("MultiEdit", {"file_path": PLAN, "edits": []}, "write"),
    ("Grep", {"pattern": "x", "path": PLAN}, "search"),
    ("Glob", {"pattern": "docs/plans/login-form.md"}, "search"),
    ("Bash", {"command": "cat docs/plans/login-form.md"}, "read"),
    ("Bash", {"command": "git add docs/plans/login-form.md"}, "shell"),
    ("Task", {"prompt": "Carry out docs/plans/login-form.md please", "subagent_type": "x"}, "other"),
    ("Skill", {"skill": "plan:execute", "args": "docs/plans/login-form.md"}, "command"),
]


@pytest.mark.parametrize(("tool", "given", "way"), CALLS)
def test_a_document_that_a_tool_is_given_is_evidence(tool: str, given: dict[str, Any], way: str) -> None:
    made = session()
    made.tool(tool, given)
    feed = Feed().read(made)

    found = evidence(feed)

    assert set(found) == {f"feature/login-form/{way}"}
    (row,) = found.values()
    assert row["detail"] == way
    assert json.loads(row["payload_json"])["path"].endswith("docs/plans/login-form.md")
    assert row["closed_seq"] is not None


def test_the_same_document_again_is_the_same_fact_with_another_end() -> None:
    made = session()
    made.tool("Read", {"file_path": PLAN})
    made.wait(60_000)
    made.tool("Read", {"file_path": PLAN.replace("atlas", "atlas/.worktrees/x")})
    feed = Feed().read(made)

    (row,) = evidence(feed).values()

    assert row["ended_at"] - row["occurred_at"] > 60_000
    assert json.loads(row["payload_json"])["path"] == PLAN
    assert row["size"] == 460


def test_a_branch_is_told_once_however_many_lines_stand_on_it() -> None:
    made = session("alex/ent-109-login-form")
    for _ in range(3):
        made.prompt("more")
    feed = Feed().read(made)

    assert set(evidence(feed)) == {"feature/login-form/branch", "task/ENT-109/ticket"}
    assert all(row["occurred_at"] == row["ended_at"] == START_MS + 1_000 for row in evidence(feed).values())


def test_a_change_of_branch_is_seen_also_where_a_chunk_begins() -> None:
    made = session("feat/search")
    feed = Feed().read(made)
    made.branch = "feat/billing"
    made.prompt("and now")
    feed.read(made)
    made.branch = "feat/search"
    made.prompt("back")
    feed.read(made)

    found = evidence(feed)

    assert set(found) == {"feature/search/branch", "feature/billing/branch"}
    assert found["feature/search/branch"]["ended_at"] > found["feature/billing/branch"]["ended_at"]


def test_a_slash_command_s_arguments_are_evidence() -> None:
    made = session()
    made.slash("/plan:execute", "docs/project_plans/login-form.md phase 2 for ENT-7 and #12")
    made.request("done")
    feed = Feed().read(made)

    assert set(evidence(feed)) == {
        "feature/login-form/command", "phase/2/text", "task/ENT-7/text", "pull_request/#12/number",
    }  # fmt: skip


def test_what_a_person_writes_is_not_searched() -> None:
    made = session()
    made.prompt("please see docs/plans/login-form.md, ENT-7 and #12, phase 2")
    feed = Feed().read(made)

    assert evidence(feed) == {}


def test_no_text_of_a_command_is_kept() -> None:
    made = session()
    made.bash("cat docs/plans/login-form.md && git commit -m 'ENT-7: my secret words'")
    made.slash("/go", "my secret words docs/plans/login-form.md")
    feed = Feed().read(made)

    assert len(evidence(feed)) == 3
    assert all("secret" not in json.dumps(row) for row in evidence(feed).values())


def test_a_session_that_begins_in_a_worktree_belongs_to_the_repository() -> None:
    made = session(cwd="/home/demo/atlas/.claude/worktrees/calm-owl/src")
    made.bash("ls")
    made.cwd = "/elsewhere"
    made.bash("ls")
    feed = Feed().read(made)

    assert {event["project_id"] for event in feed.events()} == {"/home/demo/atlas"}
    assert {event["cwd"] for event in feed.events("tool.call")} == {
        "/home/demo/atlas/.claude/worktrees/calm-owl/src", "/elsewhere",
    }  # fmt: skip
    assert set(evidence(feed)) == {"project//home/demo/atlas/worktree"}


def test_a_sub_agent_s_documents_are_its_session_s() -> None:
    made = session()
    tool = made.launch()
    child = made.agent()
    child.prompt("look")
    child.tool("Read", {"file_path": PLAN})
    made.landed(tool, child)
    feed = Feed().read(made)

    (row,) = evidence(feed).values()

    assert (row["session_id"], row["agent_id"], row["feature_id"]) == ("one", child.agent_id, "login-form")
    assert len(links(feed)) == 1


def test_a_copied_file_gives_its_own_session_the_same_evidence() -> None:
    made = session("feat/search")
    made.tool("Read", {"file_path": PLAN})
    copy = Session("two", seed=2)
    for line in made.lines:
        copy.raw(line.raw.replace(b'"one"', b'"two"'))
    feed = Feed().read(made, copy)

    keys = [event["source_key"] for event in feed.events("artifact.linked") if "/feature/" in event["source_key"]]

    assert sorted(keys) == sorted(
        f"artifact:{name}/feature/{way}" for name in ("one", "two") for way in ("search/branch", "login-form/read")
    )


def test_another_pattern_of_task_ids_finds_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Standing, "conventions", conventions(r"T\d+"))
    made = session()
    made.bash("git commit -m 'T12, not ENT-3'")
    feed = Feed().read(made)

    assert set(evidence(feed)) == {"task/T12/text"}
    assert Standing.conventions is not DEFAULT


def test_a_broken_input_costs_nothing_but_itself() -> None:
    made = session()
    made.assistant(tool_use(made.ids.tool(), "Bash", {"command": ["docs/plans/login-form.md"]}))
    made.assistant(tool_use(made.ids.tool(), "Read", {"file_path": 7, "path": ".md"}))
    made.tool("Read", {"file_path": PLAN})
    feed = Feed().read(made)

    assert set(evidence(feed)) == {"feature/login-form/read"}
    assert feed.total("parser.failures") == 0
