"""What the checks stand on: configuration, database, daemon and transcripts, each looked at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ccagent.config import Config
from ccagent.follow.roots import CLAUDE, Kinds, Root, default_roots, resolve_roots
from ccagent.follow.scan import Walk
from ccagent.paths import home
from ccagent.service.live import last_seen_ms, read_status
from ccagent.store.instance import holder
from ccagent.store.location import Database, parse_database


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """What stands below one root. `files`: size and time of change (ns) by path; `refused`: what may not be read."""

    root: bytes
    kind: str
    files: Mapping[bytes, tuple[int, int]]
    directories: int
    refused: int


class Ground:
    """One run of the doctor. `now_ms` is the wall clock; without `network` nobody beyond this machine is asked."""

    def __init__(
        self, config: Config, env: Mapping[str, str], *, now_ms: int, network: bool = True, deep: bool = False
    ) -> None:
        self.config = config
        self.env = env
        self.now_ms = now_ms
        self.network = network
        self.deep = deep
        self.database: Database = parse_database(config.database, config.paths.state_dir)
        self.pid = holder(self.database.sidecar)
        """Of the daemon, or of a verb that writes; 0 where it is not known, None where nobody holds the database."""
        found = read_status(self.database.sidecar) if self.pid is not None else None
        self.live: Mapping[str, Any] | None = found if found and found.get("pid") == self.pid else None
        """What the running daemon tells of itself."""
        self.died_ms = last_seen_ms(self.database.sidecar) if self.pid is None else None
        """When a daemon was last alive that ended without a word; None where the last one ended in order."""
        self.roots: list[Root] = list(config.sources) or default_roots(env, home(env))

    @property
    def stored(self) -> bool:
        """Whether there is a database to ask."""
        return self.database.kind == "postgres" or os.path.exists(self.database.target)  # noqa: PTH110 - may be no path

    @cached_property
    def trees(self) -> list[Tree]:
        """What stands below the roots that exist."""
        kinds = Kinds(self.roots)
        found = []
        for root in resolve_roots(self.roots):
            walk = Walk(root)
            files = {path: (status.st_size, status.st_mtime_ns) for path, status in walk if kinds.takes(path)}
            refused = len(walk.problems) + sum(not os.access(path, os.R_OK) for path in files)
            kind = kinds.kind_of(root) or CLAUDE
            found.append(Tree(root=root, kind=kind, files=files, directories=walk.directories, refused=refused))
        return found

    @cached_property
    def files(self) -> Mapping[bytes, tuple[int, int]]:
        """Size and time of change (ns) of every transcript."""
        return {path: status for tree in self.trees for path, status in tree.files.items()}
