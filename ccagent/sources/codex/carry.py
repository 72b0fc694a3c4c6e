"""What later lines of a rollout need of earlier ones; committed with the file's offset."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from ccagent.facts.deletions import Deletion
from ccagent.facts.delivery import Step
from ccagent.facts.quality.runs import Run

OPEN_CALLS: Final = 64
"""Calls that a file remembers for what is still to be said of them, answered ones among them, since an end event may
follow the output. A client runs a few at once; the oldest go first."""

PENDING_CALLS: Final = 64
"""Calls of one response whose request is not known yet: its usage follows them. A client makes far fewer."""

PROCESSES: Final = 64
"""Processes that went on when their call was answered, as far as they are remembered."""

NOT_REPLAYING: Final = 0
BY_META: Final = 1
"""A fork, or a foreign session_meta: it ends with a turn of the file's own, or with a pause."""
BY_TURN: Final = 2
"""The turn's own id says that it is older than the session: it ends with a turn that is not."""


class Call(Struct, array_like=True):
    """A call that was read, with what its ends said of it so far. -1 and "" as in `facts.partial.Result`."""

    name: str
    status: int = 0
    failure: str = ""
    exit_code: int = -1
    size: int = -1
    reported_ms: int = -1
    at: int | None = None
    folder: str | None = None  # that its command runs in
    scripted: int = 0  # commands of the script that it runs
    runs: list[Run] = msgspec.field(default_factory=list)
    deletions: list[Deletion] = msgspec.field(default_factory=list)
    delivery: list[Step] = msgspec.field(default_factory=list)
    polls: str | None = None  # the process that it asks for more of


class Carry(Struct, array_like=True):
    """State of one file after its last consumed line. Times are ms UTC."""

    last_at: int | None = None
    session: str | None = None
    introduced: bool = False  # the first session_meta was read; until then the file's name tells the session
    root: str | None = None  # the eldest session that the file's metas name as an ancestor
    born_at: int | None = None  # when the session began
    heir: bool = False  # the session has an ancestor, so the file may begin with a copy of its history
    subagent: str | None = None  # role of a sub-agent's session
    replaying: int = NOT_REPLAYING
    project: str | None = None
    cwd: str | None = None
    branch: str | None = None
    version: str | None = None
    entrypoint: str | None = None
    provider: str | None = None
    permission_mode: str | None = None
    model: str | None = None
    effort: str | None = None
    turn: str | None = None
    turn_id: str | None = None  # as the client wrote it, for the key of what it holds
    total: tuple[int, ...] | None = None  # the baseline: the last total vector
    context_tokens: int | None = None
    asked: int | None = None  # time of the last prompt or tool output
    incident: str | None = None  # the first line of the run of stream errors in progress
    compacted: str | None = None  # the one of the two records of a compaction that was read
    calls: dict[str, Call] = msgspec.field(default_factory=dict)
    pending: list[tuple[str, int, str]] = msgspec.field(default_factory=list)  # native, time, name
    pulls: dict[str, str] = msgspec.field(default_factory=dict)  # number or branch → URL of a pull request
    processes: dict[str, str] = msgspec.field(default_factory=dict)  # what went on → the call that began it
    replied: bool = False  # a piece of a response was read since the last usage


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Carry)


def dump(carry: Carry) -> bytes:
    """The bytes that the store keeps."""
    return _ENCODER.encode(carry)


def load(data: bytes | None) -> Carry:
    """The carry of a file; a fresh one where nothing is stored."""
    return _DECODER.decode(data) if data else Carry()
