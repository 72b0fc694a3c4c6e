"""What `ccagent db prune` and `ccagent db restore` do: retention now, by the configured rules; and archives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ccagent.clock import Clock, SystemClock
from ccagent.config import Config
from ccagent.errors import NoDataError, StoreError
from ccagent.job import Job
from ccagent.paths import stands
from ccagent.service.retaining import rules_of
from ccagent.store.archive import archives
from ccagent.store.coverage import stored_zone
from ccagent.store.forecast import Share, forecast
from ccagent.store.location import Database, parse_database
from ccagent.store.open import open_reader
from ccagent.store.opening import open_readers
from ccagent.store.restore import restore as restore_archives
from ccagent.store.retention import Pruning
from ccagent.store.size import used_bytes

SCHEMA_VERSION: Final = 1

_DAILY: Final = "a running daemon prunes by itself, daily; --dry-run works beside it"
_STOP: Final = "stop it for as long as the restore takes"


def plan(config: Config, clock: Clock | None = None) -> dict[str, Any]:
    """What a run would remove now, by rule; a daemon may run beside it. NoDataError where there is no database."""
    rules, now = rules_of(config.retention), (clock or SystemClock()).now_ms()
    database = _database(config)
    with open_reader(database) as reader:
        found = forecast(reader, database, rules, stored_zone(reader), now)
    return {
        "schema_version": SCHEMA_VERSION, "dry_run": True, "used_bytes": found.used,
        "rules": [_share(share) for share in found.shares],
    }  # fmt: skip


def prune(config: Config, env: Mapping[str, str], clock: Clock | None = None) -> dict[str, Any]:
    """Remove now what the rules say; what was removed. InstanceRunningError while a daemon runs, StoreError where another
    host does it."""
    database = _database(config)
    with Job(config, env, clock, hint=_DAILY) as job:
        if not job.store.elected():
            raise StoreError(
                f"another machine's daemon looks after {database.display} and prunes it daily; run this verb there"
            )
        with closing(open_readers(database)) as readers:
            rules, now = rules_of(config.retention), job.clock.now_ms()
            with readers.reader() as reader:
                before = used_bytes(reader, database)
            pruning = Pruning(job.store, readers.reader, rules, job.zone, job.refresh_rollups, now)
            removed = pruning.run()
            with readers.reader() as reader:
                after = used_bytes(reader, database)
    return {
        "schema_version": SCHEMA_VERSION, "dry_run": False, "facts": removed.facts, "sessions": removed.sessions,
        "payloads": removed.payloads, "lines": removed.lines, "since": _time(removed.first),
        "until": _time(removed.last), "archives": [str(path) for path in removed.archived],
        "used_bytes_before": before, "used_bytes": after, "problem": removed.problem,
    }  # fmt: skip


def restore(
    config: Config, env: Mapping[str, str], paths: Sequence[Path], *, dry_run: bool = False, clock: Clock | None = None
) -> dict[str, Any]:
    """Bring archives (files, or folders of them) back; what came back. InstanceRunningError while a daemon runs."""
    chosen = [archive for path in paths for archive in archives(path)]
    with Job(config, env, clock, hint=_STOP) as job:
        bound = rules_of(config.retention).fact_bound(job.clock.now_ms())
        done = restore_archives(chosen, job.store, before=bound or 0, dry_run=dry_run)
        if done.new and not dry_run:
            job.refresh_rollups()
    numbers = asdict(done)
    passing = numbers.pop("before")
    return {
        "schema_version": SCHEMA_VERSION, "dry_run": dry_run, "archives": [str(path) for path in chosen], **numbers,
        "beyond_retention": passing,
    }  # fmt: skip


def _database(config: Config) -> Database:
    database = parse_database(config.database, config.paths.state_dir)
    if database.kind == "sqlite" and not stands(database.target):
        raise NoDataError(f"there is no database at {database.display} yet; start `ccagent run`, or name one with --db")
    return database


def _share(share: Share) -> dict[str, Any]:
    return {
        "rule": share.rule, "facts": share.facts, "sessions": share.sessions, "payloads": share.payloads,
        "lines": share.lines, "bytes": share.bytes, "since": _time(share.first), "until": _time(share.last),
    }  # fmt: skip


def _time(moment_ms: int | None) -> str | None:
    if moment_ms is None:
        return None
    try:
        shown = datetime.fromtimestamp(moment_ms / 1_000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return shown.isoformat(timespec="seconds").replace("+00:00", "Z")
