"""Installing under launchd, with a launchctl that writes down how it is called and remembers what is loaded."""

from __future__ import annotations

import plistlib

import pytest

from ccagent.errors import ServiceError
from ccagent.install.launchd import Launchd
from tests.install.conftest import Ground

FILE = "Library/LaunchAgents/local.ccagent.plist"
TARGET = "gui/501/local.ccagent"

LAUNCHCTL = """
from pathlib import Path
loaded = Path({loaded!r})
verb = arguments[0]
if verb == "bootstrap":
    if loaded.exists():
        print("Bootstrap failed: 5: Input/output error"); sys.exit(5)
    loaded.touch()
elif verb == "kickstart":
    if not loaded.exists():
        print('Could not find service "local.ccagent" in domain for user gui: 501'); sys.exit(113)
elif verb == "bootout":
    if not loaded.exists():
        sys.exit(3)
    loaded.unlink()
elif verb == "print":
    if not loaded.exists():
        print("Could not find service"); sys.exit(113)
    print("gui/501/local.ccagent = {{\\n\\tstate = running\\n\\n\\truns = 3\\n\\tpid = 812\\n\\tlast exit code = 70\\n")
"""


@pytest.fixture
def manager(ground: Ground) -> Launchd:
    ground.put("launchctl", LAUNCHCTL.format(loaded=str(ground.folder / "loaded")))
    return Launchd(ground.env, ground.home, 501)


def changing(ground: Ground) -> list[str]:
    return [call for call in ground.calls() if not call.startswith("launchctl print")]


def test_it_fills_in_the_paths_and_loads_the_agent(ground: Ground, manager: Launchd) -> None:
    manager.install(ground.place(CODEX_HOME="/data/codex"), ground.hands())

    document = plistlib.loads((ground.home / FILE).read_bytes())
    assert document["ProgramArguments"] == [str(ground.program), "run"]
    assert document["StandardErrorPath"] == str(ground.home / "Library/Logs/ccagent/ccagent.log")
    assert document["EnvironmentVariables"] == {"CODEX_HOME": "/data/codex"}
    assert changing(ground) == [
        f"launchctl enable {TARGET}", f"launchctl bootstrap gui/501 {ground.home / FILE}"
    ]  # fmt: skip
    assert f"write  {ground.home / FILE}" in ground.said
    assert (ground.home / "Library/Logs/ccagent").is_dir()


def test_again_it_leaves_a_loaded_agent_alone(ground: Ground, manager: Launchd) -> None:
    manager.install(ground.place(), ground.hands())
    ground.calls()

    manager.install(ground.place(), ground.hands())

    assert changing(ground) == []


def test_a_change_unloads_the_old_agent_first(ground: Ground, manager: Launchd) -> None:
    manager.install(ground.place(), ground.hands())
    ground.calls()

    manager.install(ground.place(CODEX_HOME="/data/codex"), ground.hands())

    assert [call.split()[1] for call in changing(ground)] == ["bootout", "enable", "bootstrap"]


def test_a_dry_run_changes_nothing(ground: Ground, manager: Launchd) -> None:
    manager.install(ground.place(), ground.hands(dry_run=True))

    assert not ground.files()
    assert changing(ground) == []
    assert f"run    launchctl bootstrap gui/501 {ground.home / FILE}" in ground.said


def test_how_it_stands_is_read_from_launchctl(ground: Ground, manager: Launchd) -> None:
    manager.install(ground.place(), ground.hands())

    standing = manager.standing()

    assert (standing.running, standing.pid, standing.restarts) == (True, 812, 2)
    assert standing.says == "last exit code 70"


def test_restarting_asks_for_one_kick(ground: Ground, manager: Launchd) -> None:
    manager.install(ground.place(), ground.hands())
    ground.calls()

    manager.restart(ground.hands())

    assert changing(ground) == [f"launchctl kickstart -k {TARGET}"]


def test_uninstalling_removes_agent_and_log_and_again_nothing(ground: Ground, manager: Launchd) -> None:
    manager.install(ground.place(), ground.hands())
    manager.log.write_text("a line\n")
    ground.calls()

    manager.uninstall(ground.hands())
    first = changing(ground)
    manager.uninstall(ground.hands())

    assert first == [f"launchctl bootout {TARGET}"]
    assert changing(ground) == []
    assert not ground.files()
    assert ground.said[-1] == "nothing is installed"


def test_a_refusal_is_told_with_its_reason(ground: Ground, manager: Launchd) -> None:
    ground.put("launchctl", "print('Operation not permitted'); sys.exit(arguments[0] in ('bootstrap', 'print'))")

    with pytest.raises(ServiceError, match=r"bootstrap.*Operation not permitted"):
        manager.install(ground.place(), ground.hands())


def test_without_launchd_it_says_so_and_writes_nothing(ground: Ground) -> None:
    with pytest.raises(ServiceError, match="no launchd here"):
        Launchd(ground.env, ground.home, 501).install(ground.place(), ground.hands())

    assert not ground.files()


def test_the_log_is_shown_by_tail(ground: Ground, manager: Launchd, capfd: pytest.CaptureFixture[str]) -> None:
    manager.install(ground.place(), ground.hands())
    manager.log.write_text("one\ntwo\nthree\n")

    assert manager.logs(lines=2, follow=False) == 0
    assert capfd.readouterr().out == "two\nthree\n"


# What `launchctl print gui/501/local.ccagent` shows, shortened in the middle; invented from its known forms.
MONTEREY = """gui/501/local.ccagent = {
\tactive count = 1
\tpath = /Users/ada/Library/LaunchAgents/local.ccagent.plist
\ttype = LaunchAgent
\tstate = running

\tprogram = /Users/ada/.local/bin/ccagent
\targuments = {
\t\t/Users/ada/.local/bin/ccagent
\t\trun
\t}

\tstdout path = /dev/null
\tstderr path = /Users/ada/Library/Logs/ccagent/ccagent.log
\tinherited environment = {
\t\tSSH_AUTH_SOCK => /private/tmp/com.apple.launchd.x/Listeners
\t}

\tdomain = gui/501 [100005]
\tasid = 100005
\tminimum runtime = 30
\texit timeout = 20
\tnice = 10
\truns = 1
\tpid = 812
\timmediate reason = speculative
\tforks = 0
\texecs = 1
\tlast exit code = (never exited)

\tspawn type = background (6)
\tproperties = runatload | inferred program
}
"""
SONOMA_WAITS = """gui/501/local.ccagent = {
\tactive count = 0
\tpath = /Users/ada/Library/LaunchAgents/local.ccagent.plist
\ttype = LaunchAgent
\tstate = spawn scheduled

\tprogram = /Users/ada/.local/bin/ccagent
\tdomain = gui/501 [100017]
\truns = 4
\tlast exit code = 78: EX_CONFIG

\tsemaphores = {
\t\tsuccessful exit => 0
\t}

\tendpoints = {
\t\t"x" = {
\t\t\tport = 0x1
\t\t\tstate = active
\t\t}
\t}

\tspawn type = background (6)
}
"""
VENTURA_STOPPED = """gui/501/local.ccagent = {
\tactive count = 0
\ttype = LaunchAgent
\tstate = not running

\truns = 2
\tlast terminating signal = Killed: 9

\tspawn type = background (6)
}
"""
CATALINA_WAITING = """local.ccagent = {
\tactive count = 0
\tpath = /Users/ada/Library/LaunchAgents/local.ccagent.plist
\tstate = waiting

\tlast exit code = 0
\truns = 1
\tsuccessive crashes = 0
}
"""


@pytest.mark.parametrize(
    ("shown", "running", "state", "pid", "restarts", "says"),
    [
        (MONTEREY, True, "running", 812, 0, ""),
        (SONOMA_WAITS, False, "spawn scheduled", None, 3, "last exit code 78: EX_CONFIG"),
        (VENTURA_STOPPED, False, "not running", None, 1, "last ended by Killed: 9"),
        (CATALINA_WAITING, False, "waiting", None, 0, "last exit code 0"),
        ("", False, "unknown", None, None, ""),
    ],
    ids=["running", "throttled", "killed", "ended", "empty"],
)
def test_the_forms_in_which_launchctl_tells_are_understood(
    ground: Ground, shown: str, running: bool, state: str, pid: int | None, restarts: int | None, says: str
) -> None:
    ground.put("launchctl", f"print({shown!r})")

    standing = Launchd(ground.env, ground.home, 501).standing()

    assert (standing.running, standing.state, standing.pid) == (running, state, pid)
    assert (standing.restarts, standing.says) == (restarts, says)


@pytest.mark.parametrize("code", [5, 17, 36, 37])
def test_an_agent_that_somebody_else_has_just_loaded_is_no_failure(ground: Ground, code: int) -> None:
    ground.put(
        "launchctl",
        f"from pathlib import Path\nmark = Path({str(ground.folder / 'mark')!r})\n"
        "if arguments[0] == 'print' and not mark.exists(): sys.exit(113)\n"
        f"if arguments[0] == 'bootstrap': mark.touch(); print('Bootstrap failed'); sys.exit({code})\n",
    )

    Launchd(ground.env, ground.home, 501).install(ground.place(), ground.hands())

    assert ground.said[-1] == f"keep   {TARGET} is loaded"


def test_the_same_word_without_an_agent_afterwards_is_one(ground: Ground) -> None:
    ground.put(
        "launchctl",
        "codes = {'print': 113, 'bootstrap': 5}\nif arguments[0] == 'bootstrap':"
        " print('Bootstrap failed: 5: Input/output error')\nsys.exit(codes.get(arguments[0], 0))",
    )

    with pytest.raises(ServiceError, match=r"Input/output error; `ccagent service logs`"):
        Launchd(ground.env, ground.home, 501).install(ground.place(), ground.hands())


def test_without_anybody_at_the_screen_it_says_to_log_in_there(ground: Ground) -> None:
    ground.put(
        "launchctl",
        "codes = {'print': 113, 'bootstrap': 125}\nif arguments[0] == 'bootstrap':"
        " print('Bootstrap failed: 125: Domain does not support specified action')\n"
        "sys.exit(codes.get(arguments[0], 0))",
    )

    with pytest.raises(ServiceError, match="log in at the screen"):
        Launchd(ground.env, ground.home, 501).install(ground.place(), ground.hands())


def test_restarting_an_agent_that_is_not_loaded_loads_it(ground: Ground, manager: Launchd) -> None:
    manager.install(ground.place(), ground.hands())
    (ground.folder / "loaded").unlink()
    ground.calls()

    manager.restart(ground.hands())

    assert [call.split()[1] for call in changing(ground)] == ["enable", "bootstrap"]
