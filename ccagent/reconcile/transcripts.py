"""The requests and tool calls that the transcripts show, by the ids that Claude Code's own telemetry uses too.

Request ids are not stored, so the transcripts that still exist are read, by plain rules of their own: a response is its
message id, whatever the number of lines and files that repeat it; each of its counters is the largest of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Set
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ccagent.facts.pricing import PriceTable
from ccagent.follow.roots import CLAUDE, Root
from ccagent.reconcile.sides import Side, Tokens
from ccagent.recount_lines import Json, complete_lines, pieces_of, transcript_files

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
COUNT_LIMIT: Final = 1 << 40
PROMPT: Final = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
"""What was sent with a request."""

SYNTHETIC: Final = "<synthetic>"
"""The model of what the client wrote itself."""

LOOKED_FOR: Final = (b'"usage"', b'"tool_result"')
"""A line without either tells of no request and no result."""

Window = tuple[int, int]
"""First and last moment, ms UTC."""


class Transcripts:
    """Reads transcripts into a `Side`; what is dear is kept once a request, never once a line.

    `sessions`: taken whole. `window`: what happened within it is taken of every session. Of what happened outside of
    both nothing is kept. `files` and `unreadable` count what was looked at.
    """

    def __init__(self, prices: PriceTable, sessions: Set[str], window: Window | None) -> None:
        self.side = Side()
        self.files = 0
        self.unreadable = 0
        self._prices = prices
        self._sessions = sessions
        self._window = window
        self._messages: dict[str, str] = {}
        self._unnamed: set[tuple[str | None, str]] = set()

    @property
    def messages(self) -> Set[str]:
        """Ids of the responses that have a request id."""
        return self._messages.keys()

    def read(self, roots: Iterable[Root | Path]) -> None:
        """Read the transcripts of Claude Code below `roots` that may hold what is asked for."""
        for path in transcripts_of(roots):
            if not self._may_hold(path):
                continue
            try:
                with path.open("rb") as file:
                    self._read(complete_lines(file))
                self.files += 1
            except OSError:
                self.unreadable += 1

    def _may_hold(self, path: Path) -> bool:
        """A file that was last written before the window, of a session that nobody named, holds nothing of either."""
        if path.stem in self._sessions or not self._sessions.isdisjoint(path.parts):
            return True
        try:
            return self._window is not None and path.stat().st_mtime * 1_000 >= self._window[0]
        except OSError:
            return True  # it is counted when it is read

    def _read(self, lines: Iterator[bytes | None]) -> None:
        session: str | None = None
        for raw in lines:
            if raw is None or not any(word in raw for word in LOOKED_FOR):
                continue
            for record in pieces_of(raw)[0]:
                session = _text(record.get("sessionId")) or session
                self._record(record, session)

    def _record(self, record: Json, session: str | None) -> None:
        kind, at = record.get("type"), _moment(record.get("timestamp"))
        if kind == "progress":
            data = record.get("data")
            inner = data.get("message") if isinstance(data, dict) else None
            if isinstance(inner, dict):
                self._record(inner, session)
            return
        message = record.get("message")
        if not isinstance(message, dict) or not self._wanted(session, at):
            return
        if kind == "assistant":
            self._reply(record, message, session, at)
        elif kind == "user":
            content = message.get("content")
            for block in content if isinstance(content, list) else ():
                if isinstance(block, dict) and block.get("type") == "tool_result":
                    tool = _text(block.get("tool_use_id"))
                    if tool is not None:
                        self.side.tool(tool, session, at)

    def _reply(self, record: Json, message: Json, session: str | None, at: int | None) -> None:
        usage, model, id = message.get("usage"), _text(message.get("model")), _text(message.get("id"))
        if not isinstance(usage, dict) or model == SYNTHETIC or id is None or record.get("isApiErrorMessage"):
            return
        request = _text(record.get("requestId"))
        if request is None:
            if (session, id) not in self._unnamed:
                self._unnamed.add((session, id))
                self.side.unnamed += 1
            return
        request = self._messages.setdefault(id, request)  # of two ids of one response the first names it
        tokens: Tokens = (
            _count(usage.get("input_tokens")), _count(usage.get("output_tokens")),
            _count(usage.get("cache_read_input_tokens")), _count(usage.get("cache_creation_input_tokens")),
        )  # fmt: skip
        self.side.request(request, session, at, tokens, self._cost(model, at, tokens, usage))

    def _cost(self, model: str | None, at: int | None, tokens: Tokens, usage: Json) -> int | None:
        split = usage.get("cache_creation")
        hour = _count(split.get("ephemeral_1h_input_tokens")) if isinstance(split, dict) else 0
        priced = self._prices.cost(
            model, at, *tokens, hour, fast=usage.get("speed") == "fast", us_only=usage.get("inference_geo") == "us",
            longest=_longest_prompt(usage),
        )  # fmt: skip
        return None if priced is None else priced.microusd

    def _wanted(self, session: str | None, at: int | None) -> bool:
        if session in self._sessions:
            return True
        return self._window is not None and at is not None and self._window[0] <= at <= self._window[1]


def transcripts_of(roots: Iterable[Root | Path]) -> Iterator[Path]:
    """The transcripts of Claude Code below `roots`, each once."""
    seen: set[str] = set()
    for root in roots:
        if isinstance(root, Root) and root.kind != CLAUDE:
            continue
        for path in transcript_files(root.path if isinstance(root, Root) else root):
            real = os.path.realpath(path)
            if real not in seen:
                seen.add(real)
                yield path


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < COUNT_LIMIT else 0


def _longest_prompt(usage: Json) -> int | None:
    """Of a response in several steps, whose sum `usage` is, the tokens of the longest prompt."""
    steps = usage.get("iterations")
    own = (
        [step for step in steps if isinstance(step, dict) and step.get("type") == "message"]
        if isinstance(steps, list)
        else []
    )
    prompts = [_prompt(step) for step in own]
    return max(prompts) if len(prompts) > 1 and sum(prompts) == _prompt(usage) else None


def _prompt(counts: Json) -> int:
    return sum(_count(counts.get(name)) for name in PROMPT)


def _moment(value: object) -> int | None:
    """A record's time, ms UTC."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return round((found - EPOCH).total_seconds() * 1_000)
