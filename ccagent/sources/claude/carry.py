"""What later lines of a file need of earlier ones; committed with the file's offset."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from ccagent.facts.deletions import Deletion
from ccagent.facts.delivery import Step
from ccagent.facts.quality.runs import Run

OPEN_CALLS: Final = 512
"""Calls without a result that a file remembers; far above what a client keeps in flight. The oldest go first."""

TRIED_CALLS: Final = 128
"""Different calls of a turn that a chain remembers, the oldest go first: what is repeated is repeated soon."""

TRIED_CHAINS: Final = 16
"""Chains of a file that remember their calls; only old clients write several into one file."""

SIDE_LINES: Final = 512
"""Lines of sidechains that a file remembers: enough for several that take turns."""

BACKGROUND_AGENTS: Final = 256
"""Sub-agents sent to the background whose end is still awaited."""


class OpenCall(Struct, array_like=True):
    """A tool_use whose result was not read yet: what the result's line does not repeat."""

    name: str
    path: str | None = None
    agent_type: str | None = None
    digest: bytes = b""  # of tool and input
    chain: str = ""  # "" main, else the sub-agent, "~" a sidechain that has no name
    at: int | None = None
    limit_ms: int | None = None  # how long a shell may run, as declared
    elapsed_ms: int | None = None  # how long it has run, by its last sign of life
    background: bool = False
    side: str | None = None  # the sub-agent of this call, of which lines stand in the same file
    skill: str | None = None  # the skill that the call activates
    tasks: dict[str, str] | None = None  # task → state that the call asks for
    delivery: list[Step] | None = None  # what its command line does about delivery; None: nothing
    runs: list[Run] | None = None  # quality runs of its command line
    deletions: list[Deletion] | None = None  # files that it deletes


class Tried(Struct, array_like=True):
    """A tool with one input, as it was called before in this turn: its last call, how often since a file changed, whether
    that call failed, its place in a chain of retries, and whether somebody said no to it."""

    native: str
    count: int = 0
    failed: bool = False
    place: int = 0
    refused: bool = False


CHAINS: Final = 64
"""Chains (the main one, sub-agents) of which a file remembers the last request. The oldest sub-agent goes first."""


class Chain(Struct, array_like=True):
    """The last request of a chain, and what happened since. Tokens; times in ms UTC."""

    request: str | None = None
    before: str | None = None  # the request before it, whose late lines must not be taken for a new one
    model: str | None = None
    prompt: int = 0
    cached: int = 0  # what it read from the cache and wrote to it
    started: int | None = None
    long_lived: bool = False  # written for an hour
    session: str | None = None
    version: str | None = None
    turn: str | None = None
    skill: bool = False  # made with a skill that was loaded in this turn
    copied: bool = False  # its lines were copied from another session
    whole: bool = False  # its reply was written as one line, not streamed block by block
    marks: int = 0  # what happened since, as facts/cache_miss.py has it
    compaction: str | None = None  # the boundary of which the next request tells what it left


class Carry(Struct, array_like=True):
    """State of one file after its last consumed line. Times are ms UTC."""

    last_at: int | None = None
    session: str | None = None
    project: str | None = None
    cwd: str | None = None
    branch: str | None = None
    version: str | None = None
    entrypoint: str | None = None
    permission_mode: str | None = None
    turn: str | None = None
    waiting_prompt: str | None = None  # a slash command that has led to no request yet
    waiting_at: int | None = None
    requests: dict[str, tuple[str, bool]] = msgspec.field(default_factory=dict)  # chain → (request, stop known)
    calls: dict[str, OpenCall] = msgspec.field(default_factory=dict)
    background: list[str] = msgspec.field(default_factory=list)
    asked: dict[str, int] = msgspec.field(default_factory=dict)  # chain → time of its last prompt or result
    incident: str | None = None  # the first line of the run of retries in progress
    tried: dict[str, dict[bytes, Tried]] = msgspec.field(default_factory=dict)  # chain → calls of its turn
    turn_calls: int = 0  # of the main chain in the open turn
    awaiting: bool = False  # the model was asked, and has not answered yet
    launches: dict[bytes, str] = msgspec.field(default_factory=dict)  # digest of a prompt → call that gave it
    sides: dict[str, str] = msgspec.field(default_factory=dict)  # uuid of a sidechain's line → its sub-agent
    shells: dict[str, str] = msgspec.field(default_factory=dict)  # background shell → its call
    line_session: str | None = None  # of the last line of the main chain
    line_uuid: str | None = None
    companion_read: bool = False  # what stands in the file beside a sub-agent's is known
    chains: dict[str, Chain] = msgspec.field(default_factory=dict)  # agent, "" for the main chain
    command: str | None = None  # name of the slash command `waiting_prompt`
    typed_skill: tuple[str, str] | None = None  # the typed command that was a skill, and the skill's name
    anchor: str | None = None  # uuid of the last user line
    plan_approved: bool = False  # since the last change of the permission mode
    queue: list[tuple[int, str]] = msgspec.field(default_factory=list)  # typed ahead: time (-1 unknown), digest
    prompted: str | None = None  # digest of the last prompt, until a reply comes
    handed: str | None = None  # digest of a prompt handed over in the middle of a turn, likewise
    tasks: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)  # list → task → its last state
    pulls: dict[str, str] = msgspec.field(default_factory=dict)  # number or branch → URL of a pull request


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Carry)


def dump(carry: Carry) -> bytes:
    """The bytes that the store keeps."""
    return _ENCODER.encode(carry)


def load(data: bytes | None) -> Carry:
    """The carry of a file; a fresh one where nothing is stored."""
    return _DECODER.decode(data) if data else Carry()
