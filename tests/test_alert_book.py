"""The table of alert rules in step with the pack and the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ccagent import alert_book
from ccagent.alert_book import Synced, sync
from ccagent.alerts.pack import pack
from ccagent.config import load
from ccagent.config_alerts import AlertsConfig
from ccagent.store import alert_version
from ccagent.store.alert_rules import Origin, StoredRule, put_rule, remove_rule, rules, set_enabled
from ccagent.store.alert_states import history
from ccagent.store.writer import Writer
from tests.sources.feed import START_MS, Feed
from tests.store.test_alert_states import FIRED, FIRING, keep

MINE = {"id": "mine", "metric": "session_cost", "threshold": 5, "scope": "session", "window": "session"}


@pytest.fixture
def store(either_store: str) -> Iterator[Writer]:
    feed = Feed()
    yield feed.store
    feed.close()


@pytest.fixture
def configured(tmp_path: Path) -> Any:
    """The [alerts] part of a configuration file with this text."""

    def read(text: str = "") -> AlertsConfig:
        path = tmp_path / "config.toml"
        path.write_text(text)
        return load({}, {"HOME": str(tmp_path)}, path).alerts

    return read


def table(store: Writer) -> dict[str, StoredRule]:
    return {stored.id: stored for stored in rules(store.conn)}


def again(store: Writer, config: AlertsConfig) -> Synced:
    return sync(store, config, START_MS)


def test_the_pack_is_entered_once_and_then_nothing_is_written(store: Writer, configured: Any) -> None:
    first = again(store, configured())
    version = alert_version.version(store.conn)

    second = again(store, configured())

    found = table(store)
    assert sorted(first.written) == sorted(found) == sorted(str(one["id"]) for one in pack())
    assert {stored.origin for stored in found.values()} == {Origin.DEFAULT}
    assert [stored for stored in found.values() if stored.problem or stored.edited] == []
    assert not second.changed
    assert alert_version.version(store.conn) == version
    active = sorted(stored.id for stored in found.values() if stored.active)
    assert active == ["export-broken", "ingest-stalled", "session-cost"]


def test_a_budget_is_active_when_it_is_set_and_says_why_when_it_is_not(store: Writer, configured: Any) -> None:
    again(store, configured())
    unset = table(store)["budget-daily"]

    again(store, configured("[alerts]\ndaily_budget_usd = 12.5\nproject_budgets = { shop = 3 }\n"))
    found = table(store)
    assert (unset.active, unset.note) == (False, "no budget is set: alerts.daily_budget_usd")
    assert found["budget-daily"].active
    assert found["budget-daily"].document["threshold"] == 12.5
    assert found["budget-project-shop"].active
    assert found["budget-project-shop"].document["only"] == ["shop"]
    assert not found["budget-weekly"].active

    gone = again(store, configured())
    assert not table(store)["budget-daily"].active
    assert gone.removed == ["budget-project-shop"]


def test_what_the_owner_changed_of_the_pack_stays_and_the_rest_follows_it(
    store: Writer, configured: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    again(store, configured())
    edited = table(store)["session-cost"]
    store.write(
        lambda conn: put_rule(
            conn, {**edited.document, "threshold": 9}, origin=Origin.DEFAULT, base=edited.base, now_ms=START_MS
        )
    )
    store.write(lambda conn: set_enabled(conn, "long-session", True, START_MS))

    def newer(budgets: object = None) -> tuple[Mapping[str, Any], ...]:
        return tuple({**one, "reason": "said better"} for one in pack())

    monkeypatch.setattr(alert_book, "pack", newer)
    again(store, configured())

    found = table(store)
    assert found["session-cost"].document["threshold"] == 9
    assert found["session-cost"].edited
    assert found["session-cost"].document["reason"] != "said better"
    assert found["long-session"].enabled
    assert found["long-session"].document["reason"] == "said better"
    assert found["retry-loop"].document["reason"] == "said better"
    assert not found["retry-loop"].enabled


def test_a_budgets_rule_that_was_changed_in_words_still_has_the_amount_that_is_set(
    store: Writer, configured: Any
) -> None:
    def edit(**keys: Any) -> None:
        stored = table(store)["budget-daily"]
        document = {**stored.document, **keys}
        store.write(
            lambda conn: put_rule(
                conn, document, origin=Origin.DEFAULT, base=stored.base, note=stored.note, now_ms=START_MS
            )
        )

    again(store, configured())
    edit(severity="critical", enabled=True)
    again(store, configured())
    unset = table(store)["budget-daily"]
    again(store, configured("[alerts]\ndaily_budget_usd = 50\n"))
    fifty = table(store)["budget-daily"]
    again(store, configured("[alerts]\ndaily_budget_usd = 60\n"))
    sixty = table(store)["budget-daily"]
    edit(threshold=7)
    again(store, configured("[alerts]\ndaily_budget_usd = 80\n"))
    own = table(store)["budget-daily"]

    assert (unset.active, unset.note) == (False, "no budget is set: alerts.daily_budget_usd")
    assert [(one.active, one.document["threshold"], one.document["severity"]) for one in (fifty, sixty, own)] == [
        (True, 50, "critical"),
        (True, 60, "critical"),
        (True, 7, "critical"),
    ]


def test_a_rule_of_the_file_comes_changes_and_goes_with_it(store: Writer, configured: Any) -> None:
    rule = '[alerts.rules.mine]\nmetric = "session_cost"\nwindow = "daily"\nthreshold = {}\n'
    again(store, configured(rule.format(5)))
    assert table(store)["mine"].origin is Origin.CONFIG
    keep(store, FIRING, FIRED)

    again(store, configured(rule.format(6)))
    assert table(store)["mine"].document["threshold"] == 6
    assert [str(entry.reason) for entry in history(store.conn)] == ["rule", "holds"]

    assert again(store, configured()).removed == ["mine"]
    assert "mine" not in table(store)


def test_a_rule_of_the_file_stands_in_for_that_of_the_command_line_until_it_goes(
    store: Writer, configured: Any
) -> None:
    store.write(lambda conn: put_rule(conn, MINE, origin=Origin.CLI, now_ms=START_MS))
    before = table(store)["mine"].document

    told = again(
        store, configured('[[alerts.rules]]\nid = "mine"\nmetric = "requests"\nthreshold = 9\nwindow = "daily"\n')
    )
    assert table(store)["mine"].document["metric"] == "requests"
    assert any("mine" in notice for notice in told.notices)

    again(store, configured())
    found = table(store)["mine"]
    assert (found.origin, found.document) == (Origin.CLI, before)


def test_a_table_with_the_id_of_the_pack_changes_that_rule_and_switches_it_on(store: Writer, configured: Any) -> None:
    again(store, configured())

    again(store, configured("[alerts.rules.long-session]\nthreshold = 1200\n"))
    found = table(store)["long-session"]
    assert (found.origin, found.enabled, found.document["threshold"]) == (Origin.CONFIG, True, 1200)
    assert found.document["metric"] == next(one for one in pack() if one["id"] == "long-session")["metric"]

    again(store, configured())
    found = table(store)["long-session"]
    assert (found.origin, found.enabled) == (Origin.DEFAULT, False)


def test_a_rule_of_the_owners_own_keeps_its_id_when_the_pack_gets_one_of_it(store: Writer, configured: Any) -> None:
    own = {**MINE, "id": "long-session"}
    store.write(lambda conn: put_rule(conn, own, origin=Origin.CLI, now_ms=START_MS))

    told = again(store, configured())

    assert table(store)["long-session"].origin is Origin.CLI
    assert any("long-session" in notice for notice in told.notices)


def test_a_removed_rule_of_the_pack_returns(store: Writer, configured: Any) -> None:
    again(store, configured())
    store.write(lambda conn: remove_rule(conn, "retry-loop"))

    assert again(store, configured()).written == ["retry-loop"]


def test_what_nobody_can_read_stays(store: Writer, configured: Any) -> None:
    store.write(
        lambda conn: conn.execute(
            "INSERT INTO alert_rule (id, origin, definition, enabled, changed_at) VALUES ('newer', 'default', '{}', 1, 0)"
        )
    )

    again(store, configured())

    assert table(store)["newer"].problem
