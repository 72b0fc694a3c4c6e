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
    SKILL = 11
    COMMAND = 12
    HOOK = 13
    PERMISSION = 14
    MICROCOMPACTION = 15
    QUEUE = 16
    TASK = 17
    QUALITY = 18
    COMMIT = 19
    PUSH = 20
    PULL_REQUEST = 21
    ARTIFACT = 22
    CACHE_MISS = 23


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
    EventType.SKILL: "skill.activation",
    EventType.COMMAND: "command.run",
    EventType.HOOK: "hook.run",
    EventType.PERMISSION: "permission.change",
    EventType.MICROCOMPACTION: "microcompaction",
    EventType.QUEUE: "queue.operation",
    EventType.TASK: "task.transition",
    EventType.QUALITY: "quality.run",
    EventType.COMMIT: "git.commit",
    EventType.PUSH: "git.push",
    EventType.PULL_REQUEST: "pull_request",
    EventType.ARTIFACT: "artifact.linked",
    EventType.CACHE_MISS: "cache.miss",
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
    EventType.SKILL: "skill:",
    EventType.COMMAND: "command:",
    EventType.HOOK: "hook:",
    EventType.PERMISSION: "permission:",
    EventType.MICROCOMPACTION: "microcompaction:",
    EventType.QUEUE: "queue:",
    EventType.TASK: "task:",
    EventType.QUALITY: "quality:",
    EventType.COMMIT: "commit:",
    EventType.PUSH: "push:",
    EventType.PULL_REQUEST: "pr:",
    EventType.ARTIFACT: "artifact:",
    EventType.CACHE_MISS: "miss:",
}
"""`source_key` = prefix + the id that the record carries (message id, tool_use id, uuid, …)."""


WITH_RESULT: frozenset[int] = frozenset(
    (
        EventType.TOOL_CALL,
        EventType.FILE_UPDATE,
        EventType.SUBAGENT_RUN,
        EventType.SKILL,
        EventType.COMMAND,
        EventType.HOOK,
        EventType.TASK,
        EventType.QUALITY,
        EventType.COMMIT,
        EventType.PUSH,
        EventType.PULL_REQUEST,
    )
)
"""Kinds whose outcome is one tuple (`partial.Result`), taken whole; the status of the others follows from their kind."""


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
    TIMED_OUT = 4096  # the call reached its declared limit, or its result says so
    HUMAN = 8192  # a person was asked: the duration holds the wait for an answer
    REPEATED = 16384  # the same tool with the same input had been called in this turn, and had not failed
    LOOP = 32768  # a turn in which one call was made again and again
    STALL = 65536  # a turn in which nothing was heard for too long
    INFERRED = 131072  # judged from texts or times; no record says so itself
    TERMINAL = 262144  # a task that is over, whatever its word
    LOCAL = 524288  # a command that leads to no request
    TORN_SUM = 1048576  # a line stated less cache writes than the parts of them that it stated


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
    provider: str | None  # who serves the model where the source says so itself; None: by the form of the model's id
    rank: int
