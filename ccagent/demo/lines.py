"""The small parts of an invented transcript line: ids, times, usage blocks, content blocks, damage-free JSON bytes.

Everything is deterministic: ids come from a seeded generator, times are integers in milliseconds UTC.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import orjson

Json = dict[str, object]

ID_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
"""Letters of the API's opaque ids."""

FOLDER_KEEPS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
"""Characters of a working directory that its folder below `projects` keeps; every other one becomes a dash."""


def at(text: str) -> int:
    """Milliseconds UTC of an ISO 8601 time such as `2026-02-10T09:00:00Z`."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def stamp(time_ms: int) -> str:
    """The form in which clients write a time: `2026-02-10T09:00:00.000Z`."""
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"


def folder_of(cwd: str) -> str:
    """Name of the folder below `projects` for a working directory."""
    return "".join(letter if letter in FOLDER_KEEPS else "-" for letter in cwd)


def version_tuple(version: str) -> tuple[int, ...]:
    """`2.1.30` as (2, 1, 30), for comparing generations of clients."""
    return tuple(int(part) for part in version.split("."))


def encode(record: object) -> bytes:
    """One record as a client writes it: compact JSON and the newline that ends the line."""
    return orjson.dumps(record) + b"\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a file: when it is written (ms UTC) and its bytes, newline included."""

    at_ms: int
    raw: bytes


def joined(lines: Iterable[Line]) -> bytes:
    """The bytes of a file made of `lines`."""
    return b"".join(line.raw for line in lines)


class Ids:
    """Ids of every kind from one seed; the same seed gives the same ids in the same order."""

    __slots__ = ("random",)

    def __init__(self, seed: int | str) -> None:
        self.random = random.Random(f"ccagent-transcripts-{seed}")

    def uuid(self) -> str:
        """A random-looking UUID of version 4."""
        digits = f"{self.random.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"

    def message(self) -> str:
        """Id of an API message."""
        return self._opaque("msg_01", 22)

    def request(self) -> str:
        """Id of an API request."""
        return self._opaque("req_011C", 20)

    def tool(self) -> str:
        """Id of a tool call."""
        return self._opaque("toolu_01", 22)

    def agent(self) -> str:
        """Id of a sub-agent: seven hexadecimal digits."""
        return f"{self.random.getrandbits(28):07x}"

    def _opaque(self, prefix: str, length: int) -> str:
        return prefix + "".join(self.random.choices(ID_ALPHABET, k=length))


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counters of one API response.

    `cache_write` is the whole of the cache writes, `cache_write_1h` its part with the long lifetime; `split` False
    leaves the division by lifetime out, as early clients and gateways do. `thinking` is a part of `output`.
    """

    input: int = 10
    output: int = 100
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    thinking: int | None = None
    split: bool = True
    speed: str | None = None
    geo: str | None = None

    def record(self, version: tuple[int, ...], output: int | None = None) -> Json:
        """The `usage` object a client of `version` writes, with `output` in place of the final count where given."""
        usage: Json = {
            "input_tokens": self.input,
            "cache_creation_input_tokens": self.cache_write,
            "cache_read_input_tokens": self.cache_read,
        }
        if self.split and version >= (1, 0, 98):
            usage["cache_creation"] = {
                "ephemeral_5m_input_tokens": self.cache_write - self.cache_write_1h,
                "ephemeral_1h_input_tokens": self.cache_write_1h,
            }
        usage["output_tokens"] = self.output if output is None else output
        usage["service_tier"] = "standard"
        if version >= (2, 1, 17):
            usage["inference_geo"] = self.geo or "not_available"
        if version >= (2, 1, 41):
            usage["speed"] = self.speed or "standard"
        if version >= (2, 1, 229) and self.thinking is not None:
            usage["output_tokens_details"] = {"thinking_tokens": self.thinking}
        return usage


def text(words: str) -> Json:
    """A visible text block."""
    return {"type": "text", "text": words}


def thinking(words: str) -> Json:
    """A thinking block; its signature is invented."""
    return {"type": "thinking", "thinking": words, "signature": "c2lnbmF0dXJl"}


def tool_use(tool_id: str, name: str, tool_input: Json | None = None) -> Json:
    """A tool call block."""
    return {"type": "tool_use", "id": tool_id, "name": name, "input": tool_input or {}}


def patch(added: int, removed: int) -> list[Json]:
    """A structured patch of one hunk with so many lines added and removed."""
    lines = [" before"] + ["-old line"] * removed + ["+new line"] * added + [" after"]
    return [{"oldStart": 1, "oldLines": removed + 2, "newStart": 1, "newLines": added + 2, "lines": lines}]
