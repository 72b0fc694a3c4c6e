"""Commits, pushes, branches and pull requests of a session, as the store shows them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sources.feed import START_MS, Feed, derived
from tests.sources.trees import renamed
from tests.transcripts import Json, Session, Usage, tool_use

pytestmark = pytest.mark.usefixtures("either_store")

FULL = "1234567890abcdef1234567890abcdef12345678"
COMMITTED = "[topic 1234567] Words\n 2 files changed, 30 insertions(+), 4 deletions(-)\n"
PUSHED = "To github.com:demo/atlas.git\n   1111111..2222222  topic -> topic\n"
URL = "https://github.com/demo/atlas/pull/7"
KINDS = ("git.commit", "git.push", "pull_request")
PULL = "pr:github.com/demo/atlas/pull/7"


@pytest.fixture
def session() -> Session:
    session = Session("s", version="2.1.230", branch="topic", start=START_MS)
    session.prompt("do it")
    return session


def run(session: Session, command: str, output: str, *, failed: bool = False, recorded: Json | None = None) -> str:
    """A shell call with that output."""
    details: Json = {"stdout": output, "stderr": "", "interrupted": False}
    if recorded is not None:
        details["gitOperation"] = recorded
    text = f"Exit code 1\n{output}" if failed else output
    return session.tool("Bash", {"command": command}, text, details=details, is_error=failed, usage=Usage(input=1))


def shown(row: dict[str, Any], *columns: str) -> tuple[Any, ...]:
    return tuple(row[column] for column in columns)


def test_a_commit_by_the_line_that_git_printed(session: Session) -> None:
    call = run(session, "git commit -m 'Words'", COMMITTED)

    feed = Feed().read(session)

    row = feed.event("commit:1234567")
    assert shown(row, "event_type", "status", "commit_hash", "detail", "confidence") == (
        "git.commit", "ok", "1234567", "commit", 0.95,
    )  # fmt: skip
    assert shown(row, "size", "lines_added", "lines_removed") == (2, 30, 4)
    assert shown(row, "session_id", "git_branch", "closed_seq")[:2] == ("s", "topic")
    assert row["closed_seq"] is not None
    assert row["occurred_at"] == feed.event(f"tool:{call}")["result_at"]
    assert row["turn_key"] == feed.events("turn")[0]["source_key"]


def test_the_clients_own_record_of_a_commit(session: Session) -> None:
    run(session, "git commit -qm x", "", recorded={"commit": {"sha": FULL, "kind": "committed"}})

    row = Feed().read(session).event("commit:1234567")

    assert shown(row, "confidence", "detail", "payload_json") == (1.0, "commit", f'{{"sha":"{FULL}"}}')


def test_one_commit_seen_in_many_ways_is_one_fact(session: Session) -> None:
    run(session, "git commit -m x", COMMITTED)
    run(session, "git push", "To github.com:demo/atlas.git\n   1111111..12345678  topic -> topic\n")
    other = Session("other", version="2.1.230", branch="topic", start=START_MS + 900_000)
    run(other, "git commit -qm x; git rev-parse HEAD", FULL)

    row = Feed().read(other, session).event("commit:1234567")

    assert shown(row, "confidence", "detail", "session_id", "size") == (0.95, "commit", "s", 2)


def test_a_fork_that_copies_the_session_adds_nothing(session: Session) -> None:
    run(session, "git commit -m x && git push", COMMITTED + PUSHED)
    run(session, "gh pr create --fill", URL)
    fork = Session("fork", version="2.1.230", branch="topic", start=session.now)
    fork.lines = [renamed(line, "fork") for line in session.lines]
    before = Feed().read(session)

    after = Feed().read(fork, session)

    def delivered(feed: Feed) -> list[str]:
        return [
            row["source_key"] for row in feed.events() if row["event_type"] in KINDS or "#opened@" in row["source_key"]
        ]

    assert len(delivered(before)) == 5
    assert delivered(after) == delivered(before)


def test_a_commit_without_a_trace_is_an_attempt(session: Session) -> None:
    call = run(session, "git commit -m x", "the hook does not like it", failed=True)

    (row,) = Feed().read(session).events("git.commit")

    assert row["source_key"] == f"commit:attempt:{call}#0"
    assert shown(row, "status", "is_error", "commit_hash", "confidence", "detail") == ("error", 1, None, None, "commit")


def test_a_refused_commit_is_refused(session: Session) -> None:
    session.rejected("Bash", {"command": "git commit -m x && git push"})

    feed = Feed().read(session)

    assert [row["status"] for row in feed.events("git.commit") + feed.events("git.push")] == ["rejected"] * 2


def test_work_in_the_background_has_only_begun(session: Session) -> None:
    run(session, "git commit -qm x && git push", "Command running in background with ID: b1")

    feed = Feed().read(session)

    assert [row["status"] for row in feed.events("git.commit") + feed.events("git.push")] == ["open"] * 2


def test_a_push_with_branch_and_repository(session: Session) -> None:
    call = run(session, "git push", PUSHED)

    row = Feed().read(session).event(f"push:{call}#0")

    assert shown(row, "status", "detail", "confidence", "repository") == ("ok", "update", 0.95, "github.com/demo/atlas")


def test_the_head_of_a_push_is_a_commit_of_less_confidence(session: Session) -> None:
    run(session, "git push", PUSHED)

    row = Feed().read(session).event("commit:2222222")

    assert shown(row, "confidence", "repository", "detail") == (0.6, "github.com/demo/atlas", None)


def test_a_rejected_push_is_an_error(session: Session) -> None:
    call = run(
        session, "git push", "To github.com:demo/atlas.git\n ! [rejected]  topic -> topic (fetch first)\n", failed=True
    )

    row = Feed().read(session).event(f"push:{call}#0")

    assert shown(row, "status", "detail", "is_error") == ("error", "rejected", 1)


def test_a_pull_request_that_was_opened(session: Session) -> None:
    run(session, "gh pr create --fill", f"Warning: 1 uncommitted change\n{URL}\n")

    feed = Feed().read(session)

    row = feed.event(PULL)
    assert shown(row, "event_type", "pr_number", "pr_url", "repository", "confidence", "detail", "size") == (
        "pull_request", 7, URL, "github.com/demo/atlas", 0.95, "opened", None,
    )  # fmt: skip
    assert [row["detail"] for row in feed.events("artifact.linked") if "#" in row["source_key"]] == ["opened"]


def test_a_pull_request_is_one_however_often_it_is_linked(session: Session) -> None:
    for _ in range(4):
        session.pull_request(7)

    (row,) = Feed().read(session).events("pull_request")

    assert shown(row, "source_key", "confidence", "detail") == ("pr:example.com/demo/atlas/pull/7", 1.0, "linked")


def test_the_same_pull_request_in_record_output_and_link(session: Session) -> None:
    recorded: Json = {"pr": {"number": 7, "url": URL + "/", "action": "created"}}
    run(session, "gh pr create --fill", URL, recorded=recorded)
    session.row(
        {"type": "pr-link", "sessionId": "s", "prUrl": URL, "prNumber": 7, "timestamp": "2026-02-11T00:00:00.000Z"}
    )

    feed = Feed().read(session)

    assert [shown(row, "source_key", "confidence", "detail") for row in feed.events("pull_request")] == [
        (PULL, 1.0, "opened")
    ]
    assert sum("#opened@" in row["source_key"] for row in feed.events()) == 1


def test_a_pull_request_that_exists_already_was_not_opened(session: Session) -> None:
    run(session, "gh pr create --fill || true", f'a pull request for branch "topic" already exists:\n{URL}')

    assert Feed().read(session).event(PULL)["detail"] == "linked"


def test_actions_find_their_pull_request_by_number_and_by_branch(session: Session) -> None:
    run(session, "gh pr create --fill", URL)
    run(session, "gh pr close 7", "")
    run(session, "gh pr reopen 7", "")
    run(session, "gh pr merge --squash", "")

    feed = Feed().read(session)

    actions = [
        row["source_key"]
        for row in feed.events("artifact.linked")
        if row["source_key"].startswith(f"artifact:{PULL[3:]}#")
    ]
    assert [action.partition("#")[2].partition("@")[0] for action in actions] == [
        "opened",
        "closed",
        "reopened",
        "merged",
    ]
    assert len(feed.events("pull_request")) == 1


def test_a_number_alone_is_half_sure(session: Session) -> None:
    run(session, "gh pr merge 12 --squash", "")

    (row,) = Feed().read(session).events("pull_request")

    assert shown(row, "confidence", "pr_number", "pr_url", "repository") == (0.5, 12, None, None)


def test_the_repository_may_stand_in_the_output(session: Session) -> None:
    run(session, "gh pr close 12", "✓ Closed pull request demo/atlas#12 (A title)")

    (row,) = Feed().read(session).events("pull_request")

    assert shown(row, "pr_url", "confidence") == ("https://github.com/demo/atlas/pull/12", 0.95)


def test_a_failed_action_is_none(session: Session) -> None:
    run(session, "gh pr merge 12 --squash", "not mergeable", failed=True)
    run(session, "gh pr create --fill", "pull request create failed", failed=True)

    assert Feed().read(session).events("pull_request") == []


def test_a_merge_request_of_gitlab(session: Session) -> None:
    run(session, "glab mr create --fill", "!5 Words (topic)\n https://gitlab.com/g/s/p/-/merge_requests/5\n")

    (row,) = Feed().read(session).events("pull_request")

    assert shown(row, "pr_url", "repository") == ("https://gitlab.com/g/s/p/-/merge_requests/5", "gitlab.com/g/s/p")


@pytest.mark.parametrize(
    ("tool", "given", "output", "confidence", "action"),
    [
        ("create_pull_request", {"owner": "demo", "repo": "atlas"}, f'{{"html_url":"{URL}"}}', 1.0, "opened"),
        ("create_pull_request", {}, f'{{"url":"{URL.replace("/", chr(92) + "/")}"}}', 1.0, "opened"),
        ("merge_pull_request", {"owner": "demo", "repo": "atlas", "pullNumber": 7}, '{"merged":true}', 0.95, "merged"),
        (
            "update_pull_request",
            {"owner": "demo", "repo": "atlas", "pull_number": 7, "state": "closed"},
            "{}",
            0.95,
            "closed",
        ),
        (
            "update_pull_request",
            {"owner": "demo", "repo": "atlas", "pullNumber": 7, "state": "open"},
            "{}",
            0.95,
            "reopened",
        ),
    ],
)
def test_tools_of_servers(
    session: Session, tool: str, given: Json, output: str, confidence: float, action: str
) -> None:
    session.tool(f"mcp__some_hub__{tool}", given, [{"type": "text", "text": output}], usage=Usage(input=1))

    feed = Feed().read(session)

    assert feed.event(PULL)["confidence"] == confidence
    assert sum(f"#{action}@" in row["source_key"] for row in feed.events("artifact.linked")) == 1


def test_other_tools_of_servers_open_nothing(session: Session) -> None:
    session.tool("mcp__hub__get_pull_request", {"pullNumber": 7}, URL, usage=Usage(input=1))
    session.tool("mcp__hub__merge_pull_request", {"pullNumber": 7}, "no", is_error=True, usage=Usage(input=1))

    assert Feed().read(session).events("pull_request") == []


def test_branches_that_were_made_and_gone_to(session: Session) -> None:
    run(session, "git checkout -b feature/x", "Switched to a new branch 'feature/x'\n")
    run(session, "git switch main", "Switched to branch 'main'\n")

    feed = Feed().read(session)
    rows = [row for row in feed.events("artifact.linked") if ":branch:" in row["source_key"]]

    assert [row["payload_json"] for row in rows] == ['{"branch":"feature/x"}', '{"branch":"main"}']


def test_call_and_result_in_different_batches(session: Session) -> None:
    whole = Session("s", version="2.1.230", branch="topic", start=START_MS)
    whole.prompt("do it")
    run(whole, "git commit -m x && gh pr create", COMMITTED + URL)
    feed = Feed()

    for line in whole.lines:
        feed.take((whole.path, line.raw))

    assert feed.dump() == Feed().read(whole).dump()
    assert feed.event("commit:1234567")["status"] == "ok"
    assert feed.event(PULL)["detail"] == "opened"


def test_what_is_no_text_breaks_nothing(session: Session) -> None:
    for given, output, details in (
        ({"command": 7}, "x", None), ({}, "", None), ({"command": "git commit -m x"}, 7, {"gitOperation": "none"}),
        ({"command": "git push"}, [{"type": "image"}], {"gitOperation": {"push": {"branch": 7}, "commit": {"sha": "no"}}}),
        ({"command": "gh pr create"}, "ok", {"gitOperation": {"pr": {"url": "nowhere", "number": "x"}}}),
    ):  # fmt: skip
        tool_id = session.ids.tool()
        session.assistant(tool_use(tool_id, "Bash", given), usage=Usage(input=1))
        session.result(tool_id, output, details=details)
    session.row({"type": "pr-link", "sessionId": "s", "prUrl": "nowhere"})
    session.row({"type": "pr-link", "sessionId": "s"})

    batch = derived(session.content)

    assert batch.failures == {}
    assert batch.bad == []


def test_nothing_of_the_command_is_kept(session: Session) -> None:
    run(
        session, "git commit -m 'a secret message' && git push", COMMITTED.replace("Words", "a secret message") + PUSHED
    )

    feed = Feed().read(session)

    assert "secret" not in "".join(feed.dump())
    assert b"secret" not in b"".join(row[0] or b"" for row in feed.store.conn.execute("SELECT carry FROM file"))
