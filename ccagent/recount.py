"""A second, independent count of transcripts, for checking what the store holds.

It reads plain dictionaries with rules of its own and shares no code with the parser, so that a mistake there cannot
hide here. What it counts lies in a `Tally`, under the same 16-byte keys as in the store.

Rules: a request is the message id where the record carries a request id, else session and message id; its counters
are the field-wise maximum over all lines; `<synthetic>`, and what has no id, is no response. Tool calls and results count by their distinct
ids in assistant and user records; those seen only inside agent_progress stand apart as relayed. Of several lines that
speak of one thing the owner is the smallest of (0 main chain / 1 sub-agent / 2 inside agent_progress; time; session);
its session and model are the thing's. A line without a session or a time has those of the line before it.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Final

from ccagent.follow.roots import CLAUDE, CODEX, Kinds
from ccagent.recount_codex import Rollout, Thing
from ccagent.recount_lines import MAX_LINE, Json, Lines, complete_lines, pieces_of
from ccagent.tally import COUNTERS, KIND, NAME, NEVER, NO_TEXT, SEEN, Entry, Kind, Seen, Tally

TOKENS: Final = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
LIFETIMES: Final = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
SUMS: Final = (*TOKENS, "w5m", "w1h")
"""Names of a request's six counters, in the order in which they are kept."""

COUNT_LIMIT: Final = 1 << 40
"""A larger count is no count but a broken field."""

PREFIXES: Final = {Kind.SESSION: "session:", Kind.REQUEST: "llm:", Kind.CALL: "tool:", Kind.COMPACTION: "compaction:"}
"""The key of a thing is the BLAKE2b-16 of its prefix and its id, as the store documents it."""

SYNTHETIC: Final = "<synthetic>"
NO_TYPE: Final = "unknown"
NAME_LENGTH: Final = 256
"""Characters of a tool's name that are kept."""

UNSOUND: Final = re.compile("[\0\ud800-\udfff]")
AGENT_FILE: Final = re.compile(r"agent-.+\.jsonl", re.DOTALL)
ROLLOUT: Final = "rollout-"
"""How the names of Codex files begin: asked only of files whose root is followed no more."""

ANSWER_ONLY: Final = 4
"""Added to the rank of a line that holds a call's result: it owns the call only while the call is not seen."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST_MS: Final = 253_402_300_799_999
"""The end of the year 9999; a later time is none."""

ADVISOR, COMPACTION = "advisor_message", "compaction"
"""Steps of a response that are billed beside it, requests in their own right: an advisor has a model of its own."""


@dataclass(slots=True, kw_only=True)
class Reading:
    """How far one file has been counted, and what its next lines need of those before. Sizes in bytes."""

    agent: bool = False
    """The file of a sub-agent."""
    offset: int = 0
    lines: int = 0
    bad_lines: int = 0
    session: str | None = None
    at: int = NEVER
    keys: set[bytes] | None = None
    """The things that its lines speak of; None where nobody wants to know."""
    rollout: Rollout | None = None
    """Of a file of Codex."""

    @classmethod
    def of(cls, path: Path, *, with_keys: bool = False, codex: bool = False) -> Reading:
        """The beginning of the file at `path`; only its name is looked at."""
        rollout = Rollout(name=path.name) if codex else None
        agent = rollout is None and AGENT_FILE.fullmatch(path.name) is not None
        return cls(agent=agent, keys=set() if with_keys else None, rollout=rollout)


@dataclass(slots=True)
class Recount:
    """Accumulates transcripts; `totals()` gives what was counted so far."""

    files: int = 0
    lines: int = 0
    bad_lines: int = 0
    broken: int = 0
    """Pieces of lines that do not decode."""
    bytes_read: int = 0
    record_types: Counter[str] = field(default_factory=Counter)
    tally: Tally = field(default_factory=Tally)
    kinds: Kinds | None = None
    """Whose the files are; without it all are Claude Code's."""
    _cwds: set[str] = field(default_factory=set)
    _pull_requests: set[str] = field(default_factory=set)
    _here: Reading = field(default_factory=Reading)
    _raw: bytes = b""

    def reading(self, path: Path, *, with_keys: bool = False) -> Reading:
        """The beginning of the file at `path` (a real one)."""
        kind = self.kinds.kind_of(os.fsencode(path)) if self.kinds is not None else CLAUDE
        named = path.name.startswith(ROLLOUT)
        return Reading.of(path, with_keys=with_keys, codex=kind == CODEX or (kind is None and named))

    def add_file(self, path: Path, limit: int | None = None, max_line: int = MAX_LINE) -> int:
        """Count the complete lines of one file that lie before byte `limit`; returns their number, blank ones included.

        Raises OSError when the file cannot be read; what was counted up to then stays counted.
        """
        reading = self.reading(path)
        with path.open("rb") as file:
            self.read(reading, file, limit, max_line)
        return reading.lines

    def read(self, reading: Reading, file: Lines, limit: int | None = None, max_line: int = MAX_LINE) -> None:
        """Count the complete lines of `file`, which stands at `reading.offset`, up to byte `limit` of it."""
        self._here = reading
        self.files += reading.offset == 0
        room = None if limit is None else limit - reading.offset
        for raw in complete_lines(file, room, max_line):
            reading.lines += 1
            if raw is None:
                self.lines += 1
                self.bad_lines += 1
                self.broken += 1
                reading.bad_lines += 1
            else:
                self.bytes_read += len(raw)
                self.add_line(raw)
        if limit is not None:
            reading.offset = limit

    def add_line(self, raw: bytes) -> None:
        """Count one line."""
        if not raw.strip():
            return
        self.lines += 1
        found, bad, broken = pieces_of(raw)
        self.bad_lines += bad
        self.broken += broken
        self._here.bad_lines += bad
        self._raw = raw
        for record in found:
            self.add_record(record)

    def add_record(self, record: Json) -> None:
        """Count one whole object."""
        kind = record.get("type")
        kind = kind if isinstance(kind, str) else NO_TYPE
        self.record_types[kind] += 1
        here = self._here
        if here.rollout is not None:
            self._of_rollout(record, here.rollout)
            return
        session = record.get("sessionId")
        if isinstance(session, str):
            here.session = _sound(session)
        own = moment(record.get("timestamp"))
        if own is not None:
            here.at = own
        if isinstance(session, str):
            self._note(Kind.SESSION, _sound(session), (0, 0, NO_TEXT, NO_TEXT), here.at)
        _add_text(self._cwds, record.get("cwd"))
        rank = 1 if here.agent or record.get("isSidechain") is True else 0
        match kind:
            case "assistant":
                if record.get("isApiErrorMessage") is not True:
                    self._message(record, rank, here.at, Seen.CALLED)
            case "user":
                self._results(record, rank, here.at, Seen.CALLED)
            case "progress":
                self._progress(record)
            case "system" if record.get("subtype") == "compact_boundary":
                self._compaction(record, rank)
            case "pr-link":
                _add_text(self._pull_requests, record.get("prUrl"))

    def _of_rollout(self, record: Json, rollout: Rollout) -> None:
        """Count one object of a Codex file."""
        here, texts = self._here, self.tally.texts
        own = moment(record.get("timestamp"))
        line = self._raw.removesuffix(b"\n")
        content = lambda kind, session: _of_content(kind, session, line)  # noqa: E731 - one use, two lines below
        for thing in rollout.things(record, own, moment, content):
            here.session, here.at = rollout.session, NEVER if rollout.at is None else rollout.at
            self._note_of_rollout(
                thing, texts.number(here.session), NO_TEXT if thing.name is None else texts.number(_sound(thing.name))
            )

    def _note_of_rollout(self, thing: Thing, session: int, name: int) -> None:
        identity, at = _sound(thing.identity), self._here.at
        owner = 0, at, session, name
        match thing.kind:
            case "session":
                self._note(Kind.SESSION, identity, (0, 0, NO_TEXT, NO_TEXT), at)
            case "request":
                plain, output, read, write = thing.counters
                self._note(Kind.REQUEST, identity, owner, at, 0, (plain, output, read, write, 0, 0))
            case "compaction":
                self._note(Kind.COMPACTION, identity, owner, at)
            case "call":
                self._note(Kind.CALL, identity, owner, at, Seen.CALLED)
            case "answer" | "failure":
                seen = Seen.ANSWERED | (Seen.FAILED if thing.kind == "failure" else 0)
                self._note(Kind.CALL, identity, (ANSWER_ONLY, at, session, NO_TEXT), NEVER, seen)

    def _progress(self, record: Json) -> None:
        data = record.get("data")
        if not isinstance(data, dict) or data.get("type") != "agent_progress":
            return
        relayed = data.get("message")
        if isinstance(relayed, dict):
            own = moment(relayed.get("timestamp"))
            at = self._here.at if own is None else own
            if relayed.get("type") == "assistant":
                self._message(relayed, 2, at, Seen.RELAYED)
            elif relayed.get("type") == "user":
                self._results(relayed, 2, at, Seen.RELAYED)

    def _compaction(self, record: Json, rank: int) -> None:
        here = self._here
        identity = record.get("uuid")
        if not isinstance(identity, str) or not identity:
            identity = _of_content("compact_boundary", here.session or "", self._raw.removesuffix(b"\n"))
        owner = rank, here.at, self.tally.texts.number(here.session), NO_TEXT
        self._note(Kind.COMPACTION, _sound(identity), owner, here.at)

    def _message(self, record: Json, rank: int, at: int, seen: Seen) -> None:
        message = record.get("message")
        if not isinstance(message, dict):
            return
        message_id, usage, model = message.get("id"), message.get("usage"), message.get("model")
        if model == SYNTHETIC:
            return
        named = message_id if isinstance(message_id, str) else ""
        if named or seen is Seen.CALLED:
            self._calls(message, rank, at, seen)
        if not named or not isinstance(usage, dict):
            return
        asked = record.get("requestId")
        identity = named if isinstance(asked, str) and asked else f"{self._here.session or ''}/{named}"
        identity = _sound(identity)
        self._request(identity, model, usage, rank, at)
        steps = usage.get("iterations")
        whole = [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []
        for number, step in enumerate(whole):
            if step.get("type") in (ADVISOR, COMPACTION):
                billed = step.get("model") or (model if step.get("type") == COMPACTION else None)
                self._request(f"{identity}:iter:{number}", billed, step, rank, at)

    def _calls(self, message: Json, rank: int, at: int, seen: Seen) -> None:
        texts = self.tally.texts
        for block in _blocks(message, "tool_use"):
            tool, name = block.get("id"), block.get("name")
            if isinstance(tool, str) and tool:
                name = _sound(name)[:NAME_LENGTH] if isinstance(name, str) and name else NO_TYPE
                owner = rank, at, texts.number(self._here.session), texts.number(name)
                self._note(Kind.CALL, _sound(tool), owner, at, seen)

    def _request(self, identity: str, model: object, usage: Json, rank: int, at: int) -> None:
        texts = self.tally.texts
        name = _sound(model) if isinstance(model, str) and model else NO_TYPE
        owner = rank, at, texts.number(self._here.session), texts.number(name)
        self._note(Kind.REQUEST, identity, owner, at, 0, _counters(usage))

    def _results(self, record: Json, rank: int, at: int, seen: Seen) -> None:
        message = record.get("message")
        if not isinstance(message, dict):
            return
        self._calls(message, rank, at, seen)
        for block in _blocks(message, "tool_result"):
            tool = block.get("tool_use_id")
            if isinstance(tool, str) and tool:
                direct = seen is Seen.CALLED
                flags = int(Seen.ANSWERED if direct else Seen.ANSWER_RELAYED)
                if direct and block.get("is_error") is True:
                    flags |= Seen.FAILED
                owner = rank + ANSWER_ONLY, at, self.tally.texts.number(self._here.session), NO_TEXT
                self._note(Kind.CALL, _sound(tool), owner, NEVER, flags)

    def _note(
        self,
        kind: Kind,
        identity: str,
        owner: tuple[int, int, int, int],
        first: int,
        seen: int = 0,
        counters: tuple[int, ...] = (0, 0, 0, 0, 0, 0),
    ) -> None:
        key = blake2b((PREFIXES[kind] + identity).encode(), digest_size=16).digest()
        if self._here.keys is not None:
            self._here.keys.add(key)
        self.tally.add(key, [int(kind), int(seen), *owner, first, *counters])

    def totals(self) -> Json:
        """What was counted, JSON-able: tokens by kind and model, calls by tool, records by type, and the counts."""
        by_model: dict[str, dict[str, int]] = {}
        by_tool: Counter[str] = Counter()
        counts: Counter[str] = Counter()
        for _, entry in self.tally.sorted():
            name = self.tally.texts.text(entry[NAME]) or NO_TYPE
            match entry[KIND]:
                case Kind.REQUEST:
                    _accumulate(by_model.setdefault(name, dict.fromkeys((*SUMS, "requests"), 0)), entry)
                case Kind.CALL:
                    counts.update(amounts_of_call(entry[SEEN]))
                    if entry[SEEN] & Seen.CALLED:
                        by_tool[name] += 1
                case kind:
                    counts[PREFIXES[Kind(kind)]] += 1
        return {
            "files": self.files,
            "lines": self.lines,
            "bad_lines": self.bad_lines,
            "sessions": counts[PREFIXES[Kind.SESSION]],
            "cwds": len(self._cwds),
            "requests": sum(row["requests"] for row in by_model.values()),
            "tokens": {name: sum(row[name] for row in by_model.values()) for name in (*SUMS, "requests")},
            "by_model": {model: by_model[model] for model in sorted(by_model)},
            **{name: counts[name] for name in ("tool_calls", "tool_calls_relayed", "tool_results", "tool_errors")},
            "by_tool": {name: by_tool[name] for name in sorted(by_tool)},
            "pull_requests": len(self._pull_requests),
            "compactions": counts[PREFIXES[Kind.COMPACTION]],
            "record_types": {kind: self.record_types[kind] for kind in sorted(self.record_types)},
        }


def amounts_of_call(seen: int) -> Iterator[str]:
    """The counts in which a tool call stands that was seen so."""
    if seen & Seen.CALLED:
        yield "tool_calls"
    elif seen & Seen.RELAYED:
        yield "tool_calls_relayed"
    if seen & Seen.ANSWERED:
        yield "tool_results"
    if seen & Seen.FAILED:
        yield "tool_errors"


def moment(text: object) -> int | None:
    """ms since the epoch of an ISO 8601 time, UTC where it names no zone; None where it is none."""
    if not isinstance(text, str):
        return None
    try:
        parsed = datetime.fromisoformat(text)
        since = (parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)) - EPOCH
    except (ValueError, OverflowError):
        return None
    ms = (since.days * 86_400 + since.seconds) * 1_000 + round(since.microseconds / 1_000)
    return ms if 0 <= ms <= LATEST_MS else None


def _of_content(kind: str, session: str, line: bytes) -> str:
    """The id of a record without one: its kind, its session and its bytes, each behind its length (8 bytes)."""
    parts = (kind.encode(), session.encode(), line)
    framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return "sha:" + blake2b(framed, digest_size=16).hexdigest()


def _sound(text: str) -> str:
    """The text with NULs and half surrogate pairs replaced, which not every database holds."""
    return UNSOUND.sub("\ufffd", text) if "\0" in text or not text.isascii() else text


def _add_text(known: set[str], value: object) -> None:
    if isinstance(value, str) and value:
        known.add(value)


def _blocks(message: Json, kind: str) -> Iterable[Json]:
    content = message.get("content")
    if not isinstance(content, list):
        return ()
    return (block for block in content if isinstance(block, dict) and block.get("type") == kind)


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= COUNT_LIMIT else 0


def _counters(usage: Json) -> tuple[int, ...]:
    lifetimes = usage.get("cache_creation")
    split = lifetimes if isinstance(lifetimes, dict) else {}
    *others, written = (_count(usage.get(name)) for name in TOKENS)
    parts = [_count(split.get(name)) for name in LIFETIMES]
    return *others, max(written, sum(parts)), *parts


def _accumulate(row: dict[str, int], entry: Entry) -> None:
    for place, name in enumerate(SUMS, COUNTERS):
        row[name] += entry[place]
    row["requests"] += 1
