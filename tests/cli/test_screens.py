"""The status screen and the outcome of a verification, from the values that they are given."""

from __future__ import annotations

import json

import pytest

from ccagent.cli.output import (
    clean,
    money,
    print_json,
    print_status,
    progress_text,
    size,
    status_lines,
)

STATUS: dict[str, object] = {
    "schema_version": 1,
    "running": True,
    "pid": 812,
    "database": {"path": "/data/ccagent.db", "bytes": 123_456},
    "files": 1_200,
    "pending_bytes": 2_048,
    "caught_up": False,
    "watch": {"mode": "polling", "reason": "a network drive"},
    "rollups": None,
    "export": [{"signal": "traces", "state": "degraded", "backlog": 3}],
    "today": {"requests": 10, "tokens": {"input": 3, "output": 5}, "cost_microusd": 1_234_567},
    "problems": ["the disk is full\x1b[2J", "port 9464 is taken"],
}


def screen(**changed: object) -> dict[str, str]:
    pairs = [(line[:13].strip(), line[14:]) for line in status_lines(STATUS | changed)]
    return dict(pairs)


def test_the_screen_tells_each_thing_known_on_one_line() -> None:
    shown = screen()

    assert shown["ccagent"] == "running (pid 812)"
    assert shown["database"] == "/data/ccagent.db, 120.6 KiB"
    assert shown["pending bytes"] == "2.0 KiB"
    assert shown["caught up"] == "no"
    assert shown["watch"] == "polling, reason a network drive"
    assert shown["today"] == "10 requests, tokens (3 input, 5 output), $1.23 API-equivalent"
    assert "rollups" not in shown


def test_a_daemon_that_does_not_run_is_said_first_with_what_to_do() -> None:
    assert screen(running=False, pid=None)["ccagent"] == "not running; `ccagent run` starts it"


def test_problems_come_last_and_cannot_command_the_terminal() -> None:
    lines = list(status_lines(STATUS))

    assert [line.split(None, 1) for line in lines[-2:]] == [
        ["problem", "the disk is full\\x1b[2J"],
        ["problem", "port 9464 is taken"],
    ]


def test_a_problem_is_told_to_its_end_where_it_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    problem = (
        f"{'costs were computed with older prices; ' * 3}stop ccagent and run `ccagent backfill --recompute-prices`"
    )

    print_status(STATUS | {"problems": [problem]})

    told = capsys.readouterr().out.partition("problem ")[2]
    assert " ".join(told.split()) == problem


def test_no_line_of_the_screen_is_wider_than_100_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_status(STATUS | {"database": {"path": "/long" * 50}})

    assert max(len(line) for line in capsys.readouterr().out.splitlines()) == 100


def test_a_document_is_one_line_that_any_reader_takes(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"path": "/a/\udcff", "day": "ä"}

    print_json(document)

    line = capsys.readouterr().out
    assert line.isascii()
    assert (line.count("\n"), json.loads(line)) == (1, document)


@pytest.mark.parametrize(
    ("microusd", "text"),
    [(0, "$0.00"), (9_999, "<$0.01"), (10_000, "$0.01"), (1_995_000, "$2.00"), (-2_500_000, "-$2.50")],
)
def test_money_is_shown_to_the_cent(microusd: int, text: str) -> None:
    assert money(microusd) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1_023, "1023 B"), (1_536, "1.5 KiB"), (5 * 1024**5, "5120.0 TiB")]
)
def test_sizes_are_shown_in_the_unit_that_suits_them(count: int, text: str) -> None:
    assert size(count) == text


def test_cleaned_text_is_printable_and_otherwise_untouched() -> None:
    assert clean("ä 日\t\u202e\udcff") == "ä 日\\t\\u202e\\udcff"


def test_progress_tells_share_speed_and_time_left() -> None:
    assert progress_text(50_000_000, 200_000_000, 2.0) == "47.7 MiB of 190.7 MiB, 25 %, 25 MB/s, 6 s left"


def test_progress_tells_no_speed_before_it_means_something() -> None:
    assert progress_text(1_048_576, 2_097_152, 0.1) == "1.0 MiB of 2.0 MiB, 50 %"
