"""What Codex's calls printed, within the client's frame, and how they ended."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.facts.exec_output import OUTPUT_BYTES, ExecOutcome, Printed, exec_outcome, printed
from ccagent.facts.model import Status

DONE = "Script completed\nWall time 0.5 seconds\nOutput:\n"
RESULT = {"chunk_id": "a", "wall_time_seconds": 0.1, "exit_code": 2, "output": "boom\n"}


def blocks(*texts: str) -> list[dict[str, str]]:
    return [{"type": "input_text", "text": text} for text in texts]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("Chunk ID: a\nWall time: 0.2 seconds\nProcess exited with code 0\nOriginal token count: 3\nOutput:\nok\n", ("ok\n", True, ())),
        ("Exit code: 1\nWall time: 0.1 seconds\nOutput:\nOutput: no\n", ("Output: no\n", True, ())),
        ("Exit code: 1\nOutput:\nTotal output lines: 900\n\na\n\u2026320 tokens truncated\u2026\nb", (
            "Total output lines: 900\n\na\n\u2026320 tokens truncated\u2026\nb", False, ())),
        ('{"output":"ok\\n","metadata":{"exit_code":0}}', ("ok\n", True, ())),
        ("exec command rejected by user", ("exec command rejected by user", True, ())),
        ("plain\nOutput:\nwords", ("plain\nOutput:\nwords", True, ())),
        (blocks(DONE, "one", "two"), ("one\ntwo", True, ())),
        (blocks(DONE, json.dumps(RESULT)), ("boom\n", True, (2,))),
        (blocks(DONE + json.dumps(RESULT), json.dumps(RESULT)), ("boom\n\nboom\n", True, (2, 2))),
        (blocks(DONE, '{"output": "cut'), ('{"output": "cut', True, ())),
        (blocks(DONE, '{"output": 5}'), ('{"output": 5}', True, ())),
        ({"content": "words", "success": True}, ("words", True, ())),
        (None, ("", True, ())),
        ([5, {"text": 5}], ("", True, ())),
    ],
)  # fmt: skip
def test_what_was_printed(output: Any, expected: tuple[str, bool, tuple[int, ...]]) -> None:
    assert printed(json.dumps(output).encode()) == Printed(*expected)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (blocks(DONE), ExecOutcome(Status.OK, wall_ms=500)),
        (blocks("Script failed\nWall time 1.5 seconds\nOutput:\n"), ExecOutcome(Status.ERROR, "other", -1, 1_500)),
        (
            "Script running with cell ID 12\nWall time 9 seconds\nOutput:\n",
            ExecOutcome(Status.OK, "", -1, 9_000, "cell:12"),
        ),
        (
            "Wall time: 1.0 seconds\nProcess running with session ID 7\nOutput:\n",
            ExecOutcome(Status.OK, "", -1, 1_000, "session:7"),
        ),
        ("Exit code: 0\nOutput:\nProcess running with session ID 7", ExecOutcome(Status.OK, "", 0)),
    ],
)
def test_how_it_ended(output: Any, expected: ExecOutcome) -> None:
    found = exec_outcome(json.dumps(output).encode())

    assert found == expected
    assert found.running == bool(expected.process)


def test_what_is_too_long_is_not_read() -> None:
    assert printed(b'"' + b"x" * OUTPUT_BYTES + b'"') == Printed("", False, ())


@given(st.binary(max_size=100) | st.text(max_size=100).map(lambda text: json.dumps([{"text": text}]).encode()))
def test_nothing_breaks_it(output: bytes) -> None:
    assert printed(output).text.encode("utf-8", "surrogatepass") is not None
    exec_outcome(output)
