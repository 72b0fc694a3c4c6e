"""Where transcripts lie: the roots a user has by default, and what they are on disk."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path


def default_roots(env: Mapping[str, str], home: Path) -> list[Path]:
    """The `projects` folder of every Claude configuration root, whether it exists yet or not, without duplicates.

    `CLAUDE_CONFIG_DIR` (one folder, or several separated by the system's path separator or by commas) comes first,
    then `~/.claude` and `~/.config/claude`. `home` is what `~` means.
    """
    named = [part.strip() for part in re.split(f"[,{re.escape(os.pathsep)}]", env.get("CLAUDE_CONFIG_DIR", ""))]
    folders = [_expanded(part, home) for part in named if part]
    folders += [home / ".claude", home / ".config" / "claude"]
    return list(dict.fromkeys(folder / "projects" for folder in folders))


def resolve_roots(roots: Iterable[Path]) -> list[bytes]:
    """Real paths of those `roots` that exist as folders; one within another is dropped, so that no file comes twice."""
    real = {os.path.realpath(os.fsencode(root)) for root in roots}
    found = sorted(path for path in real if os.path.isdir(path))
    return [path for path in found if not any(lies_within(path, other) for other in found if other != path)]


def lies_within(path: bytes, folder: bytes) -> bool:
    """Whether `path` is `folder` or below it, by its letters alone."""
    return path == folder or path.startswith(folder.rstrip(b"/") + b"/")


def _expanded(folder: str, home: Path) -> Path:
    if folder == "~" or folder.startswith("~/"):
        return home / folder[2:]
    # A relative root would move with the working folder.
    return Path(os.path.abspath(folder))
