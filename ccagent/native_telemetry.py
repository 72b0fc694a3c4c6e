"""Whether Claude Code's own telemetry runs on this machine: then the compatible set would count everything twice.

Looked for where Claude Code looks: its environment (as far as ccagent shares it) and the `env` of its settings, user's,
local and managed. The settings of projects cannot switch it on. The variable's value is judged and never kept.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from ccagent.follow.roots import CLAUDE, Place, Root
from ccagent.paths import display
from ccagent.store.filesystem import Mount, mount_of, mounts, unsafe

if TYPE_CHECKING:
    from ccagent.config import CompatConfig
    from ccagent.otlp_settings import OtlpSettings

VARIABLE: Final = "CLAUDE_CODE_ENABLE_TELEMETRY"
"""Needed for every signal of Claude Code's own telemetry."""

RESOURCE_ATTRIBUTE: Final = "ccagent.native_telemetry"
"""Stands on what ccagent sends from a machine where Claude Code's own telemetry runs too."""

OFF_WORDS: Final = frozenset(("", "0", "false", "no", "off"))

SETTINGS: Final = ("settings.json", "settings.local.json")
"""Of a folder of Claude Code's configuration."""

MANAGED: Final = {"darwin": "/Library/Application Support/ClaudeCode", "linux": "/etc/claude-code"}
MANAGED_SETTINGS: Final = "managed-settings.json"
MANAGED_PIECES: Final = "managed-settings.d"
"""Files there lie over the managed settings, in the order of their names."""

SETTINGS_LIMIT: Final = 1024 * 1024
"""Bytes; real settings have a few thousand."""

PIECES: Final = 64
"""Managed pieces that are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Native:
    """Claude Code's own telemetry is on. `where` says what switches it on, for people: a variable or a file."""

    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Whether the compatible set is made, and what its owner is to be told: nothing where it was not asked for."""

    on: bool
    native: Native | None
    notices: tuple[str, ...] = ()


def detect(
    env: Mapping[str, str], roots: Iterable[Place], *, managed: Path | None = None, among: Sequence[Mount] | None = None
) -> Native | None:
    """What switches Claude Code's own telemetry on, None where nothing is found that does.

    `roots` are transcript folders (`…/projects`); the settings lie beside them. `managed` is the folder of managed
    settings, by default the system's. What lies on a file system of another machine (of `among`, by default this moment's
    mounts) is not touched: a look there may hang.
    """
    if _is_on(env.get(VARIABLE)):
        return Native(where=f"the variable {VARIABLE}")
    known = mounts() if among is None else among
    for path in (*_managed_files(managed, known), *_own_files(roots)):
        if not _lies_far(path, known) and _is_on(_stated(path)):
            return Native(where=display(path))
    return None


def choose(compat: CompatConfig, native: Native | None) -> Choice:
    """Whether the compatible set is made: asked for, and alone or forced."""
    if native is None:
        return Choice(on=compat.claude_code, native=None)
    said = f"Claude Code's own telemetry is on ({native.where})"
    if not compat.claude_code:
        return Choice(on=False, native=native)
    if compat.force:
        return Choice(
            on=True, native=native,
            notices=(f"{said} and compat.force is set: sums over claude_code_* that do not tell job or service apart are doubled",),
        )  # fmt: skip
    return Choice(
        on=False, native=native,
        notices=(f"{said}, so the claude_code.* set stays off: both would double every sum; compat.force makes it all the same",),
    )  # fmt: skip


def beside(settings: OtlpSettings, compat: CompatConfig, native: Native | None) -> OtlpSettings:
    """The settings of the export beside Claude Code's own telemetry: the resource says that it runs, and events under
    its names are left to it unless that is forced."""
    if native is None:
        return settings
    asked = any(one.native_events for one in settings.destinations)
    notices = list(settings.notices)
    destinations = settings.destinations
    if asked and not compat.force:
        destinations = tuple(replace(one, native_events=False) for one in destinations)
        notices.append(f"Claude Code's own telemetry is on ({native.where}), so native_events stays off")
    return replace(
        settings,
        destinations=destinations,
        notices=tuple(notices),
        resource_attributes={**settings.resource_attributes, RESOURCE_ATTRIBUTE: "true"},
    )


def _is_on(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value != 0
    return isinstance(value, str) and value.strip().lower() not in OFF_WORDS


def _own_files(roots: Iterable[Place]) -> list[Path]:
    folders = dict.fromkeys(
        root.path.parent if isinstance(root, Root) else root.parent
        for root in roots
        if not isinstance(root, Root) or root.kind == CLAUDE
    )
    return [folder / name for folder in folders for name in SETTINGS]


def _managed_files(managed: Path | None, known: Sequence[Mount]) -> list[Path]:
    folder = Path(MANAGED.get(sys.platform, MANAGED["linux"])) if managed is None else managed
    pieces = folder / MANAGED_PIECES
    found: list[Path] = []
    if not _lies_far(pieces, known):
        try:
            found = sorted(path for path in pieces.iterdir() if path.suffix == ".json")[:PIECES]
        except OSError:
            pass
    return [folder / MANAGED_SETTINGS, *found]


def _lies_far(path: Path, known: Sequence[Mount]) -> bool:
    found = mount_of(path, known)
    return found is not None and unsafe(found)


def _stated(path: Path) -> object:
    """The variable in the `env` of a settings file; None where it is not there or the file cannot be read."""
    data = _regular(path)
    if data is None or VARIABLE.encode() not in data:
        return None
    try:
        settings = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    values = settings.get("env") if isinstance(settings, dict) else None
    return values.get(VARIABLE) if isinstance(values, dict) else None


def _regular(path: Path) -> bytes | None:
    """The bytes of a regular file of bounded size; None for anything else. A pipe is never waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError):
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > SETTINGS_LIMIT:
            return None
        return os.read(descriptor, SETTINGS_LIMIT)
    except OSError:
        return None
    finally:
        os.close(descriptor)
