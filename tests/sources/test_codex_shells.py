"""What the commands of rollouts say: dangerous ones, quality runs, deletions, delivery, evidence for links."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.sources.codex_feed import FORMS, VERSIONS, Rollout, framed
from tests.sources.feed import Feed
from tests.transcripts import Session, Usage

pytestmark = pytest.mark.usefixtures("either_store")

COMMITTED = "[main 1234567] Words\n 2 files changed, 30 insertions(+), 4 deletions(-)\n"
PUSHED = "To github.com:demo/atlas.git\n   1111111..2222222  main -> main\n"
URL = "https://github.com/demo/atlas/pull/7"
PASSED = "collected 3 items\n\n============ 3 passed in 0.12s ============\n"
FAILED = "collected 3 items\n\n======= 1 failed, 2 passed in 0.12s =======\n"
KNOWING = [form for form in FORMS if form != "script/output"]
"""Forms whose output tells an exit code."""


@pytest.fixture
def made() -> Rollout:
    return begun()


def begun(**meta: Any) -> Rollout:
    made = Rollout(random.Random(0), version=VERSIONS[-1]).meta(**meta)
    made.begin()
    return made


def read(*rollouts: Rollout) -> Feed:
    feed = Feed()
    for each in rollouts:
        feed.take((each.path, each.content))
    return feed


def one(feed: Feed, kind: str) -> dict[str, Any]:
    (row,) = feed.events(kind)
    return row


def shown(row: dict[str, Any], *columns: str) -> tuple[Any, ...]:
    return tuple(row[column] for column in columns)


def links(feed: Feed) -> dict[str, tuple[str, str | None]]:
    """Thing → how it was found, and the path that names it."""
    found = {}
    for row in feed.events("artifact.linked"):
        payload = json.loads(row["payload_json"])
        if "target" in payload:
            found[payload["target"]] = (row["detail"], payload.get("path"))
    return found


# ---- dangerous commands and quality runs ---------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_dangerous_command_marks_its_call_in_every_form(made: Rollout, form: str) -> None:
    risky = made.run("git push --force origin main", form=form)
    plain = made.run("git status", form=form)

    feed = read(made)

    assert feed.event(f"tool:{risky}")["danger"] is not None
    assert feed.event(f"tool:{plain}")["danger"] is None


@pytest.mark.parametrize("form", KNOWING)
@pytest.mark.parametrize(("code", "text", "status", "failed"), [(0, PASSED, "ok", 0), (1, FAILED, "error", 1)])
def test_a_quality_run_ends_as_its_exit_code_and_summary_say(
    made: Rollout, form: str, code: int, text: str, status: str, failed: int
) -> None:
    call = made.run("cd /x && pytest -q", text, code, form=form)

    row = read(made).event(f"quality:{call}")

    assert shown(row, "quality_kind", "framework", "status", "exit_code") == ("test", "pytest", status, code)
    assert row["passed"] == 3 - failed
    assert (row["failed"] or 0) == failed
    assert row["session_id"] == made.session
    assert row["turn_key"] is not None


def test_a_script_that_tells_no_exit_code_is_judged_by_what_it_printed(made: Rollout) -> None:
    good = made.run("pytest", PASSED, form="script/output")
    bad = made.run("pytest", FAILED, form="script/output")
    mute = made.run("pytest", "", form="script/output")

    feed = read(made)

    assert [feed.event(f"quality:{call}")["status"] for call in (good, bad, mute)] == ["ok", "error", "open"]


def test_commands_of_one_script_are_runs_of_one_call(made: Rollout) -> None:
    call = made.call_id()
    script = (
        "// exec_command({cmd: 'pytest'})\n"
        'const a = await Promise.all([tools.exec_command({cmd: "ruff check ."}), '
        "tools.exec_command({ cmd: 'mypy pkg', workdir: '/x' }), tools.exec_command({cmd: `${computed}`})]);"
        'text("exec_command({cmd: \\"go test\\"})");'
    )
    made.item("custom_tool_call", name="exec", input=script, call_id=call)
    made.item("custom_tool_call_output", call_id=call, output="Script completed\nWall time 1 second\nOutput:\n")

    rows = read(made).events("quality.run")

    assert {row["source_key"]: row["framework"] for row in rows} == {
        f"quality:{call}#1": "ruff", f"quality:{call}#2": "mypy",
    }  # fmt: skip


def test_a_command_that_goes_on_is_judged_when_a_later_call_tells_its_end(made: Rollout) -> None:
    call = made.run("pytest", "collected 3 items\n", None)
    running = read(made)
    made.poll(7, "still\n", None)
    made.poll(7, FAILED, 1)
    made.poll(7, PASSED, 0)  # somebody else's process by now

    feed = read(made)

    before, after = running.event(f"quality:{call}"), feed.event(f"quality:{call}")
    assert shown(before, "status", "closed_seq") == ("open", None)
    assert shown(after, "status", "failed", "passed", "exit_code") == ("error", 1, 2, 1)
    assert feed.closed(f"quality:{call}")
    assert after["occurred_at"] == before["occurred_at"]
    assert len(feed.events("quality.run")) == 1


def test_a_cell_that_goes_on_is_awaited_by_its_own_name(made: Rollout) -> None:
    call = made.call_id()
    made.item("custom_tool_call", name="exec", call_id=call, input='text(await tools.exec_command({"cmd":"npx jest"}))')
    made.item(
        "custom_tool_call_output",
        call_id=call,
        output="Script running with cell ID 7\nWall time 9.0 seconds\nOutput:\n",
    )
    made.poll(7, "Tests:       3 passed, 3 total\n", 0)  # a process of that number is another one
    other = read(made).event(f"quality:{call}")["status"]
    wait = made.asks("wait", {"cell_id": "7"})
    text = "Tests:       1 failed, 3 passed, 4 total\n"
    made.answer(
        wait,
        [{"type": "input_text", "text": part} for part in ("Script completed\nWall time 3 seconds\nOutput:\n", text)],
    )

    row = read(made).event(f"quality:{call}")

    assert other == "open"
    assert shown(row, "status", "failed", "passed") == ("error", 1, 3)


@pytest.mark.parametrize(
    ("output", "status"),
    [
        ("exec command rejected by user", "rejected"),
        ("aborted by user after 3.0s", "interrupted"),
        ("Exit code: 124\nWall time: 10 seconds\nOutput:\n", "timeout"),
    ],
)
def test_a_run_that_was_cut_off_has_its_calls_status(made: Rollout, output: str, status: str) -> None:
    call = made.asks("shell", {"command": ["bash", "-lc", "pytest"]})
    made.answer(call, output)

    assert read(made).event(f"quality:{call}")["status"] == status


def test_the_end_event_of_a_command_tells_its_exit_code_where_the_output_does_not(made: Rollout) -> None:
    call = made.asks("exec_command", {"cmd": "pytest"})
    made.event("exec_command_end", call_id=call, exit_code=1, duration={"secs": 2, "nanos": 0})
    made.answer(call, "collected 3 items\n")

    assert shown(read(made).event(f"quality:{call}"), "status", "exit_code") == ("error", 1)


def test_a_process_that_nobody_asks_for_again_leaves_its_run_open(made: Rollout) -> None:
    call = made.run("pytest", "", None)
    made.run("rm one.txt && git commit -m x", COMMITTED, None)
    made.end()

    feed = read(made)

    assert feed.event(f"quality:{call}")["status"] == "open"
    assert feed.closed(f"quality:{call}")
    assert feed.events("git.commit") == feed.events("file.update") == []


# ---- deletions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", KNOWING)
def test_deleted_files_are_as_seen_from_the_commands_folder(made: Rollout, form: str) -> None:
    folder = {"working_directory" if form == "local_shell" else "workdir": "/srv/app"}
    made.run("rm one.txt sub/two.txt", form=form, **folder)
    made.run("rm three.txt", "rm: cannot remove 'three.txt'", 1, form=form)

    rows = read(made).events("file.update")

    assert sorted(row["file_path"] for row in rows) == ["/srv/app/one.txt", "/srv/app/sub/two.txt"]
    assert {row["detail"] for row in rows} == {"delete"}


def test_without_a_folder_of_its_own_a_command_runs_in_the_sessions(made: Rollout) -> None:
    made.run("rm one.txt")

    assert one(read(made), "file.update")["file_path"] == "/home/demo/atlas/one.txt"


def test_what_a_script_deleted_is_not_known_without_its_exit_code(made: Rollout) -> None:
    made.run("rm one.txt", form="script/output")

    assert read(made).events("file.update") == []


# ---- delivery ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_commits_pushes_and_new_pull_requests_are_facts_in_every_form(made: Rollout, form: str) -> None:
    made.run("git commit -m 'Words'", COMMITTED, form=form)
    push = made.run("git push", PUSHED, form=form)
    made.run("gh pr create --fill", f"{URL}\n", form=form)

    feed = read(made)

    commit = feed.event("commit:1234567")
    assert shown(commit, "status", "detail", "confidence", "lines_added") == ("ok", "commit", 0.95, 30)
    assert shown(commit, "session_id", "git_branch") == (made.session, "main")
    assert shown(feed.event(f"push:{push}#0"), "status", "repository") == ("ok", "github.com/demo/atlas")
    assert shown(feed.event("pr:github.com/demo/atlas/pull/7"), "pr_number", "detail") == (7, "opened")


def test_a_later_command_may_name_a_pull_request_by_its_number_alone(made: Rollout) -> None:
    made.run("gh pr create --fill", f"{URL}\n")
    made.run("gh pr merge 7 --squash", "")

    feed = read(made)

    assert [row["source_key"] for row in feed.events("pull_request")] == ["pr:github.com/demo/atlas/pull/7"]
    assert "merged" in {row["detail"] for row in feed.events("artifact.linked")}


def test_a_commit_that_failed_is_an_attempt_and_one_of_unknown_end_is_open(made: Rollout) -> None:
    failed = made.run("git commit -m x", "hook says no\n", 1)
    unknown = made.run("git commit -m x", "hook says no\n", form="script/output")
    made.run("gh pr merge 7", "", form="script/output")

    feed = read(made)

    assert feed.event(f"commit:attempt:{failed}#0")["status"] == "error"
    assert feed.event(f"commit:attempt:{unknown}#0")["status"] == "open"
    assert feed.events("pull_request") == []


def test_a_tool_of_an_mcp_server_opens_a_pull_request(made: Rollout) -> None:
    call = made.call_id()
    arguments = json.dumps({"owner": "demo", "repo": "atlas", "title": "x"})
    made.item("function_call", name="create_pull_request", namespace="mcp__github__", arguments=arguments, call_id=call)
    made.answer(call, json.dumps({"url": URL}))

    assert one(read(made), "pull_request")["detail"] == "opened"


def test_codex_and_claude_code_say_the_same_of_the_same_commands(made: Rollout) -> None:
    commands = [
        ("cd /x\ngit commit -m 'More'", "[main 3333333] More\n", 0),
        ("pytest -q && ruff check .", PASSED + "All checks passed!\n", 0),
        ("pytest | tail -3", FAILED, 0),
        ("git add . && git commit -m 'Words' && git push", COMMITTED + PUSHED, 0),
        ("git switch -c topic", "Switched to a new branch 'topic'\n", 0),
        ("rm -rf build && npm test", "boom\n", 1),
        ("mypy . ; rm a.txt", "Success: no issues found in 3 source files\n", 0),
    ]
    session = Session("s", version="2.1.230", branch="main", cwd=made.cwd)
    session.prompt("do it")
    for command, text, code in commands:
        made.run(command, text, code)
        output = f"Exit code {code}\n{text}" if code else text
        details = {"stdout": text, "stderr": "", "interrupted": False}
        session.tool("Bash", {"command": command}, output, details=details, is_error=code != 0, usage=Usage(input=1))

    codex, claude = read(made), Feed().read(session)

    columns = (
        "event_type", "status", "exit_code", "passed", "failed", "skipped", "detail", "quality_kind", "framework",
        "repository", "file_path", "commit_hash", "confidence",
    )  # fmt: skip
    kinds = ("quality.run", "git.commit", "git.push", "file.update", "artifact.linked")
    told = [
        sorted([repr(shown(row, *columns)) for kind in kinds for row in feed.events(kind)]) for feed in (codex, claude)
    ]
    assert told[0] == told[1]
    assert len(told[0]) == 11


# ---- evidence ------------------------------------------------------------------------------------------------------


def test_the_branch_the_folder_and_what_commands_name_are_evidence() -> None:
    folder = "/home/demo/atlas/.claude/worktrees/x"
    made = begun(cwd=folder, git={"branch": "feature/ABC-12-search"})
    made.run("cat docs/plans/billing-flow.md && echo XYZ-7", "")
    made.run("gh pr view 12", "")

    feed = read(made)
    found = links(feed)

    assert {row["project_id"] for row in feed.events()} == {"/home/demo/atlas"}
    assert found["/home/demo/atlas"] == ("worktree", folder)
    assert found["ABC-12"][0] == "ticket"
    assert found["XYZ-7"][0] == "text"
    assert found["#12"][0] == "number"
    assert ("read", "docs/plans/billing-flow.md") in found.values()


def test_documents_that_patches_touch_are_evidence(made: Rollout) -> None:
    patch = "*** Begin Patch\n*** Update File: docs/plans/first-thing.md\n@@\n-a\n+b\n*** End Patch"
    made.item("custom_tool_call", name="apply_patch", input=patch, call_id=made.call_id(), status="completed")
    made.patch({"/home/demo/atlas/docs/plans/second-thing.md": {"type": "add", "content": "x"}})
    made.run(
        "apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: docs/plans/third-thing.md\n+x\n*** End Patch\nEOF", ""
    )

    ways = {path.rpartition("/")[2]: way for way, path in links(read(made)).values() if path is not None}

    assert ways == {"first-thing.md": "write", "second-thing.md": "create", "third-thing.md": "create"}


def test_a_session_that_is_resumed_on_another_branch_stands_there(made: Rollout) -> None:
    made.end()
    made.meta(git={"branch": "feature/ABC-3"})
    made.begin()
    made.run("ls")

    feed = read(made)

    assert one(feed, "tool.call")["git_branch"] == "feature/ABC-3"
    assert "ABC-3" in links(feed)


def test_what_a_copied_history_ran_is_the_ancestors_alone(made: Rollout) -> None:
    made.run("pytest && git commit -m x", PASSED + COMMITTED)
    made.run("pytest", "", None)
    made.end()
    fork = made.fork()
    fork.begin()
    fork.poll(7, PASSED, 0)

    kinds = {row["event_type"] for row in read(fork).events() if row["event_type"] != "artifact.linked"}

    assert kinds == {"session.lifecycle", "turn", "prompt", "tool.call", "llm.request"}


def test_inputs_and_outputs_of_any_form_break_nothing(made: Rollout) -> None:
    inputs: list[Any] = [None, 5, [], "", "{", '{"cmd": 5}', '{"command": [1]}', '{"command": []}', '"\\ud800"', {}]
    for number, given in enumerate(inputs):
        for name in ("exec_command", "shell", "exec", "write_stdin", "mcp__github__create_pull_request"):
            call = f"call_{name}_{number}_0123456789abcdef"
            made.item("function_call", name=name, arguments=given, call_id=call)
            made.item("function_call_output", call_id=call, output=[given, {"text": given}])
    made.asks("write_stdin", {"session_id": {"a": 1}})
    made.answer(made.asks("exec_command", {"cmd": "pytest"}), framed("x" * 2_000_000, 1))

    feed = read(made)

    assert feed.total("parser.failures") == 0
    assert [row["status"] for row in feed.events("quality.run")] == ["error"]
