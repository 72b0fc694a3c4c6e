"""From the bytes of a line to its records: fast where the line is sound, lenient where it is not.

A sound line is one JSON object. Real clients also write two objects on one line, a truncated object followed by a
whole one, and runs of NUL. Whole objects from the start of the line are recovered; what follows the first place that
does not decode is not searched. A field of the wrong shape spoils that field, not the record.
"""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar, get_args, get_origin

import msgspec
from msgspec import Raw, Struct

_STDLIB: Final = json.JSONDecoder()
_BLANK: Final = re.compile(r"[ \t\r\n]*")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_NUL: Final = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
"""An escaped NUL: SQLite keeps it, Postgres refuses it, so it becomes U+FFFD in both."""

_BOM: Final = b"\xef\xbb\xbf"

S = TypeVar("S", bound=Struct)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed(Generic[S]):
    """What a line gave: its records, why it is bad (None = sound), and whether bytes were left that do not decode."""

    records: tuple[S, ...]
    reason: str | None = None
    broken: bool = False


def reader(shape: type[S]) -> Callable[[bytes], S | Parsed[S]]:
    """The function that reads a line as `shape`: the one record of a sound line, else what could be recovered.

    Its argument has no newline and is not blank.
    """
    decode = msgspec.json.Decoder(shape).decode

    def parse(line: bytes) -> S | Parsed[S]:
        if b"\\u0000" in line:
            line = _NUL.sub(rb"\1\\ufffd", line)
        try:
            return decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return recover(shape, line)

    return parse


def recover(shape: type[S], line: bytes) -> Parsed[S]:
    """Every whole object from the start of the line, field by field.

    reason: `fallback` one sound object with a field of the wrong shape (not a bad line), `spliced` several objects,
    `nul` one object between NULs, `truncated` objects and then something that does not decode, `garbage` none at all.
    """
    text = line.removeprefix(_BOM).replace(b"\x00", b"").decode("utf-8", "replace")
    position, found, broken = 0, [], False
    while True:
        position = _BLANK.match(text, position).end()  # type: ignore[union-attr]  # matches the empty string too
        if position == len(text):
            break
        try:
            value, position = _STDLIB.raw_decode(text, position)
        except (ValueError, RecursionError):
            broken = True
            break
        if not isinstance(value, dict):
            broken = True
            break
        found.append(value)
    records = tuple(lenient(shape, value) for value in found)
    if broken:
        reason = "truncated" if found else "garbage"
    elif len(found) > 1:
        reason = "spliced"
    elif not found:
        reason, broken = "garbage", True
    elif b"\x00" in line:
        reason = "nul"
    else:
        reason = "fallback"
    return Parsed(records=records, reason=reason, broken=broken)


def lenient(shape: type[S], value: dict[str, Any]) -> S:
    """`shape` with every field of `value` that fits it; the others keep their default."""
    hints = typing.get_type_hints(shape, include_extras=True)
    kept = {}
    for field in msgspec.structs.fields(shape):
        if field.name in value:
            fitted = _fit(hints[field.name], value[field.name])
            if fitted is not _MISFIT:
                kept[field.name] = fitted
    return shape(**kept)


_MISFIT: Final = object()


def _fit(hint: Any, value: Any) -> Any:
    if hint is Raw:
        try:
            return Raw(msgspec.json.encode(_scrub(value)))
        except (ValueError, OverflowError, RecursionError, TypeError):
            return _MISFIT
    if isinstance(value, dict) and isinstance(hint, type) and issubclass(hint, Struct):
        return lenient(hint, value)
    if isinstance(hint, types.UnionType) or get_origin(hint) is typing.Union:
        options = get_args(hint)
        if value is None and type(None) in options:
            return None
        for option in options:
            if option is not type(None) and (fitted := _fit(option, value)) is not _MISFIT:
                return fitted
        return _MISFIT
    if get_origin(hint) is list and isinstance(value, list):
        items = [_fit(get_args(hint)[0], item) for item in value]
        return [item for item in items if item is not _MISFIT]
    if isinstance(value, str):
        value = _scrub(value)
    try:
        return msgspec.convert(value, hint)
    except (msgspec.ValidationError, OverflowError):
        return _MISFIT


def _scrub(value: Any) -> Any:
    """Without lone surrogates, which neither UTF-8 nor a database can hold."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value) if _SURROGATE.search(value) else value
    if isinstance(value, dict):
        return {str(_scrub(key)): _scrub(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_scrub(item) for item in value]
    return value


def decode(shape: type[S], raw: Raw) -> S | None:
    """The second reading of a Raw field; None where it is not such an object."""
    data = bytes(raw)
    if data[:1] != b"{":
        return None
    try:
        return _decoder(shape).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        value = json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return lenient(shape, value)


_DECODERS: Final[dict[type, Any]] = {}


def _decoder(shape: type[S]) -> msgspec.json.Decoder[S]:
    decoder: msgspec.json.Decoder[S] | None = _DECODERS.get(shape)
    if decoder is None:
        decoder = _DECODERS[shape] = msgspec.json.Decoder(shape)
    return decoder


def text_of(raw: Raw, limit: int = 4_096) -> str:
    """The text of a content field: a JSON string, or a list of text blocks; at most `limit` characters."""
    data = bytes(raw)
    if data[:1] not in (b'"', b"["):
        return ""
    try:
        value = json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return ""
    if isinstance(value, list):
        parts = (item.get("text") for item in value if isinstance(item, dict) and item.get("type") == "text")
        value = "\n".join(part for part in parts if isinstance(part, str))
    return str(_scrub(value))[:limit]
