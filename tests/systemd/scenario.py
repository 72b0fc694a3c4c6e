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
from pathlib import Path
from typing import Any

sys.path[:0] = ["/opt/sources", "/opt/site"]

from tests.systemd import changes  # noqa: E402 - the machine has them there only
from tests.systemd.inside import (  # noqa: E402
    DROP_INS,
    HERE,
    HOME,
    SHIPPED,
    UID,
    active,
    as_ada,
    configure,
    logged,
    main_pid,
    override,
    put_package,
    requests,
    show,
    until,
    users,
    write,
)  # fmt: skip

WATCHDOG_SECONDS = 10

report: dict[str, Any] = {}


def install() -> None:
    """Installing twice: the first starts it, the second keeps everything as it is."""
    write("first")
    report["home_before"] = changes.files()
    first = as_ada("ccagent", "service", "install")
    report["install"] = {"code": first.returncode, "text": first.stdout, **show("ActiveState", "StatusText", "Type")}
    report["light"] = (DROP_INS / "20-no-user-namespaces.conf").exists()
    pid = main_pid()
    again = as_ada("ccagent", "service", "install")
    report["again"] = {"code": again.returncode, "text": again.stdout, "same_pid": main_pid() == pid}
    until(lambda: show("StatusText")["StatusText"].startswith("Following"), "it says what it follows")
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
    limits = Path(f"/proc/{pid}/limits").read_text()
    report["sandbox"] = {
        "no_new_privileges": status["NoNewPrivs"].strip(),
        "seccomp": status["Seccomp"].strip(),
        "bounding": status["CapBnd"].strip(),
        "own_users": users(pid) != users("self"),
        "root_is_read_only": any(line[4] == "/" and "ro" in line[5].split(",") for line in mounts),
        "core": limits.split("Max core file size")[1].split()[0],
        "files": limits.split("Max open files")[1].split()[0],
        "nice": os.getpriority(os.PRIO_PROCESS, pid),
        "oom_score_adjust": Path(f"/proc/{pid}/oom_score_adj").read_text().strip(),
    }


def follow() -> None:
    """A transcript that grows is followed."""
    until(lambda: requests() == 1, "the first session is counted")
    write("second")
    until(lambda: requests() == 2, "the second session is counted")
    report["follow"] = {"requests": requests(), **show("StatusText")}


def reload_() -> None:
    """A reload goes through systemctl, and the unit is active after it."""
    done = as_ada("systemctl", "--user", "reload", "ccagent.service")
    until(active, "it is active after the reload")
    until(lambda: "config.reloaded" in logged(), "the log tells of the reload")
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
    watchdog = f"[Service]\nWatchdogSec={WATCHDOG_SECONDS}\n"
    override("90-rig.conf", f"{watchdog}Environment=CCAGENT_FAILPOINT=after_facts:hang\n")
    as_ada("systemctl", "--user", "restart", "ccagent.service")
    pid = main_pid()
    first = fed_at()
    # Idle: twice the watchdog's time must not end it.
    until(lambda: fed_at() > first + 2 * WATCHDOG_SECONDS or main_pid() != pid, "it is fed while it idles")
    report["fed"] = show("ActiveState", "NRestarts", "WatchdogUSec")
    write("fourth")
    override("90-rig.conf", watchdog)  # what starts next does not hang
    until(lambda: main_pid() not in (0, pid) and active(), "the watchdog has restarted it")
    until(lambda: requests() == 4, "the fourth session is counted")
    log = logged()
    report["hang"] = {
        "requests": requests(), "restarts": show("NRestarts")["NRestarts"], "watchdog": "Watchdog timeout" in log,
        "stack": "failpoints.py" in log,
    }  # fmt: skip
    override("90-rig.conf", None)


def fed_at() -> float:
    """When the watchdog was fed last, steady seconds."""
    return int(show("WatchdogTimestampMonotonic")["WatchdogTimestampMonotonic"]) / 1e6


def stop() -> None:
    """It ends soon, and cleanly."""
    done = as_ada("systemctl", "--user", "stop", "ccagent.service")
    moments = show("ActiveExitTimestampMonotonic", "InactiveEnterTimestampMonotonic")
    began, ended = (int(moments[name]) for name in ("ActiveExitTimestampMonotonic", "InactiveEnterTimestampMonotonic"))
    report["stop"] = {"code": done.returncode, "seconds": (ended - began) / 1e6, **show("ActiveState", "Result")}


def bad_configuration() -> None:
    """A configuration that is wrong fails once, with 78, and is not started over and over."""
    configure("nonsense = 1\n")
    refused = as_ada("ccagent", "service", "restart")
    # One that is to be started again would be "auto-restart" now.
    report["bad"] = {
        "code": refused.returncode,
        "text": refused.stdout,
        **show("ActiveState", "SubState", "ExecMainStatus", "NRestarts"),
    }
    configure(None)


def lighter() -> None:
    """The lighter unit starts as well."""
    light = (SHIPPED / "packaging/systemd/no-user-namespaces.conf").read_text()
    override("20-no-user-namespaces.conf", light)
    started = as_ada("systemctl", "--user", "restart", "ccagent.service")
    pid = main_pid()
    status = Path(f"/proc/{pid}/status").read_text() if pid else ""
    report["lighter"] = {
        "code": started.returncode, "text": started.stdout, "no_new_privileges": "NoNewPrivs:\t1" in status,
        "own_users": bool(pid) and users(pid) != users("self"),
        **show("ActiveState"),
    }  # fmt: skip
    override("20-no-user-namespaces.conf", None)
    as_ada("systemctl", "--user", "restart", "ccagent.service")


def system_wide() -> None:
    """The template of shared servers, run by the system's manager."""
    unit = (SHIPPED / "packaging/systemd/ccagent@.service").read_text()
    Path("/etc/systemd/system/ccagent@.service").write_text(
        unit.replace("/usr/local/bin/ccagent", "/opt/cc/bin/ccagent")
    )
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    started = subprocess.run(
        ["systemctl", "start", "ccagent@ada"], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    report["template"] = {"code": started.returncode, "text": started.stdout}
    if started.returncode:
        report["template"]["log"] = subprocess.run(
            ["journalctl", "-u", "ccagent@ada", "--no-pager", "-o", "cat"], text=True, capture_output=True, check=False
        ).stdout
        return
    database = ("--db", "/var/lib/ccagent/ada/ccagent/ccagent.db")
    until(lambda: requests(*database) == 4, "the template's instance has counted all sessions")
    folder = Path("/var/lib/ccagent/ada").stat()
    report["template"] |= {"requests": requests(*database), "mode": oct(folder.st_mode & 0o777), "owner": folder.st_uid}
    report["template_limits"] = changes.limits_of("ccagent@ada.service", "systemctl")
    subprocess.run(["systemctl", "stop", "ccagent@ada"], check=False)


def uninstall() -> None:
    """Nothing is left, and no unit has failed."""
    done = as_ada("ccagent", "service", "uninstall")
    again = as_ada("ccagent", "service", "uninstall")
    left = [str(path) for path in (HOME / ".config/systemd").rglob("*ccagent*")]
    report["uninstall"] = {"code": done.returncode, "text": done.stdout, "again": again.stdout, "left": left}
    report["failed"] = as_ada("systemctl", "--user", "list-units", "--failed", "--plain", "--no-legend").stdout


CHAPTERS = (
    install, sandbox, follow, reload_, kill, hang, stop, bad_configuration, lighter, system_wide, *changes.CHAPTERS,
    uninstall, changes.purge,
)  # fmt: skip


def main() -> None:
    """Tell the chapters in their order; the first that fails ends the story, with its reason in the report."""
    try:
        put_package()
        until(lambda: Path(f"/run/user/{UID}/bus").exists(), "a bus of the user")
        until(lambda: as_ada("systemctl", "--user", "show", "--property=Version").returncode == 0, "a user manager")
        for chapter in CHAPTERS:
            started = time.monotonic()
            report.update(chapter() or {})
            print(chapter.__name__, f"{time.monotonic() - started:.1f} s", flush=True)
    except BaseException:
        report["fault"] = traceback.format_exc()
        report["fault"] += as_ada("ccagent", "service", "logs", "-n", "60").stdout
    (HERE / "report.json").write_text(json.dumps(report))


main()
