"""Installing under systemd where it says no, says nothing, or is not there; where it says yes a real one is asked, in
the tests of the folder systemd."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from pwd import getpwuid

import pytest

from ccagent.config import load
from ccagent.errors import ServiceError
from ccagent.install import steps
from ccagent.install.managing import choose
from ccagent.install.place import shipped, survey
from ccagent.install.steps import reaching
from ccagent.install.systemd import SystemdUser, drop_in, quoted
from tests.install.conftest import Ground

FOLDER = ".config/systemd/user"
UNIT = f"{FOLDER}/ccagent.service"
HERE = f"{UNIT}.d/10-here.conf"
LIGHT = f"{UNIT}.d/20-no-user-namespaces.conf"


@pytest.fixture
def manager(ground: Ground) -> SystemdUser:
    """A manager that takes everything, and a trial that succeeds."""
    ground.put("systemctl", "")
    ground.put("systemd-run", "")
    found = choose(ground.env, "linux")
    assert isinstance(found, SystemdUser)
    return found


def test_it_writes_the_shipped_unit_beside_what_applies_here_and_starts_it(
    ground: Ground, manager: SystemdUser
) -> None:
    manager.install(ground.place(), ground.hands())

    assert ground.files() == {UNIT, HERE}
    assert (ground.home / UNIT).read_text() == shipped("systemd/ccagent.service")
    assert f'ExecStart="{ground.program}" run' in (ground.home / HERE).read_text().splitlines()
    assert [call for call in ground.calls() if call.startswith("systemctl") and "show" not in call] == [
        "systemctl --user daemon-reload", "systemctl --user enable ccagent.service",
        "systemctl --user restart ccagent.service",
    ]  # fmt: skip
    for name in (UNIT, HERE):
        assert f"write  {ground.home / name}" in ground.said


def test_folders_that_a_sandbox_could_not_make_are_made_and_private(ground: Ground, manager: SystemdUser) -> None:
    manager.install(ground.place(), ground.hands())

    made = [ground.home / name / "ccagent" for name in (".local/share", ".local/state", ".cache")]
    assert [path.stat().st_mode & 0o777 for path in made] == [0o700] * 3


def test_a_folder_of_archives_outside_of_them_is_made_too_and_may_be_written(
    ground: Ground, manager: SystemdUser
) -> None:
    archive = ground.home / "kept" / "archive"

    manager.install(ground.place(CCAGENT_RETENTION_ARCHIVE=str(archive)), ground.hands())

    assert archive.stat().st_mode & 0o777 == 0o700
    (line,) = [line for line in (ground.home / HERE).read_text().splitlines() if line.startswith("ReadWritePaths=")]
    assert f'"-{archive}"' in line


def test_again_it_changes_nothing_and_restarts_nothing(ground: Ground, manager: SystemdUser) -> None:
    manager.install(ground.place(), ground.hands())
    ground.calls()
    hands = ground.hands()

    manager.install(ground.place(), hands)

    assert not hands.changed
    assert "systemctl --user start ccagent.service" in ground.calls()


def test_a_dry_run_shows_everything_and_changes_nothing(ground: Ground) -> None:
    choose(ground.env, "linux").install(ground.place(), ground.hands(dry_run=True))

    assert not ground.files()
    assert list(ground.home.iterdir()) == []
    assert f"write  {ground.home / UNIT}" in ground.said
    assert "       | WatchdogSec=120" in ground.said
    assert "run    systemctl --user enable ccagent.service" in ground.said
    assert [call for call in ground.calls() if not call.startswith("systemctl --user show")] == []


def test_where_the_full_unit_is_refused_the_lighter_one_is_taken_until_it_is_not(
    ground: Ground, manager: SystemdUser
) -> None:
    ground.put("systemd-run", "sys.exit(217)")
    manager.install(ground.place(), ground.hands())
    refused = ground.files()
    ground.put("systemd-run", "")
    manager.install(ground.place(), ground.hands())

    assert refused == {UNIT, HERE, LIGHT}
    assert ground.files() == {UNIT, HERE}


def test_the_trial_demands_what_the_unit_demands(ground: Ground, manager: SystemdUser) -> None:
    manager.install(ground.place(), ground.hands())

    trial = next(call for call in ground.calls() if call.startswith("systemd-run"))
    assert "--property=PrivateUsers=yes" in trial
    assert f"--property=InaccessiblePaths=-{ground.home}/.ssh" in trial
    assert "Restart" not in trial
    assert trial.endswith(f"{ground.program} --version")


def test_without_systemd_it_says_so_and_writes_nothing(ground: Ground) -> None:
    ground.env["PATH"] = str(ground.bin)

    with pytest.raises(ServiceError, match="no systemd here"):
        choose(ground.env, "linux").install(ground.place(), ground.hands())

    assert not ground.files()


def test_without_a_manager_for_the_user_it_says_what_to_do(ground: Ground) -> None:
    ground.put("systemctl", "print('Failed to connect to bus: No medium found'); sys.exit(1)")
    manager = SystemdUser(ground.env, ground.home / ".config", booted=ground.folder)

    with pytest.raises(ServiceError, match=r"No medium found.*enable-linger.*`ccagent run`"):
        manager.install(ground.place(), ground.hands())

    assert not ground.files()


def test_where_systemd_is_installed_and_does_not_run_it_says_so(ground: Ground) -> None:
    ground.put("systemctl", "print('System has not been booted with systemd'); sys.exit(1)")
    manager = SystemdUser(ground.env, ground.home / ".config", booted=ground.folder / "nowhere")

    with pytest.raises(ServiceError, match=r"does not run this machine.*`ccagent run`"):
        manager.install(ground.place(), ground.hands())

    assert not ground.files()


@pytest.mark.parametrize("lingers", [True, False])
def test_whoever_does_not_linger_is_told_how_to_once(ground: Ground, manager: SystemdUser, lingers: bool) -> None:
    lingering = ground.folder / "linger"
    lingering.mkdir()
    if lingers:
        (lingering / getpwuid(os.getuid()).pw_name).touch()

    SystemdUser(ground.env, ground.home / ".config", lingering=lingering).install(ground.place(), ground.hands())

    assert len([line for line in ground.said if "loginctl enable-linger" in line]) == (not lingers)


def test_a_session_that_does_not_name_the_runtime_folder_is_led_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "RUNTIME", tmp_path)
    there = tmp_path / str(os.getuid())
    without = reaching({"HOME": "/home/ada"})
    (there / "systemd").mkdir(parents=True)

    assert "XDG_RUNTIME_DIR" not in without
    assert reaching({"HOME": "/home/ada"})["XDG_RUNTIME_DIR"] == str(there)
    assert reaching({"XDG_RUNTIME_DIR": "/elsewhere"})["XDG_RUNTIME_DIR"] == "/elsewhere"


def test_a_start_that_fails_leads_to_the_log(ground: Ground, manager: SystemdUser) -> None:
    ground.put("systemctl", "if 'restart' in arguments: print('Job failed.'); sys.exit(1)")

    with pytest.raises(ServiceError, match=r"Job failed\.; `ccagent service logs`"):
        manager.install(ground.place(), ground.hands())


def test_uninstalling_leaves_a_drop_in_of_the_users_own(ground: Ground, manager: SystemdUser) -> None:
    manager.install(ground.place(), ground.hands())
    own = ground.home / f"{UNIT}.d" / "50-mine.conf"
    own.write_text("[Service]\n")
    ground.calls()

    manager.uninstall(ground.hands())

    assert ground.files() == {str(own.relative_to(ground.home))}
    assert "systemctl --user disable --now ccagent.service" in ground.calls()
    assert any(line.startswith(f"leave  {own.parent}") for line in ground.said)


def test_uninstalling_works_where_no_manager_answers(ground: Ground, manager: SystemdUser) -> None:
    manager.install(ground.place(), ground.hands())
    ground.put("systemctl", "sys.exit(1)")

    manager.uninstall(ground.hands())
    first = ground.said.count("note   no service manager answers; only the files are removed")
    manager.uninstall(ground.hands())

    assert not ground.files()
    assert (first, ground.said.count("note   no service manager answers; only the files are removed")) == (1, 1)
    assert ground.said[-1] == "nothing is installed"


def test_what_says_where_things_lie_is_kept_and_what_may_be_a_secret_is_named_only(ground: Ground) -> None:
    place = ground.place(
        CLAUDE_CONFIG_DIR='/data/a "b" 100%', CCAGENT_DATABASE_URL="postgresql://u:secret@h/d",
        OTEL_EXPORTER_OTLP_HEADERS="authorization=secret",
    )  # fmt: skip

    text = drop_in(place)

    assert 'Environment="CLAUDE_CONFIG_DIR=/data/a \\"b\\" 100%%"' in text.splitlines()
    assert "secret" not in text
    assert place.unseen == ("CCAGENT_DATABASE_URL", "OTEL_EXPORTER_OTLP_HEADERS")


@pytest.mark.parametrize("temporary", [True, False])
def test_what_lies_among_temporary_files_is_still_seen(ground: Ground, temporary: bool) -> None:
    place = replace(ground.place(), temporary=temporary)

    assert ("PrivateTmp=no" in drop_in(place).splitlines()) == temporary


@pytest.mark.parametrize(("folder", "temporary"), [("/tmp/tree", True), ("/srv/tree", False)])
def test_a_source_among_temporary_files_is_noticed(ground: Ground, folder: str, temporary: bool) -> None:
    env = {"HOME": "/home/ada", "PATH": ground.env["PATH"], "CCAGENT_SOURCE": folder}

    place = survey(load({}, env), env, Path("/home/ada"), [str(ground.program)])

    assert place.temporary == temporary


def test_a_line_break_cannot_get_into_a_unit() -> None:
    with pytest.raises(ServiceError, match="cannot stand in a unit"):
        quoted("/tmp/a\nExecStartPre=/bin/false")


def test_how_it_stands_is_told_without_an_installation_and_without_a_manager(ground: Ground) -> None:
    ground.env["PATH"] = str(ground.bin)

    standing = choose(ground.env, "linux").standing()

    assert (standing.installed, standing.running, standing.pid) == (False, False, None)
    assert standing.lines() == ["not installed; `ccagent service install` does that"]


def test_folders_that_a_shell_names_from_where_it_stands_are_told_to_the_service_whole(ground: Ground) -> None:
    here = Path.cwd()
    env = {
        "HOME": "/home/ada", "CCAGENT_SOURCE": "notes:codex:old/sessions:/abs:~/mine", "CLAUDE_CONFIG_DIR": "claude, /other",
        "CODEX_HOME": "./codex",
    }  # fmt: skip

    place = survey(load({}, env), env, Path("/home/ada"), [str(ground.program)])

    assert place.variables == {
        "CCAGENT_SOURCE": f"{here}/notes:codex:{here}/old/sessions:/abs:~/mine",
        "CLAUDE_CONFIG_DIR": f"{here}/claude, /other",
        "CODEX_HOME": f"{here}/codex",
    }
