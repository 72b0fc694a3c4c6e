"""A rebuild makes facts anew; rules, standings, history and silences of alerts are the user's and stay."""

from __future__ import annotations

from typing import Any

from ccagent.clock import SystemClock
from ccagent.store.location import parse_database
from ccagent.store.open import open_reader
from ccagent.store.opening import open_store
from tests.backfill.ground import Ground, session, tomorrow
from tests.store.test_alert_rescue import fill

TABLES = ("alert_rule", "alert_state", "alert_history", "alert_silence", "alert_delivery")


def alerts(ground: Ground) -> dict[str, list[tuple[Any, ...]]]:
    with open_reader(parse_database(ground.database)) as reader:
        return {table: sorted(reader.execute(f"SELECT * FROM {table}").fetchall(), key=repr) for table in TABLES}


def test_a_rebuild_leaves_alerts_as_they_are(ground: Ground) -> None:
    ground.tree.write(session(1))
    ground.take_in()
    store = open_store(parse_database(ground.database), clock=SystemClock(), host_id=ground.host_id)
    store.write(lambda conn: fill(conn, store.host))
    store.close()
    before = alerts(ground)

    with tomorrow():
        ground.rebuild()

    assert all(before.values())
    assert alerts(ground) == before
