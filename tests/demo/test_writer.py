"""The invented week and the live session of the demo."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from ccagent.demo.session import free_port, own_environment, play, write_sessions
from ccagent.demo.writer import DAY_MS, PROJECTS, UNPRICED_MODEL, live_session, past_week
from ccagent.recount import Recount
from tests.recounting import recount

NOW = 1_790_000_000_000


def totals_of_week(seed: int = 1) -> dict[str, object]:
    count = Recount()
    for session in past_week(NOW, seed):
        for part in (session, *session.agents):
            for line in part.lines:
                count.add_line(line.raw)
    return count.totals()


def test_the_same_seed_invents_the_same_week() -> None:
    first, second = past_week(NOW), past_week(NOW)

    assert [session.content for session in first] == [session.content for session in second]


@pytest.mark.parametrize("seed", range(5))
def test_the_week_lies_within_the_seven_days_before_now(seed: int) -> None:
    sessions = past_week(NOW, seed)
    times = [line.at_ms for session in sessions for part in (session, *session.agents) for line in part.lines]

    assert min(times) >= NOW - 7 * DAY_MS
    assert max(times) < NOW


def test_the_week_has_work_on_each_of_its_days() -> None:
    days = {(NOW - session.lines[0].at_ms) // DAY_MS for session in past_week(NOW)}

    assert days == set(range(7))


def test_the_week_shows_something_for_every_table() -> None:
    totals = totals_of_week()

    assert totals["cwds"] == len(PROJECTS)
    assert set(totals["by_model"]) == {  # type: ignore[call-overload]
        "claude-opus-4-6", "claude-sonnet-4-6", "claude-haiku-4-5-20251001", UNPRICED_MODEL,
    }  # fmt: skip
    for name in ("tool_errors", "compactions"):
        assert totals[name] != 0
    assert totals["bad_lines"] == 0
    assert any(session.agents for session in past_week(NOW))


def test_everything_invented_says_that_it_is_a_demo() -> None:
    folders = {session.cwd.rsplit("/", 1)[1] for session in past_week(NOW)}

    assert folders
    assert all(folder.startswith("demo-") for folder in folders)


def test_the_week_on_disk_holds_what_was_invented(tmp_path: Path) -> None:
    sessions = past_week(NOW)

    count = write_sessions(tmp_path, sessions)

    assert recount(tmp_path) == totals_of_week() | {"files": count}


def test_the_live_session_takes_about_half_a_minute() -> None:
    session = live_session(NOW)

    assert 15_000 < session.now - NOW < 45_000
    assert session.agents


def test_the_live_session_is_written_line_by_line_in_the_order_of_time(tmp_path: Path) -> None:
    session = live_session(4_000_000_000_000)  # far ahead: each line has to be waited for
    seen: list[int] = []

    play(tmp_path, session, pause=lambda _: seen.append(sum(_lines(path) for path in tmp_path.rglob("*.jsonl"))))

    parts = (session, *session.agents)
    assert seen == list(range(sum(len(part.lines) for part in parts)))
    assert all((tmp_path / part.path).read_bytes() == part.content for part in parts)


def _lines(path: Path) -> int:
    return len(path.read_bytes().splitlines())


def test_the_daemon_of_the_demo_inherits_nothing_that_leads_to_the_users_things(tmp_path: Path) -> None:
    users = {"PATH": "/bin", "HOME": "/home/me", "CCAGENT_DATABASE_URL": "x", "OTEL_EXPORTER_OTLP_ENDPOINT": "y",
             "XDG_CONFIG_HOME": "/home/me/.config", "CLAUDE_CONFIG_DIR": "z"}  # fmt: skip

    own = own_environment(users, tmp_path)

    assert own["PATH"] == "/bin"
    assert own["HOME"] == str(tmp_path)
    assert own["XDG_CONFIG_HOME"] == str(tmp_path / "config")
    assert not {"CCAGENT_DATABASE_URL", "OTEL_EXPORTER_OTLP_ENDPOINT", "CLAUDE_CONFIG_DIR"} & own.keys()


def test_a_free_port_is_a_port() -> None:
    assert 0 < free_port() < 65_536


def test_each_line_of_the_week_is_one_json_object() -> None:
    for session in past_week(NOW):
        for line in session.lines:
            assert isinstance(orjson.loads(line.raw), dict)
