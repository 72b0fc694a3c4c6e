"""The table of alert rules."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ccagent.store import alert_version
from ccagent.store.alert_rules import Origin, put_rule, read_rule, remove_rule, rules, set_enabled
from ccagent.store.writer import Writer
from tests.sources.feed import START_MS, Feed

RULE = {"id": "mine", "metric": "session_cost", "threshold": 5, "scope": "session", "window": "session"}


@pytest.fixture
def store(either_store: str) -> Iterator[Writer]:
    feed = Feed()
    yield feed.store
    feed.close()


def test_a_rule_is_kept_as_it_was_written_and_read_as_what_it_means(store: Writer) -> None:
    store.write(lambda conn: put_rule(conn, RULE, origin=Origin.CLI, now_ms=START_MS))

    (stored,) = rules(store.conn)
    assert stored == read_rule(store.conn, "mine")
    assert (stored.id, stored.origin, stored.enabled, stored.active, stored.edited) == (
        "mine",
        Origin.CLI,
        True,
        True,
        False,
    )
    assert stored.document == {**RULE, "enabled": True}
    assert stored.rule is not None
    assert stored.rule.conditions[0].threshold == 5


def test_a_rule_may_be_switched_off_and_on_and_removed(store: Writer) -> None:
    store.write(lambda conn: put_rule(conn, RULE, origin=Origin.CLI, now_ms=START_MS))

    assert store.write(lambda conn: set_enabled(conn, "mine", False, START_MS + 1))
    found = read_rule(store.conn, "mine")
    assert found is not None
    assert not found.enabled
    assert not found.active
    assert found.changed_at == START_MS + 1
    assert store.write(lambda conn: set_enabled(conn, "mine", True, START_MS + 2))
    assert not store.write(lambda conn: set_enabled(conn, "other", True, START_MS + 2))
    assert store.write(lambda conn: remove_rule(conn, "mine"))
    assert not store.write(lambda conn: remove_rule(conn, "mine"))
    assert rules(store.conn) == []


def test_every_change_is_seen_by_a_look_at_one_number(store: Writer) -> None:
    seen = [alert_version.version(store.conn)]
    for work in (
        lambda conn: put_rule(conn, RULE, origin=Origin.CLI, now_ms=START_MS),
        lambda conn: set_enabled(conn, "mine", False, START_MS),
        lambda conn: remove_rule(conn, "mine"),
    ):
        store.write(work)
        seen.append(alert_version.version(store.conn))
    store.write(lambda conn: set_enabled(conn, "gone", False, START_MS))

    assert seen == sorted(set(seen))
    assert alert_version.version(store.conn) == seen[-1]


@pytest.mark.parametrize("definition", ['{"metric": "quantum_cost", "threshold": 1}', "[]", "no JSON", '{"metric": 7}'])
def test_a_rule_that_this_version_cannot_read_is_kept_and_says_why(store: Writer, definition: str) -> None:
    store.write(
        lambda conn: conn.execute(
            "INSERT INTO alert_rule (id, origin, definition, enabled, changed_at) VALUES ('newer', 'oracle', ?, 1, 0)",
            (definition,),
        )
    )

    (stored,) = rules(store.conn)
    assert stored.rule is None
    assert stored.problem
    assert not stored.active
    assert stored.origin is Origin.API


def test_a_rule_with_a_note_is_enabled_and_not_active(store: Writer) -> None:
    store.write(lambda conn: put_rule(conn, RULE, origin=Origin.DEFAULT, now_ms=START_MS, base=RULE, note="no budget"))

    (stored,) = rules(store.conn)
    assert stored.enabled
    assert not stored.active
    assert not stored.edited
    assert stored.note == "no budget"
