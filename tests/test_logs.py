"""The log: its forms, how repetition is held back, and that nothing fails when nobody listens."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from ccagent import logs
from ccagent.clock import FakeClock

NOON = 1_700_000_000_123


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Leave no configuration of logging behind."""
    handlers = list(logging.getLogger().handlers)
    yield
    logging.getLogger().handlers[:] = handlers
    structlog.reset_defaults()


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_json_line_begins_with_time_level_and_event() -> None:
    out = io.StringIO()
    logs.configure(stream=out, clock=FakeClock(NOON))

    logs.get_logger(room="follow").info("ingest.ready", files=3)

    assert out.getvalue() == (
        '{"ts":"2023-11-14T22:13:20.123Z","level":"info","event":"ingest.ready","room":"follow","files":3}\n'
    )


def test_on_a_terminal_a_line_is_for_people() -> None:
    out = Terminal()
    logs.configure(stream=out, clock=FakeClock(NOON))

    logs.get_logger().info("ingest.ready", files=3)

    assert out.getvalue() == "22:13:20 info    ingest.ready files=3\n"


def test_the_form_can_be_chosen_against_the_terminal() -> None:
    out = Terminal()
    logs.configure(stream=out, format="json")

    logs.get_logger().info("ingest.ready")

    assert json.loads(out.getvalue())["event"] == "ingest.ready"


def test_less_severe_lines_than_the_level_are_left_out() -> None:
    out = io.StringIO()
    logs.configure(stream=out, level="warning")

    logs.get_logger().info("quiet")
    logs.get_logger().warning("loud")

    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["loud"]


def test_repeated_errors_are_held_back_and_counted() -> None:
    out, clock = io.StringIO(), FakeClock(NOON)
    logs.configure(stream=out, clock=clock)
    for _ in range(logs.BURST + 7):
        logs.get_logger().error("store.write_failed")

    clock.advance(int(logs.WINDOW_SECONDS * 1_000))
    logs.get_logger().error("store.write_failed")

    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert len(lines) == logs.BURST + 1
    assert [line.get("suppressed") for line in lines[-2:]] == [None, 7]


def test_another_event_is_not_held_back_by_a_repeated_one() -> None:
    out = io.StringIO()
    logs.configure(stream=out, clock=FakeClock(NOON))
    for _ in range(logs.BURST + 1):
        logs.get_logger().error("one")

    logs.get_logger().error("two")

    assert json.loads(out.getvalue().splitlines()[-1])["event"] == "two"


def test_information_is_never_held_back() -> None:
    out = io.StringIO()
    logs.configure(stream=out, clock=FakeClock(NOON))

    for _ in range(3 * logs.BURST):
        logs.get_logger().info("turn.closed")

    assert len(out.getvalue().splitlines()) == 3 * logs.BURST


def test_a_closed_stream_fails_nothing() -> None:
    out = io.StringIO()
    logs.configure(stream=out, format="json")
    out.close()

    logs.get_logger().error("nobody.listens")

    assert out.closed


def test_a_full_disk_behind_the_stream_fails_nothing() -> None:
    class Full(io.StringIO):
        attempts = 0

        def write(self, text: str) -> int:
            Full.attempts += 1
            raise OSError(28, "No space left on device")

    logs.configure(stream=Full(), format="json")

    logs.get_logger().error("disk.full")

    assert Full.attempts == 1


def test_a_stream_that_cannot_hold_a_character_gets_it_escaped() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    logs.configure(stream=out, format="console")

    logs.get_logger().info("file.seen", name="日")

    assert b"name=\\u65e5" in raw.getvalue()


@pytest.mark.parametrize("hostile", ["a\udcff", 2**70, "x\x1b[31m\ny"])
@pytest.mark.parametrize("form", ["json", "console"])
def test_a_hostile_value_stays_on_one_line_without_control_characters(form: str, hostile: object) -> None:
    out = io.StringIO()
    logs.configure(stream=out, format=form)

    logs.get_logger().info("file.seen", name=hostile)

    assert out.getvalue().count("\n") == 1
    assert out.getvalue()[:-1].isprintable()


def test_an_exception_is_told_with_its_trace() -> None:
    out = io.StringIO()
    logs.configure(stream=out, format="json")
    try:
        raise RuntimeError("the reason")
    except RuntimeError:
        logs.get_logger().exception("thread.died")

    line = json.loads(out.getvalue())
    assert "RuntimeError: the reason" in line["exception"]


def test_warnings_of_libraries_come_in_the_same_form() -> None:
    out = io.StringIO()
    logs.configure(stream=out, format="json")
    logs.configure(stream=out, format="json")

    logging.getLogger("some.library").warning("%s is odd", "this")

    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["event"], line["message"]) for line in lines] == [("library.some.library", "this is odd")]


def test_logging_does_not_bring_in_what_prints_tables_and_leaves_it_to_who_does() -> None:
    code = (
        "import sys; from ccagent.logs import configure, get_logger; configure(); get_logger();"
        " assert 'rich' not in sys.modules; import rich.table; assert 'structlog' in sys.modules"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (0, "")
