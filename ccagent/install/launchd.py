"""The agent of a user under launchd (macOS): its property list, and what `launchctl` is asked."""

from __future__ import annotations

import plistlib
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ccagent.errors import ServiceError
from ccagent.install.place import Place, shipped
from ccagent.install.standing import Standing
from ccagent.install.steps import Hands, ask, hand_over

LABEL: Final = "local.ccagent"
FILE: Final = f"{LABEL}.plist"

GONE_TRIES: Final = 40
GONE_SECONDS: Final = 0.25
"""`bootout` answers before the agent is gone, and a `bootstrap` meanwhile fails: ten seconds for it to go."""

LOADED_ALREADY: Final = frozenset((5, 17, 36, 37))
"""What `bootstrap` ends with where the agent is loaded, or on its way (EIO; EEXIST; EINPROGRESS; EALREADY). The first
also stands for any property list that is refused, so it counts only where the agent is there afterwards."""

NO_SESSION: Final = frozenset((112, 113, 125))
"""What it ends with where nobody is logged in at the screen: the domain of agents begins with that."""

_FIELD: Final = re.compile(r"^\t(state|pid|runs|last exit code|last terminating signal) = (.+)$", re.MULTILINE)
"""Of the agent itself, one tab deep: what it holds (endpoints, sockets, events) has states of its own further in."""

NEVER: Final = "(never exited)"


class Launchd:
    """`launchctl` and ~/Library/LaunchAgents. ServiceError where there is no launchctl."""

    def __init__(self, env: Mapping[str, str], home: Path, uid: int) -> None:
        self.env = env
        self.file = home / "Library" / "LaunchAgents" / FILE
        self.log = home / "Library" / "Logs" / "ccagent" / "ccagent.log"
        self._domain = f"gui/{uid}"
        self._target = f"gui/{uid}/{LABEL}"

    def install(self, place: Place, hands: Hands) -> None:
        """Put the property list in place and load it; what is loaded and unchanged goes on."""
        if not hands.dry_run:
            self._require()
        for folder in (*place.own_folders, self.log.parent):
            hands.folder(folder)
        hands.write(self.file, property_list(place, self.log))
        loaded = self._loaded()
        if loaded and not hands.changed:
            hands.say(f"keep   {self._target} is loaded")
            return
        if loaded:
            hands.run("launchctl", "bootout", self._target)
            self._until_gone(hands)
        self._load(hands)
        if place.env_file.exists():
            hands.say(
                f"note   launchd reads no file of variables: {place.env_file} does not apply; use files of the configuration"
            )

    def uninstall(self, hands: Hands) -> None:
        """Unload it and remove its property list and its log."""
        if shutil.which("launchctl", path=self.env.get("PATH")) is not None and (hands.dry_run or self._loaded()):
            hands.attempt("launchctl", "bootout", self._target)
            self._until_gone(hands)
        for path in (self.file, self.log, self.log.parent):
            hands.remove(path)
        if not hands.changed:
            hands.say("nothing is installed")

    def standing(self) -> Standing:
        """How it stands, whether it runs or not."""
        text, answered = "", False
        if shutil.which("launchctl", path=self.env.get("PATH")) is not None:
            answer = ask(self.env, "launchctl", "print", self._target)
            text, answered = answer.text, answer.well
        found: dict[str, str] = {}
        for name, value in _FIELD.findall(text) if answered else ():
            found.setdefault(name, value.strip())
        pid = found.get("pid", "")
        runs = found.get("runs", "")
        ended = found.get("last exit code", NEVER)
        signal = found.get("last terminating signal")
        said = [f"last exit code {ended}"] if ended != NEVER else []
        said += [f"last ended by {signal}"] if signal is not None else []
        return Standing(
            manager="launchd",
            file=self.file,
            installed=self.file.exists(),
            running=found.get("state") == "running",
            state=found.get("state", "unknown" if answered else "not loaded"),
            pid=int(pid) if pid.isdigit() else None,
            restarts=int(runs) - 1 if runs.isdigit() and int(runs) else None,
            enabled=self.file.exists(),
            says="; ".join(said),
        )

    def restart(self, hands: Hands) -> None:
        """Restart it, or load it where it is not."""
        self._require_installed(hands.dry_run)
        if hands.dry_run or self._loaded():
            hands.run("launchctl", "kickstart", "-k", self._target, hint="`ccagent service logs` may tell why")
        else:
            self._load(hands)

    def logs(self, *, lines: int, follow: bool) -> int:
        """Show the end of its log."""
        self._require_installed()
        return hand_over(self.env, ["tail", f"-n{lines}", *(["-F"] if follow else []), str(self.log)])

    # ---- parts -----------------------------------------------------------------------------------------------------

    def _require(self) -> None:
        if shutil.which("launchctl", path=self.env.get("PATH")) is None:
            raise ServiceError(
                "there is no launchd here (no launchctl); let what starts your programs run `ccagent run`"
            )

    def _require_installed(self, dry_run: bool = False) -> None:
        if not dry_run:
            self._require()
        if not self.file.exists():
            raise ServiceError("the agent is not installed; `ccagent service install` does that")

    def _load(self, hands: Hands) -> None:
        """Load the agent, also one that was switched off. ServiceError where it is not there afterwards."""
        hands.run("launchctl", "enable", self._target)
        answer = hands.attempt("launchctl", "bootstrap", self._domain, str(self.file))
        if answer.well:
            return
        if answer.code is None or (answer.code in LOADED_ALREADY and self._loaded()):
            hands.say(f"keep   {self._target} is loaded")
            return
        hint = "`ccagent service logs` may tell why"
        if answer.code in NO_SESSION:
            hint = "log in at the screen (not over ssh) and call again: agents start with that session"
        raise ServiceError(f"`launchctl bootstrap {self._domain}` failed: {answer.last_line}; {hint}")

    def _loaded(self) -> bool:
        return ask(self.env, "launchctl", "print", self._target).well

    def _until_gone(self, hands: Hands) -> None:
        for _ in range(0 if hands.dry_run else GONE_TRIES):
            if not self._loaded():
                return
            time.sleep(GONE_SECONDS)


def property_list(place: Place, log: Path) -> str:
    """The agent's property list for this machine: the one that is shipped, with its paths filled in."""
    document: dict[str, Any] = plistlib.loads(shipped(f"launchd/{FILE}").encode())
    document["ProgramArguments"] = [str(place.program), "run"]
    document["StandardErrorPath"] = str(log)
    document["EnvironmentVariables"] = dict(place.variables)
    return plistlib.dumps(document, sort_keys=False).decode()
