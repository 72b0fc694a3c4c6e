"""OTLP messages in OTLP's own JSON form, which the Collector's file exporter writes and reads too."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from google.protobuf.message import Message

IDS: Final = frozenset({"traceId", "spanId", "parentSpanId"})
"""Fields that are hexadecimal in OTLP, where protobuf's JSON has base64."""


def otlp_json(message: Message | None) -> Any:
    """A request, span or record as plain values; None for None."""
    if message is None:
        return None
    from google.protobuf import json_format

    return _hexed(json_format.MessageToDict(message, use_integers_for_enums=True))


def _hexed(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: base64.b64decode(inner).hex() if key in IDS and isinstance(inner, str) else _hexed(inner)
            for key, inner in value.items()
        }
    return [_hexed(inner) for inner in value] if isinstance(value, list) else value
