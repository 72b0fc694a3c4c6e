"""The log as a channel."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from ccagent.alerts.rule import Scope, Severity
from ccagent.logs import configure
from ccagent.notify.channel import Outcome
from ccagent.notify.log import LogChannel
from tests.notify.made import message, resolved, rule


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    configure(format="json", stream=stream)
    yield stream
    structlog.reset_defaults()


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("severity", "level"), [(Severity.INFO, "info"), (Severity.WARNING, "warning"), (Severity.CRITICAL, "error")]
)
def test_a_line_has_the_level_of_its_severity(log: io.StringIO, severity: Severity, level: str) -> None:
    assert LogChannel().deliver([message(severity=severity)]).outcome is Outcome.SENT

    (line,) = lines(log)
    assert (line["level"], line["event"]) == (level, "alert.firing")
    assert line["summary"] == "Daily budget · project: $5.40 > $5.00"
    assert line["key"] == "k1"


def test_what_is_over_is_for_information(log: io.StringIO) -> None:
    LogChannel().deliver([resolved(severity=Severity.CRITICAL)])

    assert (lines(log)[0]["level"], lines(log)[0]["event"]) == ("info", "alert.resolved")


def test_the_id_that_ccagent_makes_of_a_projects_name_is_in_no_line(log: io.StringIO) -> None:
    own = rule(id="budget-project-my-shop", name="Daily budget of my shop", only=("my shop",))
    LogChannel().deliver([message(of=own, rule=own.id, subject="/home/nobody/my shop")])

    assert lines(log)[0]["rule"] == "budget-project"
    assert "shop" not in log.getvalue()


def test_no_path_and_no_whole_session_stands_in_the_log(log: io.StringIO) -> None:
    session = "0f1e2d3c-aaaa-bbbb-cccc-0123456789ab"
    LogChannel().deliver([message()])
    LogChannel().deliver([message(of=rule(scope=Scope.SESSION), subject=session)])

    assert "secret-client" not in log.getvalue()
    assert "shop" not in log.getvalue()
    assert session not in log.getvalue()
    assert lines(log)[1]["summary"] == "Daily budget · 0f1e2d3c: $5.40 > $5.00"


def test_many_alerts_of_one_minute_are_many_lines(log: io.StringIO) -> None:
    """Each is told once and never again, so none is held back as a repetition."""
    channel = LogChannel()

    for number in range(20):
        channel.deliver([message(f"k{number}", severity=Severity.CRITICAL)])

    assert [line["key"] for line in lines(log)] == [f"k{number}" for number in range(20)]
