"""What a service needs to know of the place where it is installed: program, folders, and variables that it must see."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from ccagent.config import Config
from ccagent.config_keys import CONFIG_VARIABLE
from ccagent.errors import ServiceError
from ccagent.follow.roots import PREFIXES, default_roots
from ccagent.store.location import parse_database

PROGRAM: Final = "ccagent"

KEPT_VARIABLES: Final = (
    CONFIG_VARIABLE,
    "CCAGENT_SOURCE",
    "CLAUDE_CONFIG_DIR",
    "CODEX_HOME",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
)
"""Where things lie: the service is to find what the shell finds. None of them can hold a secret, as units may not."""

_SEPARATORS: Final = {"CCAGENT_SOURCE": os.pathsep, "CLAUDE_CONFIG_DIR": f",{os.pathsep}", "CODEX_HOME": ""}
"""What stands between the folders of a variable."""

_RELATIVE: Final = re.compile(rf"\s*[^\s/~,{re.escape(os.pathsep)}]")

TEMPORARY: Final = ("/tmp", "/var/tmp")

OTHER_PREFIXES: Final = ("CCAGENT_", "OTEL_")
"""Variables that ccagent reads, too; some hold secrets, so they belong into the service's own file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One user's installation."""

    program: Path
    home: Path
    own_folders: tuple[Path, ...]
    """What it writes into. Made where they are missing, since a sandbox cannot make them."""
    variables: dict[str, str]
    env_file: Path
    unseen: tuple[str, ...]
    """Names of variables that are set here and that the service will not see."""
    temporary: bool
    """Whether something that it needs lies among temporary files, of which a sandbox would have its own."""


def survey(config: Config, env: Mapping[str, str], home: Path, arguments: Sequence[str]) -> Place:
    """What applies here. `arguments` is how this process was called. ServiceError where there is no program."""
    paths = config.paths
    own = [paths.data_dir, paths.state_dir, paths.cache_dir]
    database = parse_database(config.database, paths.state_dir)
    if database.kind == "sqlite":
        own.append(Path(os.path.abspath(database.target)).parent)  # noqa: PTH100 - a linked folder keeps its name
    if config.retention.archive is not None:
        own.append(config.retention.archive)
    sources = [root.path for root in config.sources or default_roots(env, home)]
    kept = {name: _from_anywhere(name, env[name]) for name in KEPT_VARIABLES if env.get(name)}
    if config.file is not None and config.file != paths.config_file:
        kept[CONFIG_VARIABLE] = os.path.abspath(config.file)  # noqa: PTH100 - same
    unseen = sorted(name for name in env if name.startswith(OTHER_PREFIXES) and name not in kept)
    return Place(
        program=program(arguments),
        home=home,
        own_folders=tuple(dict.fromkeys(own)),
        variables=kept,
        env_file=paths.env_file,
        unseen=tuple(unseen),
        temporary=any(_is_temporary(path) for path in (*own, *sources, paths.config_file, config.file)),
    )


def program(arguments: Sequence[str]) -> Path:
    """Where the command lies: as it was called, else beside this Python, else on the PATH.

    Links are kept: pipx and uv point theirs at a new version when they upgrade. ServiceError where there is none.
    """
    called = Path(arguments[0]) if arguments else Path()
    beside = Path(sys.executable).parent / PROGRAM
    on_path = shutil.which(PROGRAM)
    for found in (called if called.name == PROGRAM else None, beside, Path(on_path) if on_path else None):
        if found is not None and found.is_file() and os.access(found, os.X_OK):
            return Path(os.path.abspath(found))  # noqa: PTH100 - resolve() would follow the link
    raise ServiceError(
        f"the command {PROGRAM} is not installed beside {sys.executable}; install it (uv tool, pipx or pip) and call it"
    )


def _from_anywhere(name: str, value: str) -> str:
    """A variable's value with its relative folders made absolute: a service does not start where this shell stands. (Relative
    ones of XDG count for nothing anywhere.)"""
    if name not in _SEPARATORS:
        return value
    pieces = re.split(f"([{re.escape(_SEPARATORS[name])}])", value) if _SEPARATORS[name] else [value]
    words = PREFIXES if name == "CCAGENT_SOURCE" else ()
    return "".join(
        os.path.abspath(piece.strip()) if _RELATIVE.match(piece) and piece not in words else piece  # noqa: PTH100 - same
        for piece in pieces
    )


def _is_temporary(path: Path | None) -> bool:
    return path is not None and any(path.is_relative_to(folder) for folder in TEMPORARY)


def shipped(name: str) -> str:
    """The text of a file of the folder packaging, `systemd/ccagent.service` say."""
    return files("ccagent").joinpath("packaging", *name.split("/")).read_text(encoding="utf-8")
