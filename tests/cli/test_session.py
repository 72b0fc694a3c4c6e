"""`ccagent session` from the command line to a store and back."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ccagent.cli import main
from ccagent.cli.session_output import RECENT_TURNS, span
from ccagent.facts.trace_ids import span_id, trace_id
from tests.sources.feed import Feed
from tests.transcripts import Session


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A store with a session of many turns and one that is like it."""
    session = Session("aaaa-1111", version="2.1.229")
    for number in range(RECENT_TURNS + 1):
        session.prompt(f"prompt {number}")
        session.bash("make", exit_code=number % 2)
        session.edit("/home/demo/a.py", added=2, removed=1)
    tool = session.launch(kind="explore")
    child = session.agent(agent_id="a1")
    inner_tool = child.launch(kind="reviewer")
    inner = child.agent(agent_id="a2")
    inner.request()
    child.landed(inner_tool, inner, kind="reviewer")
    session.landed(tool, child, kind="explore")
    other = Session("aaaa-2222", seed=3)
    other.prompt("hello")
    feed = Feed(tmp_path / "ccagent.db").read(session, other)
    feed.close()
    return tmp_path / "ccagent.db"


def shown(database: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    code = main(["session", *options, "--db", str(database)])
    assert code == 0
    return capsys.readouterr().out


def document(database: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    return dict(json.loads(shown(database, capsys, *options, "--json")))


def test_the_page_of_a_session_has_all_its_parts(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = shown(database, capsys, "aaaa-1")

    assert page.startswith("session    aaaa-1111  fresh, ended, ok\n")
    assert f"Turns ({RECENT_TURNS + 1}, the last {RECENT_TURNS})" in page
    assert "explore a1  ok" in page
    assert "\n  reviewer a2  ok" in page
    assert "  11x +22 -11  /home/demo/a.py rewritten" in page
    assert "   5x nonzero_exit" in page
    assert "Timeline" not in page


def test_every_turn_and_every_fact_are_shown_on_request(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = shown(database, capsys, "aaaa-1", "--turns", "--timeline")

    assert f"Turns ({RECENT_TURNS + 1})" in page
    assert page.partition("Timeline\n")[2].count("tool.call") == 2 * (RECENT_TURNS + 1) + 2
    assert "prompt 0" not in page


def test_the_document_holds_the_same(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(database, capsys, "aaaa-1111", "--timeline")

    assert (found["schema_version"], found["session"], found["kind"], found["parent"]) == (
        1,
        "aaaa-1111",
        "fresh",
        None,
    )
    assert len(found["turns"]) == RECENT_TURNS + 1
    assert sum(turn["tool_calls"] for turn in found["turns"]) == found["tool_calls"] == 2 * (RECENT_TURNS + 1) + 2
    assert sum(turn["cost_microusd"] for turn in found["turns"]) == found["cost_microusd"]
    for turn in found["turns"]:
        parts = sum(turn[f"{part}_seconds"] for part in ("model", "tool", "human", "rest"))
        assert parts == pytest.approx(turn["seconds"])
    assert found["threads"] == {"fan_out": 1, "depth": 2, "unresolved": 0, "orphaned": 0}
    assert [(run["agent"], run["parent"], run["depth"]) for run in found["agents"]] == [
        ("a1", None, 1),
        ("a2", "a1", 2),
    ]
    assert found["timeline"][0]["event"] == "turn"


def test_a_timeline_comes_only_when_asked_for(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "timeline" not in document(database, capsys, "aaaa-2")


def test_an_id_that_is_not_known_is_no_data_with_a_hint(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["session", "bbbb", "--db", str(database)])

    said = capsys.readouterr()
    assert (code, said.out) == (20, "")
    assert "ccagent usage --by session" in said.err


def test_a_beginning_that_fits_several_ids_names_them(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["session", "aaaa", "--db", str(database)])

    assert code == 2
    assert "aaaa-1111, aaaa-2222" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("milliseconds", "said"),
    [(0, "0ms"), (999, "999ms"), (1_000, "1.0s"), (59_949, "59.9s"), (60_000, "1m00s"), (7_260_000, "2h01m")],
)
def test_durations_in_a_few_characters(milliseconds: int, said: str) -> None:
    assert span(milliseconds) == said


def test_the_tree_shows_sub_agents_below_the_call_that_launched_them_and_the_trace_of_each_turn(
    database: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")

    page = shown(database, capsys, "aaaa-1", "--tree")
    everything = shown(database, capsys, "aaaa-1", "--tree", "--turns")

    assert f"Traces ({RECENT_TURNS + 1}, the last {RECENT_TURNS})" in page
    assert re.search(r"\n  execute_tool Agent  ok, .*\n    invoke_agent explore a1  ok, .*\n      chat ", page)
    assert re.search(
        r"\n      execute_tool Agent  ok, .*\n        invoke_agent reviewer a2  ok, .*\n          chat ", page
    )
    assert "  execute_tool Bash  error (nonzero_exit), " in page
    assert len(re.findall(r"invoke_agent claude-code  ok, .*  trace [0-9a-f]{32}", page)) == RECENT_TURNS
    assert everything.count("  trace ") == RECENT_TURNS + 1


def test_the_json_names_trace_and_span_of_turns_and_sub_agents(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = document(database, capsys, "aaaa-1", "--tree")

    for turn in found["turns"]:
        key = f"turn:{turn['turn']}"
        assert (turn["trace_id"], turn["span_id"]) == (trace_id(key).hex(), span_id(key).hex())
    for run in found["agents"]:
        assert (run["trace_id"], run["span_id"]) == (
            trace_id(f"turn:{run['turn']}").hex(), span_id(f"agent:{run['agent']}").hex()
        )  # fmt: skip
    roots = {root["span_id"]: root for root in found["tree"]}
    assert set(roots) == {turn["span_id"] for turn in found["turns"]}
    assert [child["span"] for child in found["tree"][0]["children"]][:2] == [
        "chat claude-opus-4-6",
        "execute_tool Bash",
    ]
    assert {child["trace_id"] for child in found["tree"][0]["children"]} == {found["tree"][0]["trace_id"]}
    assert "tree" not in document(database, capsys, "aaaa-1")


def test_ids_that_begin_alike_cannot_command_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sessions = [Session(f"aaaa\x1b]0;mine\x07\n{number}", seed=number) for number in (1, 2)]
    for session in sessions:
        session.prompt("hello")
    Feed(tmp_path / "ccagent.db").read(*sessions).close()

    code = main(["session", "aaaa", "--db", str(tmp_path / "ccagent.db")])

    said = capsys.readouterr().err
    assert (code, said.count("\\x1b]0;mine\\x07\\n")) == (2, 2)
    assert said.removesuffix("\n").isprintable()
