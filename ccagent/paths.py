"""Where ccagent keeps its files: the XDG layout, the same on Linux and macOS.

A set `XDG_*` variable wins when it is absolute, as its specification asks; else the usual place below the home folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from platformdirs.unix import Unix

from ccagent.errors import ConfigError

APP_NAME: Final = "ccagent"
CONFIG_FILE_NAME: Final = "config.toml"
DATABASE_FILE_NAME: Final = "ccagent.db"

PRIVATE_DIR_MODE: Final = 0o700
"""What lies below tells where and on what its owner works."""

_HOME_FOLDERS: Final[dict[str, str]] = {
    "XDG_CONFIG_HOME": ".config",
    "XDG_DATA_HOME": ".local/share",
    "XDG_STATE_HOME": ".local/state",
    "XDG_CACHE_HOME": ".cache",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Every place of one user's ccagent; naming them creates nothing."""

    config_file: Path
    env_file: Path  # secrets of the service, mode 0600
    database: Path
    data_dir: Path
    state_dir: Path
    cache_dir: Path


def resolve(env: Mapping[str, str]) -> Paths:
    """Give the places that apply under these environment variables.

    Raises ConfigError when neither an XDG variable nor a home folder tells where to go.
    """
    config_dir = _folder(env, "XDG_CONFIG_HOME")
    data_dir = _folder(env, "XDG_DATA_HOME")
    return Paths(
        config_file=config_dir / CONFIG_FILE_NAME,
        env_file=config_dir / "env",
        database=data_dir / DATABASE_FILE_NAME,
        data_dir=data_dir,
        state_dir=_folder(env, "XDG_STATE_HOME"),
        cache_dir=_folder(env, "XDG_CACHE_HOME"),
    )


def home(env: Mapping[str, str]) -> Path:
    """Give the user's home folder: `HOME`, else what the system knows. Raises ConfigError when there is none."""
    if named := env.get("HOME"):
        return Path(named)
    try:
        return Path.home()
    except RuntimeError as error:
        raise ConfigError("no home folder is known; set HOME, or XDG_CONFIG_HOME and its kin") from error


def expand(text: str, env: Mapping[str, str]) -> Path:
    """Give the path that a user wrote, with a leading `~` replaced by the home folder."""
    if text == "~":
        return home(env)
    if text.startswith("~/"):
        return home(env) / text[2:]
    return Path(text)


def create_private(directory: Path) -> Path:
    """Create a folder that only its owner may enter (0700), parents included, and give it back.

    A folder that is there already keeps its mode: it may be shared on purpose. Raises ConfigError with the way out
    when it cannot be made.
    """
    try:
        for part in [*reversed(directory.parents), directory]:
            if not part.is_dir():
                part.mkdir(mode=PRIVATE_DIR_MODE, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot create the folder {display(directory)}: {error.strerror}; make it, or name another place"
        ) from error
    return directory


def stands(path: Path | str) -> bool:
    """Whether there is something at a path. Raises ConfigError where that cannot be looked at, as in a folder of another
    user's: to take it for absent would be to speak of a file that is yet to be made."""
    try:
        os.stat(path)  # noqa: PTH116 - also of the text of a path
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ConfigError(
            f"cannot look at {display(path)}: {error.strerror}; see who owns its folder and may enter it, or name another place"
        ) from error
    return True


def display(path: Path | str | bytes) -> str:
    """Give a path as text that any terminal can print: bytes that are no UTF-8 and control characters are escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def _folder(env: Mapping[str, str], variable: str) -> Path:
    named = Path(env.get(variable, ""))
    if named.is_absolute():
        return named / APP_NAME
    if env.get("HOME"):
        return home(env) / _HOME_FOLDERS[variable] / APP_NAME
    # Where no home is known, platformdirs would not say so as we do; older versions take a folder whose name is ~.
    home(env)
    # platformdirs asks the password database, which knows the home of a service without HOME.
    system = Unix(APP_NAME)
    known = {
        "XDG_CONFIG_HOME": system.user_config_path,
        "XDG_DATA_HOME": system.user_data_path,
        "XDG_STATE_HOME": system.user_state_path,
        "XDG_CACHE_HOME": system.user_cache_path,
    }
    return known[variable]
