"""`ccagent backfill --rebuild` and `--recompute-prices`: facts and costs by the rules and prices of today.

A rebuild derives every fact that still has its transcripts into fresh tables beside those in use, which nobody sees,
and then exchanges what differs in one transaction. Killed before that transaction has committed, nothing has happened,
and the next rebuild goes on where this one was; killed after it, all has happened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from ccagent.backfill import SCHEMA_VERSION, Intaking, Progress
from ccagent.config import Config
from ccagent.failpoints import hit
from ccagent.follow.follower import Follower
from ccagent.follow.roots import Kinds, resolve_roots
from ccagent.intake import Intake, file_states
from ccagent.job import Job, Throttle
from ccagent.rereading import Rereading
from ccagent.selection import Selection, survey
from ccagent.store.backup import require_room
from ccagent.store.exchanging import Swapped
from ccagent.store.rebuilding import Swap
from ccagent.store.repricing import Repricing
from ccagent.store.side import Side
from ccagent.store.size import stored_bytes
from ccagent.store.writer import Writer

ROOM: Final = 2.2
"""Bytes that a rebuild needs beside the database, by its size: the fresh tables, the log of the swap, and a rest."""

Told = Callable[[str], None]
"""Called with sentences for who waits."""


def rebuild(
    config: Config,
    env: Mapping[str, str],
    *,
    rate: float | None = None,
    retry_crashed: bool = False,
    progress: Progress | None = None,
    told: Told = lambda text: None,
) -> dict[str, Any]:
    """Derive all facts anew that have transcripts; what came of it, as docs/json.md has it. `rate` in bytes a second.
    With `retry_crashed` lines that ended the process are tried once more.

    StoreError, and nothing changed, where the disk has no room for it.
    """
    with Job(config, env) as job:
        if retry_crashed:
            job.guard.forgive()
        work = Rebuilding(job, Throttle(rate), progress, told, retry_crashed=retry_crashed)
        return work.run()


class Rebuilding:
    """One rebuild of an opened job's store."""

    def __init__(
        self, job: Job, throttle: Throttle, progress: Progress | None, told: Told, *, retry_crashed: bool = False
    ) -> None:
        self._job = job
        self._retry_crashed = retry_crashed
        self._throttle = throttle
        self._progress = progress
        self._told = told
        self._side = Side(job.store, job.clock)

    def run(self) -> dict[str, Any]:
        """Go on with what was begun, else begin; fill, swap, tidy."""
        job, side = self._job, self._side
        started = job.clock.monotonic()
        if side.is_done():
            self._told("The rebuild that was interrupted has taken effect; what it left is removed.")
            side.remove()
            quiet, rereading, swapped, resumed = self._quiet(), None, Swapped(), True
        else:
            fresh = self._resume()
            resumed = fresh is not None
            quiet = self._quiet() if resumed else self._take_in()
            if fresh is None:
                self._require_room()
                fresh = side.create()
            else:
                self._told("Going on with the rebuild that was interrupted.")
            rereading = self._fill(fresh, quiet)
            swapped = self._swap()
            side.remove()
        while job.store.close_due(quiet, quiet):
            pass
        self._told("Making the rollups anew.")
        job.refresh_rollups()
        job.store.optimize()
        return {
            "schema_version": SCHEMA_VERSION,
            "mode": "rebuild",
            "resumed": resumed,
            "files": 0 if rereading is None else rereading.done_files,
            "files_left_alone": 0 if rereading is None else len(rereading.failed),
            "bytes": 0 if rereading is None else rereading.total_bytes,
            "facts": asdict(swapped),
            "generation": int(job.store.meta("generation") or 1),
            "seconds": round(job.clock.monotonic() - started, 3),
        }

    def _resume(self) -> Writer | None:
        """The fresh tables to go on with: not those in which lines are left out that are to be tried once more."""
        fresh = self._side.resume()
        if fresh is not None and self._retry_crashed and fresh.crash_lines():
            fresh.close()
            return None
        return fresh

    # ---- steps -----------------------------------------------------------------------------------------------------

    def _take_in(self) -> set[int]:
        """First what is new, as always; the files that are read to their end."""
        job, everything = self._job, Selection()
        intaking = Intaking(job, everything, self._throttle)
        intaking.run(survey(everything, job.roots, file_states(job.store)), self._progress)
        return intaking.quiet

    def _quiet(self) -> set[int]:
        """The files that are read to their end, looked at without reading."""
        job = self._job
        follower = Follower(job.roots, file_states(job.store), clock=job.clock.monotonic)
        follower.scan()
        try:
            return follower.quiet_ids(job.clock.monotonic() + 1.0, 0.0)
        finally:
            follower.close()

    def _require_room(self) -> None:
        size = stored_bytes(self._job.store.conn, self._job.database)
        needed = int(size * ROOM)
        if self._job.database.kind == "sqlite":
            require_room(Path(self._job.database.target).resolve().parent, needed, "a rebuild")
        self._told(f"While it runs it takes up to {needed / (1 << 20):,.0f} MiB beside the database.")

    def _fill(self, fresh: Writer, quiet: set[int]) -> Rereading:
        """Derive into the fresh tables what the transcripts give."""
        job = self._job
        try:
            states = {state.file_id: state for state in file_states(fresh) if state.file_id is not None}
            rereading = Rereading(
                file_states(job.store), states, resolve_roots(job.roots), job.config.ingest.max_line_bytes
            )
            intake = Intake(rereading, fresh, Kinds(job.roots), job.guard)
            while taken := intake.step(self._throttle.step):
                if self._progress is not None:
                    words = f"{rereading.done_files:,} of {rereading.files:,} files"
                    self._progress(rereading.done_bytes, rereading.total_bytes, words)
                self._throttle.spent(taken)
            while fresh.close_due(quiet, quiet):
                pass
            fresh.catch_up_done()  # with it goes what is measured of history as a whole
        finally:
            fresh.close()
        hit("rebuild_filled")
        return rereading

    def _swap(self) -> Swapped:
        """Exchange what differs."""
        self._told("Exchanging what differs.")
        store, swap = self._job.store, Swap(self._side.prefix)

        def exchange() -> None:
            hit("rebuild_before_swap")
            store.run(swap.run)

        self._side.beside(exchange)
        hit("rebuild_after_swap")
        return swap.counts


def recompute_prices(
    config: Config, env: Mapping[str, str], *, progress: Progress | None = None, told: Told = lambda text: None
) -> dict[str, Any]:
    """Compute the costs of all requests that this host has written anew; what came of it, as docs/json.md has it."""
    with Job(config, env) as job:
        started = job.clock.monotonic()
        work = Repricing(job.store)
        whole = work.requests()
        if work.resumed:
            told("Going on with the computation that was interrupted.")
        while work.step():
            if progress is not None:
                progress(min(work.counts.requests, whole), whole, "requests")
        began_anew = work.finish()
        job.refresh_rollups()
        return {
            "schema_version": SCHEMA_VERSION,
            "mode": "recompute prices",
            "resumed": work.resumed,
            "prices": job.store.ingest_state.prices.version,
            **work.counts.document(),
            "new_generation": began_anew,
            "generation": int(job.store.meta("generation") or 1),
            "seconds": round(job.clock.monotonic() - started, 3),
        }
