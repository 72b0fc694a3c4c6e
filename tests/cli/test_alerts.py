"""`ccagent alerts`: what its verbs print, write, refuse and end with, on both databases."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ccagent.alerts.states import Reason, Standing, State, Transition
from ccagent.cli import main
from ccagent.demo.writer import past_week
from ccagent.store import alert_states, rollups
from ccagent.store.alert_rules import Origin, put_rule, read_rule
from ccagent.store.alert_states import Telling
from ccagent.store.connection import Connection
from tests.sources.feed import START_MS, Feed, database_of, files_of

pytestmark = pytest.mark.usefixtures("either_store")

Say = Callable[..., tuple[int, str, str]]

UTC = ZoneInfo("UTC")
WEEK_MS = 7 * 86_400_000


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Feed]:
    """A store whose history was read, with nothing in it yet."""
    feed = Feed(tmp_path / "ccagent.db", now_ms=time.time_ns() // 1_000_000)
    feed.store.write(lambda conn: rollups.reset(conn, UTC))
    feed.store.catch_up_done()
    yield feed
    feed.store.close()


@pytest.fixture
def week(feed: Feed) -> Feed:
    """With an invented week that ended now, rolled up."""
    feed.take(*files_of(*past_week(feed.clock.now_ms(), 6)).items())  # type: ignore[arg-type]
    while feed.store.write(lambda conn: rollups.refresh(conn, UTC)):
        pass
    return feed


@pytest.fixture
def say(feed: Feed, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    """Calls a verb beside the open store: its exit code, what it printed, what it complained of."""
    url = database_of(tmp_path / "ccagent.db")

    def called(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["alerts", *words, "--db", url])
        said = capsys.readouterr()
        return code, said.out, said.err

    return called


def answer(say: Say, *words: str) -> dict[str, Any]:
    return dict(json.loads(say(*words, "--json")[1]))


def rule(feed: Feed, rule_id: str) -> dict[str, Any] | None:
    found = read_rule(feed.store.conn, rule_id)
    return None if found is None else dict(found.document)


def fire(feed: Feed, rule_id: str, subject: str = "", *, at: int | None = None) -> None:
    """As an evaluation leaves it that found the rule's bound passed."""
    at = at or feed.clock.now_ms()
    standing = Standing(
        rule=rule_id, subject=subject, state=State.FIRING, episode=1, since=at, fired_at=at, evaluated_at=at, value=12.5,
        threshold=5.0,
    )  # fmt: skip
    transition = Transition(
        rule=rule_id, subject=subject, before=State.INACTIVE, after=State.FIRING, at=at, reason=Reason.HOLDS, episode=1,
        value=12.5, threshold=5.0,
    )  # fmt: skip

    def work(conn: Connection) -> None:
        alert_states.record(
            conn, host=feed.store.host, standings=[standing], transitions=[transition],
            telling=lambda _: Telling(severity="warning", channels=("log",)), now_ms=at,
        )  # fmt: skip

    feed.store.write(work)


# ---- list, show, history -------------------------------------------------------------------------------------------


def test_the_first_change_enters_ccagents_own_rules(say: Say) -> None:
    assert "first `ccagent run`" in say("list")[1]

    assert say("enable", "cost-spike-day")[0] == 0

    rules = {row["id"]: row for row in answer(say, "list")["rules"]}
    assert rules["cost-spike-day"]["state"] == "inactive"
    assert rules["cost-spike-hour"]["state"] == "off"
    assert rules["session-cost"]["condition"] == "session_cost session > 5"
    assert {row["origin"] for row in rules.values()} == {"default"}


def test_what_fires_is_told_and_check_ends_with_10(say: Say, feed: Feed) -> None:
    say("disable", "tool-success")
    assert (say("--check")[0], say("list", "--check")[0]) == (0, 0)

    fire(feed, "session-cost", "9f8e7d6c-session")

    code, out, _ = say("--check")
    assert code == 10
    assert out.splitlines()[1].startswith("session-cost  firing")
    assert "fires for 9f8e7d6c-session at $12.50 (threshold $5.00) since" in out
    assert say("list")[0] == say()[0] == 0
    assert answer(say)["firing"] == 1


def test_one_rule_is_shown_with_its_reason_its_standings_and_its_past(say: Say, feed: Feed) -> None:
    say("disable", "tool-success")
    fire(feed, "session-cost", "one")

    code, out, _ = say("show", "session-cost")

    assert code == 0
    for told in ("firing", "A third of the sessions", "one      firing", "$12.50", "ccagent alerts edit session-cost"):
        assert told in out
    document = answer(say, "show", "session-cost")
    assert [one["subject"] for one in document["standings"]] == ["one"]
    assert [(one["from"], one["to"]) for one in document["history"]] == [("inactive", "firing")]


def test_the_history_has_what_became_of_telling_it(say: Say, feed: Feed) -> None:
    say("disable", "tool-success")
    fire(feed, "session-cost", "old", at=feed.clock.now_ms() - 2 * WEEK_MS)
    fire(feed, "budget-daily")

    assert say("history")[1].count("firing") == 2
    assert say("history", "--since", "7d")[1].count("firing") == 1
    (one,) = answer(say, "history", "--rule", "session-cost")["transitions"]
    assert (one["subject"], one["value"], one["reason"], one["unit"]) == ("old", 12.5, "holds", "USD") or one["unit"]
    assert [(each["channel"], each["state"]) for each in one["deliveries"]] == [("log", "waiting")]
    assert say("history", "--rule", "nope")[0] == 2


# ---- add and edit --------------------------------------------------------------------------------------------------


def test_a_rule_is_added_from_a_line(say: Say, feed: Feed) -> None:
    code, out, err = say(
        "add", "costly", "--when", "session_cost daily > 20", "--and", "turns daily > 5", "--for", "10m", "--severity", "critical",
        "--channel", "desktop", "--label", "team=web", "--reason", "we said so",
    )  # fmt: skip

    assert (code, out.splitlines()[0]) == (0, "costly added")
    assert "no daemon runs" in err
    assert rule(feed, "costly") == {
        "id": "costly", "metric": "session_cost", "window": "daily", "operator": ">", "threshold": 20.0,
        "and": {"metric": "turns", "window": "daily", "operator": ">", "threshold": 5.0}, "for": "10m",
        "severity": "critical", "channels": ["desktop"], "reason": "we said so", "labels": {"team": "web"}, "enabled": True,
    }  # fmt: skip


def test_a_rule_is_added_key_by_key_from_a_file_and_from_standard_input(
    say: Say, feed: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "rule.toml"
    file.write_text('id = "filed"\nmetric = "turns"\nthreshold = 5\n')
    monkeypatch.setattr("sys.stdin", io.StringIO('{"id": "piped", "metric": "turns", "threshold": 7}'))

    assert say("add", "keyed", "--metric", "turns", "--window", "6h", "--operator", ">=", "--threshold", "1.5k")[0] == 0
    assert say("add", "--from", str(file), "--severity", "info")[0] == 0
    assert say("add", "--from", "-")[0] == 0

    assert (rule(feed, "keyed") or {})["threshold"] == 1_500
    assert (rule(feed, "filed") or {})["severity"] == "info"
    assert (rule(feed, "piped") or {})["threshold"] == 7


def test_a_dry_run_shows_the_rule_and_its_past_and_writes_nothing(say: Say, week: Feed) -> None:
    code, out, err = say("add", "costly", "--when", "session_cost session > 0.001", "--scope", "session", "--dry-run")

    assert (code, err) == (0, "")
    assert "costly would be added" in out
    assert "in the past: fired" in out
    assert rule(week, "costly") is None
    document = answer(say, "add", "costly", "--when", "turns daily > 1", "--dry-run")
    assert (document["dry_run"], document["before"]) == (True, None)
    assert document["backtest"]["hours"] > 24


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "x", "--when", "sesion_cost daily > 3"), "session_cost"),
        (("add", "x", "--when", "session_cost daily = 3"), "session_cost daily > 20"),
        (("add", "x", "--when", "session_cost dayly > 3"), "daily"),
        (("add", "x", "--when", "turns > 3", "--operator", "!="), ">, >=, <, <="),
        (("add", "x", "--when", "turns > 3", "--scope", "house"), "global, project, feature, session"),
        (("add", "x", "--when", "turns > 3", "--severity", "loud"), "info, warning, critical"),
        (("add", "x", "--when", "turns > 3", "--for", "10"), "10m"),
        (("add", "x", "--when", "turns > 3", "--channel", "smoke"), "there are log, desktop, otlp"),
        (("add", "X!", "--when", "turns > 3"), "a-z, 0-9"),
        (("add", "--when", "turns > 3"), "has an id"),
        (("add", "x"), "a condition"),
        (("add", "x", "--from", "/nonexistent"), "cannot be read"),
        (("edit", "session-cost"), "say what is to change"),
        (("edit", "session-cost", "--unset", "metric"), "cannot go"),
        (("edit", "nope", "--threshold", "3"), "there is no alert rule 'nope'"),
        (("edit", "session-cots", "--threshold", "3"), "did you mean 'session-cost'"),
        (("show", "nope"), "there is no alert rule 'nope'"),
        (("enable", "nope"), "there is no alert rule 'nope'"),
        (("rm", "session-cost"), "disable session-cost"),
        (("silence", "session-cost"), "--for 2h"),
        (("silence", "nope", "--for", "2h"), "there is no alert rule 'nope'"),
        (("silence", "session-cost", "--for", "soon"), "1h30m"),
        (("silence",), "name a rule"),
        (("silence", "--end", "77"), "there is no silence 77"),
        (("backtest",), "name rules, or give --all"),
        (("backtest", "session-cost", "--threshold", "3"), "go together"),
        (("--check", "list"), "stand behind it"),
    ],
)
def test_what_is_wrong_is_refused_with_what_is_right(say: Say, words: tuple[str, ...], said: str) -> None:
    say("disable", "tool-success")

    code, out, err = say(*words)

    assert (code, out) == (2, "")
    assert said in err


def test_there_is_one_rule_of_an_id(say: Say) -> None:
    assert say("add", "mine", "--when", "turns daily > 3")[0] == 0

    code, _, err = say("add", "mine", "--when", "turns daily > 4")

    assert code == 2
    assert "ccagent alerts edit mine" in err


def test_an_edit_changes_what_it_names_and_resets(say: Say, feed: Feed) -> None:
    assert say("edit", "session-cost", "--threshold", "15", "--for", "5m")[1].splitlines()[1:] == [
        "  threshold    5.0 → 15.0", "  for          nothing → 5m",
    ]  # fmt: skip
    assert (rule(feed, "session-cost") or {})["threshold"] == 15
    assert answer(say, "show", "session-cost")["pack"]["threshold"] == 5

    assert say("edit", "session-cost", "--unset", "for")[0] == 0
    assert "for" not in (rule(feed, "session-cost") or {})

    assert say("edit", "session-cost", "--baseline", "4x median", "--window", "daily", "--scope", "global")[0] == 0
    assert "threshold" not in (rule(feed, "session-cost") or {})

    assert say("edit", "session-cost", "--reset")[0] == 0
    assert answer(say, "show", "session-cost")["pack"] is None
    assert "nothing to change" in say("edit", "session-cost", "--reset")[1]


def test_an_edit_that_makes_a_rule_unsound_changes_nothing(say: Say, feed: Feed) -> None:
    say("disable", "tool-success")
    before = rule(feed, "session-cost")

    assert say("edit", "session-cost", "--window", "daily", "--clear", "99")[0] == 2

    assert rule(feed, "session-cost") == before


def test_what_fires_of_a_rule_that_changes_ends(say: Say, feed: Feed) -> None:
    say("disable", "tool-success")
    for words in (("edit", "session-cost", "--threshold", "9"), ("disable", "session-cost")):
        say("enable", "session-cost")
        fire(feed, "session-cost", words[0])
        assert say("--check")[0] == 10

        assert say(*words)[0] == 0

        assert say("--check")[0] == 0
    assert [one["reason"] for one in answer(say, "history", "--limit", "1")["transitions"]] == ["rule"]
    assert say("history", "--limit", "9" * 30)[0] == 0


def test_rules_of_the_configuration_are_changed_there(say: Say, feed: Feed) -> None:
    document = {"id": "mine", "metric": "turns", "threshold": 3}
    feed.store.write(lambda conn: put_rule(conn, document, origin=Origin.CONFIG, now_ms=START_MS))

    for words in (("edit", "mine", "--threshold", "4"), ("disable", "mine"), ("rm", "mine")):
        code, _, err = say(*words)
        assert code == 2
        assert "the configuration file" in err
    assert (rule(feed, "mine") or {})["threshold"] == 3


def test_patterns_switch_many_rules_and_a_budget_that_is_not_set_waits(say: Say, feed: Feed) -> None:
    code, out, _ = say("enable", "budget-*")

    assert code == 0
    assert "budget-project is on\n" in out
    assert "budget-daily is on, but waits: no budget is set: alerts.daily_budget_usd" in out
    assert {row["id"]: row["state"] for row in answer(say)["rules"]}["budget-daily"] == "waiting"
    assert say("disable", "budget-*")[1].count("is off") == 4


def test_a_rule_of_ones_own_is_removed(say: Say, feed: Feed) -> None:
    say("add", "mine", "--when", "turns daily > 3")

    assert say("rm", "mine")[:2] == (0, "mine is removed\n")
    assert rule(feed, "mine") is None


def test_a_rule_of_a_newer_version_is_shown_as_one_that_cannot_be_read(say: Say, feed: Feed) -> None:
    document = {"id": "newer", "metric": "turns", "threshold": 3, "phase_of_the_moon": "full"}
    feed.store.write(lambda conn: put_rule(conn, document, origin=Origin.CLI, now_ms=START_MS))

    (row,) = answer(say)["rules"]

    assert (row["id"], row["state"], row["condition"]) == ("newer", "unreadable", "turns > 3")
    assert "phase_of_the_moon" in row["note"]
    assert say("show", "newer")[0] == 0
    assert say("edit", "newer", "--threshold", "4")[0] == 2
    assert say("edit", "newer", "--threshold", "4", "--unset", "phase_of_the_moon")[0] == 2


# ---- silence -------------------------------------------------------------------------------------------------------


def test_a_silence_is_made_listed_and_ended(say: Say) -> None:
    code, out, _ = say("silence", "budget-*", "--for", "2h", "--subject", "shop", "--comment", "a move")
    say("silence", "*", "--for", "1d")

    assert code == 0
    assert "budget-daily, budget-monthly, budget-project, budget-weekly until" in out
    first, second = answer(say, "silence", "--list")["silences"]
    assert (first["rule"], first["subject"], first["comment"], second["rule"]) == ("budget-*", "shop", "a move", "*")
    assert {row["silenced_until"] for row in answer(say)["rules"]} == {second["until"]}
    assert say("silence", "--end", str(first["id"]), "--end", str(second["id"]))[1] == "ended 2 silences\n"
    assert say("silence", "--list")[1] == "no silences\n"


# ---- backtest ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("week")
def test_a_backtest_shows_firings_and_a_chart_that_fits(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    code, out, err = say("backtest", "session-cost", "--threshold", "0.01", "--what-if", "--since", "30d")

    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    assert "█" in out
    assert "\x1b" not in out
    document = answer(say, "backtest", "session-cost", "--threshold", "0.01", "--what-if", "--since", "30d")
    (row,) = document["rules"]
    assert document["what_if"] == 0.01
    assert f"fired {len(row['firings'])} times" in out
    assert row["subjects"] >= len({one["subject"] for one in row["firings"]}) > 2
    assert len(row["series"]) == row["hours"]


@pytest.mark.usefixtures("week")
def test_all_rules_are_told_in_a_table_and_those_without_a_past_as_such(say: Say) -> None:
    code, out, _ = say("backtest", "--all", "--since", "10d")

    lines = {line.split()[0]: line for line in out.splitlines()}
    assert code == 0
    assert "no past" in lines["ingest-stalled"]
    assert "no past" not in lines["session-cost"]
    assert "no past is kept" in say("backtest", "ingest-stalled")[1]


@pytest.mark.usefixtures("week")
@pytest.mark.usefixtures("week")
def test_a_backtest_ends_with_what_there_was(say: Say) -> None:
    document = answer(say, "backtest", "session-cost", "--since", "2d", "--until", "9999-01-01")

    assert document["until"] < "2100"
    assert document["rules"][0]["hours"] <= 49


def test_a_backtest_changes_nothing(say: Say) -> None:
    say("enable", "session-cost")
    before = answer(say)

    say("backtest", "session-cost", "--threshold", "0.01", "--what-if")

    assert answer(say) == before
