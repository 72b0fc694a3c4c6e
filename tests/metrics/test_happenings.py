"""Counters and histograms of what happened in sessions: each by values derived by hand, on both stores."""

from __future__ import annotations

import json
from bisect import bisect_left

import pytest

from ccagent.metrics import names
from ccagent.metrics.catalogue import METRICS
from tests.sources.feed import START_MS, Feed
from tests.sources.happenings import hooks_summed_up, mode_row, task_created, task_updated, todos
from tests.transcripts import Session, Usage, text, tool_use

pytestmark = pytest.mark.usefixtures("either_store")

MINUTE = 60_000
HOUR = 60 * MINUTE


def counted(feed: Feed, metric: str) -> dict[tuple[str, ...], int]:
    """The totals of a counter by label values."""
    return {tuple(json.loads(labels)): value for labels, value in feed.counted(metric).items()}


def observed(feed: Feed, metric: str) -> dict[tuple[str, ...], tuple[list[int], float]]:
    """Buckets and sum of a histogram by label values."""
    found = feed.store.conn.execute("SELECT labels, counts, sum FROM histogram WHERE metric = ?", (metric,)).fetchall()
    return {tuple(json.loads(labels)): (json.loads(counts), total) for labels, counts, total in found}


def buckets(metric: str, *values: float) -> tuple[list[int], float]:
    """What a histogram of these values holds."""
    bounds = METRICS[metric].buckets or ()
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[bisect_left(bounds, value)] += 1
    return counts, pytest.approx(sum(values))


@pytest.fixture
def session() -> Session:
    return Session("a")


def over(*sessions: Session) -> Feed:
    """A feed that has read them and let them end."""
    feed = Feed().read(*sessions)
    feed.until(max(each.now for each in sessions) + 25 * HOUR, quiet=feed.file_ids())
    while feed.tick():
        pass
    return feed


def test_requests_are_counted_by_the_type_of_agent(session: Session) -> None:
    session.prompt("look")
    tool = session.launch(kind="explorer")
    child = session.agent()
    child.prompt("look into it")
    child.request()
    child.request()
    session.landed(tool, child, kind="explorer")
    session.request()

    feed = over(session)

    assert counted(feed, names.AGENT_REQUESTS) == {("main",): 2, ("explorer",): 2}


def test_a_message_without_its_final_line_is_truncated(session: Session) -> None:
    session.prompt("go")
    session.assistant(text("whole"))
    session.assistant(text("cut"), stop_reason=None)
    session.assistant(text("torn"), isAbortedMidStream=True)

    assert counted(over(session), names.TRUNCATED_MESSAGES) == {("claude-opus-4-6",): 2}


def test_the_part_of_the_window_that_a_prompt_fills_is_observed(session: Session) -> None:
    session.prompt("go")
    session.assistant(text("so"), usage=Usage(input=10_000, cache_read=30_000, cache_write=10_000))
    session.assistant(text("more"), usage=Usage(input=150_000), model="glm-5")  # a window of 200,000 is assumed

    found = observed(over(session), names.CONTEXT_UTILIZATION)

    window = METRICS[names.CONTEXT_UTILIZATION]
    assert window.labels == ("model",)
    assert found["glm-5",] == buckets(names.CONTEXT_UTILIZATION, 0.75)
    assert sum(found["claude-opus-4-6",][0]) == 1
    event = next(row for row in over(session).events("llm.request") if row["model"] == "claude-opus-4-6")
    assert found["claude-opus-4-6",][1] == pytest.approx(event["context_utilization"])


def test_micro_compactions_are_counted(session: Session) -> None:
    session.prompt("go")
    session.microcompaction()
    session.microcompaction()

    assert counted(over(session), names.MICROCOMPACTIONS) == {(): 2}


def test_active_time_is_the_agents_and_the_persons(session: Session) -> None:
    session.prompt("one", after_ms=0)
    session.request()  # 2 s later
    session.prompt("two", after_ms=60_000)
    session.bash("make", took_ms=10_000)  # asked for after 2 s
    session.request()  # 2 s later
    session.prompt("three", after_ms=6 * MINUTE)  # that person was away

    assert counted(over(session), names.ACTIVE) == {("cli",): 2_000 + 14_000, ("user",): 60_000}


def test_a_silence_in_a_turn_is_no_active_time(session: Session) -> None:
    session.prompt("go", after_ms=0)
    session.bash("make", took_ms=4 * MINUTE)  # called 2 s after the prompt
    session.tool("AskUserQuestion", {"questions": []}, took_ms=3 * HOUR)  # asked 2 s after that
    session.request()  # 2 s after the answer

    assert counted(over(session), names.ACTIVE) == {("cli",): 2_000 + 4 * MINUTE + 2_000 + 2_000}


def test_what_is_written_after_the_last_reply_is_no_active_time(session: Session) -> None:
    session.prompt("go", after_ms=0)
    session.request()
    session.system("informational", content="good morning")
    session.now += 12 * HOUR
    session.system("informational", content="good evening")

    assert counted(over(session), names.ACTIVE) == {("cli",): 2_000}


def test_calls_and_mode_of_each_turn_are_booked_when_it_closes(session: Session) -> None:
    session.prompt("one")
    session.bash("ls")
    session.bash("pwd")
    session.permission_mode = "plan"
    session.prompt("two")
    session.request()
    session.permission_mode = "a mode of tomorrow"
    session.prompt("three")

    feed = Feed().read(session)
    assert counted(feed, names.PERMISSION_MODE_TURNS) == {("default",): 1, ("plan",): 1}
    feed.tick(25 * HOUR)

    assert counted(feed, names.PERMISSION_MODE_TURNS) == {("default",): 1, ("plan",): 1, ("other",): 1}
    assert observed(feed, names.TURN_TOOL_CALLS) == {(): buckets(names.TURN_TOOL_CALLS, 2, 0, 0)}


def test_loops_and_stalls_are_turns(session: Session) -> None:
    session.prompt("loop")
    for _ in range(4):
        session.tool("Read", {"file_path": "/a"}, "same")
    session.prompt("stall")
    session.assistant(text("at last"), after_ms=11 * MINUTE)
    session.prompt("well")

    assert counted(over(session), names.STALLS) == {("loop",): 1, ("stall",): 1}


def test_a_session_is_counted_when_it_ends_by_how_it_began(session: Session) -> None:
    session.prompt("go")
    session.request()
    fork = Session("b", start=session.now)
    fork.prompt("on", forkedFrom={"sessionId": "a", "messageUuid": "x"})
    fork.request()

    feed = Feed().read(session, fork)
    assert counted(feed, names.SESSIONS) == {}
    feed.until(fork.now + 31 * MINUTE)

    assert counted(feed, names.SESSIONS) == {("fresh", "atlas"): 1, ("forked", "atlas"): 1}


def test_a_session_that_is_taken_up_again_is_counted_once(session: Session) -> None:
    session.prompt("go")
    session.request()
    feed = Feed().read(session)
    feed.until(session.now + 31 * MINUTE)
    before = observed(feed, names.SESSION_DURATION)
    session.prompt("on", after_ms=3 * HOUR)
    session.request()

    feed.read(session)
    feed.until(session.now + 2 * HOUR)

    assert feed.total(names.SESSIONS) == 1
    assert observed(feed, names.SESSION_DURATION) == before
    assert counted(feed, names.TOTALS_RELABELLED) == {("session",): 1}


def test_a_session_lasts_as_long_as_it_was_active(session: Session) -> None:
    session.prompt("go", after_ms=0)
    session.request()  # + 2 s
    session.prompt("two", after_ms=2 * MINUTE)
    session.request()  # + 2 s
    session.prompt("three", after_ms=10 * MINUTE)
    session.request()  # + 2 s

    assert observed(over(session), names.SESSION_DURATION) == {("atlas",): buckets(names.SESSION_DURATION, 126)}


def test_the_tree_of_a_session_is_observed_when_it_ends(session: Session) -> None:
    session.prompt("go")
    for _ in range(2):
        tool = session.launch()
        child = session.agent()
        child.prompt("look into it")
        child.request()
        session.landed(tool, child)
    tool = session.launch()
    child = session.agent()
    child.prompt("look into it")
    deeper = child.launch()
    grandchild = child.agent()
    grandchild.prompt("look into it")
    grandchild.request()
    child.landed(deeper, grandchild)
    session.landed(tool, child)
    alone = Session("b")
    alone.prompt("alone")
    alone.request()

    feed = over(session, alone)

    assert observed(feed, names.SESSION_FANOUT) == {(): buckets(names.SESSION_FANOUT, 3, 0)}
    assert observed(feed, names.SESSION_DEPTH) == {(): buckets(names.SESSION_DEPTH, 2, 0)}


def test_links_are_observed_when_their_session_ends(session: Session) -> None:
    session.prompt("go")
    session.pull_request(7)
    session.request()

    feed = over(session)
    rows = feed.store.conn.execute(
        "SELECT target_type, confidence FROM analytics_entity_links WHERE source_type = 'session'"
    ).fetchall()

    found = observed(feed, names.LINK_CONFIDENCE)
    assert found["pull_request",] == buckets(names.LINK_CONFIDENCE, 1.0)
    assert sum(sum(counts) for counts, _ in found.values()) == len(rows)


def test_a_link_that_comes_after_the_end_is_counted_as_relabelled(session: Session) -> None:
    session.prompt("go")
    session.request()
    feed = Feed().read(session)
    feed.until(session.now + 31 * MINUTE)
    session.pull_request(7)

    feed.read(session)

    assert observed(feed, names.LINK_CONFIDENCE) == {}
    assert counted(feed, names.TOTALS_RELABELLED)["link",] == 1


def test_calls_that_repeat_a_failed_one_are_retries(session: Session) -> None:
    session.prompt("go")
    for code in (1, 1, 0):
        session.bash("make", exit_code=code)
    session.bash("ls")

    assert counted(over(session), names.TOOL_RETRIES) == {("Bash",): 2}


def test_decisions_are_told_by_outcome_and_source(session: Session) -> None:
    session.prompt("go")
    session.bash("ls")
    session.edit("/a.py", added=1, removed=0)
    session.rejected("Write", {"file_path": "/b.py", "content": ""})
    session.permission_mode = "acceptEdits"
    session.prompt("on")
    session.edit("/a.py", added=1, removed=0)
    session.assistant(tool_use(session.ids.tool(), "Edit", {}))  # never answered: nothing was decided

    feed = over(session)

    assert counted(feed, names.TOOL_DECISIONS) == {
        ("accept", "unknown"): 2, ("reject", "user_reject"): 1, ("accept", "config"): 1,
    }  # fmt: skip
    assert counted(feed, names.EDIT_DECISIONS) == {("Edit", "accept"): 2, ("Write", "reject"): 1}


def test_a_dangerous_call_counts_under_each_of_its_patterns(session: Session) -> None:
    session.prompt("go")
    session.bash("sudo rm -rf /tmp/x")
    session.bash("git reset --hard", exit_code=1)
    session.bash("rm a")

    assert counted(over(session), names.DANGEROUS_CALLS) == {
        ("rm_rf", "ok"): 1, ("sudo", "ok"): 1, ("git_reset_hard", "error"): 1,
    }  # fmt: skip


def test_skills_are_counted_by_name(session: Session) -> None:
    session.prompt("go")
    session.tool("Skill", {"skill": "pack:sew"})
    session.tool("Skill", {"skill": "pack:sew"})
    session.tool("Skill", {"skill": "knit"})

    assert counted(over(session), names.SKILL_ACTIVATIONS) == {("pack:sew",): 2, ("knit",): 1}


def test_skills_beyond_the_budget_share_a_series(session: Session) -> None:
    session.prompt("go")
    for number in range(3):
        session.tool("Skill", {"skill": f"skill{number}"})
    feed = Feed(budgets={"skill": 1}).read(session)

    found = counted(feed, names.SKILL_ACTIVATIONS)
    assert found.pop(("_overflow_",)) == 2
    assert list(found.values()) == [1]
    assert counted(feed, names.METRICS_OVERFLOW)[names.SKILL_ACTIVATIONS, "skill"] == 2


def test_hooks_are_timed_by_event_and_outcome(session: Session) -> None:
    session.prompt("go")
    session.request()
    hooks_summed_up(session, "u1", {"command": "check", "durationMs": 1_500}, {"command": "say", "durationMs": 40})

    assert observed(over(session), names.HOOK_DURATION) == {("Stop", "ok"): buckets(names.HOOK_DURATION, 1.5, 0.04)}


def commit(session: Session, sha: str, branch: str = "topic") -> None:
    """A commit as git prints it."""
    printed = f"[{branch} {sha}] Words\n 1 file changed, 1 insertion(+)\n"
    session.tool("Bash", {"command": "git commit -m x"}, printed, details={"stdout": printed})


def test_commits_are_counted_once_and_only_sure_ones(session: Session) -> None:
    session.prompt("go")
    commit(session, "1111111")
    commit(session, "1111111")
    commit(session, "2222222")
    shown = "3333333 Words\n"
    session.tool("Bash", {"command": "git commit -qm x; git log -1 --oneline"}, shown, details={"stdout": shown})

    feed = over(session)

    sure = [row for row in feed.events("git.commit") if row["commit_hash"] and row["confidence"] >= 0.95]
    assert len(sure) == 2
    assert counted(feed, names.COMMITS) == {("atlas",): 2}


def test_pull_requests_are_counted_by_their_url(session: Session) -> None:
    session.prompt("go")
    session.pull_request(7)
    session.pull_request(7)
    session.pull_request(8)
    other = Session("b", cwd="/home/demo/other")
    other.prompt("go")
    other.pull_request(8)

    assert counted(over(session, other), names.PULL_REQUESTS) == {("atlas",): 2}


def test_delivery_takes_from_the_first_prompt_to_the_commit(session: Session) -> None:
    session.prompt("go", after_ms=0)
    session.request()
    session.wait(20 * MINUTE)
    feed = Feed().read(session)
    feed.store.catch_up_done()
    commit(session, "1111111")  # called after 2 s, answered after 0.8 s
    url = "https://github.com/demo/atlas/pull/9"
    session.tool("Bash", {"command": "gh pr create --fill"}, url, details={"stdout": url})  # after 2.8 s more

    feed.read(session)

    assert observed(feed, names.DELIVERY) == {
        ("commit",): buckets(names.DELIVERY, 1_202 + 2.8),
        ("pull_request",): buckets(names.DELIVERY, 1_202 + 2.8 + 2.8),
    }


def test_deliveries_of_history_are_measured_when_all_of_it_was_read() -> None:
    begun = Session("a", branch="topic")
    begun.prompt("begin", after_ms=0)
    begun.request()
    later = Session("b", branch="topic", start=begun.now + 5 * HOUR)
    later.prompt("finish")
    commit(later, "1111111")
    feed = Feed().read(later, begun)  # the newest first
    assert observed(feed, names.DELIVERY) == {}

    feed.store.catch_up_done()
    feed.store.catch_up_done()

    event = next(row for row in feed.events("git.commit"))
    assert observed(feed, names.DELIVERY) == {
        ("commit",): buckets(names.DELIVERY, (event["occurred_at"] - START_MS) / 1_000)
    }


def test_quality_runs_are_counted_by_kind_and_outcome(session: Session) -> None:
    session.prompt("go")
    passed = "===== 3 passed in 0.10s ====="
    session.tool("Bash", {"command": "pytest -q"}, passed, details={"stdout": passed})
    session.bash("ruff check .", exit_code=1)

    assert counted(over(session), names.QUALITY_RUNS) == {("test", "ok"): 1, ("lint", "error"): 1}


def test_tasks_are_completed_by_the_word_that_says_so(session: Session) -> None:
    session.prompt("go")
    todos(session, {"write": "in_progress", "test": "pending"}, {})
    todos(session, {"write": "completed", "test": "pending"}, {"write": "in_progress", "test": "pending"})
    task_created(session, "1")
    task_updated(session, "1", "pending", "completed")

    assert counted(over(session), names.TASKS_COMPLETED) == {("completed", "atlas"): 2}


def test_a_message_that_contradicts_itself_is_counted_and_kept(session: Session) -> None:
    session.prompt("go")
    session.assistant(text("so"), usage=Usage(cache_write=10, cache_write_1h=30))
    session.assistant({"type": "tool_use", "id": None, "name": "Bash", "input": {}})

    feed = over(session)

    assert counted(feed, names.INVARIANT_MISMATCHES) == {("token_sum",): 1, ("tool_count",): 1}
    assert len(feed.events("llm.request")) == 2


def test_what_is_read_again_books_nothing(session: Session) -> None:
    session.prompt("go")
    mode_row(session, "plan")
    commit(session, "1111111")
    session.pull_request(7)
    session.request()
    feed = over(session)
    feed.store.catch_up_done()

    def booked() -> dict[str, object]:
        facts = [name for name, spec in METRICS.items() if spec.from_facts]
        return {name: (counted(feed, name), observed(feed, name)) for name in facts}

    before = booked()
    feed.take((session.path, session.content), again=True)
    feed.tick(HOUR)

    assert booked() == before
