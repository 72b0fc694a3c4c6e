"""A second, independent count of transcripts, for checking what the store holds.

It reads plain dictionaries with rules of its own and shares no code with the parser, so that a mistake there cannot
hide here. Of each id only a 16-byte hash is kept, of each request a few integers: 1 GB of transcripts needs some tens
of megabytes.

Rules: a request is the message id where the record carries a request id, else session and message id; its counters
are the field-wise maximum over all lines; `<synthetic>` is no request. Tool calls and results count by their distinct
ids in assistant and user records; those seen only inside agent_progress stand apart as relayed.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Final

import orjson

Json = dict[str, object]

COUNTERS: Final = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
LIFETIMES: Final = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
SUMS: Final = (*COUNTERS, "w5m", "w1h")
"""Names of a request's six counters, in the order in which they are kept."""

MAX_LINE: Final = 32 * 1024 * 1024
"""Longer lines are read past and count as bad; the follower's default, too."""

SKIPPED_NAME: Final = "journal.jsonl"
SKIPPED_FOLDER: Final = "tool-results"
SYNTHETIC: Final = "<synthetic>"
NO_TYPE: Final = "unknown"
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

ADVISOR: Final = "advisor_message"
"""A step of a response that is billed beside it, to a model of its own: a request in its own right."""


def transcript_files(root: Path) -> Iterator[Path]:
    """The transcripts below `root`, sorted; folders and files that are symbolic links are left out."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name != SKIPPED_FOLDER)
        for name in sorted(names):
            path = Path(folder, name)
            if name.endswith(".jsonl") and name != SKIPPED_NAME and path.is_file() and not path.is_symlink():
                yield path


def complete_lines(file: BinaryIO, limit: int | None = None, max_line: int = MAX_LINE) -> Iterator[bytes | None]:
    """The lines of `file` that end with a newline and lie before byte `limit`, each with its newline.

    A line of more than `max_line` bytes (its newline not among them) is read past and given as None. Lines are split
    at `\\n` alone; bytes behind the last newline are left out.
    """
    left = limit
    too_long = False
    while True:
        raw = file.readline(max_line + 1 if left is None else min(max_line + 1, left))
        if left is not None:
            left -= len(raw)
        if raw.endswith(b"\n"):
            yield None if too_long else raw
            too_long = False
        elif len(raw) > max_line:
            too_long = True
        else:
            return


def objects_of(raw: bytes) -> tuple[list[Json], bool]:
    """The whole objects on a line, and whether the line is bad.

    A line is bad unless it holds, NULs left aside, one JSON object and nothing else. Of a bad one every whole object
    from its start is taken, up to the first place that does not decode; nothing behind that place is searched for.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return _recovered(raw)
    return ([value], False) if isinstance(value, dict) else ([], True)


def _recovered(raw: bytes) -> tuple[list[Json], bool]:
    words = raw.removeprefix(BYTE_ORDER_MARK).replace(b"\0", b"").decode("utf-8", "replace")
    decoder = json.JSONDecoder()
    found: list[Json] = []
    position, end = 0, len(words)
    while True:
        while position < end and words[position] in " \t\r\n":
            position += 1
        if position == end:
            break
        try:
            value, position = decoder.raw_decode(words, position)
        except (ValueError, RecursionError):
            return found, True
        if not isinstance(value, dict):
            return found, True
        found.append(value)
    # The fast decoder refuses lone surrogates and a few spoilt bytes; the object is whole, so the line is not bad.
    return found, len(found) != 1


@dataclass(slots=True)
class Recount:
    """Accumulates transcripts; `totals()` gives what was counted so far."""

    files: int = 0
    lines: int = 0
    bad_lines: int = 0
    blank_lines: int = 0
    bytes_read: int = 0
    record_types: Counter[str] = field(default_factory=Counter)
    _requests: dict[bytes, tuple[str, list[int]]] = field(default_factory=dict)
    _calls: dict[bytes, str] = field(default_factory=dict)
    _relayed: dict[bytes, str] = field(default_factory=dict)
    _results: set[bytes] = field(default_factory=set)
    _errors: set[bytes] = field(default_factory=set)
    _sessions: set[bytes] = field(default_factory=set)
    _cwds: set[bytes] = field(default_factory=set)
    _compactions: set[bytes] = field(default_factory=set)
    _pull_requests: set[bytes] = field(default_factory=set)
    _names: dict[str, str] = field(default_factory=dict)

    def add_file(self, path: Path, limit: int | None = None, max_line: int = MAX_LINE) -> int:
        """Count the complete lines of one file that lie before byte `limit`; returns their number, blank ones included.

        Raises OSError when the file cannot be read; what was counted up to then stays counted.
        """
        number = 0
        with path.open("rb") as file:
            self.files += 1
            for raw in complete_lines(file, limit, max_line):
                number += 1
                if raw is None:
                    self.lines += 1
                    self.bad_lines += 1
                else:
                    self.bytes_read += len(raw)
                    self.add_line(raw)
        return number

    def add_line(self, raw: bytes) -> None:
        """Count one line."""
        if not raw.strip():
            self.blank_lines += 1
            return
        self.lines += 1
        found, bad = objects_of(raw)
        self.bad_lines += bad
        for record in found:
            self.add_record(record)

    def add_record(self, record: Json) -> None:
        """Count one whole object."""
        kind = record.get("type")
        kind = self._name(kind) if isinstance(kind, str) else NO_TYPE
        self.record_types[kind] += 1
        _add_text(self._sessions, record.get("sessionId"))
        _add_text(self._cwds, record.get("cwd"))
        match kind:
            case "assistant":
                self._message(record, record.get("sessionId"), self._calls)
            case "user":
                self._tool_results(record)
            case "progress":
                self._progress(record)
            case "system" if record.get("subtype") == "compact_boundary":
                _add_text(self._compactions, record.get("uuid"))
            case "pr-link":
                _add_text(self._pull_requests, record.get("prUrl"))

    def _progress(self, record: Json) -> None:
        data = record.get("data")
        if isinstance(data, dict) and data.get("type") == "agent_progress":
            relayed = data.get("message")
            if isinstance(relayed, dict) and relayed.get("type") == "assistant":
                self._message(relayed, record.get("sessionId"), self._relayed)

    def _message(self, record: Json, session: object, calls: dict[bytes, str]) -> None:
        message = record.get("message")
        if not isinstance(message, dict):
            return
        for block in _blocks(message, "tool_use"):
            tool, name = block.get("id"), block.get("name")
            if isinstance(tool, str) and tool:
                calls.setdefault(_key(tool), self._name(name) if isinstance(name, str) else NO_TYPE)
        message_id, usage, model = message.get("id"), message.get("usage"), message.get("model")
        if not isinstance(message_id, str) or not message_id or not isinstance(usage, dict) or model == SYNTHETIC:
            return
        identity = message_id if record.get("requestId") else f"{session}\0{message_id}"
        self._request(identity, model, usage)
        steps = usage.get("iterations")
        for number, step in enumerate(steps if isinstance(steps, list) else ()):
            if isinstance(step, dict) and step.get("type") == ADVISOR:
                self._request(f"{identity}:iter:{number}", step.get("model"), step)

    def _request(self, identity: str, model: object, usage: Json) -> None:
        key, counters = _key(identity), _counters(usage)
        known = self._requests.get(key)
        if known is None:
            self._requests[key] = (self._name(model) if isinstance(model, str) else NO_TYPE, counters)
        else:
            for place, amount in enumerate(counters):
                if amount > known[1][place]:
                    known[1][place] = amount

    def _tool_results(self, record: Json) -> None:
        message = record.get("message")
        if not isinstance(message, dict):
            return
        for block in _blocks(message, "tool_result"):
            tool = block.get("tool_use_id")
            if isinstance(tool, str) and tool:
                key = _key(tool)
                self._results.add(key)
                if block.get("is_error") is True:
                    self._errors.add(key)

    def _name(self, name: str) -> str:
        return self._names.setdefault(name, name)

    def totals(self) -> Json:
        """What was counted, JSON-able: tokens by kind and model, calls by tool, records by type, and the counts."""
        by_model: dict[str, dict[str, int]] = {}
        for model, counters in self._requests.values():
            _accumulate(by_model.setdefault(model, dict.fromkeys((*SUMS, "requests"), 0)), counters)
        tokens = {name: sum(row[name] for row in by_model.values()) for name in (*SUMS, "requests")}
        by_tool = Counter(self._calls.values())
        return {
            "files": self.files,
            "lines": self.lines,
            "bad_lines": self.bad_lines,
            "sessions": len(self._sessions),
            "cwds": len(self._cwds),
            "requests": len(self._requests),
            "tokens": tokens,
            "by_model": {model: by_model[model] for model in sorted(by_model)},
            "tool_calls": len(self._calls),
            "tool_calls_relayed": len(self._relayed.keys() - self._calls.keys()),
            "tool_results": len(self._results),
            "tool_errors": len(self._errors),
            "by_tool": {name: by_tool[name] for name in sorted(by_tool)},
            "pull_requests": len(self._pull_requests),
            "compactions": len(self._compactions),
            "record_types": {kind: self.record_types[kind] for kind in sorted(self.record_types)},
        }


def recount(root: Path, max_line: int = MAX_LINE) -> Json:
    """The totals of all transcripts below `root`; files that cannot be read are left out."""
    count = Recount()
    for path in transcript_files(root):
        try:
            count.add_file(path, max_line=max_line)
        except OSError:
            continue
    return count.totals()


def _key(words: str) -> bytes:
    return blake2b(words.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _add_text(known: set[bytes], value: object) -> None:
    if isinstance(value, str) and value:
        known.add(_key(value))


def _blocks(message: Json, kind: str) -> Iterable[Json]:
    content = message.get("content")
    if not isinstance(content, list):
        return ()
    return (block for block in content if isinstance(block, dict) and block.get("type") == kind)


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _counters(usage: Json) -> list[int]:
    counters = [_count(usage.get(name)) for name in COUNTERS]
    lifetimes = usage.get("cache_creation")
    split = lifetimes if isinstance(lifetimes, dict) else {}
    return counters + [_count(split.get(name)) for name in LIFETIMES]


def _accumulate(row: dict[str, int], counters: list[int]) -> None:
    for name, amount in zip(SUMS, counters, strict=True):
        row[name] += amount
    row["requests"] += 1
