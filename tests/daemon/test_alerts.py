"""Real daemons with alert rules: what a transcript says fires, is seen everywhere, survives restarts, and is told once."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from contextlib import closing
from typing import Any

from tests.daemon.rig import Daemon, Ground, now_ms, small_session, until
from tests.transcripts import Session, Usage, text

FAST = "[alerts]\ninterval_seconds = 1\ngroup_seconds = 0\n"

ENTRY = tuple[str, str, str, str]


def started(ground: Ground, more: str = "", *, fast: str = FAST) -> Daemon:
    """A daemon that is caught up with a small past."""
    ground.config.write_text(fast + more)
    if not any(ground.root.iterdir()):
        ground.tree.write(small_session("past"))
    daemon = ground.start("--config", str(ground.config))
    daemon.until_caught_up()
    return daemon


def costly(name: str, *, before_ms: int = 0, output: int = 250_000) -> Session:
    """A session that costs 25 USD a million tokens of output, and is going on."""
    session = Session(seed=name, start=now_ms() - before_ms)
    session.prompt("hello")
    session.assistant(text("a reply"), usage=Usage(input=10, output=output))
    return session


def history(ground: Ground) -> list[tuple[Any, ...]]:
    """Told transitions: rule, subject, after, reason; in the order in which they took place."""
    return ground.rows("SELECT rule, subject, after, reason FROM alert_history WHERE key IS NOT NULL ORDER BY id")


def firing(daemon: Daemon, rule: str) -> float | None:
    return daemon.samples().get(("ccagent_alerts_firing", (("rule", rule),)))


def test_a_session_over_its_bound_fires_within_seconds_and_is_seen_everywhere(ground: Ground) -> None:
    daemon = started(ground)
    daemon.until(lambda: firing(daemon, "session-cost") == 0, "the page shows that nothing fires")
    session = costly("live")
    quiet = ground.verb("status", "--check").returncode
    evaluations = daemon.samples()["ccagent_alert_evaluations_total", (("status", "ok"),)]
    assert evaluations > 0, "the first are booked at once"

    ground.tree.write(session)
    began = time.monotonic()
    daemon.until(lambda: history(ground), "the alert is in the history")
    took = time.monotonic() - began

    (entry,) = history(ground)
    assert entry == ("session-cost", session.session_id, "firing", "holds")
    assert took < 60
    assert firing(daemon, "session-cost") == 1
    status = ground.status()
    assert [(one["rule"], one["subject"]) for one in status["alerts"]["firing"]] == [
        ("session-cost", session.session_id)
    ]
    daemon.until(
        lambda: ground.rows("SELECT channel FROM alert_delivery WHERE state = 'sent'") == [("log",)], "it was told"
    )
    assert (quiet, ground.verb("status", "--check").returncode, ground.verb("status").returncode) == (0, 10, 0)
    assert daemon.terminate() == 0
    assert ground.verb("status", "--check").returncode == 3, "nothing runs that could tell"
    ((after,),) = ground.rows("SELECT sum(value) FROM total WHERE metric = 'alert.evaluations'")
    assert after > evaluations, "the end books what is left"


def test_old_sessions_of_the_first_catch_up_fire_nothing(ground: Ground) -> None:
    ground.tree.write(costly("old", before_ms=60_000))

    daemon = started(ground)
    daemon.until(lambda: firing(daemon, "session-cost") == 0, "rules were evaluated")
    time.sleep(2.5)  # two more evaluations

    assert history(ground) == []


def test_a_restart_keeps_what_fires_and_records_nothing_twice(ground: Ground) -> None:
    daemon = started(ground)
    ground.tree.write(costly("live"))
    daemon.until(lambda: history(ground), "the alert fires")
    daemon.kill()

    daemon = started(ground)
    daemon.until(lambda: firing(daemon, "session-cost") == 1, "it still fires")
    time.sleep(2.5)

    assert [entry[2] for entry in history(ground)] == ["firing"]


def test_what_is_pending_stays_pending_over_a_restart(ground: Ground) -> None:
    rule = '[alerts.rules.slow]\nmetric = "session_cost"\nthreshold = 1\nwindow = "daily"\nfor = "10m"\n'
    daemon = started(ground, rule)
    ground.tree.write(costly("live"))
    state = "SELECT state, episode, held_ms FROM alert_state WHERE rule = 'slow'"
    daemon.until(lambda: [row[:2] for row in ground.rows(state)] == [("pending", 0)], "it is pending")
    daemon.until(lambda: ground.rows(state)[0][2] > 0, "time counts")
    held = ground.rows(state)[0][2]
    daemon.kill()

    daemon = started(ground, rule)
    daemon.until(lambda: ground.rows(state)[0][2] > held, "its time goes on")

    found = ground.rows("SELECT before, after FROM alert_history WHERE rule = 'slow' ORDER BY id")
    assert found == [("inactive", "pending")]


def test_a_rule_of_the_file_is_changed_by_a_reload_and_taken_out(ground: Ground) -> None:
    rule = '[alerts.rules.mine]\nmetric = "session_cost"\nthreshold = {}\nwindow = "daily"\n'
    daemon = started(ground, rule.format(1))
    ground.tree.write(costly("live"))
    daemon.until(lambda: ("mine", "", "firing", "holds") in history(ground), "it fires")

    ground.config.write_text(FAST + rule.format(1000))
    daemon.process.send_signal(signal.SIGHUP)
    daemon.until(lambda: ("mine", "", "resolved", "rule") in history(ground), "the new bound resolves it")
    ground.config.write_text(FAST + rule.format(2))
    daemon.process.send_signal(signal.SIGHUP)
    daemon.until(lambda: history(ground).count(("mine", "", "firing", "holds")) == 2, "the third bound fires")
    ground.config.write_text(FAST)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.until(lambda: history(ground).count(("mine", "", "resolved", "rule")) == 2, "its end resolves it")

    daemon.until(lambda: firing(daemon, "mine") is None, "the page no longer shows it")
    assert ground.rows("SELECT id FROM alert_rule WHERE id = 'mine'") == []
    keys = ground.rows("SELECT key FROM alert_history WHERE key IS NOT NULL")
    assert len(set(keys)) == len(keys) >= 4


def test_a_budget_fires_once_when_late_data_raises_the_day(ground: Ground) -> None:
    daemon = started(ground, "daily_budget_usd = 3\n")
    late = Session(seed="late", start=now_ms())
    late.prompt("hello")
    late.assistant(text("a reply"), usage=Usage(input=10, output=200_000))
    late.turn_duration(1_000)

    ground.tree.write(late)
    daemon.until(lambda: ("budget-daily", "", "firing", "holds") in history(ground), "the day is over its budget")
    late.assistant(text("more"), usage=Usage(input=10, output=50_000))
    ground.tree.write(late)
    daemon.until(lambda: ground.requests() == 4, "more was read")
    time.sleep(2.5)

    assert [entry for entry in history(ground) if entry[0] == "budget-daily"] == [
        ("budget-daily", "", "firing", "holds")
    ]


def test_a_rule_that_nobody_can_read_is_kept_and_told_and_stops_no_other(ground: Ground) -> None:
    daemon = started(ground)
    daemon.until(lambda: firing(daemon, "session-cost") == 0, "rules were evaluated")
    with closing(sqlite3.connect(ground.database, timeout=30)) as conn:
        conn.execute(
            "INSERT INTO alert_rule (id, origin, definition, enabled, changed_at)"
            """ VALUES ('newer', 'cli', '{"metric":"quantum_cost","threshold":1}', 1, 0)"""
        )
        conn.execute("UPDATE meta SET value = value + 1 WHERE name = 'alert_rules'")
        conn.commit()

    daemon.until(lambda: any("newer" in one for one in ground.status()["problems"]), "the status names it")
    ground.tree.write(costly("live"))
    daemon.until(lambda: history(ground), "others are evaluated")

    assert ground.rows("SELECT enabled FROM alert_rule WHERE id = 'newer'") == [(1,)]
    assert ground.status()["alerts"]["unreadable"] == ["newer"]


def test_run_once_evaluates_and_tells_once(ground: Ground) -> None:
    ground.tree.write(small_session("past"))
    assert ground.once().returncode == 0
    session = costly("live")
    ground.tree.write(session)
    until(lambda: now_ms() > session.now, "the session has taken place")

    done = ground.once()

    assert done.returncode == 0, done.stderr
    assert history(ground) == [("session-cost", session.session_id, "firing", "holds")]
    assert ground.rows("SELECT state FROM alert_delivery") == [("sent",)]
    assert json.loads(ground.verb("status", "--json").stdout)["alerts"]["firing"][0]["rule"] == "session-cost"
    assert ground.once().returncode == 0
    assert len(history(ground)) == 1


def test_with_alerts_switched_off_nothing_is_evaluated_and_what_fired_is_over(ground: Ground) -> None:
    daemon = started(ground)
    ground.tree.write(costly("live"))
    daemon.until(lambda: history(ground), "it fires")

    ground.config.write_text("[alerts]\nenabled = false\n")
    daemon.process.send_signal(signal.SIGHUP)

    daemon.until(
        lambda: [entry[2:] for entry in history(ground)] == [("firing", "holds"), ("resolved", "rule")], "over"
    )
    until(lambda: firing(daemon, "session-cost") is None, "the page shows no alerts")
