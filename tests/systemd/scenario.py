"""What happens inside of the booted machine: the service is installed, killed, hung, stopped and removed by its user.

Runs as a service of its own; writes what it saw to report.json, one entry for each chapter of the story.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = ["/opt/sources", "/opt/site"]

from tests.transcripts import Session, Tree, Usage, text  # noqa: E402 - the machine has them there only

HERE = Path("/opt/cc")
UID = 4242
HOME = Path("/home/ada")
UNIT = "ccagent.service"
ROOT = HOME / ".claude" / "projects"
DROP_INS = HOME / ".config/systemd/user" / f"{UNIT}.d"
WATCHDOG_SECONDS = 5
DEADLINE_SECONDS = 60.0

report: dict[str, Any] = {}


def as_ada(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as the user, in her session's environment."""
    env = {
        "HOME": str(HOME), "USER": "ada", "LOGNAME": "ada", "PATH": "/opt/cc/bin:/usr/bin:/bin", "LANG": "C.UTF-8",
        "XDG_RUNTIME_DIR": f"/run/user/{UID}", "DBUS_SESSION_BUS_ADDRESS": f"unix:path=/run/user/{UID}/bus",
    }  # fmt: skip
    return subprocess.run(
        command, env=env, cwd=HOME, user=UID, group=UID, extra_groups=[], text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=DEADLINE_SECONDS, check=False,
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
        time.sleep(0.1)


def requests() -> int:
    """What the user's own command counts."""
    done = as_ada("ccagent", "usage", "--json", "--by", "total")
    return int(json.loads(done.stdout)["rows"][0]["requests"]) if done.returncode == 0 else 0


def write(name: str) -> None:
    """A session of one request, written as the user."""
    session = Session(seed=name, start=time.time_ns() // 1_000_000 - 60_000)
    session.prompt("hello")
    session.assistant(text("a reply"), usage=Usage(input=1, output=10))
    session.turn_duration(5_000)
    Tree(ROOT).write(session)
    for path in [ROOT, *ROOT.rglob("*")]:
        os.chown(path, UID, UID)


def override(name: str, text_: str | None) -> None:
    """A drop-in of the user's own, or its end."""
    path = DROP_INS / name
    if text_ is None:
        path.unlink(missing_ok=True)
    else:
        path.write_text(text_)
    as_ada("systemctl", "--user", "daemon-reload")


def users(process: object) -> str:
    """The user namespace of a process."""
    return str(Path(f"/proc/{process}/ns/user").readlink())


def active() -> bool:
    return show("ActiveState")["ActiveState"] == "active"


def main_pid() -> int:
    return int(show("MainPID")["MainPID"])


def install() -> None:
    """Installing twice: the first starts it, the second keeps everything as it is."""
    write("first")
    first = as_ada("ccagent", "service", "install")
    report["install"] = {"code": first.returncode, "text": first.stdout, **show("ActiveState", "StatusText", "Type")}
    report["light"] = (DROP_INS / "20-no-user-namespaces.conf").exists()
    pid = main_pid()
    again = as_ada("ccagent", "service", "install")
    report["again"] = {"code": again.returncode, "text": again.stdout, "same_pid": main_pid() == pid}
    status = as_ada("ccagent", "service", "status", "--json")
    report["status"] = {"code": status.returncode, **json.loads(status.stdout)}
    logs = as_ada("ccagent", "service", "logs")
    report["logs"] = {"code": logs.returncode, "text": logs.stdout}


def sandbox() -> None:
    """What the running program may do: seen from outside, in its own view of the files."""
    pid = main_pid()
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    mounts = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    report["sandbox"] = {
        "no_new_privileges": status["NoNewPrivs"].strip(),
        "seccomp": status["Seccomp"].strip(),
        "bounding": status["CapBnd"].strip(),
        "own_users": users(pid) != users("self"),
        "root_is_read_only": any(line[4] == "/" and "ro" in line[5].split(",") for line in mounts),
        "core": Path(f"/proc/{pid}/limits").read_text().split("Max core file size")[1].split()[0],
    }


def follow() -> None:
    """A transcript that grows is followed."""
    until(lambda: requests() == 1, "the first session is counted")
    write("second")
    until(lambda: requests() == 2, "the second session is counted")
    report["follow"] = {"requests": requests(), **show("StatusText")}


def reload_() -> None:
    """A reload goes through systemctl, and the unit is active after it."""
    done = as_ada("systemctl", "--user", "reload", UNIT)
    until(active, "it is active after the reload")
    until(lambda: "config.reloaded" in as_ada("ccagent", "service", "logs").stdout, "the log tells of the reload")
    report["reload"] = {"code": done.returncode, **show("ActiveState", "NRestarts")}


def kill() -> None:
    """kill -9: it is started again, and nothing is counted twice."""
    pid = main_pid()
    os.kill(pid, 9)
    write("third")
    until(lambda: main_pid() not in (0, pid) and active(), "it runs again after a kill")
    until(lambda: requests() == 3, "the third session is counted")
    report["kill"] = {"requests": requests(), **show("NRestarts")}


def hang() -> None:
    """A follow thread that hangs: the watchdog restarts it."""
    override(
        "90-rig.conf", f"[Service]\nWatchdogSec={WATCHDOG_SECONDS}\nEnvironment=CCAGENT_FAILPOINT=after_facts:hang\n"
    )
    as_ada("systemctl", "--user", "restart", UNIT)
    time.sleep(2 * WATCHDOG_SECONDS)  # idle, and fed: twice the watchdog's time must not end it
    pid = main_pid()
    report["fed"] = show("ActiveState", "NRestarts", "WatchdogUSec")
    write("fourth")
    override("90-rig.conf", f"[Service]\nWatchdogSec={WATCHDOG_SECONDS}\n")  # what starts next does not hang
    until(lambda: main_pid() not in (0, pid) and active(), "the watchdog has restarted it")
    until(lambda: requests() == 4, "the fourth session is counted")
    log = as_ada("ccagent", "service", "logs", "-n", "1000").stdout
    report["hang"] = {
        "requests": requests(), "restarts": show("NRestarts")["NRestarts"], "watchdog": "Watchdog timeout" in log,
        "stack": "failpoints.py" in log,
    }  # fmt: skip
    override("90-rig.conf", None)


def stop() -> None:
    """It ends soon, and cleanly."""
    started = time.monotonic()
    done = as_ada("systemctl", "--user", "stop", UNIT)
    report["stop"] = {"code": done.returncode, "seconds": time.monotonic() - started, **show("ActiveState", "Result")}


def bad_configuration() -> None:
    """A configuration that is wrong fails once, with 78, and is not started over and over."""
    file = HOME / ".config/ccagent/config.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("nonsense = 1\n")
    refused = as_ada("ccagent", "service", "restart")
    time.sleep(7)  # longer than RestartSec
    report["bad"] = {
        "code": refused.returncode,
        "text": refused.stdout,
        **show("ActiveState", "ExecMainStatus", "NRestarts"),
    }
    file.unlink()


def lighter() -> None:
    """The lighter unit starts as well."""
    light = Path("/opt/sources/ccagent/packaging/systemd/no-user-namespaces.conf").read_text()
    override("20-no-user-namespaces.conf", light)
    started = as_ada("systemctl", "--user", "restart", UNIT)
    pid = main_pid()
    status = Path(f"/proc/{pid}/status").read_text() if pid else ""
    report["lighter"] = {
        "code": started.returncode, "text": started.stdout, "no_new_privileges": "NoNewPrivs:\t1" in status,
        "own_users": bool(pid) and users(pid) != users("self"),
        **show("ActiveState"),
    }  # fmt: skip


def system_wide() -> None:
    """The template of shared servers, run by the system's manager."""
    unit = Path("/opt/sources/ccagent/packaging/systemd/ccagent@.service").read_text()
    Path("/etc/systemd/system/ccagent@.service").write_text(
        unit.replace("/usr/local/bin/ccagent", "/opt/cc/bin/ccagent")
    )
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    started = subprocess.run(
        ["systemctl", "start", "ccagent@ada"], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    database = "/var/lib/ccagent/ada/ccagent/ccagent.db"

    def counted() -> int:
        done = as_ada("ccagent", "usage", "--json", "--by", "total", "--db", database)
        return int(json.loads(done.stdout)["rows"][0]["requests"]) if done.returncode == 0 else 0

    report["template"] = {"code": started.returncode, "text": started.stdout}
    if started.returncode:
        report["template"]["log"] = subprocess.run(
            ["journalctl", "-u", "ccagent@ada", "--no-pager", "-o", "cat"], text=True, capture_output=True, check=False
        ).stdout
        return
    until(lambda: counted() == 4, "the template's instance has counted all sessions")
    folder = Path("/var/lib/ccagent/ada").stat()
    report["template"] |= {"requests": counted(), "mode": oct(folder.st_mode & 0o777), "owner": folder.st_uid}
    subprocess.run(["systemctl", "stop", "ccagent@ada"], check=False)


def uninstall() -> None:
    """Nothing is left, and no unit has failed."""
    done = as_ada("ccagent", "service", "uninstall")
    again = as_ada("ccagent", "service", "uninstall")
    left = [str(path) for path in (HOME / ".config/systemd").rglob("*ccagent*")]
    report["uninstall"] = {"code": done.returncode, "text": done.stdout, "again": again.stdout, "left": left}
    report["failed"] = as_ada("systemctl", "--user", "list-units", "--failed", "--plain", "--no-legend").stdout


CHAPTERS = (install, sandbox, follow, reload_, kill, hang, stop, bad_configuration, lighter, system_wide, uninstall)


def main() -> None:
    """Tell the chapters in their order; the first that fails ends the story, with its reason in the report."""
    try:
        until(lambda: as_ada("systemctl", "--user", "show", "--property=Version").returncode == 0, "a user manager")
        for chapter in CHAPTERS:
            started = time.monotonic()
            chapter()
            print(chapter.__name__, f"{time.monotonic() - started:.1f} s", flush=True)
    except BaseException:
        report["fault"] = traceback.format_exc() + as_ada("ccagent", "service", "logs", "-n", "60").stdout
    (HERE / "report.json").write_text(json.dumps(report))


main()
