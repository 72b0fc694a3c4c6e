"""The machine's time zone by its IANA name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

LOCALTIME = "/etc/localtime"
FALLBACK = "UTC"


def local_zone(env: Mapping[str, str], localtime: str = LOCALTIME) -> str:
    """The IANA name that `TZ` or the system's link says, "UTC" where neither names a zone."""
    for name in (env.get("TZ", "").removeprefix(":"), os.path.realpath(localtime).partition("zoneinfo/")[2]):
        name = name.removeprefix("posix/").removeprefix("right/")
        if name and known(name):
            return name
    return FALLBACK


def known(name: str) -> bool:
    """Whether `name` is a zone of this system's data."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
