"""Where sessions come from, and which sub-agent a sidechain's line belongs to, as the store shows it."""

from __future__ import annotations

import orjson
import pytest

from ccagent.store.copies import Origin, origin
from ccagent.store.threads import threads
from tests.sources.feed import Feed, files_of
from tests.sources.trees import renamed
from tests.transcripts import Session, Usage, text

pytestmark = pytest.mark.usefixtures("either_store")


@pytest.fixture
def session() -> Session:
    session = Session("s", version="2.1.229")
    session.prompt("hello")
    session.request()
    return session


def kinds(feed: Feed) -> dict[str, str]:
    return {row["session_id"]: row["session_kind"] for row in feed.events("session.lifecycle")}


def copy_of(session: Session, name: str, lines: int | None = None) -> Session:
    """A session that begins with the lines of another, under its own id."""
    fork = Session(name, version="2.1.229", seed=7, start=session.now + 1_000)
    fork.lines = [renamed(line, name) for line in session.lines[:lines]]
    return fork


def test_a_session_is_fresh_unless_a_record_says_more(session: Session) -> None:
    feed = Feed().read(session)

    assert kinds(feed) == {"s": "fresh"}
    assert origin(feed.store.conn, "s") == Origin("fresh")


def test_a_resume_hook_makes_a_session_resumed() -> None:
    session = Session("s", version="2.1.30")
    session.prompt("hello")
    session.progress("hook_progress", "x", {"hookEvent": "SessionStart", "hookName": "SessionStart:resume"})

    assert kinds(Feed().read(session)) == {"s": "resumed"}


def test_a_record_that_names_what_it_was_copied_from_makes_a_fork(session: Session) -> None:
    session.prompt("again", forkedFrom={"sessionId": "old", "messageUuid": "u"}, session_id="process")

    feed = Feed().read(session)

    assert kinds(feed) == {"s": "forked"}
    assert origin(feed.store.conn, "s") == Origin("forked", "old", "forked_from")
    evidence = {row["source_key"]: row["payload_json"] for row in feed.events("artifact.linked")}
    assert orjson.loads(evidence["artifact:s/session/old/forked_from"]) == {"target": "old"}
    assert "artifact:s/session/process/process" in evidence


def test_a_session_that_goes_on_in_the_file_of_another_was_resumed(session: Session) -> None:
    old = session.last_uuid
    session.session_id = "new"
    session.prompt("go on")
    assert orjson.loads(session.lines[-1].raw)["parentUuid"] == old

    feed = Feed().read(session)

    assert kinds(feed) == {"s": "fresh", "new": "resumed"}
    assert origin(feed.store.conn, "new") == Origin("resumed", "s", "same_file")


def test_two_sessions_behind_each_other_in_a_file_need_not_be_related(session: Session) -> None:
    other = Session("t", seed=5, start=session.now)
    other.prompt("something else", after_ms=10)

    feed = Feed()
    feed.take(("one.jsonl", session.content + other.content))

    assert kinds(feed) == {"s": "fresh", "t": "fresh"}


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("together", [True, False])
def test_a_copy_under_a_new_id_is_found_by_the_turns_that_both_hold(
    session: Session, order: int, together: bool
) -> None:
    fork = copy_of(session, "fork")
    session.wait(60_000)
    for each in (fork, session):
        each.prompt("one of its own")
        each.request()
    feed = Feed()
    files = list(files_of(session, fork).items())[::order]
    if together:
        feed.take(*files)
    else:
        for piece in files:
            feed.take(piece)

    found = {name: origin(feed.store.conn, name) for name in ("s", "fork")}

    assert sorted(row["source_key"] for row in feed.events("artifact.linked") if "/history/" in row["source_key"]) == [
        f"artifact:{name}/history/{orjson.loads(session.lines[0].raw)['uuid']}" for name in ("fork", "s")
    ]
    # The copy spoke first after the branching: no record tells that it is the copy.
    assert found == {"fork": Origin("fresh"), "s": Origin("forked", "fork", "copied")}


def test_a_session_that_says_nothing_after_its_copy_was_made_is_the_parent(session: Session) -> None:
    fork = copy_of(session, "a-fork")
    fork.prompt("go on")
    feed = Feed().read(session, fork)

    assert origin(feed.store.conn, "a-fork") == Origin("resumed", "s", "copied")
    assert origin(feed.store.conn, "s") == Origin("fresh")


def test_a_fork_of_a_sub_agent_that_repeats_history_owns_none_of_it(session: Session) -> None:
    tool = session.launch(kind="fork", usage=Usage(output=5))
    child = session.agent(agent_id="a1")
    for line in session.lines:
        record = orjson.loads(line.raw) | {"isSidechain": True, "agentId": "a1"}
        child.raw(orjson.dumps(record) + b"\n")
    child.request(usage=Usage(output=7))
    session.landed(tool, child, kind="fork")
    alone = Feed().read(session)
    child_first = Feed().read(child).read(session)

    for feed in (alone, child_first):
        assert [row["agent_id"] for row in feed.events("llm.request")] == [None, None, "a1"]
        assert len(feed.events("turn")) == len(feed.events("prompt")) == 1
        (run,) = threads(feed.store.conn, "s").runs
        assert (run.type, run.depth, run.amounts.requests) == ("fork", 1, 1)
        assert run.started_at == feed.event(f"tool:{tool}")["occurred_at"]
    assert alone.dump() == child_first.dump()


@pytest.fixture
def inline() -> Session:
    session = Session("s", version="1.0.108")
    session.prompt("hello")
    return session


def test_an_inline_sidechain_that_repeats_a_calls_prompt_is_that_calls_sub_agent(inline: Session) -> None:
    tool = inline.launch(kind="explore", words="look here")
    child = inline.agent(inline=True)
    root = child.prompt("look here")
    child.bash("ls")
    inner = child.request()
    inline.adopt(child)
    inline.result(tool, "looked")

    feed = Feed().read(inline)

    run = feed.event(f"agent:{root}")
    assert (run["agent"], run["status"], run["turn_key"]) == ("explore", "ok", feed.events("turn")[0]["turn_key"])
    assert feed.event(f"llm:{inner}")["agent_id"] == root
    assert feed.event(f"llm:{inner}")["turn_key"] == run["turn_key"]
    found = threads(feed.store.conn, "s")
    assert (found.fan_out, found.orphaned, found.unresolved) == (1, 0, 0)


def test_two_inline_sub_agents_that_take_turns_are_kept_apart(inline: Session) -> None:
    tools = [inline.launch(words=words) for words in ("one", "two")]
    children = [inline.agent(inline=True) for _ in tools]
    roots = [child.prompt(words) for child, words in zip(children, ("one", "two"), strict=True)]
    for child in (*children, *children):
        child.assistant(text("working"))
    lines = [line for pair in zip(*(child.lines for child in children), strict=True) for line in pair]
    inline.lines += lines
    inline.agents.clear()
    for tool in tools:
        inline.result(tool, "done")

    feed = Feed().read(inline)

    found = threads(feed.store.conn, "s")
    assert {run.agent: run.amounts.requests for run in found.runs} == dict.fromkeys(roots, 2)
