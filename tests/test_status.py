"""The status document: what the database knows, and what a living daemon adds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ccagent import __version__, status
from ccagent.cli.output import status_lines
from ccagent.clock import FakeClock
from ccagent.config import load
from ccagent.errors import StoreError
from ccagent.service.live import TOUCH_SECONDS, Live, StatusFile, read_status
from ccagent.store.instance import InstanceLock
from ccagent.store.location import parse_database
from ccagent.store.sqlite import SqliteStore
from tests.sources.feed import Feed
from tests.transcripts import Session

NOW = 1_790_000_000_000


@pytest.fixture
def database(tmp_path: Path) -> str:
    """A store with the zone that a first start keeps."""
    path = str(tmp_path / "ccagent.db")
    store = SqliteStore(path, clock=FakeClock(NOW))
    store.set_meta("zone", "Europe/Berlin")
    store.close()
    return path


def collect(database: str, env: Mapping[str, str] | None = None, **flags: object) -> dict[str, Any]:
    environment = dict(env or {})
    return status.collect(load({"database": database, **flags}, environment), environment)


def alive(database: str, **values: Any) -> dict[str, Any]:
    """The status while this process holds the database and has written these live values."""
    with InstanceLock(parse_database(database)):
        file = StatusFile(database)
        file.write(Live(**values))
        return collect(database)


def test_without_a_daemon_only_what_is_stored_is_shown(database: str) -> None:
    document = collect(database)

    assert (document["running"], document["pid"]) == (False, None)
    assert document["zone"] == "Europe/Berlin"
    assert document["today"] == {"requests": 0, "tokens": 0, "cost_microusd": 0, "unpriced_requests": 0}
    assert "listen" not in document


def test_without_a_database_nothing_is_created(tmp_path: Path) -> None:
    document = collect(str(tmp_path / "none.db"))

    assert document["running"] is False
    assert "today" not in document
    assert list(tmp_path.iterdir()) == []


def test_a_living_daemon_shows_its_values_and_its_pid(database: str) -> None:
    document = alive(
        database, listen="http://127.0.0.1:1", watch_mode="degraded", watch_reason="a network drive", files=3,
        pending_bytes=7, caught_up=True, rollups_at=NOW,
    )  # fmt: skip

    assert document["pid"] == os.getpid()
    assert document["watch"] == {"mode": "degraded", "reason": "a network drive"}
    assert (document["files"], document["pending_bytes"], document["caught_up"]) == (3, 7, True)
    assert document["rollups"] == {"updated_at": "2026-09-21T14:13:20Z"}


def test_live_values_that_a_killed_daemon_left_are_not_shown(database: str) -> None:
    StatusFile(database).write(Live(files=3))

    document = collect(database)

    assert document["running"] is False
    assert "files" not in document


def test_a_killed_daemon_is_told_with_when_it_was_last_alive_and_what_troubled_it(database: str) -> None:
    file = StatusFile(database)
    file.write(Live(unread_bytes=7, problems={"store": "the disk is full"}))
    os.utime(file.path, (NOW / 1_000, NOW / 1_000))

    document = collect(database)
    lines = list(status_lines(document))

    assert document["last_seen"] == {
        "at": "2026-09-21T14:13:20Z", "pid": os.getpid(), "version": __version__, "unread_bytes": 7,
        "problems": ["the disk is full"],
    }  # fmt: skip
    assert document["problems"] == []
    assert lines[0].split(None, 1)[1] == "not running; `ccagent run` starts it"
    assert lines[1].startswith(f"last seen     2026-09-21T14:13:20Z (pid {os.getpid()})")
    assert lines[3] == "  it had      the disk is full"


def test_a_daemon_that_ended_in_order_was_not_killed(database: str) -> None:
    file = StatusFile(database)
    file.write(Live())
    file.remove()

    assert "last_seen" not in collect(database)


def test_what_an_earlier_daemon_left_is_not_taken_for_that_of_a_starting_one(database: str) -> None:
    file = StatusFile(database)
    file.write(Live(files=3))
    file.path.write_bytes(file.path.read_bytes().replace(f'"pid":{os.getpid()}'.encode(), b'"pid":1'))

    with InstanceLock(parse_database(database)):
        document = collect(database)

    assert document["running"] is True
    assert "files" not in document
    assert "last_seen" not in document


def test_a_status_in_which_nothing_changes_is_confirmed_once_a_minute(database: str) -> None:
    steady = [0.0]
    file = StatusFile(database, lambda: steady[0])
    file.write(Live())
    times = []
    for steady[0] in (TOUCH_SECONDS - 1, TOUCH_SECONDS):
        os.utime(file.path, (0, 0))
        file.write(Live())
        times.append(file.path.stat().st_mtime)

    assert times[0] == 0
    assert times[1] > NOW / 2_000


def test_a_status_file_that_somebody_removed_comes_back(database: str) -> None:
    steady = [0.0]
    file = StatusFile(database, lambda: steady[0])
    file.write(Live())
    file.remove()

    steady[0] = TOUCH_SECONDS
    with pytest.raises(StoreError):
        file.write(Live())
    file.write(Live())

    assert read_status(database) is not None


def test_a_daemon_of_another_version_is_to_be_restarted(database: str) -> None:
    with InstanceLock(parse_database(database)):
        file = StatusFile(database)
        file.write(Live())
        told = file.path.read_bytes().replace(f'"version":"{__version__}"'.encode(), b'"version":"0.0.9"')
        file.path.write_bytes(told)
        document = collect(database)

    assert document["problems"] == [
        f"the daemon is ccagent 0.0.9, this is {__version__}; restart it, and it goes on where it stands"
    ]


def test_problems_of_the_daemon_and_of_its_exports_are_listed(database: str) -> None:
    document = alive(
        database, problems={"store": "the disk is full"},
        exports={"otlp/traces": {"state": "degraded", "backlog": 4, "problem": "no answer"}},
    )  # fmt: skip

    assert document["problems"] == ["the disk is full", "otlp/traces: no answer"]
    assert document["export"]["traces"] == {"state": "degraded", "backlog": 4}


def test_where_it_is_sent_to_is_named_without_what_is_secret(database: str) -> None:
    env = {"CCAGENT_OTLP_HEADERS": "authorization=Bearer geheim"}

    document = collect(database, env, **{"otlp.endpoint": "http://127.0.0.1:4318"})

    assert document["export"]["traces_to"] == "http/protobuf http://127.0.0.1:4318/v1/traces"
    assert document["export"]["tier"] == 1
    assert "geheim" not in repr(document)


def test_an_endpoint_of_another_program_is_a_problem_that_says_not_used(database: str) -> None:
    document = collect(database, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"})

    assert document["export"] == {"state": "off: nothing leaves this machine"}
    assert "OTEL_EXPORTER_OTLP_ENDPOINT found, not used" in document["problems"][0]


def test_settings_that_cannot_be_used_are_a_problem_and_no_end(database: str) -> None:
    document = collect(database, **{"otlp.endpoint": "http://elsewhere.example:4318"})

    assert document["export"] is None
    assert len(document["problems"]) == 1


def test_a_database_that_cannot_be_read_is_a_problem_and_no_end(tmp_path: Path) -> None:
    path = tmp_path / "ccagent.db"
    path.write_bytes(b"this is no database, and it is long enough to be looked at" * 20)

    document = collect(str(path))

    assert "today" not in document
    assert len(document["problems"]) == 1


def test_how_much_is_kept_of_how_much_and_since_when_is_shown(database: str) -> None:
    store = SqliteStore(database, clock=FakeClock(NOW))
    for name, value in (("sealed_before", NOW - 7_200_000), ("pruned_at", NOW)):
        store.set_meta(name, str(value))
    session = Session("one", start=NOW - 60_000)
    session.prompt("hello")
    Feed(database, now_ms=NOW).read(session)
    store.close()

    document = alive(database, next_prune_ms=NOW + 86_400_000)

    whole = len(session.content)
    assert document["size"] == {
        "transcripts_bytes": whole, "database_share": round(document["database"]["bytes"] / whole, 4), "share_limit": 0.12,
    }  # fmt: skip
    assert document["retention"] == {
        "oldest_fact": "2026-09-21T14:12:21Z", "sealed_before": "2026-09-21T12:13:20Z",
        "last_prune": "2026-09-21T14:13:20Z", "next_prune": "2026-09-22T14:13:20Z",
    }  # fmt: skip


def test_each_destination_has_a_line_of_its_own_on_the_screen(database: str) -> None:
    told = {"endpoint": "https://cloud.example:443/otlp/v1/traces", "protocol": "http/protobuf"}
    exports: dict[str, dict[str, object]] = {
        "otlp/traces": {"endpoint": "http://127.0.0.1:4317", "protocol": "grpc", "state": "active", "backlog": 0},
        "cloud/traces": told | {"state": "degraded", "backlog": 1_200},
        "cloud/metrics": told | {"state": "active"},
    }

    lines = list(status_lines(alive(database, exports=exports, tier={"personal": 2})))

    assert "export        tier 2; `ccagent status --otel` tells more" in lines
    assert "  to          http://127.0.0.1:4317: traces active" in lines
    assert "cloud         https://cloud.example:443: traces degraded (1,200 wait), metrics active" in lines
