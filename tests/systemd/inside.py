"""What a scenario inside of the booted machine is told with: its user's commands, the unit's properties, transcripts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.transcripts import Session, Tree, Usage, text

HERE = Path("/opt/cc")
SHIPPED = Path("/opt/sources/ccagent")
INSTALLED = Path("/opt/app/ccagent")
"""The package that the command runs: replaced in its place, as an upgrade does it."""

UID = 4242
HOME = Path("/home/ada")
UNIT = "ccagent.service"
ROOT = HOME / ".claude" / "projects"
UNITS = HOME / ".config/systemd/user"
DROP_INS = UNITS / f"{UNIT}.d"
CONFIG = HOME / ".config/ccagent/config.toml"

DEADLINE_SECONDS = 180.0
"""Whatever takes longer has hung, however busy the machine is."""

POLL_SECONDS = 0.1

SESSION = {
    "HOME": str(HOME), "USER": "ada", "LOGNAME": "ada", "PATH": "/opt/cc/bin:/usr/bin:/bin", "LANG": "C.UTF-8",
    "XDG_RUNTIME_DIR": f"/run/user/{UID}", "DBUS_SESSION_BUS_ADDRESS": f"unix:path=/run/user/{UID}/bus",
}  # fmt: skip


def as_ada(*command: str, env: dict[str, str] | None = None, uid: int = UID) -> subprocess.CompletedProcess[str]:
    """Run a command as the user, in her session's environment."""
    return subprocess.run(
        command, env=SESSION if env is None else env, cwd="/", user=uid, group=uid, extra_groups=[], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE_SECONDS, check=False,
    )  # fmt: skip


def show(*names: str) -> dict[str, str]:
    """Properties of the unit."""
    done = as_ada("systemctl", "--user", "show", UNIT, f"--property={','.join(names)}")
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for it; TimeoutError that says what did not happen."""
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(POLL_SECONDS)


def requests(*options: str) -> int:
    """What the user's own command counts."""
    done = as_ada("ccagent", "usage", "--json", "--by", "total", *options)
    return int(json.loads(done.stdout)["rows"][0]["requests"]) if done.returncode == 0 else 0


def write(name: str) -> None:
    """A session of one request, written as the user."""
    session = Session(seed=name, start=time.time_ns() // 1_000_000 - 60_000)
    session.prompt("hello")
    session.assistant(text("a reply"), usage=Usage(input=1, output=10))
    session.turn_duration(5_000)
    Tree(ROOT).write(session)
    own(HOME / ".claude")


def own(path: Path) -> None:
    """Make the user the owner of everything there."""
    for each in [path, *path.rglob("*")]:
        os.lchown(each, UID, UID)


def override(name: str, words: str | None) -> None:
    """A drop-in of the user's own, or its end."""
    path = DROP_INS / name
    if words is None:
        path.unlink(missing_ok=True)
    else:
        path.write_text(words)
    as_ada("systemctl", "--user", "daemon-reload")


def configure(words: str | None) -> None:
    """The user's configuration, or its end."""
    if words is None:
        CONFIG.unlink(missing_ok=True)
        return
    CONFIG.parent.mkdir(parents=True, exist_ok=True)
    CONFIG.write_text(words)
    own(CONFIG.parent)


def put_package(change: Callable[[Path], None] = lambda package: None) -> None:
    """Install the package, changed by `change`, in the place of the one that is there."""
    fresh = INSTALLED.with_name("fresh")
    shutil.copytree(SHIPPED, fresh)
    change(fresh)
    shutil.rmtree(INSTALLED, ignore_errors=True)
    fresh.rename(INSTALLED)


def users(process: object) -> str:
    """The user namespace of a process."""
    return str(Path(f"/proc/{process}/ns/user").readlink())


def active() -> bool:
    """Whether the unit is active."""
    return show("ActiveState")["ActiveState"] == "active"


def main_pid() -> int:
    """The unit's process, 0 where there is none."""
    return int(show("MainPID")["MainPID"])


def logged(*options: str) -> str:
    """The end of the service's log."""
    return as_ada("ccagent", "service", "logs", "-n", "1000", *options).stdout


def standing() -> dict[str, Any]:
    """The document of `status`."""
    document: dict[str, Any] = json.loads(as_ada("ccagent", "status", "--json").stdout)
    return document
