"""Attributes in the wire format of protobuf, for spans alone: making two messages an attribute costs more than all the
rest of a span.

A span is made of these bytes by protobuf itself (`MergeFromString`), so what leaves is the public message; tests hold it
against messages made one by one and against the SDK's own encoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from struct import Struct
from typing import Final

from ccagent.export.otlp.attributes import AttributeValue

ATTRIBUTES: Final = b"\x4a"
"""Field 9 of a span, with a length: `repeated KeyValue attributes`."""

TEXTS: Final = 4_096
"""Encoded attributes that are kept: the same models, tools, versions and sessions stand on most spans. About 1 MB."""

_KEY, _VALUE = b"\x0a", b"\x12"
_STRING, _BOOL, _INT, _DOUBLE, _ARRAY = b"\x0a", b"\x10", b"\x18", b"\x21", b"\x2a"
"""Fields of KeyValue and AnyValue."""

_SMALL: Final = tuple(bytes((number,)) for number in range(128))
_LONG: Final = (1 << 64) - 1
_pack_double: Final = Struct("<d").pack


def encoded(attributes: Mapping[str, AttributeValue]) -> bytes:
    """The attributes as a span's field, in their own order."""
    return b"".join(
        [_kept(key, value) if type(value) is str else _attribute(key, value) for key, value in attributes.items()]
    )


def _attribute(key: str, value: AttributeValue) -> bytes:
    kind = type(value)
    if kind is int:
        return _field(_head(key), _INT + _varint(value & _LONG))  # type: ignore[operator]  # an int, as just seen
    if kind is float:
        return _field(_head(key), _DOUBLE + _pack_double(value))
    return _kept(key, value)


@lru_cache(maxsize=TEXTS)
def _kept(key: str, value: str | bool | tuple[str, ...]) -> bytes:
    if isinstance(value, str):
        return _field(_head(key), _text(value))
    if isinstance(value, tuple):
        inner = b"".join(b"\x0a" + _sized(_text(item)) for item in value)
        return _field(_head(key), _ARRAY + _sized(inner))
    return _field(_head(key), _BOOL + _SMALL[value])


@lru_cache(maxsize=512)
def _head(key: str) -> bytes:
    return _KEY + _sized(key.encode()) + _VALUE


def _field(head: bytes, value: bytes) -> bytes:
    return ATTRIBUTES + _sized(head + _sized(value))


def _text(text: str) -> bytes:
    return _STRING + _sized(text.encode())


def _sized(content: bytes) -> bytes:
    length = len(content)
    return (_SMALL[length] if length < 128 else _varint(length)) + content


def _varint(number: int) -> bytes:
    """A number below 2^64, seven bits a byte, the lowest first."""
    if number < 128:
        return _SMALL[number]
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)
