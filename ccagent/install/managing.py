"""Which service manager this machine has, and what is asked of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from ccagent import paths
from ccagent.errors import ServiceError
from ccagent.install.launchd import Launchd
from ccagent.install.place import Place
from ccagent.install.standing import Standing
from ccagent.install.steps import Hands
from ccagent.install.systemd import SystemdUser


class Manager(Protocol):
    """A service manager of one user. Each method raises ServiceError where it is absent or refuses."""

    def install(self, place: Place, hands: Hands) -> None:
        """Put the service in place and start it; again changes nothing."""

    def uninstall(self, hands: Hands) -> None:
        """Stop it and remove what `install` wrote; again changes nothing."""

    def standing(self) -> Standing:
        """How it stands."""

    def restart(self, hands: Hands) -> None:
        """Restart it."""

    def logs(self, *, lines: int, follow: bool) -> int:
        """Show its log on the terminal; the exit code of what shows it."""


def choose(env: Mapping[str, str], platform: str = sys.platform) -> Manager:
    """The manager of this platform. ServiceError for one that has neither systemd nor launchd."""
    home = paths.home(env)
    if platform == "darwin":
        return Launchd(env, home, os.getuid())
    if platform.startswith("linux"):
        named = Path(env.get("XDG_CONFIG_HOME", ""))
        return SystemdUser(env, named if named.is_absolute() else home / ".config")
    raise ServiceError(f"no service manager of {platform} is known; let what starts your programs run `ccagent run`")
