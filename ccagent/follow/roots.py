"""Where transcripts lie: the roots a user has by default, what they are on disk, and whose a file is."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CLAUDE: Final = "claude"
CODEX: Final = "codex"

PREFIXES: Final[Mapping[str, bytes]] = {CLAUDE: b"", CODEX: b"rollout-"}
"""Kind of a root → how the names of its transcripts begin."""

CODEX_FOLDERS: Final = ("sessions", "archived_sessions")
"""Where Codex keeps its rollouts, and where it moves those that were archived."""


@dataclass(frozen=True, slots=True, order=True)
class Root:
    """A folder of transcripts, and whose they are; printed as `--source` takes it."""

    path: Path
    kind: str = CLAUDE

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __str__(self) -> str:
        return str(self.path) if self.kind == CLAUDE else f"{self.kind}:{self.path}"


Place = Path | Root
"""A root; a bare path is one of Claude Code's."""


def default_roots(env: Mapping[str, str], home: Path) -> list[Root]:
    """The folders of every Claude and Codex configuration root, whether they exist yet or not, without duplicates.

    For Claude Code `projects` of `CLAUDE_CONFIG_DIR` (one folder, or several separated by the system's path separator
    or by commas), then of `~/.claude` and `~/.config/claude`; for Codex `sessions` and `archived_sessions` of
    `CODEX_HOME`, then of `~/.codex`. `home` is what `~` means.
    """
    named = [part.strip() for part in re.split(f"[,{re.escape(os.pathsep)}]", env.get("CLAUDE_CONFIG_DIR", ""))]
    folders = [_expanded(part, home) for part in named if part]
    folders += [home / ".claude", home / ".config" / "claude"]
    homes = [_expanded(part, home) for part in (env.get("CODEX_HOME", "").strip(),) if part]
    homes.append(home / ".codex")
    roots = [Root(folder / "projects") for folder in folders]
    roots += [Root(folder / name, CODEX) for folder in homes for name in CODEX_FOLDERS]
    return list(dict.fromkeys(roots))


def resolve_roots(roots: Iterable[Place]) -> list[bytes]:
    """Real paths of those `roots` that exist as folders; one within another is dropped, so that no file comes twice.

    One of which that cannot be known, since a folder above it may not be entered, counts as there: who walks it is told.
    """
    real = {os.path.realpath(os.fsencode(root)) for root in roots}
    found = sorted(path for path in real if _may_be_folder(path))
    return [path for path in found if not any(lies_within(path, other) for other in found if other != path)]


def _may_be_folder(path: bytes) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:
        return True


def lies_within(path: bytes, folder: bytes) -> bool:
    """Whether `path` is `folder` or below it, by its letters alone."""
    return path == folder or path.startswith(folder.rstrip(b"/") + b"/")


class Kinds:
    """Whose a file is, by the innermost root that it lies in: the same after a restart, and wherever it was moved."""

    def __init__(self, roots: Sequence[Place]) -> None:
        self._roots = roots
        self._real: list[tuple[bytes, str]] = []
        self.refresh()

    def refresh(self) -> None:
        """Look at the roots once more: links may lead elsewhere by now. Where they led before is remembered."""
        known = dict(self._real)
        for root in self._roots:
            kind = root.kind if isinstance(root, Root) else CLAUDE
            # Of two kinds that name the same folder the first stands.
            known.setdefault(os.path.realpath(os.fsencode(root)), kind)
        self._real = sorted(known.items(), key=lambda item: (-len(item[0]), item[0]))

    def kind_of(self, path: bytes) -> str | None:
        """The kind of the root that `path` (a real one) lies in; None below none."""
        for root, kind in self._real:
            if lies_within(path, root):
                return kind
        return None

    def of_transcript(self, path: bytes) -> str | None:
        """The kind of a transcript; None for a file that is called otherwise than transcripts of its kind are."""
        kind = self.kind_of(path) or CLAUDE
        return kind if path.rpartition(b"/")[2].startswith(PREFIXES[kind]) else None

    def takes(self, path: bytes) -> bool:
        """Whether a file below a root is called as the transcripts of its kind are."""
        return self.of_transcript(path) is not None


def _expanded(folder: str, home: Path) -> Path:
    if folder == "~" or folder.startswith("~/"):
        return home / folder[2:]
    # A relative root would move with the working folder.
    return Path(os.path.abspath(folder))
