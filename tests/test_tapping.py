"""What passes, on one line."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from ccagent.export.otlp.closed import ClosedFact
from ccagent.export.otlp.spans import build_span
from ccagent.facts.model import EventType, Status
from ccagent.facts.times import LATEST_MS
from ccagent.tapping import Tapped, sentence


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A zone ahead of UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("tokyo")
@pytest.mark.parametrize(("ended", "shown"), [(0, "09:00:00"), (LATEST_MS, "08:47:16")])
def test_the_moment_is_told_in_the_zone_of_the_machine_whatever_the_year(ended: int, shown: str) -> None:
    fact = ClosedFact(
        key=b"1" * 16,
        event_type=EventType.TOOL_CALL,
        native="toolu_1",
        status=Status.OK,
        name="Read",
        occurred_at=ended,
    )

    said = sentence(Tapped(destination="here", signal="traces", fact=fact, item=build_span(fact)))

    assert said == f"{shown} here/traces execute_tool Read  status=ok name=Read"
