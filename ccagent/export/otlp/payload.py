"""A request of items that are serialised already: a message around them would copy each and serialise it again.

`Export…ServiceRequest` of spans and of log records have the same shape and field numbers; tests hold both against the
messages that `Encoding.request` makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from ccagent.export.otlp.attributes import AttributeValue
from ccagent.export.otlp.spans import SCOPE, encode_attributes
from ccagent.export.otlp.wire import sized, varint

_FIRST, _SECOND = b"\x0a", b"\x12"
"""Fields 1 and 2, with a length: resource and scopes, scope and items, and the one list of the request itself."""


class Sendable(Protocol):
    """What a sender takes: a message, or bytes that are one."""

    def SerializeToString(self) -> bytes:  # noqa: N802  # as messages call it
        """The message in the wire format."""


class Payload:
    """A request that is made of bytes."""

    def __init__(self, content: bytes) -> None:
        self._content: Final = content

    def SerializeToString(self) -> bytes:  # noqa: N802  # as messages call it
        """The request in the wire format."""
        return self._content


class Envelope:
    """What every request of one outbox has around its items: the resource and ccagent's own scope."""

    def __init__(self, resource: Mapping[str, AttributeValue], version: str) -> None:
        described = Resource(attributes=encode_attributes(resource)).SerializeToString()
        scope = InstrumentationScope(name=SCOPE, version=version).SerializeToString()
        self._resource = _FIRST + sized(described)
        self._scope = _FIRST + sized(scope)

    def around(self, items: Iterable[bytes]) -> Payload:
        """One request with all these serialised spans or log records."""
        parts = [self._scope]
        for item in items:
            parts += (_SECOND, varint(len(item)), item)
        listed = b"".join(parts)
        length = varint(len(listed))
        whole = len(self._resource) + len(_SECOND) + len(length) + len(listed)
        return Payload(b"".join((_FIRST, varint(whole), self._resource, _SECOND, length, listed)))
