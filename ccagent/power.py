"""Whether the machine runs on its battery, as Linux and macOS say it: looking at every file costs charge.

Only a machine that says for certain that it draws from a battery counts as one: a server, a container, a desktop with
an uninterruptible supply that says nothing, and every doubt are mains.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

SYS_FOLDER: Final = Path("/sys/class/power_supply")
"""A folder for each supply of a Linux machine: its `type`, whether it is `online`, and a battery's `status`."""

PMSET: Final = ("/usr/bin/pmset", "-g", "batt")
PMSET_SECONDS: Final = 5.0
"""It answers in a few hundredths of a second; a machine that is just waking may take longer."""

_BATTERY: Final = "Battery"
_DISCHARGING: Final = "Discharging"
_PERIPHERAL: Final = "Device"
"""The `scope` of the battery of a mouse or a pen."""

_MACOS_BATTERY: Final = "'Battery Power'"
"""`Now drawing from 'Battery Power'` is the first line; otherwise 'AC Power' or 'UPS Power'."""

Power = Callable[[], bool]
"""Whether the machine runs on its battery now. Never raises."""


def linux_battery(folder: Path = SYS_FOLDER) -> bool:
    """Whether a battery of the machine is being emptied and no other supply is online.

    A battery that is full or charging says nothing of the cable, and a cable in a weak dock is online while the battery
    is emptied as well; both are mains. Not seen: supplies whose driver tells no `online`.
    """
    emptied = False
    try:
        supplies = list(folder.iterdir())
    except OSError:
        return False
    for supply in supplies:
        if _word(supply / "scope") == _PERIPHERAL:
            continue
        if _word(supply / "type") == _BATTERY:
            emptied = emptied or _word(supply / "status") == _DISCHARGING
        elif _word(supply / "online") not in ("", "0"):
            return False
    return emptied


def macos_battery(ask: Callable[[], str]) -> bool:
    """Whether the first line of `pmset -g batt`, which `ask` gives, names the battery."""
    return _MACOS_BATTERY in ask().partition("\n")[0]


def pmset() -> str:
    """What macOS says of its power; nothing where it does not answer."""
    import subprocess

    try:
        done = subprocess.run(PMSET, capture_output=True, timeout=PMSET_SECONDS, check=False, text=True)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    return done.stdout if done.returncode == 0 else ""


def system_power(platform: str = sys.platform) -> Power:
    """What tells it on this machine."""
    if platform == "darwin":
        return lambda: macos_battery(pmset)
    if platform.startswith("linux"):
        return linux_battery
    return mains


def mains() -> bool:
    """Say that the machine runs on no battery."""
    return False


def _word(path: Path) -> str:
    """One value of a supply; nothing where it has none, or its driver fails (a battery that is just taken out)."""
    try:
        return path.read_bytes().decode("ascii", "replace").strip()
    except OSError:
        return ""
