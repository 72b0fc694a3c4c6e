"""What lies where transcripts lie, told before anything is taken in; no file is opened."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ccagent.config import Config
from ccagent.follow.roots import CLAUDE, CODEX, Kinds, Root, default_roots, lies_within, resolve_roots
from ccagent.follow.scan import Walk
from ccagent.paths import display, home
from ccagent.selection import folder_of
from ccagent.sources.claude.files import agent_of

SCHEMA_VERSION: Final = 1

RECENT_MS: Final = 30 * 24 * 3_600 * 1_000
"""So long Claude Code keeps transcripts: what anybody can compare with."""

_SIDE_FOLDER: Final = b"/subagents/"
"""Newer clients keep the files of sub-agents below the session's own folder."""


Paths = tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What lies below one root. `projects` are its folders (0 for Codex, whose folders are days); times in ms UTC;
    `unreadable` what may not be read: folders, whose files are in no other number, and files."""

    root: Root
    exists: bool
    files: int = 0
    bytes: int = 0
    sessions: int = 0
    projects: int = 0
    oldest: int | None = None
    newest: int | None = None
    unreadable: Paths = ()

    def document(self) -> dict[str, Any]:
        """As docs/json.md has it."""
        from ccagent.status import rfc3339_of

        return {
            "path": display(self.root.path), "kind": self.root.kind, "exists": self.exists, "files": self.files,
            "bytes": self.bytes, "sessions": self.sessions, "projects": self.projects,
            "oldest": rfc3339_of(self.oldest), "newest": rfc3339_of(self.newest),
            "unreadable": [display(path) for path in self.unreadable],
        }  # fmt: skip


def take(config: Config, env: Mapping[str, str]) -> list[Found]:
    """What lies below each root; one within another counts for the outer one, as when they are followed."""
    roots = list(config.sources) or default_roots(env, home(env))
    real, kinds = resolve_roots(roots), Kinds(roots)
    told: set[bytes] = set()
    found = []
    for root in roots:
        place = os.path.realpath(os.fsencode(root))
        if place in real and place not in told:
            told.add(place)
            found.append(_below(root, place, kinds))
        else:
            within = any(lies_within(place, other) for other in real)
            found.append(Found(root=root, exists=within))
    return found


def _below(root: Root, place: bytes, kinds: Kinds) -> Found:
    files = length = sessions = 0
    projects: set[str] = set()
    changed: list[int] = []
    walk, refused = Walk(place), list[bytes]()
    for path, status in walk:
        if not kinds.takes(path):
            continue
        if not os.access(path, os.R_OK):
            refused.append(path)
        files += 1
        length += status.st_size
        changed.append(status.st_mtime_ns // 1_000_000)
        sessions += is_session(path, root.kind)
        projects.add(folder_of(path, [place]))
    return Found(
        root=root, exists=True, files=files, bytes=length, sessions=sessions,
        projects=len(projects) if root.kind == CLAUDE else 0,
        oldest=min(changed, default=None), newest=max(changed, default=None),
        unreadable=(*(problem.path for problem in walk.problems), *refused),
    )  # fmt: skip


def is_session(path: bytes, kind: str) -> bool:
    """Whether a transcript is a session's own, by its place: a sub-agent's file belongs to another's session."""
    return kind == CODEX or (agent_of(path) is None and _SIDE_FOLDER not in path)


def recent(config: Config, now_ms: int) -> dict[str, Any] | None:
    """Cost, models and unpriced requests of the last 30 days, as docs/json.md has it; None where there were none."""
    from ccagent.store.location import parse_database
    from ccagent.store.open import open_reader
    from ccagent.store.queries import usage

    with open_reader(parse_database(config.database, config.paths.state_dir)) as reader:
        rows = usage(reader, by="model", since_ms=now_ms - RECENT_MS, until_ms=None, timezone=None)
    rows = [row for row in rows if row.requests]
    if not rows:
        return None
    costs = [row.cost_microusd for row in rows if row.cost_microusd is not None]
    return {
        "cost_microusd": sum(costs) if costs else None, "requests": sum(row.requests for row in rows),
        "models": len(rows), "unpriced_requests": sum(row.unpriced_requests for row in rows),
    }  # fmt: skip


def write_config(path: Path, chosen: Mapping[str, object] | None = None) -> bool:
    """Write the commented default configuration (0600, its folder 0700) where no file is; whether it was written.

    `chosen` are values of top-level keys that are set in it, not commented. Raises ConfigError where the folder cannot
    be made or the file cannot be written.
    """
    from ccagent.config_reference import default_file
    from ccagent.errors import ConfigError
    from ccagent.paths import create_private, stands

    if stands(path):
        return False
    text = default_file()
    for name, value in (chosen or {}).items():
        # A JSON text or list of texts is one of TOML, too.
        line = f"{name} = {json.dumps(value, ensure_ascii=False)}"
        text = re.sub(rf"^# {name} = .*$", lambda _: line, text, count=1, flags=re.MULTILINE)  # noqa: B023 - called here
    create_private(path.parent)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False  # another one was quicker, or a link leads nowhere: it is its owner's
    except OSError as error:
        raise ConfigError(f"cannot write {display(path)}: {error.strerror}; name another file with --config") from error
    return True


def choices(config: Config) -> dict[str, object]:
    """What options of this call would have to be in the file for the next call to follow the same: values by key.

    A database with a password in its URL is left out: a secret does not belong into the file.
    """
    from ccagent.config import OriginKind
    from ccagent.store.location import parse_database, passwords

    def given(name: str) -> bool:
        return config.origins[name].kind is OriginKind.FLAG

    chosen: dict[str, object] = {}
    # A folder that is not there may be a slip: the next call had better not look for it in silence.
    if given("sources") and all(os.path.isdir(root) for root in config.sources):  # noqa: PTH112 - never raises
        places = [
            ("" if root.kind == CLAUDE else f"{root.kind}:") + str(root.path.absolute()) for root in config.sources
        ]
        if all(place.isprintable() for place in places):
            chosen["sources"] = places
    if given("database") and not passwords(config.database):
        named = parse_database(config.database, config.paths.state_dir)
        place = config.database if named.kind == "postgres" else str(Path(named.target).absolute())
        if place.isprintable():  # TOML, too, takes text and no bytes
            chosen["database"] = place
    return chosen
