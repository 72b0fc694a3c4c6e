"""Requests made of serialised items are those that protobuf makes of messages."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from ccagent.export.otlp.attributes import AttributeValue
from ccagent.export.otlp.batch import FRAMING, collect
from ccagent.export.otlp.encoding import Encoding, Traces
from ccagent.export.otlp.logs import Logs
from ccagent.export.otlp.payload import Envelope
from ccagent.export.otlp.spans import encode_attributes
from ccagent.export.otlp.wire import OF_LOG_RECORD, encoded
from ccagent.export.privacy import Policy
from tests.otlp.test_spans import CHAT, INNER, RUN, TOOL, TURN

RESOURCE: dict[str, AttributeValue] = {"service.name": "ccagent", "service.instance.id": "ä" * 90}
ALLOWED = Policy(tier=2, project="shop", identity="somebody")


def everything(cwd: str | None, project: str | None) -> Policy:
    return ALLOWED


@pytest.mark.parametrize("encoding", [Traces(), Traces(native_names=True), Logs(), Logs(native=True)])
@pytest.mark.parametrize("copies", [0, 1, 7, 60])
@pytest.mark.parametrize("resource", [RESOURCE, {}])
def test_a_request_of_bytes_is_the_request_of_messages(
    encoding: Encoding, copies: int, resource: dict[str, AttributeValue]
) -> None:
    facts = [
        replace(fact, native=f"{fact.native}-{at}") for at in range(copies) for fact in (TURN, CHAT, TOOL, RUN, INNER)
    ]
    batch = collect([*enumerate(facts)], encoding, everything, max_bytes=1 << 20, end=len(facts), max_items=1_000)

    payload = Envelope(resource, "1.2.3").around(batch.encoded).SerializeToString()

    assert len(batch.facts) + batch.unfit == len(facts)  # a turn has no record
    assert payload == encoding.request(batch.items, resource, "1.2.3").SerializeToString()
    assert batch.size == sum(item.ByteSize() + FRAMING for item in batch.items)


TEXTS = st.text(max_size=300)
VALUES = st.one_of(TEXTS, st.booleans(), st.integers(-(1 << 63), (1 << 63) - 1), st.lists(TEXTS, max_size=3).map(tuple))


@given(st.dictionaries(st.text(min_size=1, max_size=40), VALUES, max_size=8))
def test_a_log_records_attributes_in_bytes_are_those_of_the_messages(attributes: dict[str, AttributeValue]) -> None:
    record = LogRecord(attributes=encode_attributes(attributes))

    assert encoded(attributes, OF_LOG_RECORD) == record.SerializeToString(deterministic=True)
    assert LogRecord.FromString(encoded(attributes, OF_LOG_RECORD)) == record
