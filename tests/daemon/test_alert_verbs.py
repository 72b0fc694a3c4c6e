"""The verbs of `ccagent alerts` beside a real daemon, which takes up what they write."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ccagent.cli import main
from tests.daemon.rig import Ground, now_ms, small_session
from tests.transcripts import Session, Usage, text


def test_a_rule_that_is_added_fires_is_silenced_changed_and_switched_off(
    ground: Ground, capsys: pytest.CaptureFixture[str]
) -> None:
    def say(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["alerts", *words, "--db", str(ground.database)])
        said = capsys.readouterr()
        return code, said.out, said.err

    def transitions() -> list[tuple[Any, Any]]:
        found = json.loads(say("history", "--rule", "busy", "--json")[1])["transitions"]
        return [(one["to"], one["silenced"]) for one in reversed(found)]

    ground.config.write_text("[alerts]\ninterval_seconds = 1\ngroup_seconds = 0\n")
    ground.tree.write(small_session("past"))
    daemon = ground.start("--config", str(ground.config))
    daemon.until_caught_up()
    daemon.until(lambda: "session-cost" in say("list")[1], "ccagent's own rules are entered")

    code, _, err = say("add", "busy", "--when", "session_cost session > 1", "--scope", "session")
    assert (code, err) == (0, "")  # a daemon runs, so nothing is said of none
    session = Session(seed="live", start=now_ms())
    session.prompt("hello")
    session.assistant(text("a reply"), usage=Usage(input=10, output=250_000))
    ground.tree.write(session)

    daemon.until(lambda: say("--check")[0] == 10, "it fires")
    assert f"busy fires for {session.session_id}" in say("--check")[1]
    assert transitions() == [("firing", False)]

    assert say("silence", "busy", "--for", "1h")[0] == 0
    assert say("edit", "busy", "--threshold", "2")[0] == 0
    daemon.until(lambda: len(transitions()) == 3, "what fired has ended, and the changed rule fires")
    assert transitions() == [("firing", False), ("resolved", False), ("firing", True)]

    assert say("disable", "busy")[0] == 0
    assert transitions()[-1] == ("resolved", True)
    assert say("rm", "busy")[0] == 0
    assert "busy" not in say("list")[1]
    assert daemon.terminate() == 0
