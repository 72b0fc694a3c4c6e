"""How a Codex tool call ended, by the first words of its output: a frame that the client puts around it."""

from __future__ import annotations

import json
import re
from typing import Final, NamedTuple

from ccagent.facts.model import Status

FRAME: Final = 1_024
"""Bytes at the beginning of an output that are looked at: the client's frame stands there, before the command's own."""

TAIL: Final = 256
"""Bytes at the end of an output in JSON, where older clients wrote its metadata."""

BARE: Final = 64
"""Bytes that are looked at where nothing says where the command's own output begins."""

SCRIPTED: Final = (b"Script completed", b"Script failed", b"Script running with cell ID ")
"""First words of the frame around what a script printed."""

BEGINNINGS: Final = (b"Chunk ID:", b"Wall time:", b"Process exited", b"Process running", b"Exit code:", *SCRIPTED)
"""First words of the frame in all known versions; a text that begins otherwise has none."""

OUTPUT_BYTES: Final = 1024 * 1024
"""A longer output is not read for what the command printed; clients keep far less."""

TIMEOUT_CODE: Final = 124
"""What timeout(1), and the client itself, end with when the time is over."""

_BEGIN: Final = re.compile(rb'\[\s*\{[^{}]*?"text"\s*:\s*"|"')
_EXIT: Final = re.compile(rb"(?:Process exited with code|Exit code:) (-?\d{1,10})\b")
_WALL: Final = re.compile(rb"Wall time:? (\d{1,7}(?:\.\d{1,9})?) seconds?")
_RUNNING: Final = re.compile(rb"(?:Process running with (session) ID|Script running with (cell) ID) ([\w-]{1,64})")
_CUT: Final = re.compile(
    r"^Total output lines: \d+\n|\u2026\d+ (?:tokens|chars) truncated\u2026|\[\.\.\. omitted \d+ of \d+ lines \.\.\.\]"
)
_META_EXIT: Final = re.compile(rb'\\"exit_code\\": ?(-?\d{1,10})\b')
_META_WALL: Final = re.compile(rb'\\"duration_seconds\\": ?(\d{1,7}(?:\.\d{1,9})?)')
_BEGINNINGS: Final = tuple(word.decode() for word in BEGINNINGS)
_SCRIPTED: Final = tuple(word.decode() for word in SCRIPTED)
_FAILED: Final = re.compile(rb'"success"\s*:\s*false')

_WORDS: Final[tuple[tuple[bytes, Status, str], ...]] = (
    (b"aborted", Status.INTERRUPTED, "interrupted"),
    (b"exec command rejected by user", Status.REJECTED, "rejected"),
    (b"patch rejected by user", Status.REJECTED, "rejected"),
    (b"rejected", Status.REJECTED, "rejected"),
    (b"command timed out", Status.TIMEOUT, "timeout"),
    (b"unsupported call", Status.ERROR, "not_found"),
    (b"failed to parse function arguments", Status.ERROR, "invalid_input"),
    (b"apply_patch verification failed", Status.ERROR, "invalid_input"),
    (b"exec_command failed", Status.ERROR, "other"),
    (b"write_stdin failed", Status.ERROR, "other"),
    (b"execution error", Status.ERROR, "other"),
    (b"tool call error", Status.ERROR, "other"),
    (b"script failed", Status.ERROR, "other"),
)
"""Beginnings of outputs that the client writes instead of a command's; nothing else of a text is judged by words."""


class ExecOutcome(NamedTuple):
    """failure "" for none; exit_code and wall_ms -1 where the output tells none; `process`: what names the process
    (`session:7`, `cell:7`) that went on, "" for none."""

    status: Status
    failure: str = ""
    exit_code: int = -1
    wall_ms: int = -1
    process: str = ""

    @property
    def running(self) -> bool:
        """Whether the process went on."""
        return bool(self.process)


class Printed(NamedTuple):
    """What the commands of a call printed; `whole`: that is all of it. exit_codes: of a script's commands, as far as it
    printed them."""

    text: str
    whole: bool
    exit_codes: tuple[int, ...]


def exec_outcome(output: bytes) -> ExecOutcome:
    """The outcome of a call by the JSON of its output (a string, a list of texts, or an object).

    Rule: the client's own frame decides: `Process exited with code N`, `Exit code: N`, or the metadata of the older
    JSON form; 0 is ok, 124 a timeout, any other an error. Without a code the few sentences that the client writes
    itself decide, and what is none of them is ok. Only what stands before the command's own output is read, so words
    of a command are never taken for the client's.
    """
    begin = _BEGIN.match(output)
    if begin is None:
        failed = _FAILED.search(output[:FRAME]) or _FAILED.search(output[-TAIL:])
        return ExecOutcome(Status.ERROR, "other") if failed else ExecOutcome(Status.OK)
    text = output[begin.end() : begin.end() + FRAME]
    frame, framed, _ = text.partition(b"Output:")
    if not text.startswith(BEGINNINGS):
        frame = b""
    elif not framed:
        frame = text[:BARE]
    code, wall = _EXIT.search(frame), _WALL.search(frame)
    if code is None and text.startswith(b'{\\"'):
        end = output[-TAIL:]
        code, wall = _META_EXIT.search(end), _META_WALL.search(end)
    wall_ms = round(float(wall.group(1)) * 1_000) if wall is not None else -1
    if code is not None:
        return _by_code(int(code.group(1)), wall_ms)
    running = _RUNNING.search(frame)
    if running is not None:
        kind, number = (running[1] or running[2]).decode(), running[3].decode("ascii", "replace")
        return ExecOutcome(Status.OK, "", -1, wall_ms, f"{kind}:{number}")
    start = text[:BARE].lower()
    for words, status, failure in _WORDS:
        if start.startswith(words):
            return ExecOutcome(status, failure, -1, wall_ms)
    return ExecOutcome(Status.OK, "", -1, wall_ms)


def printed(output: bytes) -> Printed:
    """What the commands of a call printed, by the JSON of its output: without the client's frame, and without the object
    that a script may have printed for a command's result."""
    if len(output) > OUTPUT_BYTES:
        return Printed("", False, ())
    try:
        value = json.loads(output)
    except (ValueError, RecursionError):
        return Printed("", True, ())
    texts = _texts(value)
    scripted = bool(texts) and texts[0].startswith(_SCRIPTED)
    if texts and texts[0].startswith(_BEGINNINGS):
        end = texts[0].find("Output:", 0, FRAME)
        if end >= 0:
            texts[0] = texts[0][end + len("Output:") :].removeprefix("\n")
    codes = []
    for place, text in enumerate(texts):
        result = _result(text) if scripted or len(texts) == 1 else None
        if result is not None:
            texts[place] = result[0]
            codes += [] if result[1] is None else [result[1]]
    text = "\n".join(part for part in texts if part)
    cut = _CUT.search(text)
    return Printed(text, cut is None, tuple(codes))


def _texts(value: object) -> list[str]:
    if isinstance(value, dict):
        value = value.get("content", value.get("output"))
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        return []
    return [item["text"] for item in value if isinstance(item, dict) and isinstance(item.get("text"), str)]


def _result(text: str) -> tuple[str, int | None] | None:
    """Output and exit code of a result that stands as an object in an output; None where there is none."""
    if text[:1] != "{" or '"output"' not in text:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not isinstance(value.get("output"), str):
        return None
    code = value.get("exit_code")
    return value["output"], code if type(code) is int else None


def _by_code(code: int, wall_ms: int) -> ExecOutcome:
    if code == 0:
        return ExecOutcome(Status.OK, "", 0, wall_ms)
    if code == TIMEOUT_CODE:
        return ExecOutcome(Status.TIMEOUT, "timeout", code, wall_ms)
    return ExecOutcome(Status.ERROR, "nonzero_exit", code, wall_ms)


def diff_lines(diff: str) -> tuple[int, int]:
    """Lines that a unified diff adds and removes; file headers (before the first hunk) are none."""
    added = removed = 0
    inside = not diff.startswith(("--- ", "diff "))
    for line in diff.split("\n"):
        if line.startswith("@@"):
            inside = True
        elif inside and line[:1] == "+":
            added += 1
        elif inside and line[:1] == "-":
            removed += 1
    return added, removed


def line_count(text: str) -> int:
    """Lines of a file's text."""
    return text.count("\n") + (not text.endswith("\n")) if text else 0
