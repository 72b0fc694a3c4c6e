"""Attributes written in the wire format are those that protobuf makes itself."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ccagent.export.otlp.attributes import AttributeValue
from ccagent.export.otlp.spans import encode_attributes
from ccagent.export.otlp.wire import encoded

TEXTS = st.text(max_size=300)
VALUES = st.one_of(
    TEXTS, st.booleans(), st.integers(-(1 << 63), (1 << 63) - 1), st.floats(allow_nan=False),
    st.lists(TEXTS, max_size=3).map(tuple),
)  # fmt: skip


@given(st.dictionaries(st.text(min_size=1, max_size=40), VALUES, max_size=8))
def test_the_bytes_are_those_of_the_messages(attributes: dict[str, AttributeValue]) -> None:
    span = Span(attributes=encode_attributes(attributes))

    assert encoded(attributes) == span.SerializeToString(deterministic=True)
    assert Span.FromString(encoded(attributes)) == span


def test_a_float_that_is_whole_stays_a_float_and_a_truth_no_number() -> None:
    found = Span.FromString(encoded({"cost": 1.0, "estimated": True, "not": False, "lost": math.inf, "one": 1}))

    assert [pair.value.WhichOneof("value") for pair in found.attributes] == [
        "double_value", "bool_value", "bool_value", "double_value", "int_value"
    ]  # fmt: skip
