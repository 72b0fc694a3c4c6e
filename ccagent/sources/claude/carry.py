"""What later lines of a file need of earlier ones; committed with the file's offset."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

OPEN_CALLS: Final = 512
"""Calls without a result that a file remembers; far above what a client keeps in flight. The oldest go first."""

BACKGROUND_AGENTS: Final = 256
"""Sub-agents sent to the background whose end is still awaited."""


class OpenCall(Struct, array_like=True):
    """A tool_use whose result was not read yet: what the result's line does not repeat."""

    name: str
    path: str | None = None
    agent_type: str | None = None


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


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Carry)


def dump(carry: Carry) -> bytes:
    """The bytes that the store keeps."""
    return _ENCODER.encode(carry)


def load(data: bytes | None) -> Carry:
    """The carry of a file; a fresh one where nothing is stored."""
    return _DECODER.decode(data) if data else Carry()
