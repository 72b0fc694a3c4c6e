"""Misses of the prompt cache with each of their causes, compactions and what they left."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from ccagent.facts.cache_miss import CAUSE_NAMES
from ccagent.facts.model import EventType
from ccagent.facts.partial import Partial
from ccagent.sources.claude.caching import TOOL_COMMANDS, TOOL_LISTS
from ccagent.sources.claude.carry import CHAINS, Carry
from tests.sources.feed import Feed, derived
from tests.transcripts import Line, Session, Usage, text, tool_use

pytestmark = pytest.mark.usefixtures("either_store")

WARM = Usage(input=3, output=50, cache_read=16_000, cache_write=84_000, cache_write_1h=0)
COLD = Usage(input=3, output=50, cache_read=16_000, cache_write=85_000, cache_write_1h=0)
NEXT = Usage(input=3, output=50, cache_read=100_000, cache_write=1_000, cache_write_1h=0)
SHORT = Usage(input=3, output=50, cache_read=16_000, cache_write=14_000, cache_write_1h=0)


@pytest.fixture
def session() -> Session:
    """A chain that has 100,000 tokens cached for five minutes, and a prompt of a running turn behind it."""
    session = Session("s", version="2.1.229")
    session.prompt("hello")
    session.bash("ls", usage=WARM)
    return session


def misses(session: Session) -> list[Partial]:
    """What was missed, as the lines say it."""
    return list(derived(session.content).facts[EventType.CACHE_MISS].values())


def causes(session: Session) -> list[str | None]:
    return [miss.name for miss in misses(session)]


def changed(session: Session, **fields: Any) -> None:
    """Change the message of the last line."""
    line = session.lines[-1]
    record = orjson.loads(line.raw)
    record["message"] |= fields
    session.lines[-1] = Line(at_ms=line.at_ms, raw=orjson.dumps(record) + b"\n")


def compacted(session: Session) -> None:
    session.compaction()


def microcompacted(session: Session) -> None:
    session.microcompaction()


def switched(session: Session) -> None:
    session.model = "claude-haiku-4-5-20251001"


def forked(session: Session) -> None:
    session.session_id = "s2"


def waited(session: Session) -> None:
    session.wait(5 * 60_000 + 1)
    session.prompt("there again", after_ms=0)


def listed(session: Session) -> None:
    session.attachment(sorted(TOOL_LISTS)[0])


def commanded(session: Session) -> None:
    session.slash(sorted(TOOL_COMMANDS)[0])
    session.command_output()
    session.prompt("go on")


def updated(session: Session) -> None:
    session.version = "2.1.230"


def looked_up(session: Session) -> None:
    session.tool("ToolSearch", {"query": "q"}, usage=NEXT)


def retried(session: Session) -> None:
    session.api_error()


def loaded(session: Session) -> None:
    session.tool("Skill", {"skill": "review"}, usage=NEXT)


def typed(session: Session) -> None:
    session.slash("/review")


def left(session: Session) -> None:
    """A skill was loaded, its turn is over."""
    session.tool("Skill", {"skill": "review"}, usage=NEXT)
    session.request(usage=Usage(input=3, output=50, cache_read=101_000, cache_write=500, cache_write_1h=0))
    session.prompt("thanks")


def interrupted(session: Session) -> None:
    session.interrupt()
    session.prompt("rather so")


def nothing(session: Session) -> None:
    session.prompt("go on")


@pytest.mark.parametrize(
    ("happening", "cause"),
    [
        (compacted, "compaction"), (microcompacted, "compaction"), (switched, "model_switch"), (forked, "fork"),
        (waited, "expired_ttl"), (listed, "tools_changed"), (commanded, "tools_changed"), (updated, "tools_changed"),
        (looked_up, "tools_changed"), (retried, "retry"), (loaded, "skill"), (typed, "skill"), (left, "skill"),
        (interrupted, "interrupted"), (nothing, "unexplained"),
    ],
)  # fmt: skip
def test_a_miss_has_its_likely_cause(session: Session, happening: Any, cause: str) -> None:
    happening(session)
    session.request(usage=COLD)

    (miss,) = misses(session)

    assert miss.name == cause
    assert cause in CAUSE_NAMES


@pytest.mark.parametrize("happening", [compacted, microcompacted, waited, listed, retried, loaded, nothing])
def test_what_is_read_again_is_no_miss_whatever_happened(session: Session, happening: Any) -> None:
    happening(session)
    session.request(usage=Usage(input=3, output=50, cache_read=101_000, cache_write=1_000, cache_write_1h=0))

    assert misses(session) == []


def test_a_prompt_that_became_shorter_without_a_record_was_edited(session: Session) -> None:
    session.request(usage=SHORT)

    assert causes(session) == ["context_edited"]


def test_a_reply_that_came_whole_is_the_clients_way_out_of_a_stall(session: Session) -> None:
    session.assistant(text("so"), usage=COLD)
    changed(session, content=[text("so"), tool_use("toolu_x", "Bash", {"command": "ls"})])

    assert causes(session) == ["retry"]


def test_the_first_streamed_reply_after_it_too(session: Session) -> None:
    session.assistant(text("so"), usage=NEXT)
    changed(session, content=[text("so"), tool_use("toolu_x", "Bash", {"command": "ls"})])
    session.request(usage=COLD)
    session.request(usage=Usage(input=3, output=5, cache_read=16_000, cache_write=86_000, cache_write_1h=0))

    assert causes(session) == ["retry", "unexplained"]


def test_replies_that_always_come_whole_tell_nothing(session: Session) -> None:
    for usage in (NEXT, COLD):
        session.assistant(text("so"), usage=usage)
        changed(session, content=[text("so"), tool_use("toolu_x", "Bash", {"command": "ls"})])

    assert causes(session) == ["unexplained"]


def test_a_skill_is_over_with_the_prompt_after_its_turn(session: Session) -> None:
    left(session)
    session.request(usage=Usage(input=3, output=50, cache_read=101_500, cache_write=9, cache_write_1h=0))
    session.prompt("and now")
    session.request(usage=COLD)

    assert causes(session) == ["unexplained"]


@pytest.mark.parametrize(("hour", "cause"), [(0, "expired_ttl"), (900, "unexplained")])
def test_a_request_that_writes_nothing_leaves_the_life_of_what_was_written(
    session: Session, hour: int, cause: str
) -> None:
    session.request(usage=Usage(input=3, output=5, cache_read=100_000, cache_write=900, cache_write_1h=hour))
    session.request(usage=Usage(input=3, output=5, cache_read=100_900, cache_write=0, cache_write_1h=0))
    waited(session)
    session.request(usage=COLD)

    assert causes(session) == [cause]


def test_a_sidechain_without_an_id_is_none_of_the_main_chain(session: Session) -> None:
    child = session.agent(inline=True)
    child.request(usage=Usage(input=3, output=5, cache_read=0, cache_write=9_000, cache_write_1h=0))
    session.adopt(child)
    session.request(usage=NEXT)

    assert misses(session) == []


def test_a_copied_history_and_then_a_request_of_ones_own_is_a_fork(session: Session) -> None:
    copied = [orjson.loads(line.raw) | {"forkedFrom": {"sessionId": "o"}} for line in session.lines]
    session.lines = [Line(at_ms=0, raw=orjson.dumps(record) + b"\n") for record in copied]
    session.request(usage=COLD)

    assert causes(session) == ["fork"]


def test_an_hour_long_entry_lives_longer(session: Session) -> None:
    session.request(usage=Usage(input=3, output=5, cache_read=100_000, cache_write=900, cache_write_1h=900))
    waited(session)
    session.request(usage=COLD)
    session.request(usage=Usage(input=3, output=5, cache_read=101_000, cache_write=900, cache_write_1h=900))
    session.wait(61 * 60_000)
    session.prompt("back")
    session.request(usage=COLD)

    assert causes(session) == ["unexplained", "expired_ttl"]


def test_the_evidence_is_that_since_the_last_request(session: Session) -> None:
    compacted(session)
    session.request(usage=SHORT)
    session.request(usage=Usage(input=3, output=5, cache_read=30_000, cache_write=70_000, cache_write_1h=0))
    session.request(usage=COLD)

    assert causes(session) == ["compaction", "unexplained"]


def test_a_miss_is_shown_with_its_request(session: Session) -> None:
    waited(session)
    message = session.request(usage=COLD)

    (miss,) = Feed().read(session).events("cache.miss")

    expected = {
        "source_key": f"miss:{message}", "request_key": f"llm:{message}", "cache_miss_cause": "expired_ttl",
        "detail": "judged", "tokens_missed": 84_000, "cost_microusd": None, "token_input": None, "model": None,
    }  # fmt: skip
    assert {column: miss[column] for column in expected} == expected
    assert miss["closed_seq"] is not None


@pytest.mark.parametrize(
    ("reason", "cause", "detail"),
    [
        ("model_changed", "model_switch", "model_changed"),
        ("tools_changed", "tools_changed", "tools_changed"),
        ("system_changed", "tools_changed", "system_changed"),
        ("messages_changed", "expired_ttl", "messages_changed"),
        ("unavailable", "expired_ttl", "unavailable"),
        ("something_new", "expired_ttl", "something_new"),
        (None, "expired_ttl", "judged"),
    ],
)
def test_the_clients_own_reason_wins(session: Session, reason: str | None, cause: str, detail: str) -> None:
    waited(session)
    session.request(usage=COLD)
    changed(session, diagnostics={"cache_miss_reason": {"type": reason, "cache_missed_input_tokens": 50_000}})

    (miss,) = Feed().read(session).events("cache.miss")

    known = reason in ("model_changed", "tools_changed", "system_changed", "messages_changed")
    assert (miss["cache_miss_cause"], miss["detail"]) == (cause, detail)
    assert miss["tokens_missed"] == (50_000 if known else 84_000)


def test_a_reason_without_a_loss_is_none(session: Session) -> None:
    session.request(usage=NEXT)
    changed(session, diagnostics={"cache_miss_reason": {"type": "previous_message_not_found"}})
    session.request(usage=Usage(input=3, output=5, cache_read=101_000, cache_write=9, cache_write_1h=0))
    changed(session, diagnostics=None)

    assert misses(session) == []


def test_a_reported_miss_needs_no_request_before_it() -> None:
    session = Session("s", version="2.1.229")
    session.prompt("hello")
    session.request(usage=COLD)
    reason = {"type": "messages_changed", "cache_missed_input_tokens": 70_000}
    changed(session, diagnostics={"cache_miss_reason": reason})

    (miss,) = misses(session)

    assert (miss.name, miss.size, miss.label) == ("unexplained", 70_000, "messages_changed")


def test_late_lines_of_a_message_are_no_request(session: Session) -> None:
    session.assistant(text("so"), usage=NEXT, message_id="one")
    late = session.lines[-1]
    session.result("toolu_y", "fine")
    session.assistant(
        text("next"), usage=Usage(input=3, output=5, cache_read=101_000, cache_write=40_000, cache_write_1h=0)
    )
    session.lines.append(late)
    session.request(usage=Usage(input=3, output=5, cache_read=141_000, cache_write=9, cache_write_1h=0))

    assert misses(session) == []


def test_a_cut_between_the_requests_changes_nothing(session: Session) -> None:
    feed = Feed().read(session)
    waited(session)
    feed.read(session)
    session.request(usage=COLD)

    assert [miss["cache_miss_cause"] for miss in feed.read(session).events("cache.miss")] == ["expired_ttl"]


def test_each_chain_has_a_cache_of_its_own(session: Session) -> None:
    session.launch(usage=NEXT)
    child = session.agent()
    child.prompt("look")
    child.request(usage=Usage(input=3, output=5, cache_read=0, cache_write=40_000, cache_write_1h=0))
    child.request(usage=Usage(input=3, output=5, cache_read=40_000, cache_write=9, cache_write_1h=0))
    child.request(usage=Usage(input=3, output=5, cache_read=0, cache_write=41_000, cache_write_1h=0))
    session.request(usage=Usage(input=3, output=5, cache_read=101_000, cache_write=9, cache_write_1h=0))

    (miss,) = Feed().read(session).events("cache.miss")

    assert (miss["agent_id"], miss["tokens_missed"]) == (child.agent_id, 40_009)


def test_a_fork_with_the_same_messages_has_the_same_misses(session: Session) -> None:
    waited(session)
    session.request(usage=COLD)
    feed = Feed().read(session)
    before = feed.dump()

    feed.take(("copy.jsonl", session.content))

    assert feed.dump() == before


def test_the_carry_forgets_old_chains_and_never_the_main_one() -> None:
    carry = Carry()
    session = Session("s")
    session.prompt("hello")
    session.request(usage=WARM)
    for number in range(CHAINS + 5):
        child = session.agent(agent_id=f"a{number}", inline=True)
        child.inline_agent = False
        child.request(usage=WARM)
        session.adopt(child)

    derived(session.content, carry=carry)

    assert len(carry.chains) == CHAINS
    assert "" in carry.chains


# ---- compactions ---------------------------------------------------------------------------------------------------


def test_a_compaction_has_the_tokens_before_and_after(session: Session) -> None:
    uuid = session.compaction(167_000)
    session.request(usage=SHORT)
    session.request(usage=Usage(input=3, output=5, cache_read=30_000, cache_write=70_000, cache_write_1h=0))

    event = Feed().read(session).event(f"compaction:{uuid}")

    assert (event["tokens_before"], event["tokens_after"], event["tokens_saved"]) == (167_000, 30_003, 136_997)
    assert (event["trigger"], event["retry_count"]) == ("auto", None)


def test_what_a_compaction_left_may_come_later(session: Session) -> None:
    uuid = session.compaction(167_000)
    feed = Feed().read(session)
    before = feed.event(f"compaction:{uuid}")
    session.request(usage=SHORT)

    after = feed.read(session).event(f"compaction:{uuid}")

    assert (before["tokens_after"], before["tokens_saved"]) == (None, None)
    assert after["tokens_after"] == 30_003
    assert feed.counted("compactions") == {'["auto"]': 1}


def test_a_sub_agent_does_not_tell_what_the_main_compaction_left(session: Session) -> None:
    uuid = session.compaction(167_000)
    child = session.agent()
    child.request(usage=WARM)
    session.request(usage=SHORT)

    assert Feed().read(session).event(f"compaction:{uuid}")["tokens_after"] == 30_003


def test_a_compaction_that_says_how_long_it_took(session: Session) -> None:
    metadata = {"trigger": "manual", "preTokens": 150_000, "durationMs": 41_500.4}
    uuid = session.system("compact_boundary", compactMetadata=metadata)

    event = Feed().read(session).event(f"compaction:{uuid}")

    assert event["duration_ms"] == 41_500


def test_a_summary_without_a_boundary_is_an_inferred_compaction(session: Session) -> None:
    session.record("user", {"message": {"role": "user", "content": "In short."}, "isCompactSummary": True})
    message = session.request(usage=SHORT)

    feed = Feed().read(session)

    event = feed.event(f"compaction:{message}")
    assert (event["trigger"], event["tokens_before"], event["tokens_after"]) == ("inferred", 100_003, 30_003)
    assert feed.counted("compactions") == {'["inferred"]': 1}
    assert [miss["cache_miss_cause"] for miss in feed.events("cache.miss")] == ["compaction"]


def test_a_summary_after_its_boundary_is_no_second_compaction(session: Session) -> None:
    session.compaction()
    session.request(usage=SHORT)

    assert Feed().read(session).counted("compactions") == {'["auto"]': 1}


def test_a_summary_of_a_context_that_hardly_fell_is_no_compaction(session: Session) -> None:
    session.record("user", {"message": {"role": "user", "content": "In short."}, "isCompactSummary": True})
    session.request(usage=Usage(input=3, output=5, cache_read=70_001, cache_write=0, cache_write_1h=0))

    assert not derived(session.content).facts[EventType.COMPACTION]


def test_a_microcompaction_is_no_compaction(session: Session) -> None:
    uuid = session.microcompaction(70_000, 40_000)

    feed = Feed().read(session)

    event = feed.event(f"microcompaction:{uuid}")
    assert (event["tokens_before"], event["tokens_saved"], event["tokens_after"]) == (70_000, 40_000, None)
    assert event["status"] == "ok"
    assert feed.total("compactions") == 0


def test_the_sub_agent_that_writes_a_summary_is_a_run_of_that_kind(session: Session) -> None:
    child = session.agent(agent_id="acompact-0a1b2c")
    message = child.request(usage=WARM)

    feed = Feed().read(session)

    assert feed.event("agent:acompact-0a1b2c")["agent"] == "compaction"
    assert feed.event(f"llm:{message}")["agent_id"] == "acompact-0a1b2c"


def test_a_request_shows_how_full_it_makes_the_context(session: Session) -> None:
    message = session.request(usage=NEXT, model="claude-opus-4-5-20251101")
    changed(session, diagnostics=None)
    line = orjson.loads(session.lines[-1].raw) | {"effort": "xhigh"}
    session.lines[-1] = Line(at_ms=session.now, raw=orjson.dumps(line) + b"\n")

    event = Feed().read(session).event(f"llm:{message}")

    assert (event["context_tokens"], event["context_window"]) == (101_003, 200_000)
    assert (event["context_window_source"], event["context_utilization"]) == ("table", 101_003 / 200_000)
    assert event["cache_hit_ratio"] == 100_000 / 101_003
    assert event["effort"] == "xhigh"
