"""Commands and desktop notes: what reaches the program, and what becomes of one that fails or hangs."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ccagent.alerts.rule import Severity
from ccagent.errors import ConfigError
from ccagent.notify.channel import Outcome
from ccagent.notify.command import CommandChannel
from ccagent.notify.desktop import DesktopChannel
from tests.notify.made import message, resolved, rule

WEIRD = 'it\'s "a" $(touch {marker}) `touch {marker}`; touch {marker} & | > {marker} * ~ $HOME {{subject}} é'

RECORD = """\
import json, os, sys
with open(os.environ["HOME"] + "/record.json", "a") as file:
    print(json.dumps({"argv": sys.argv[1:], "env": dict(os.environ), "stdin": sys.stdin.read()}), file=file)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "record.py").write_text(RECORD)
    return tmp_path


def env(home: Path, **more: str) -> dict[str, str]:
    return {"HOME": str(home), "PATH": os.environ["PATH"], **more}


def command(home: Path, *words: str, seconds: float = 20.0, **more: str) -> CommandChannel:
    return CommandChannel("cmd", words, env(home, **more), timeout_seconds=seconds)


def recorded(home: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (home / "record.json").read_text().splitlines()]


def script(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_arguments_arrive_whole_and_as_they_are(home: Path) -> None:
    marker = home / "marker"
    weird = WEIRD.format(marker=str(marker).replace("/", "-"))
    told = message(of=rule(name=f"{weird}\nline \\two"), subject=f"/p/{weird}")
    channel = command(
        home, sys.executable, str(home / "record.py"), "{subject}", "{name}", "--", "$HOME", "a b", "{value}"
    )

    verdict = channel.deliver([told])

    assert verdict.outcome is Outcome.SENT
    (found,) = recorded(home)
    assert found["argv"] == [weird, f"{weird}\nline \\two", "--", "$HOME", "a b", "$5.40"]
    assert found["env"]["CCAGENT_ALERT_SUBJECT"] == weird
    assert found["env"]["CCAGENT_ALERT_VALUE"] == "5.4"
    assert found["env"]["CCAGENT_ALERT_UNIT"] == "USD"
    assert found["env"]["CCAGENT_ALERT_KEY"] == "k1"
    assert json.loads(found["stdin"])["key"] == "k1"
    assert json.loads(found["stdin"])["subject"] == weird
    assert list(home.parent.rglob("marker*")) == []


def test_a_shell_script_sees_what_was_said_and_runs_none_of_it(home: Path) -> None:
    marker = home / "marker"
    weird = f"$(touch {marker.name}) `touch {marker.name}` ; touch {marker.name} 'x' \"y\""
    path = script(home, "tell.sh", '#!/bin/sh\nprintf "%s\\n" "$1" "$CCAGENT_ALERT_NAME" > "$HOME/said"\n')

    command(home, str(path), "{summary}").deliver([message(of=rule(name=weird, summary="{name}"))])

    assert (home / "said").read_text() == f"{weird}\n{weird}\n"
    assert not marker.exists()
    assert not Path("/", marker.name).exists()


def test_a_program_gets_none_of_ccagents_secrets(home: Path) -> None:
    command(
        home, sys.executable, str(home / "record.py"), SLACK_URL="https://secret", CCAGENT_DATABASE_URL="x"
    ).deliver([message()])

    given = set(recorded(home)[0]["env"])

    assert {"HOME", "PATH"} <= given
    assert "SLACK_URL" not in given
    assert "CCAGENT_DATABASE_URL" not in given


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("#!/bin/sh\nexit 3\n", "ended with 3"),
        ("#!/bin/sh\nkill -9 $$\n", "ended by signal 9"),
        ("no program\n", "cannot be run"),
    ],
)
def test_a_program_that_fails_is_tried_again(home: Path, text: str, reason: str) -> None:
    verdict = command(home, str(script(home, "fail", text))).deliver([message()])

    assert verdict.outcome is Outcome.RETRY
    assert reason in verdict.reason


def test_a_program_that_is_not_there_is_told(home: Path) -> None:
    verdict = command(home, "/nowhere/program").deliver([message()])

    assert verdict.outcome is Outcome.RETRY
    assert "there is no program /nowhere/program" in verdict.reason


def test_a_program_that_does_not_read_its_input_is_none_the_worse(home: Path) -> None:
    told = message(of=rule(reason="x" * 1_000_000))

    assert command(home, str(script(home, "deaf", "#!/bin/sh\nexit 0\n"))).deliver([told]).outcome is Outcome.SENT


HANGS = '#!/bin/sh\nsleep 60 &\necho $! > "$HOME/child"\necho $$ > "$HOME/parent"\nwait\n'


def ended(pid: int) -> bool:
    """Whether no process of that number runs; one that nobody has asked for its exit code does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(home: Path, *names: str) -> list[int]:
    deadline = time.monotonic() + 30
    while not all((home / name).exists() and (home / name).read_text().strip() for name in names):
        assert time.monotonic() < deadline, "the program did not start"
        time.sleep(0.01)
    return [int((home / name).read_text()) for name in names]


def until_ended(pids: list[int]) -> bool:
    deadline = time.monotonic() + 30
    while not all(map(ended, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
def test_a_program_that_hangs_is_ended_with_all_that_it_started(home: Path) -> None:
    verdict = command(home, str(script(home, "hang", HANGS)), seconds=1.0).deliver([message()])

    assert verdict.outcome is Outcome.RETRY
    assert "did not end within 1 s" in verdict.reason
    assert until_ended(wait_for(home, "parent", "child"))


def ends_when_closed(home: Path) -> bool:
    """Whether a channel that is closed while its program hangs ends it, with what it has started."""
    channel = command(home, str(script(home, "hang", HANGS)), seconds=60.0)
    thread = threading.Thread(target=lambda: channel.deliver([message()]), daemon=True)
    thread.start()
    pids = wait_for(home, "parent", "child")
    channel.close()
    thread.join(10)
    return not thread.is_alive() and until_ended(pids)


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
def test_closing_ends_a_program_that_runs(home: Path) -> None:
    assert ends_when_closed(home)


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
def test_a_program_is_ended_however_soon_after_its_start_it_is_closed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program runs already while the thread that starts it has not yet heard of it."""
    real = subprocess.Popen

    def late(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = real(*args, **options)
        wait_for(home, "parent", "child")
        time.sleep(0.2)
        return process

    monkeypatch.setattr("ccagent.notify.program.subprocess.Popen", late)
    assert ends_when_closed(home)


def test_after_it_is_closed_nothing_is_run(home: Path) -> None:
    channel = command(home, str(script(home, "noted", '#!/bin/sh\necho ran > "$HOME/ran"\n')), seconds=60.0)

    channel.close()
    verdict = channel.deliver([message()])

    assert verdict.outcome is Outcome.RETRY
    assert not (home / "ran").exists()


@pytest.mark.parametrize(
    "words", [(), ("",), ("{summary}",), ("x", "--text={summary}"), ("x", "{sumary}"), ("x", "a{key}")]
)
def test_a_command_that_would_not_do_what_is_meant_is_refused(home: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"alerts\.channels\.cmd\.command"):
        command(home, *words)


def test_braces_of_a_scripts_own_are_left_alone(home: Path) -> None:
    assert (
        command(home, "/bin/sh", "-c", 'test "$1" = 5 && echo ${#1} { } {}', "x", "5").deliver([message()]).outcome
        is Outcome.SENT
    )


# ---- the desktop -----------------------------------------------------------------------------------------------------


def desktop(home: Path, name: str, *, exits: int = 0) -> DesktopChannel:
    """A desktop whose program writes down its arguments."""
    bin_folder = home / "bin"
    bin_folder.mkdir(exist_ok=True)
    script(
        bin_folder,
        name,
        f'#!/bin/sh\nexec {sys.executable} "$HOME/record.py" "$@"\n' if not exits else f"#!/bin/sh\nexit {exits}\n",
    )
    platform = "darwin" if name == "osascript" else "linux"
    return DesktopChannel(env(home, PATH=f"{bin_folder}:/bin:/usr/bin"), timeout_seconds=20.0, platform=platform)


def test_a_note_on_a_linux_desktop(home: Path) -> None:
    verdict = desktop(home, "notify-send").deliver(
        [message(of=rule(name='<b>"$(id)"</b> & co'), severity=Severity.CRITICAL)]
    )

    assert verdict.outcome is Outcome.SENT
    assert recorded(home)[0]["argv"] == [
        "--app-name=ccagent", "--urgency=critical", "--", "ccagent: critical",
        '&lt;b&gt;"$(id)"&lt;/b&gt; &amp; co · shop: $5.40 &gt; $5.00',
    ]  # fmt: skip


def test_a_note_on_a_mac_is_an_argument_and_no_part_of_the_script(home: Path) -> None:
    name = 'x" & (do shell script "touch /tmp/x") & "'

    desktop(home, "osascript").deliver([message(of=rule(name=name, summary="-{name}"))])

    assert recorded(home)[0]["argv"] == [
        "-e", "on run argv", "-e", "display notification (item 2 of argv) with title (item 1 of argv)", "-e", "end run",
        "ccagent: warning", f" -{name.strip()}",
    ]  # fmt: skip


def test_several_are_one_note(home: Path) -> None:
    told = [message(f"k{number}", severity=Severity.INFO) for number in range(7)] + [resolved("over")]

    desktop(home, "notify-send").deliver(told)

    argv = recorded(home)[0]["argv"]
    assert argv[1] == "--urgency=low"
    assert argv[3] == "ccagent: 7 firing, 1 resolved"
    assert len(argv[4].splitlines()) == 6
    assert argv[4].endswith("and 3 more")


@pytest.mark.parametrize(("platform", "name"), [("linux", "notify-send"), ("darwin", "osascript")])
def test_a_desktop_without_its_program_says_so_and_breaks_nothing(home: Path, platform: str, name: str) -> None:
    (home / "empty").mkdir()
    channel = DesktopChannel(env(home, PATH=str(home / "empty")), timeout_seconds=1.0, platform=platform)

    verdict = channel.deliver([message()])

    assert verdict.outcome is Outcome.RETRY
    assert f"there is no program {name}" in verdict.reason


def test_a_desktop_that_nobody_is_logged_in_to_is_tried_again(home: Path) -> None:
    assert desktop(home, "notify-send", exits=1).deliver([message()]).outcome is Outcome.RETRY
