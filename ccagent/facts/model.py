"""What a fact is: its kinds, its closed sets, and the partial facts that lines yield.

A line yields *partial facts of raw fields*. Only raw fields are merged, by operations that commute (maximum, minimum,
"or", the larger tuple); everything else is derived from the merged row. So any cut of the bytes, any order of files
and any repetition end in the same table.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class EventType(IntEnum):
    """Kinds of facts; the number is what the store keeps, `EVENT_NAMES` what a user sees."""

    SESSION = 1
    TURN = 2
    PROMPT = 3
    LLM_REQUEST = 4
    TOOL_CALL = 5
    FILE_UPDATE = 6
    SUBAGENT_RUN = 7
    COMPACTION = 8
    API_ERROR = 9
    UNKNOWN = 10


EVENT_NAMES: dict[int, str] = {
    EventType.SESSION: "session.lifecycle",
    EventType.TURN: "turn",
    EventType.PROMPT: "prompt",
    EventType.LLM_REQUEST: "llm.request",
    EventType.TOOL_CALL: "tool.call",
    EventType.FILE_UPDATE: "file.update",
    EventType.SUBAGENT_RUN: "subagent.run",
    EventType.COMPACTION: "compaction",
    EventType.API_ERROR: "api.error",
    EventType.UNKNOWN: "record.unknown",
}

KEY_PREFIXES: dict[int, str] = {
    EventType.SESSION: "session:",
    EventType.TURN: "turn:",
    EventType.PROMPT: "prompt:",
    EventType.LLM_REQUEST: "llm:",
    EventType.TOOL_CALL: "tool:",
    EventType.FILE_UPDATE: "file:",
    EventType.SUBAGENT_RUN: "agent:",
    EventType.COMPACTION: "compaction:",
    EventType.API_ERROR: "error:",
    EventType.UNKNOWN: "unknown:",
}
"""`source_key` = prefix + the id that the record carries (message id, tool_use id, uuid, …)."""


class Status(IntEnum):
    """Outcome of a fact. The order is the rank by which outcomes merge: the largest wins."""

    OPEN = 0
    OK = 1
    ERROR = 2
    REJECTED = 3
    INTERRUPTED = 4
    TIMEOUT = 5


STATUS_NAMES: tuple[str, ...] = ("open", "ok", "error", "rejected", "interrupted", "timeout")


class Quality(IntEnum):
    """How far the usage of a request can be trusted (docs/transcripts.md, "Usage quality")."""

    FINAL = 0
    PARTIAL = 1
    PLACEHOLDER = 2
    ESTIMATED = 3


QUALITY_NAMES: tuple[str, ...] = ("final", "partial", "placeholder", "estimated")


class Flag(IntEnum):
    """Facts that are true once any line said so; merged by "or".

    Plain integers on purpose: combining members of an `enum.Flag` costs more than the rest of reading a line.
    """

    DIRECT = 1  # seen outside agent_progress; a fact without it is `relayed`
    RESULT = 2  # a result was seen for the call
    ERROR = 4  # a result flagged is_error was seen outside agent_progress
    ABORTED = 8  # the stream was cut (isAbortedMidStream)
    FAST = 16  # usage.speed "fast"
    US_ONLY = 32  # usage.inference_geo "us"
    TIME_INFERRED = 64  # the record had no timestamp; its predecessor's was taken
    BACKGROUND = 128  # the call returned at once, the work went on (run_in_background, async agent)
    INTERRUPTED = 256  # the user interrupted the turn
    AUTO = 512  # compaction triggered by the client
    FINAL_FAILURE = 1024  # the request was given up (isApiErrorMessage)
    BACKFILL = 2048  # first seen in history, before the first catch-up was done


class Rank(IntEnum):
    """Who owns a fact that stands in several copies: the smallest wins."""

    MAIN = 0
    SIDECHAIN = 1
    RELAYED = 2


class Context(NamedTuple):
    """Where a line stands: the attributes that hardly change from one line to the next. Interned by the store."""

    session: str | None
    project: str | None  # cwd of the file's first record that has one
    cwd: str | None
    branch: str | None
    version: str | None
    entrypoint: str | None
    permission_mode: str | None
    agent: str | None  # agent id of a sub-agent's records
    skill: str | None  # attributionSkill
    rank: int
