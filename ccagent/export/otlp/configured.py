"""An encoding under the settings of its destination: bounds of attributes, an age, and whom the items are from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ccagent.export.otlp.attributes import AttributeValue
from ccagent.export.otlp.closed import ClosedFact
from ccagent.export.otlp.encoding import Encoding
from ccagent.export.otlp.sender import Signal
from ccagent.export.otlp.spans import encode_attributes
from ccagent.export.privacy import permit
from ccagent.facts.model import EventType

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from ccagent.export.privacy import Policy
    from ccagent.otlp_environment import Limits

IDENTITY: Final = "enduser.id"


class Configured:
    """`encoding`, with items bounded by `limits` and given up after `max_age_ms` at the latest.

    At tier 2 each item carries the owner's self-chosen name: on the item and not on the resource, since one request
    carries work of several projects, and not each of them allows it.
    """

    def __init__(self, encoding: Encoding, *, limits: Limits | None = None, max_age_ms: int | None = None) -> None:
        self._encoding = encoding
        self._limits = limits
        self.signal: Signal = encoding.signal
        self.types: tuple[EventType, ...] = encoding.types
        ages = [age for age in (encoding.max_age_ms, max_age_ms) if age is not None]
        self.max_age_ms: int | None = min(ages) if ages else None

    def build(self, fact: ClosedFact, policy: Policy) -> Sequence[Message]:
        """The items of one fact."""
        items = self._encoding.build(fact, policy)
        for item in items:
            if policy.identity is not None and not any(one.key == IDENTITY for one in item.attributes):
                item.attributes.extend(encode_attributes(permit({IDENTITY: policy.identity})))
            if self._limits is not None:
                bound(item, self._limits)
        return items

    def request(self, items: Iterable[Any], resource: Mapping[str, AttributeValue], version: str) -> Message:
        """One request with all `items`."""
        return self._encoding.request(items, resource, version)


def bound(item: Any, limits: Limits) -> None:
    """Cut the texts of a span's or log record's attributes (and of its events'), drop those beyond the number."""
    for holder in (item, *getattr(item, "events", ()), *getattr(item, "links", ())):
        if limits.attributes is not None and len(holder.attributes) > limits.attributes:
            holder.dropped_attributes_count += len(holder.attributes) - limits.attributes
            del holder.attributes[limits.attributes :]
        if limits.characters is not None:
            for attribute in holder.attributes:
                _cut(attribute.value, limits.characters)


def _cut(value: Any, characters: int) -> None:
    kind = value.WhichOneof("value")
    if kind == "string_value" and len(value.string_value) > characters:
        value.string_value = value.string_value[:characters]
    elif kind == "array_value":
        for inner in value.array_value.values:
            _cut(inner, characters)
