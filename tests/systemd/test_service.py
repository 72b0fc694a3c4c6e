"""The service under a real systemd: a machine boots in namespaces, its user installs the service, and it is put to the
test there. One boot, two minutes; each test reads a chapter of what was reported."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.systemd.machine import boot, unavailable

ASKED = os.environ.get("CCAGENT_SYSTEMD")

STOP_SECONDS = 2.0

FAILED_ONCE = {"ActiveState": "failed", "SubState": "failed", "ExecMainStatus": "78", "NRestarts": "0"}
"""A unit that is to be started again would be in `auto-restart`."""

MIB = 1024 * 1024
TOLD = {
    "MemoryMax": str(512 * MIB), "MemoryHigh": str(256 * MIB), "TasksMax": "64", "CPUQuotaPerSecUSec": "1s",
    "CPUWeight": "20", "IOWeight": "20",
}  # fmt: skip
HELD = {
    "memory.max": str(512 * MIB), "memory.high": str(256 * MIB), "pids.max": "64", "cpu.max": "100000 100000",
    "cpu.weight": "20",
}  # fmt: skip

SHARED = {".cache", ".config", ".local", ".local/share", ".local/state"}
"""Folders of a home that every program uses, and none removes."""

pytestmark = [pytest.mark.systemd, pytest.mark.slow]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the machine reported, by chapter."""
    if not ASKED:
        pytest.skip("boots a systemd for two minutes; set CCAGENT_SYSTEMD=1")
    folder: Path = tmp_path_factory.mktemp("machine")
    folder.chmod(0o755)
    try:
        if reason := unavailable(folder):
            pytest.skip(reason)
        yield boot(folder)
    finally:
        shutil.rmtree(folder)


def test_the_whole_story_was_told(report: dict[str, Any]) -> None:
    assert "fault" not in report, report.get("fault")


def test_installing_starts_it_with_the_full_hardening_and_it_says_that_it_is_ready(report: dict[str, Any]) -> None:
    found = report["install"]

    assert found["code"] == 0, found["text"]
    assert (found["Type"], found["ActiveState"]) == ("notify", "active")
    assert not report["light"], found["text"]
    assert "write  /home/ada/.config/systemd/user/ccagent.service" in found["text"].splitlines()


def test_installing_again_keeps_everything_and_the_process(report: dict[str, Any]) -> None:
    assert report["again"]["code"] == 0
    assert report["again"]["same_pid"]
    assert "write" not in report["again"]["text"]


def test_its_standing_and_its_log_can_be_read(report: dict[str, Any]) -> None:
    assert report["status"]["code"] == 0
    assert (report["status"]["running"], report["status"]["enabled"]) == (True, True)
    assert report["status"]["says"].startswith("Following")
    assert "daemon.start" in report["logs"]["text"]


def test_what_the_unit_demands_is_in_force_in_the_managers_of_users(report: dict[str, Any]) -> None:
    assert report["sandbox"] == {
        "no_new_privileges": "1",
        "seccomp": "2",
        "bounding": "0000000000000000",
        "own_users": True,
        "root_is_read_only": True,
        "core": "0",
        "files": "8192",
        "nice": 10,
        "oom_score_adjust": "500",
    }


def test_it_follows_a_transcript_that_is_written_while_it_runs(report: dict[str, Any]) -> None:
    assert report["follow"]["requests"] == 2


def test_a_reload_ends_active_in_the_same_process(report: dict[str, Any]) -> None:
    assert report["reload"] == {"code": 0, "ActiveState": "active", "NRestarts": "0"}


def test_a_kill_is_followed_by_a_restart_and_nothing_is_counted_twice(report: dict[str, Any]) -> None:
    assert report["kill"] == {"requests": 3, "NRestarts": "1"}


def test_while_it_idles_the_watchdog_is_content(report: dict[str, Any]) -> None:
    assert report["fed"] == {"ActiveState": "active", "NRestarts": "0", "WatchdogUSec": "10s"}


def test_a_thread_that_hangs_is_ended_by_the_watchdog_and_the_log_tells_where(report: dict[str, Any]) -> None:
    assert report["hang"] == {"requests": 4, "restarts": "1", "watchdog": True, "stack": True}


def test_it_stops_soon_and_cleanly(report: dict[str, Any]) -> None:
    assert (report["stop"]["ActiveState"], report["stop"]["Result"]) == ("inactive", "success")
    assert report["stop"]["seconds"] < STOP_SECONDS


def test_a_configuration_that_is_wrong_fails_once_and_is_not_started_again(report: dict[str, Any]) -> None:
    found = {key: report["bad"][key] for key in ("code", *FAILED_ONCE)}

    assert found == {"code": 1, **FAILED_ONCE}
    assert "ccagent service logs" in report["bad"]["text"]


def test_the_lighter_unit_starts_without_a_user_namespace(report: dict[str, Any]) -> None:
    assert report["lighter"]["code"] == 0, report["lighter"]["text"]
    assert (report["lighter"]["ActiveState"], report["lighter"]["own_users"]) == ("active", False)
    assert report["lighter"]["no_new_privileges"]


def test_the_template_of_shared_servers_follows_a_user_into_a_folder_of_its_own(report: dict[str, Any]) -> None:
    found = report["template"]

    assert found["code"] == 0, found.get("log")
    assert (found["requests"], found["mode"], found["owner"]) == (4, "0o700", 4242)


def test_uninstalling_leaves_nothing_and_no_unit_has_failed(report: dict[str, Any]) -> None:
    assert report["uninstall"]["code"] == 0, report["uninstall"]["text"]
    assert report["uninstall"]["left"] == []
    assert report["uninstall"]["again"] == "nothing is installed\n"
    assert report["failed"] == ""


@pytest.mark.parametrize("unit", ["limits", "template_limits"])
def test_the_manager_has_taken_the_limits_of_the_unit(report: dict[str, Any], unit: str) -> None:
    assert report[unit]["told"] == TOLD


@pytest.mark.parametrize("unit", ["limits", "template_limits"])
def test_the_kernel_holds_the_limits_of_the_unit(report: dict[str, Any], unit: str) -> None:
    found = report[unit]
    if found["missing"]:
        pytest.skip(f"the kernel gives a machine in namespaces no controllers for {', '.join(found['missing'])}")

    assert found["held"] == HELD


def test_a_secret_of_the_service_manager_is_sent_and_shown_nowhere(report: dict[str, Any]) -> None:
    found = report["credential"]

    assert found["started"] == 0, found["text"]
    assert found["heard"] == ["a-word-that-only-the-manager-knows"], found["log"]
    assert not found["shown"]
    assert (found["shell"], found["again"]) == (78, 0), found["shell_text"]


def test_an_upgrade_under_the_running_daemon_is_told_until_it_is_restarted(report: dict[str, Any]) -> None:
    found = report["upgrade"]
    states = [found[when]["doctor"][0]["state"] for when in ("before", "between", "after")]

    assert found["alive"]
    assert found["code"] == 0, found["text"]
    assert states == ["ok", "warn", "ok"]
    assert [bool(found[when]["status"]) for when in ("before", "between", "after")] == [False, True, False]
    assert found["migrated"]
    assert (found["requests"], found["NRestarts"]) == (5, "0")


def test_a_downgrade_is_refused_once_and_nothing_is_harmed(report: dict[str, Any]) -> None:
    found = report["downgrade"]

    assert {key: found[key] for key in ("code", *FAILED_ONCE)} == {"code": 1, **FAILED_ONCE}
    assert found["log"]
    assert (found["again"], found["requests"]) == (0, 5)


def test_a_session_without_the_managers_variables_reaches_it_all_the_same(report: dict[str, Any]) -> None:
    assert report["bare"]["code"] == 0, report["bare"]["text"]


def test_a_user_without_a_manager_is_told_what_to_do(report: dict[str, Any]) -> None:
    found = report["nobody"]

    assert (found["code"], found["left"]) == (1, []), found["text"]
    assert "systemd has no manager for your user in this session" in found["text"]
    assert "`ccagent run`" in found["text"]
    assert "Traceback" not in found["text"]


def test_whoever_lingers_is_not_told_how_to(report: dict[str, Any]) -> None:
    assert "linger" not in report["install"]["text"]


def test_a_purge_leaves_the_home_as_it_was(report: dict[str, Any]) -> None:
    found = report["purge"]

    assert (found["installed"], found["code"]) == (0, 0), found["text"]
    assert sorted(set(found["files"]) - SHARED) == report["home_before"], found["text"]
    assert (found["failed"], found["links"], found["processes"]) == ("", [], [])
    assert (found["LoadState"], found["ActiveState"]) == ("not-found", "inactive")
