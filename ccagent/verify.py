"""Holds the store against the transcripts that still exist: an independent recount, and laws that must hold within.

Only bytes before a file's stored offset are recounted, so a file that grows meanwhile is no fault. What was taken in
from a file that is gone or was rewritten since cannot be recounted: there the store may hold more, never less. What
retention has removed is left out by its key.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from ccagent import counters, paths
from ccagent.census import Census, Progress
from ccagent.comparison import MEASURES, Account, Comparison, Verdict
from ccagent.facts.model import KEY_PREFIXES
from ccagent.follow.roots import Kinds, default_roots, resolve_roots
from ccagent.metrics import names
from ccagent.recount_lines import Json

if TYPE_CHECKING:
    from ccagent.config import Config
    from ccagent.metrics.snapshot import StoredTotals
    from ccagent.store.audit import Standing, StoredFact, TypeSums
    from ccagent.store.audit_references import Law
    from ccagent.store.connection import Connection

SCHEMA_VERSION: Final = 1

QUARANTINED: Final = "quarantined"
"""The status of the records' counter for what could not be taken; with BROKEN for pieces that do not decode."""

BROKEN: Final = "broken"

LINES: Final = "line"
"""How retention's counter calls notes of bad lines."""

DIFFERENCES: Final = 200
"""Faults that are listed one by one."""

DAYS_HELD: Final = 100_000
"""Quarter hours whose day is remembered: three years."""

ROUNDS: Final = 5
LITTLE: Final = 16 * 1024 * 1024
"""The recount follows what is taken in meanwhile until only so many bytes (below a second) are left for the snapshot,
or for so many rounds: a writer in its first catch-up may be as quick."""

_GRAVEST: Final = tuple(reversed(Verdict))


def verify(
    config: Config,
    env: Mapping[str, str],
    progress: Progress | None = None,
    *,
    full: bool = False,
    manifest: Path | None = None,
) -> Json:
    """Recount every stored file that still exists and compare; nothing is written but a manifest that is not there yet.

    Result: docs/json.md. `full` adds what takes longer: every session and day, the rollups, the references within the
    tables. StoreError where the database cannot be opened, ManifestError for a manifest that cannot be read or written;
    a transcript that cannot be read is counted, never raised.
    """
    from ccagent.store.open import open_reader

    verification = Verification(config, env, full=full)
    try:
        # One moment is held still while all facts are read, however many there are.
        with open_reader(config.database, seconds=None) as reader:
            verification.run(reader, progress)
        answer = verification.report()
        if manifest is None:
            return answer | {"manifest": None}
        from ccagent.manifest import consult

        return consult(manifest, answer, verification, progress)
    finally:
        verification.census.count.tally.close()


class Verification:
    """One verification of one database. `Census` and `Comparison` hold what was found."""

    def __init__(self, config: Config, env: Mapping[str, str], *, full: bool) -> None:
        self.full = full
        self.census = Census(config.ingest.max_line_bytes)
        self.roots = sources_of(config, env)
        self.census.count.kinds = Kinds(list(config.sources) or default_roots(env, paths.home(env)))
        self.manifest_roots = roots_in_order(config, env)
        self._host_id = host_id(config)
        self._rows: list[Json] = []
        self._checks: list[Json] = []
        self._more_faults: list[Json] = []
        self._comparison: Comparison | None = None
        self._standing: Standing | None = None

    def run(self, reader: Connection, progress: Progress | None) -> None:
        """Recount and compare. The long part, reading the transcripts, needs no snapshot of the store."""
        from ccagent.store import audit
        from ccagent.store.connection import snapshot

        standing = audit.standing(reader, self._host_id)
        if standing.host is not None:
            self.census.take(audit.files(reader, standing.host.id), progress)
            for _ in range(ROUNDS):
                before = self.census.count.bytes_read
                self.census.take(audit.files(reader, standing.host.id))
                if self.census.count.bytes_read - before < LITTLE:
                    break
        with snapshot(reader):
            self._standing = standing = audit.standing(reader, self._host_id)
            if standing.host is not None:
                self.census.take(audit.files(reader, standing.host.id))
            self._compare(reader, standing)
        self.census.look_for_unknown(self.roots)

    def _compare(self, reader: Connection, standing: Standing) -> None:
        from ccagent.store import audit, totals

        day = _days(standing.zone) if self.full else None
        texts = audit.TextNumbers(reader)
        compared = Comparison(self.census.count.tally, self.census.files, texts, _unsure(standing), day)
        compared.run(audit.facts(reader), audit.pruned_keys(reader))
        self._comparison = compared
        self._rows = compared.rows()
        # All that was ever booked: a new generation begins at zero, yet counts what it counted.
        booked, sums = totals.read(reader, booked=True), audit.sums(reader)
        self._rows += self._read_rows(reader, standing, booked)
        self._rows += counters.rows(booked, compared.total, sums, sealed=standing.pruned)
        for fault in compared.faults:
            kind, native = audit.source_keys(reader, [fault.key]).get(fault.key, (0, ""))
            key = f"{KEY_PREFIXES[kind]}{native}" if kind in KEY_PREFIXES else fault.key.hex()
            self._more_faults.append({"key": key, "fault": fault.cause.value, "session": fault.session})
        if self.full:
            self._checks += [group_check("by session", compared.sessions), group_check("by day", compared.days)]
            self._checks += [law_check(law) for law in self._laws(reader, booked, sums, standing)]

    def _read_rows(self, reader: Connection, standing: Standing, booked: StoredTotals) -> list[Json]:
        """What was read of the transcripts: bad lines, and the law that each piece was counted once."""
        from ccagent.store import audit, totals

        if standing.host is None:
            return []
        count, excused = self.census.count, self.census.excused
        quarantined = audit.quarantined(reader, standing.host.id)
        removed = sum(
            row.value for row in booked.totals if row.metric == names.RETENTION_REMOVED and row.labels == (LINES,)
        )
        own = totals.read(reader, standing.host.id, booked=True)
        records = [row for row in own.totals if row.metric == names.INGEST_RECORDS]
        broken = sum(row.value for row in records if row.labels == (BROKEN, QUARANTINED))
        objects = sum(row.value for row in records) - broken
        kept = sum(bad for bad, _ in quarantined.values())
        rows = [
            _row("lines_bad", kept, count.bad_lines, excused=excused, sealed=removed),
            _row("records read", objects, sum(count.record_types.values()), excused=excused),
            _row("broken pieces", broken, count.broken, excused=excused),
        ]
        failed = sum(failures for _, failures in quarantined.values())
        if failed:
            rows.append(_row("records on which a rule failed", failed, 0, excused=False))
        for file, counted in self.census.files.items():
            bad, there = quarantined.get(file, (0, 0))[0], counted.reading.bad_lines
            if counted.intact and (bad > there or (bad < there and not removed)):
                self.census.faults.setdefault(counted.row.path, f"{bad} bad lines were kept, {there} are there")
        return rows

    def _laws(
        self, reader: Connection, booked: StoredTotals, sums: Mapping[int, TypeSums], standing: Standing
    ) -> Iterator[Law]:
        from ccagent.store import audit_references, audit_rollups
        from ccagent.store.held import held_by_all

        assert self._comparison is not None
        yield counters.labels(booked, self._comparison.models, sealed=standing.pruned)
        yield counters.outcomes(booked, sums, held=held_by_all(reader), sealed=standing.pruned)
        yield from audit_references.laws(reader)
        yield from audit_rollups.laws(reader, standing.zone)

    @property
    def pruned(self) -> bool:
        """Whether retention has removed facts."""
        return self._standing is not None and self._standing.pruned

    def stored_totals(self) -> dict[str, int]:
        """What the facts of all hosts amount to, by the names of MEASURES."""
        assert self._comparison is not None
        account = self._comparison.total
        return {name: account.same[place] + account.stored.get(place, 0) for place, name in enumerate(MEASURES)}

    def report(self) -> Json:
        """The whole answer, JSON-able."""
        compared, standing = self._comparison, self._standing
        assert compared is not None
        assert standing is not None
        verdicts = [Verdict(str(row["verdict"])) for row in (*self._rows, *self._checks)]
        verdicts += [Verdict.FAULT] * bool(self.census.faults or compared.faults)
        status = next((each for each in _GRAVEST if each in verdicts), Verdict.EQUAL)
        status = Verdict.EQUAL if status is Verdict.RELABELLED else status
        faults = [row for row in self._rows if row["verdict"] == Verdict.FAULT]
        if self.full:
            faults += group_faults("session", compared.sessions)
            faults += group_faults("day", compared.days)
        return {
            "schema_version": SCHEMA_VERSION,
            "equal": status is not Verdict.FAULT,
            "status": status.value,
            "full": self.full,
            "totals": self._rows,
            "differences": faults[:DIFFERENCES],
            "checks": self._checks,
            "causes": {cause.value.replace(" ", "_"): compared.found[cause] for cause in sorted(compared.found)},
            "facts_at_fault": self._more_faults,
            "files": self.census.document(),
            "paths_at_fault": self.census.paths_at_fault(),
            "files_at_fault": [
                {"path": paths.display(path), "fault": fault} for path, fault in sorted(self.census.faults.items())
            ],
            "host": None if standing.host is None else standing.host.host_id,
            "sealed_before": _rfc3339(standing.sealed_before),
        }


def sources_of(config: Config, env: Mapping[str, str]) -> list[Path]:
    """The roots that are followed: those of the configuration, else the default ones; real paths that exist."""
    roots = list(config.sources) or default_roots(env, paths.home(env))
    return [Path(os.fsdecode(root)) for root in resolve_roots(roots)]


def roots_in_order(config: Config, env: Mapping[str, str]) -> list[Path]:
    """The same roots in the order in which they are named, which does not depend on where they lie."""
    kept = sources_of(config, env)
    named = [Path(os.path.realpath(os.fspath(root))) for root in config.sources or default_roots(env, paths.home(env))]
    return [root for root in dict.fromkeys(named) if root in kept]


def host_id(config: Config) -> str | None:
    """This machine's name in a shared database, as far as it has one; a file of one's own needs none.

    A machine that never wrote has no name: then all facts are elsewhere.
    """
    from ccagent.store.hosts import local_host_id
    from ccagent.store.location import parse_database

    if parse_database(config.database).kind == "sqlite":
        return None
    if config.host_id is None and not paths.stands(config.paths.data_dir / "host_id"):
        return ""
    return config.host_id or local_host_id(config.paths.data_dir)


def _unsure(standing: Standing) -> Callable[[StoredFact], bool]:
    """Whether lines of a fact may lie in transcripts that its row does not name."""
    from ccagent.store.audit import MIGRATED_HOST

    last = standing.migrated_seq
    return lambda fact: fact.host == MIGRATED_HOST and fact.seq <= last


def _days(zone: ZoneInfo) -> Callable[[int], str]:
    """The local day of an instant (ms UTC)."""

    @lru_cache(maxsize=DAYS_HELD)
    def of_quarter(quarter: int) -> str:
        moment = datetime.fromtimestamp(quarter * 900, UTC)
        try:
            return moment.astimezone(zone).date().isoformat()
        except OverflowError:  # of the calendar's first or last day, which the zone would leave
            return moment.date().isoformat()

    return lambda instant: of_quarter(instant // 900_000)


def _row(name: str, stored: int, recounted: int, *, excused: bool, sealed: int = 0) -> Json:
    """One amount; `excused`: transcripts are gone; `sealed`: so many were removed by retention."""
    verdict = Verdict.EQUAL
    if stored > recounted:
        verdict = Verdict.SOURCE_GONE if excused else Verdict.FAULT
    elif stored < recounted:
        verdict = Verdict.SEALED if recounted - stored <= sealed else Verdict.FAULT
    row: Json = {"name": name, "stored": stored, "recounted": recounted, "verdict": verdict.value}
    return row | ({"sealed": recounted - stored} if verdict is Verdict.SEALED else {})


def group_check(name: str, accounts: Mapping[str, Account]) -> Json:
    """All amounts of all groups as one check; its verdict is the gravest."""
    verdicts = {
        label: max((Verdict(str(account.row(place, "")["verdict"])) for place in range(len(MEASURES))), key=_gravity)
        for label, account in accounts.items()
    }
    gravest = max(verdicts.values(), key=_gravity, default=Verdict.EQUAL)
    faulty = [label for label, verdict in verdicts.items() if verdict is Verdict.FAULT]
    return _check(name, len(accounts), 0, len(faulty), gravest, sorted(faulty)[:5])


def group_faults(kind: str, accounts: Mapping[str, Account]) -> Iterator[Json]:
    """The amounts at fault, one by one."""
    for label in sorted(accounts):
        for place, measure in enumerate(MEASURES):
            row = accounts[label].row(place, f"{measure}{{{kind} {label}}}")
            if row["verdict"] == Verdict.FAULT:
                yield row


def law_check(law: Law) -> Json:
    """A law as a check."""
    return _check(
        law.name, law.checked, law.excluded, law.broken, Verdict.FAULT if law.broken else Verdict.EQUAL, law.examples
    )


def _check(name: str, checked: int, excluded: int, faults: int, verdict: Verdict, examples: list[str]) -> Json:
    return {
        "name": name, "checked": checked, "excluded": excluded, "faults": faults, "verdict": verdict.value,
        "examples": examples,
    }  # fmt: skip


def _gravity(verdict: Verdict) -> int:
    return len(_GRAVEST) - _GRAVEST.index(verdict)


def _rfc3339(moment_ms: int | None) -> str | None:
    if moment_ms is None:
        return None
    return datetime.fromtimestamp(moment_ms / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
