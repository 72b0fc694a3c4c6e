"""An encoding under the settings of its destination."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ccagent.export.otlp.attributes import AttributeValue
from ccagent.export.otlp.configured import Configured, bound
from ccagent.export.otlp.encoding import Traces
from ccagent.export.otlp.logs import MAX_AGE_MS, Logs
from ccagent.export.otlp.spans import encode_attributes
from ccagent.export.privacy import Policy
from ccagent.facts.model import EventType
from ccagent.otlp_environment import Limits
from tests.otlp.test_spans import TURN

ATTRIBUTES: dict[str, AttributeValue] = {"a": "long text", "b": ("short", "longer text"), "c": 7}


def item(kind: Any) -> Any:
    return kind(attributes=encode_attributes(ATTRIBUTES))


@pytest.mark.parametrize("kind", [Span, LogRecord])
def test_texts_are_cut_in_characters(kind: Any) -> None:
    found = item(kind)

    bound(found, Limits(characters=5))

    a, b, c = found.attributes
    assert a.value.string_value == "long "
    assert [one.string_value for one in b.value.array_value.values] == ["short", "longe"]
    assert c.value.int_value == 7
    assert found.dropped_attributes_count == 0


@pytest.mark.parametrize("kind", [Span, LogRecord])
def test_attributes_beyond_the_number_are_dropped_and_counted(kind: Any) -> None:
    found = item(kind)

    bound(found, Limits(attributes=1))

    assert [one.key for one in found.attributes] == ["a"]
    assert found.dropped_attributes_count == 2


def test_events_of_a_span_are_bounded_too() -> None:
    span = Span(events=[Span.Event(attributes=encode_attributes(ATTRIBUTES))])

    bound(span, Limits(attributes=2, characters=1))

    assert [one.key for one in span.events[0].attributes] == ["a", "b"]
    assert span.events[0].attributes[0].value.string_value == "l"


@pytest.mark.parametrize(
    ("encoding", "own", "age"),
    [
        (Traces(), None, None),
        (Traces(), 5, 5),
        (Logs(), None, MAX_AGE_MS),
        (Logs(), 5, 5),
        (Logs(), MAX_AGE_MS * 2, MAX_AGE_MS),
    ],
)
def test_the_lower_age_holds(encoding: Any, own: int | None, age: int | None) -> None:
    assert Configured(encoding, max_age_ms=own).max_age_ms == age


@pytest.mark.parametrize("encoding", [Traces(), Logs()])
@pytest.mark.parametrize(("tier", "identity", "named"), [(2, "ada", ["ada"]), (1, None, [])])
def test_each_item_says_once_whom_it_is_from(encoding: Any, tier: int, identity: str | None, named: list[str]) -> None:
    policy = Policy(tier=tier, identity=identity)

    items: Any = Configured(encoding).build(replace(TURN, event_type=EventType.TOOL_CALL), policy)

    assert items
    for one in items:
        assert [attribute.value.string_value for attribute in one.attributes if attribute.key == "enduser.id"] == named


def test_limits_hold_for_what_the_encoding_builds() -> None:
    items: Any = Configured(Traces(), limits=Limits(attributes=2)).build(TURN, Policy(tier=1))

    assert [len(one.attributes) for one in items] == [2]
