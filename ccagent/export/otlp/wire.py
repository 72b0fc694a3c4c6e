"""Attributes in the wire format of protobuf, for spans and log records: making two messages an attribute costs more
than all the rest of an item.

Items are made of these bytes by protobuf itself (`MergeFromString`), so what leaves is the public message; tests hold
it against messages made one by one and against the SDK's own encoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from struct import Struct
from typing import Final

from ccagent.export.otlp.attributes import AttributeValue

OF_SPAN: Final = b"\x4a"
OF_LOG_RECORD: Final = b"\x32"
"""Fields 9 of a span and 6 of a log record, with a length: `repeated KeyValue attributes`."""

TEXTS: Final = 4_096
"""Encoded attributes that are kept: the same models, tools, versions and sessions stand on most spans. About 1 MB."""

KEYS: Final = 2_048
"""Beginnings of attributes that are kept: one a name and length of its value. About 300 KB."""

_KEY, _VALUE = b"\x0a", b"\x12"
_STRING, _BOOL, _INT, _DOUBLE, _ARRAY = b"\x0a", b"\x10", b"\x18", b"\x21", b"\x2a"
"""Fields of KeyValue and AnyValue."""

_SMALL: Final = tuple(bytes((number,)) for number in range(128))
_LONG: Final = (1 << 64) - 1
_pack_double: Final = Struct("<d")


def encoded(attributes: Mapping[str, AttributeValue], field: bytes = OF_SPAN) -> bytes:
    """The attributes as that field of a message, in their own order."""
    return b"".join(
        [
            _kept(field, key, value) if type(value) is str else _attribute(field, key, value)
            for key, value in attributes.items()
        ]
    )


def sized(content: bytes) -> bytes:
    """The bytes with their length before them."""
    length = len(content)
    return (_SMALL[length] if length < 128 else varint(length)) + content


def varint(number: int) -> bytes:
    """A number below 2^64, seven bits a byte, the lowest first."""
    if number < 128:
        return _SMALL[number]
    if number < 1 << 14:
        return bytes((number & 127 | 128, number >> 7))
    if number < 1 << 21:
        return bytes((number & 127 | 128, number >> 7 & 127 | 128, number >> 14))
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)


def _attribute(field: bytes, key: str, value: AttributeValue) -> bytes:
    kind = type(value)
    if kind is int:
        number = varint(value & _LONG)  # type: ignore[operator]  # an int, as just seen
        return _before(field, key, _INT, len(number)) + number
    if kind is float:
        return _before(field, key, _DOUBLE, _pack_double.size) + _pack_double.pack(value)
    return _kept(field, key, value)


@lru_cache(maxsize=TEXTS)
def _kept(field: bytes, key: str, value: str | bool | tuple[str, ...]) -> bytes:
    if isinstance(value, str):
        kind, content = _STRING, sized(value.encode())
    elif isinstance(value, tuple):
        kind, content = _ARRAY, sized(b"".join(b"\x0a" + sized(_STRING + sized(item.encode())) for item in value))
    else:
        kind, content = _BOOL, _SMALL[value]
    return _before(field, key, kind, len(content)) + content


@lru_cache(maxsize=KEYS)
def _before(field: bytes, key: str, kind: bytes, length: int) -> bytes:
    """All of an attribute but its value, which has this length and no other."""
    named = _KEY + sized(key.encode()) + _VALUE + varint(len(kind) + length) + kind
    return field + varint(len(named) + length) + named
