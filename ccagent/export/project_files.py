"""The file `.ccagent.toml` of a project: how much of its work may leave, and under which name.

It may come with a cloned repository, so it is read with suspicion: a regular file of bounded size, no link, never on a
network mount. It can lower the tier and name the project and its team; where telemetry goes it cannot say.
"""

from __future__ import annotations

import errno
import os
import stat
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

HIGHEST_TIER: Final = 2

PROJECT_FILE: Final = ".ccagent.toml"

PROJECT_FILE_LIMIT: Final = 64 * 1024
"""Bytes; a real one has three lines. Anything longer is not ours."""

LINE_LIMIT: Final = 1024
"""Characters. The time that TOML's parser takes grows with the square of a dotted key's length: one that fills the file
would hold the thread for a quarter of a minute."""

NAME_LIMIT: Final = 64
"""Characters of a project's or team's name: it becomes an attribute of every span."""

KNOWN_KEYS: Final = ("tier", "project", "team")

REFUSED_KEYS: Final = ("endpoint", "headers", "otlp", "destinations", "identity", "privacy")
"""Where telemetry goes and who somebody is are the owner's own choice; a cloned repository must not make it."""

Notice = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the files of a folder say together: the lowest tier, the nearest names, the files that took part."""

    tier: int | None = None
    project: str | None = None
    team: str | None = None
    files: tuple[str, ...] = ()

    def above(self, other: Said) -> Said:
        """This and what a file further away says."""
        tiers = [one for one in (self.tier, other.tier) if one is not None]
        return Said(
            tier=min(tiers) if tiers else None,
            project=self.project or other.project,
            team=self.team or other.team,
            files=self.files + tuple(one for one in other.files if one not in self.files),
        )


NOTHING: Final = Said()


def look(folder: Path, mounts: tuple[str, ...], notice: Notice) -> Said:
    """What the files between `folder` and its git root say; below a network mount (`mounts`) tier 0.

    A file that cannot be read or understood means tier 0. Without a git root every folder above is looked at.
    """
    said = NOTHING
    for level in (folder, *folder.parents):
        if any(level.is_relative_to(mount) for mount in mounts):
            # A look there may hang for minutes, and not looking may miss a bound.
            notice(f"{level} lies on a network mount, where {PROJECT_FILE} is not looked for: tier 0")
            return replace(said, tier=0)
        said = said.above(read(level / PROJECT_FILE, notice))
        if os.path.lexists(level / ".git"):
            break
    return said


def read(path: Path, notice: Notice) -> Said:
    """What one file says: nothing where there is none, tier 0 where it cannot be trusted."""
    try:
        text = _regular_text(path)
        if text is None:
            return NOTHING
        table = tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:  # brackets within brackets end the parser's stack
        notice(f"{path} cannot be used ({_why(error)}): tier 0 until it is corrected or removed")
        return Said(tier=0, files=(str(path),))
    for key in table:
        if key in REFUSED_KEYS:
            notice(f"{path}: {key!r} is refused in a project file; set it in your own configuration")
        elif key not in KNOWN_KEYS:
            notice(f"{path}: {_shown(key)} means nothing there; {', '.join(KNOWN_KEYS)} do")
    tier = table.get("tier")
    if tier is not None and (isinstance(tier, bool) or not isinstance(tier, int) or not 0 <= tier <= HIGHEST_TIER):
        notice(f"{path}: tier must be 0, 1 or 2: tier 0 until it is corrected")
        tier = 0
    return Said(
        tier=tier,
        project=_name(table.get("project"), "project", path, notice),
        team=_name(table.get("team"), "team", path, notice),
        files=(str(path),),
    )


def is_name(value: object) -> bool:
    """Whether a value may stand for a project, a team or a person: printable, no blanks around it, not too long."""
    return isinstance(value, str) and 0 < len(value) <= NAME_LIMIT and value.isprintable() and value == value.strip()


def _name(value: object, key: str, path: Path, notice: Notice) -> str | None:
    if value is None:
        return None
    if not is_name(value):
        notice(f"{path}: {key} is a text of at most {NAME_LIMIT} printable characters; it is not used")
        return None
    return str(value)


def _shown(key: str) -> str:
    return repr(key) if key.isprintable() and len(key) <= NAME_LIMIT else "a key"


def _regular_text(path: Path) -> str | None:
    """The text of a regular file of at most `PROJECT_FILE_LIMIT` bytes, None where there is none.

    Raises OSError for links, other kinds of files and refusals, ValueError for what is too long, as a whole or in a line,
    or no UTF-8.
    """
    try:
        # O_NONBLOCK: a planted FIFO must not stop the thread.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            return None
        raise
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ValueError("not a regular file")
        content = file.read(PROJECT_FILE_LIMIT + 1)
    if len(content) > PROJECT_FILE_LIMIT:
        raise ValueError(f"longer than {PROJECT_FILE_LIMIT} bytes")
    text = content.decode("utf-8")
    if max(map(len, text.split("\n"))) > LINE_LIMIT:
        raise ValueError(f"a line longer than {LINE_LIMIT} characters")
    return text


def _why(error: OSError | ValueError | RecursionError) -> str:
    """The reason without the file's content."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, tomllib.TOMLDecodeError):
        return "not TOML"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    return str(error.strerror if isinstance(error, OSError) else error)
