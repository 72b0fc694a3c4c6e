"""`ccagent backfill`: takes in what the store has not yet, all of it or a selection, without a daemon.

Each step is one transaction with the file offsets in it, so it may be killed at any time; the next run goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from ccagent.config import Config
from ccagent.errors import NoDataError, UsageError
from ccagent.follow.follower import Follower
from ccagent.follow.roots import Kinds, default_roots
from ccagent.follow.state import FileState
from ccagent.intake import Intake, file_states
from ccagent.job import Job, Throttle
from ccagent.metrics import names as metric
from ccagent.paths import display, home
from ccagent.selection import Selection, Survey, survey, wanted
from ccagent.store.counts import count_facts
from ccagent.store.rescue import Rescue
from ccagent.store.side import discard

SCHEMA_VERSION: Final = 1

SHOWN: Final = 20
"""Project folders that a message lists."""

_ANY: Final = os.stat_result((0,) * 10)
"""Stands for a file of which only the place counts."""

Progress = Callable[[int, int, str], None]
"""Called with bytes done, bytes in all, and what they are part of ("12 of 340 files")."""


class Intaking:
    """Takes a selection in, on an opened job. `quiet` are the files that are read to their end, when it is done."""

    def __init__(self, job: Job, selection: Selection, throttle: Throttle) -> None:
        self._job = job
        self._throttle = throttle
        self._selection = selection
        self._follower = Follower(
            job.roots, file_states(job.store), max_line=job.config.ingest.max_line_bytes, clock=job.clock.monotonic,
            wall_ns=lambda: job.clock.now_ms() * 1_000_000, wanted=wanted(selection, job.roots),
        )  # fmt: skip
        self._intake = Intake(self._follower, job.store, Kinds(job.roots), job.guard)
        self.bytes = 0
        self.quiet: set[int] = set()

    def run(self, before: Survey, progress: Progress | None) -> Survey:
        """Read, close what is over, make rollups; what is left then. StoreError when the store refuses."""
        job, follower, whole = self._job, self._follower, before.total
        try:
            follower.scan()
            if follower.lost_bytes:  # before the store learns that their files are gone
                job.store.book({(metric.INGEST_LOST, (), True): follower.lost_bytes})
            while taken := self._intake.step(self._throttle.step):
                self.bytes += taken
                if progress is not None:
                    left = follower.unread_bytes
                    progress(max(0, whole.bytes - left), max(whole.bytes, left), f"{whole.files:,} files")
                self._throttle.spent(taken)
            self._intake.keep_states()
            self.quiet = follower.quiet_ids(job.clock.monotonic() + 1.0, 0.0)
            while job.store.close_due(self.quiet, self.quiet):
                pass
        finally:
            follower.close()
        after = survey(self._selection, job.roots, file_states(job.store))
        # What a daemon still has to save after a damage is history, too.
        if not after.others.files and follower.caught_up and Rescue.due(job.store) is None:
            job.store.catch_up_done()
        return after

    @property
    def unreadable(self) -> int:
        """Files that may not be opened."""
        return self._follower.unreadable


def backfill(
    config: Config,
    env: Mapping[str, str],
    selection: Selection,
    *,
    rate: float | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Take in what is wanted and not there yet; what was done, as docs/json.md has it. `rate` in bytes a second."""
    with Job(config, env) as job:
        discard(job.store)
        before = survey(selection, job.roots, file_states(job.store))
        require_projects(selection, before)
        counted, started = count_facts(job.store), job.clock.monotonic()
        intaking = Intaking(job, selection, Throttle(rate))
        after = intaking.run(before, progress)
        job.refresh_rollups()
        now = count_facts(job.store)
        return {
            "schema_version": SCHEMA_VERSION,
            "mode": "backfill",
            "files": before.total.files - after.total.files,
            "bytes": intaking.bytes,
            "facts_added": now.facts - counted.facts,
            "facts_closed": now.closed - counted.closed,
            "left": {**asdict(after.total), "unreadable": intaking.unreadable},
            "not_selected": asdict(after.others),
            "caught_up": job.store.ingest_state.live,
            "seconds": round(job.clock.monotonic() - started, 3),
        }


def preview(config: Config, env: Mapping[str, str], selection: Selection) -> dict[str, Any]:
    """What `backfill` would read, by project folder; nothing is opened for writing, no transcript is opened at all."""
    roots = list(config.sources) or default_roots(env, home(env))
    found = survey(selection, roots, stored_states(config))
    require_projects(selection, found)
    return {
        "schema_version": SCHEMA_VERSION,
        "mode": "dry run",
        **asdict(found.total),
        "projects": [
            {"folder": folder, **asdict(amount)}
            for folder, amount in sorted(found.wanted.items(), key=lambda item: (-item[1].bytes, item[0]))
            if amount.files
        ],
        "not_selected": asdict(found.others),
    }


def stored_states(config: Config) -> list[FileState]:
    """What the store remembers of this host's files, asked without writing; nothing where there is no store yet."""
    from ccagent.store import audit
    from ccagent.store.hosts import read_host
    from ccagent.store.open import open_reader
    from ccagent.verify import host_id

    try:
        with open_reader(config.database) as reader:
            host = read_host(reader, host_id(config))
            stored = [] if host is None else audit.files(reader, host.id)
    except NoDataError:
        return []
    return [
        FileState(
            file_id=row.file_id, path=row.path, device=row.device, inode=row.inode, size=row.size,
            mtime_ns=row.mtime_ns, offset=row.offset, head=row.head, head_length=row.head_length, marker=row.marker,
            generation=row.generation, lines=row.lines, state=row.state,
        )
        for row in stored
    ]  # fmt: skip


def require_projects(selection: Selection, found: Survey) -> None:
    """UsageError, with the names there are, where no folder is that of a project that was asked for."""
    if selection.projects and not any(
        Selection(projects=(project,)).wants(folder, _ANY) for project in selection.projects for folder in found.folders
    ):
        names = sorted(found.folders)
        shown = ", ".join(map(display, names[:SHOWN])) + (
            f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        )
        raise UsageError(
            f"--project {', '.join(selection.projects)}: no project folder is called so; there are: {shown or 'none'}"
        )
