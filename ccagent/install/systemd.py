"""The service of a user under systemd: unit, drop-ins, and whether this host lets the full unit start."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from pwd import getpwuid
from typing import Final

from ccagent.errors import ServiceError
from ccagent.install.place import Place, shipped
from ccagent.install.standing import Standing
from ccagent.install.steps import Hands, ask, hand_over

UNIT: Final = "ccagent.service"
HERE: Final = "10-here.conf"
LIGHT: Final = "20-no-user-namespaces.conf"

UNTRIED: Final = frozenset(
    """
    Type NotifyAccess ExecStart ExecReload EnvironmentFile WatchdogSec TimeoutStartSec TimeoutStopSec Restart
    RestartPreventExitStatus RestartSec RestartSteps RestartMaxDelaySec
    """.split()
)
"""What a trial leaves out: it says how the service lives, not what it may do."""

LINGERING: Final = Path("/var/lib/systemd/linger")
"""Where logind notes whose services outlive their sessions: a file for each of them."""

BOOTED: Final = Path("/run/systemd/system")
"""There where systemd runs the machine, as sd_booted(3) has it."""

LINGER: Final = "it ends with your last session; on a server `loginctl enable-linger` keeps it running without one"

INSTEAD: Final = "let what starts your programs run `ccagent run`, which follows in the foreground"


class SystemdUser:
    """`systemctl --user` and the folder of user units. ServiceError where no such manager answers."""

    def __init__(
        self, env: Mapping[str, str], config_home: Path, *, lingering: Path = LINGERING, booted: Path = BOOTED
    ) -> None:
        self.env = env
        self._lingering = lingering
        self._booted = booted
        self.folder = config_home / "systemd" / "user"
        self.unit = self.folder / UNIT
        self.drop_ins = self.folder / f"{UNIT}.d"

    def install(self, place: Place, hands: Hands) -> None:
        """Put unit and drop-ins in place and start it; a running service is restarted where anything changed."""
        if not hands.dry_run:
            self._require()
        for folder in place.own_folders:
            hands.folder(folder)
        unit = shipped(f"systemd/{UNIT}")
        here = drop_in(place)
        hands.write(self.unit, unit)
        hands.write(self.drop_ins / HERE, here)
        if self._full_unit_starts(place, unit, hands):
            hands.remove(self.drop_ins / LIGHT)
        else:
            hands.say("       refused: the lighter unit is taken, as for hosts that forbid user namespaces")
            hands.write(self.drop_ins / LIGHT, shipped("systemd/no-user-namespaces.conf"))
        hands.run("systemctl", "--user", "daemon-reload")
        hands.run("systemctl", "--user", "enable", UNIT)
        verb = "restart" if hands.changed else "start"
        hands.run("systemctl", "--user", verb, UNIT, hint="`ccagent service logs` tells why")
        if not self._lingers():
            hands.say(f"note   {LINGER}")

    def uninstall(self, hands: Hands) -> None:
        """Stop it and remove what `install` wrote; drop-ins of the user's own stay, and are named."""
        answers = not hands.dry_run and self._answers()
        if answers or hands.dry_run:
            if self.unit.exists():
                hands.attempt("systemctl", "--user", "disable", "--now", UNIT)
        elif self.unit.exists():
            hands.say("note   no service manager answers; only the files are removed")
        for path in (self.drop_ins / HERE, self.drop_ins / LIGHT, self.drop_ins, self.unit):
            hands.remove(path)
        hands.remove(self.folder / "default.target.wants" / UNIT)
        if hands.changed and (answers or hands.dry_run):
            hands.attempt("systemctl", "--user", "daemon-reload")
            hands.attempt("systemctl", "--user", "reset-failed", UNIT)
        for path in (self.folder / "default.target.wants", self.folder, self.folder.parent) if hands.changed else ():
            hands.tidy(path)
        if not hands.changed:
            hands.say("nothing is installed")

    def standing(self) -> Standing:
        """How it stands, whether it runs or not."""
        light = (self.drop_ins / LIGHT).exists()
        installed = self.unit.exists()
        found: dict[str, str] = {}
        if self._answers():
            names = "ActiveState,SubState,Result,MainPID,NRestarts,StatusText,UnitFileState,MemoryCurrent"
            text = ask(self.env, "systemctl", "--user", "show", UNIT, f"--property={names}").text
            found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        elif installed:
            found = {"StatusText": "no service manager answers in this session"}
        memory = found.get("MemoryCurrent", "")
        return Standing(
            manager="systemd",
            file=self.unit,
            installed=installed,
            running=found.get("ActiveState") in ("active", "reloading"),
            state=" ".join(found[key] for key in ("ActiveState", "SubState") if key in found) or "unknown",
            pid=int(found.get("MainPID", "0")) or None,
            restarts=int(found["NRestarts"]) if "NRestarts" in found else None,
            enabled=found.get("UnitFileState") == "enabled",
            says=found.get("StatusText", ""),
            hardening="light" if light else "full",
            memory_bytes=int(memory) if memory.isdigit() and int(memory) < 1 << 60 else None,
        )

    def restart(self, hands: Hands) -> None:
        """Restart it."""
        self._require_installed(hands.dry_run)
        hands.run("systemctl", "--user", "restart", UNIT, hint="`ccagent service logs` tells why")

    def logs(self, *, lines: int, follow: bool) -> int:
        """Show its log from the journal."""
        self._require_installed()
        options = ["--follow"] if follow else ["--no-pager"]
        return hand_over(self.env, ["journalctl", f"--user-unit={UNIT}", "--output=cat", f"--lines={lines}", *options])

    # ---- parts -----------------------------------------------------------------------------------------------------

    def _answers(self) -> bool:
        return shutil.which("systemctl", path=self.env.get("PATH")) is not None and (
            ask(self.env, "systemctl", "--user", "show", "--property=Version").well
        )

    def _require(self) -> None:
        if shutil.which("systemctl", path=self.env.get("PATH")) is None:
            raise ServiceError(f"there is no systemd here (no systemctl); {INSTEAD}")
        answer = ask(self.env, "systemctl", "--user", "show", "--property=Version")
        if answer.well:
            return
        if not self._booted.is_dir():
            raise ServiceError(f"systemd is installed and does not run this machine, as in a container; {INSTEAD}")
        raise ServiceError(
            f"systemd has no manager for your user in this session: {answer.last_line}; log in as that user itself"
            f" (not by su or sudo), or `loginctl enable-linger` first; or {INSTEAD}"
        )

    def _lingers(self) -> bool:
        """Whether the user's services outlive the user's sessions."""
        try:
            return (self._lingering / getpwuid(os.getuid()).pw_name).exists()
        except (KeyError, OSError):
            return False

    def _require_installed(self, dry_run: bool = False) -> None:
        if not dry_run:
            self._require()
        if not self.unit.exists():
            raise ServiceError("the service is not installed; `ccagent service install` does that")

    def _full_unit_starts(self, place: Place, unit: str, hands: Hands) -> bool:
        """Run the program once with all that the unit demands. Where that cannot be tried the full unit is taken."""
        wanted = [*properties(unit, place.home), f"ReadWritePaths={_optional_paths(place)}"]
        wanted += ["PrivateTmp=no"] if place.temporary else []
        options = [f"--property={one}" for one in wanted]
        hands.say("try    the program with the limits of the unit (systemd-run --user)")
        if shutil.which("systemd-run", path=self.env.get("PATH")) is None:
            hands.say("       there is no systemd-run: taken to succeed")
            return True
        if hands.dry_run:
            hands.say(f"       only where that is refused: write {self.drop_ins / LIGHT}")
            return True
        answer = ask(
            self.env, "systemd-run", "--user", "--quiet", "--wait", "--collect", "--pipe", *options,
            str(place.program), "--version",
        )  # fmt: skip
        return answer.well


def properties(unit: str, home: Path) -> list[str]:
    """The assignments of the unit's section Service that say what the program may do, for a unit made for one trial."""
    section = unit.partition("[Service]")[2].partition("[Install]")[0]
    lines = [line for line in section.splitlines() if "=" in line and not line.startswith("#")]
    return [line.replace("%h", str(home)) for line in lines if line.partition("=")[0] not in UNTRIED]


def drop_in(place: Place) -> str:
    """What applies on this machine alone: program, folders, and variables that say where things lie."""
    lines = [
        "# Written by `ccagent service install`, which writes it anew; your own settings belong into another file here.",
        "",
        "[Service]",
        "ExecStart=",
        f"ExecStart={quoted(place.program)} run",
        f"EnvironmentFile=-{_escaped(str(place.env_file))}",
        f"ReadWritePaths={_optional_paths(place)}",
        *(["PrivateTmp=no"] if place.temporary else []),
        *(f"Environment={quoted(f'{name}={value}')}" for name, value in place.variables.items()),
    ]
    return "\n".join(lines) + "\n"


def quoted(text: object) -> str:
    """A word of a unit's assignment, whatever is in it. ServiceError for a line break: no unit can hold one."""
    return '"' + _escaped(str(text)).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _optional_paths(place: Place) -> str:
    return " ".join(quoted(f"-{path}") for path in place.own_folders)


def _escaped(text: str) -> str:
    if not text.isprintable():
        raise ServiceError(f"{text!r} cannot stand in a unit; name another place")
    return text.replace("%", "%%")
