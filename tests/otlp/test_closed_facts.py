"""Closed facts as the exporters read them from the store."""

from __future__ import annotations

from ccagent.facts.model import EventType
from ccagent.store.outbox import closed_facts, create_cursor, last_closed, read_cursor
from tests.otlp.ledger import HOST, NOW, Ledger


def test_they_come_in_the_order_of_closing_and_only_those_that_become_spans(ledger: Ledger) -> None:
    ledger.fact(EventType.LLM_REQUEST, "msg_1", turn="t1", name="m", closed_seq=9)
    ledger.fact(EventType.TOOL_CALL, "toolu_1", turn="t1", name="Bash", closed_seq=4)
    ledger.fact(EventType.PROMPT, "p1", closed_seq=5)
    ledger.fact(EventType.TOOL_CALL, "toolu_2", closed=False)

    found = closed_facts(ledger.conn, HOST, 0, 10)

    assert [(seq, fact.source_key) for seq, fact in found] == [(4, "tool:toolu_1"), (9, "llm:msg_1")]
    assert [seq for seq, _ in closed_facts(ledger.conn, HOST, 4, 10)] == [9]
    assert last_closed(ledger.conn, HOST) == 9


def test_a_turn_knows_the_one_before_it_in_its_session(ledger: Ledger) -> None:
    ledger.fact(EventType.TURN, "t2", turn="t2", occurred_at=NOW - 50, session="s1")
    ledger.fact(EventType.TURN, "t1", turn="t1", occurred_at=NOW - 90, session="s1")
    ledger.fact(EventType.TURN, "other", turn="other", occurred_at=NOW - 60, session="s2")

    found = {fact.native: fact.previous_turn for _, fact in closed_facts(ledger.conn, HOST, 0, 10)}

    assert found == {"t1": None, "t2": "t1", "other": None}


def test_a_sub_agents_facts_take_turn_and_tool_from_the_link(ledger: Ledger) -> None:
    ledger.fact(EventType.TOOL_CALL, "toolu_task", turn="t1", name="Task")
    ledger.fact(EventType.SUBAGENT_RUN, "a1", name="Explore")
    ledger.fact(EventType.LLM_REQUEST, "msg_1", name="m", agent="a1")
    ledger.link("a1", tool="toolu_task", turn="t1", depth=1)

    _, run, request = (fact for _, fact in closed_facts(ledger.conn, HOST, 0, 10))

    assert (run.agent, run.agent_tool, run.turn, run.depth) == ("a1", "toolu_task", "t1", 1)
    assert (request.agent, request.agent_tool, request.turn) == ("a1", "toolu_task", "t1")


def test_an_unlinked_sub_agents_facts_have_no_turn(ledger: Ledger) -> None:
    ledger.fact(EventType.LLM_REQUEST, "msg_1", name="m", agent="a9", turn="t1")

    ((_, fact),) = closed_facts(ledger.conn, HOST, 0, 10)

    assert (fact.agent, fact.turn, fact.agent_tool) == ("a9", None, None)


def test_naming_a_destination_again_keeps_its_first_moment(ledger: Ledger) -> None:
    for now in (NOW, NOW + 5_000):
        create_cursor(ledger.conn, "test", "traces", HOST, now)

    cursor = read_cursor(ledger.conn, "test", "traces", HOST)

    assert cursor is not None
    assert (cursor.named_at, cursor.closed_seq) == (NOW, 0)
