"""Holds the store against the transcripts that still exist: an independent recount, and laws that must hold within.

Only bytes before a file's stored offset are recounted, so a file that grows meanwhile is no fault. What was taken in
from a file that is gone or was rewritten since cannot be recounted: there the store may hold more, never less.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ccagent import paths
from ccagent.follow.identity import agrees
from ccagent.follow.roots import default_roots, resolve_roots
from ccagent.follow.state import FileState
from ccagent.metrics import names
from ccagent.recount import Json, Recount, transcript_files

if TYPE_CHECKING:
    from ccagent.config import Config
    from ccagent.metrics.snapshot import StoredTotals
    from ccagent.store.audit import StoredFile
    from ccagent.store.queries import UsageRow

SCHEMA_VERSION: Final = 1

EQUAL: Final = "equal"
SOURCE_GONE: Final = "source gone"
FAULT: Final = "fault"

TOKEN_KINDS: Final = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
UNNAMED_MODELS: Final = ("", "unknown", "unattributed")
"""How the store and the recount call a model that the record does not name."""

QUARANTINED: Final = "quarantined"
"""The status of `ingest.records` that counts broken pieces; all other statuses count whole objects."""

Progress = Callable[[int, int], None]
"""Called with the bytes recounted so far and the bytes to recount in all."""


@dataclass(slots=True, kw_only=True)
class FileCensus:
    """What became of the files; all sums in bytes."""

    stored: int = 0
    recounted: int = 0
    gone: int = 0
    rewritten: int = 0
    unreadable: int = 0
    unknown: int = 0
    size: int = 0
    offset: int = 0
    unread: int = 0
    paths_at_fault: list[str] = field(default_factory=list)

    @property
    def excused(self) -> bool:
        """Whether the store may hold more than can be recounted."""
        return bool(self.gone or self.rewritten or self.unreadable)


def verify(config: Config, env: Mapping[str, str], progress: Progress | None = None) -> Json:
    """Recount every stored file that still exists and compare; nothing is written.

    Result: {schema_version, equal (no fault), status (equal | source gone | fault), totals [{name, stored, recounted,
    verdict}], differences (those of totals that are faults), files {…}, paths_at_fault}. StoreError where the database
    cannot be opened; a transcript that cannot be read is counted, never raised.
    """
    from ccagent.store import audit, totals
    from ccagent.store.open import open_reader
    from ccagent.store.queries import usage

    with open_reader(config.database) as reader, audit.snapshot(reader):
        stored_files = audit.files(reader)
        whole = _single(usage(reader, by="total", since_ms=None, until_ms=None, timezone=None))
        by_model = usage(reader, by="model", since_ms=None, until_ms=None, timezone=None)
        booked = totals.read(reader)
    count, census = recount_stored(stored_files, config.ingest.max_line_bytes, progress)
    look_for_unknown(census, stored_files, sources_of(config, env))
    rows = compare(stored_amounts(whole, by_model), recounted_amounts(count), excused=census.excused)
    rows += within_the_store(whole, booked, count, excused=census.excused)
    return report(rows, census)


def sources_of(config: Config, env: Mapping[str, str]) -> list[Path]:
    """The roots that are followed: those of the configuration, else the default ones; real paths that exist."""
    roots = list(config.sources) or default_roots(env, paths.home(env))
    return [Path(os.fsdecode(root)) for root in resolve_roots(roots)]


def recount_stored(
    stored: list[StoredFile], max_line: int, progress: Progress | None = None
) -> tuple[Recount, FileCensus]:
    """Count each stored file up to its offset, where it still is the file that was taken in."""
    count, census = Recount(), FileCensus(stored=len(stored))
    done, whole = 0, sum(row.offset for row in stored)
    for row in stored:
        _recount_one(row, count, census, max_line)
        done += row.offset
        if progress is not None:
            progress(done, whole)
    return count, census


def _recount_one(row: StoredFile, count: Recount, census: FileCensus, max_line: int) -> None:
    path = Path(os.fsdecode(row.path))
    try:
        with path.open("rb") as file:
            same = agrees(file.fileno(), _state(row))
            size = os.fstat(file.fileno()).st_size
        if not same:
            census.rewritten += 1
            return
        lines = count.add_file(path, limit=row.offset, max_line=max_line)
    except FileNotFoundError:
        census.gone += 1
        return
    except OSError:
        census.unreadable += 1
        return
    census.recounted += 1
    census.size += size
    census.offset += row.offset
    census.unread += size - row.offset
    if row.generation > 0:
        census.rewritten += 1
    if lines != row.lines:
        census.paths_at_fault.append(paths.display(row.path))


def _state(row: StoredFile) -> FileState:
    return FileState(
        file_id=row.file_id, path=row.path, device=row.device, inode=row.inode, size=row.size, mtime_ns=row.mtime_ns,
        offset=row.offset, head=row.head, head_length=row.head_length, marker=row.marker, generation=row.generation,
        lines=row.lines, state=row.state,
    )  # fmt: skip


def look_for_unknown(census: FileCensus, stored: list[StoredFile], roots: list[Path]) -> None:
    """Count the transcripts below `roots` that the store does not know yet; all their bytes are unread."""
    known = {row.path for row in stored}
    for root in roots:
        for path in transcript_files(root):
            if os.fsencode(path) in known:
                continue
            try:
                size = path.stat().st_size
            except OSError:
                continue
            census.unknown += 1
            census.size += size
            census.unread += size


def stored_amounts(whole: UsageRow, by_model: list[UsageRow]) -> dict[str, int]:
    """What the facts say, by the names under which it is compared."""
    amounts = {
        "requests": whole.requests,
        "sessions": whole.sessions,
        "tool_calls": whole.tool_calls,
        "tool_calls_relayed": whole.tool_calls_relayed,
        "tool_errors": whole.tool_errors,
        "compactions": whole.compactions,
        "lines_bad": whole.lines_bad,
    }
    amounts |= {f"tokens.{kind}": whole.tokens[kind] for kind in TOKEN_KINDS}
    for row in by_model:
        if row.requests or any(row.tokens.values()):
            amounts |= _of_model(row.key, row.requests, row.tokens)
    return amounts


def recounted_amounts(count: Recount) -> dict[str, int]:
    """What the recount says, by the same names."""
    totals = count.totals()
    amounts = {name: _int(totals[name]) for name in ("requests", "sessions", "tool_calls", "tool_calls_relayed")}
    amounts |= {name: _int(totals[name]) for name in ("tool_errors", "compactions")}
    amounts["lines_bad"] = count.bad_lines
    amounts |= {f"tokens.{kind}": amount for kind, amount in _kinds(totals["tokens"]).items()}
    by_model = totals["by_model"]
    for model, row in by_model.items() if isinstance(by_model, dict) else ():
        amounts |= _of_model(model, row["requests"], _kinds(row))
    return amounts


def _of_model(model: str, requests: int, tokens: Mapping[str, int]) -> dict[str, int]:
    name = "unknown" if model in UNNAMED_MODELS else model
    return {f"requests{{{name}}}": requests} | {f"tokens.{kind}{{{name}}}": tokens[kind] for kind in TOKEN_KINDS}


def _kinds(row: object) -> dict[str, int]:
    if not isinstance(row, dict):
        raise TypeError("the recount gives its token sums as an object")
    long_lived = row["w1h"]
    return {
        "input": row["input_tokens"],
        "output": row["output_tokens"],
        "cache_read": row["cache_read_input_tokens"],
        # A write whose lifetime is not told has the short one.
        "cache_write_5m": row["cache_creation_input_tokens"] - long_lived,
        "cache_write_1h": long_lived,
    }


def _int(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("the recount gives its counts as integers")
    return value


def compare(stored: Mapping[str, int], recounted: Mapping[str, int], *, excused: bool) -> list[Json]:
    """One row a name, in the order of `stored`; a name that one side lacks counts as 0 there."""
    order = dict.fromkeys((*stored, *recounted))
    return [_row(name, stored.get(name, 0), recounted.get(name, 0), excused=excused) for name in order]


def within_the_store(whole: UsageRow, booked: StoredTotals, count: Recount, *, excused: bool) -> list[Json]:
    """The laws of conservation: each object read was counted once, and the totals hold what the facts hold."""
    objects = sum(
        row.value for row in booked.totals if row.metric == names.INGEST_RECORDS and row.labels[1] != QUARANTINED
    )
    rows = [_row("records read", objects, sum(count.record_types.values()), excused=excused)]
    for kind in TOKEN_KINDS:
        amount = sum(row.value for row in booked.totals if row.metric == names.TOKENS and row.labels[1] == kind)
        rows.append(_row(f"booked tokens.{kind}", amount, whole.tokens[kind], excused=False))
    return rows


def _row(name: str, stored: int, recounted: int, *, excused: bool) -> Json:
    verdict = EQUAL
    if stored != recounted:
        verdict = SOURCE_GONE if excused and stored > recounted else FAULT
    return {"name": name, "stored": stored, "recounted": recounted, "verdict": verdict}


def report(rows: list[Json], census: FileCensus) -> Json:
    """The whole answer, JSON-able."""
    faults = [row for row in rows if row["verdict"] == FAULT]
    status = EQUAL
    if faults or census.paths_at_fault:
        status = FAULT
    elif any(row["verdict"] == SOURCE_GONE for row in rows):
        status = SOURCE_GONE
    return {
        "schema_version": SCHEMA_VERSION,
        "equal": status != FAULT,
        "status": status,
        "totals": rows,
        "differences": faults,
        "files": {
            "stored": census.stored,
            "recounted": census.recounted,
            "gone": census.gone,
            "rewritten": census.rewritten,
            "unreadable": census.unreadable,
            "not_taken_in": census.unknown,
            "bytes": census.size,
            "bytes_taken_in": census.offset,
            "bytes_left": census.unread,
        },
        "paths_at_fault": census.paths_at_fault,
    }


def _single(rows: list[UsageRow]) -> UsageRow:
    if len(rows) != 1:
        raise ValueError(f"usage by total gave {len(rows)} rows, not one; report this as a fault of ccagent")
    return rows[0]
