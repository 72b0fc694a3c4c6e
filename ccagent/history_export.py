"""Traces of the past, sent once on request: what a destination never got because it was named later.

The ids are those that the live export gives, so a repetition makes nothing new; the live export's cursor is neither
read for what is next nor moved. Read-only, beside a daemon or without one.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ccagent import __version__
from ccagent.config import Config
from ccagent.errors import ConfigError, UsageError
from ccagent.store.connection import Connection

if TYPE_CHECKING:
    from ccagent.export.otlp.closed import ClosedFact
    from ccagent.export.otlp.encoding import Encoding, Policies
    from ccagent.export.otlp.sender import Sender
    from ccagent.export.otlp.verdict import Verdict
    from ccagent.export.privacy import Policy
    from ccagent.otlp_destination import Destination
    from ccagent.otlp_settings import OtlpSettings

RATE: Final = 2_000
"""Spans a second unless told otherwise: a year of work within minutes, and far below what receivers take."""

TRIES: Final = 8
"""How often one request is tried before the export ends: about four minutes of a receiver that is away."""

WAIT_SECONDS: Final = 2.0
LONGEST_WAIT_SECONDS: Final = 60.0
"""Between two tries: the first wait, doubled up to the longest; a receiver's own wish goes before it, up to the same."""

CAVEAT: Final = (
    "some stores find spans of the past only by their trace id (their search looks at recent time), and some refuse"
    " spans older than a limit of theirs"
)

Reader = Callable[[], AbstractContextManager[Connection]]
Shown = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be sent: traces with anything since `since_ms` (0: all), of one project (a path, its last folder, or
    the name under which it leaves), to one destination or to all; `again`: what the live export sends, too."""

    since_ms: int = 0
    project: str | None = None
    destination: str | None = None
    again: bool = False
    dry_run: bool = False
    rate: float = RATE


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of the facts for one destination. Everything but `turns` and `traces` counts spans.

    `withheld`: of projects that allow nothing; `live`: left to the live export; `refused`: by the receiver, for ever.
    """

    destination: str
    traces: int = 0
    turns: int = 0
    spans: int = 0
    withheld: int = 0
    live: int = 0
    refused: int = 0
    problem: str = ""


@dataclass(slots=True, kw_only=True)
class Report:
    """One tally a destination; `notices` are sentences for the owner."""

    dry_run: bool
    destinations: list[Tally] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether everything that was to be sent is at its destination."""
        return not any(tally.problem or tally.refused for tally in self.destinations)

    def document(self) -> dict[str, Any]:
        """The JSON of the command (docs/json.md)."""
        rows = [asdict(tally) | {"problem": tally.problem or None} for tally in self.destinations]
        return {"schema_version": 1, "dry_run": self.dry_run, "destinations": rows, "notices": self.notices}


def export_traces(
    config: Config,
    env: Mapping[str, str],
    wanted: Wanted,
    *,
    show: Shown = lambda done, whole, what: None,
    wait: Callable[[float], None] = time.sleep,
) -> Report:
    """Send the traces; a report of what became of them.

    ConfigError where no destination gets traces, UsageError for a destination that is not there, NoDataError without a
    store. What a receiver does not take stands in the report.
    """
    from ccagent.export.privacy import TierResolver
    from ccagent.outgoing import own_host, settle
    from ccagent.store.consent import project_key
    from ccagent.store.location import parse_database
    from ccagent.store.open import open_reader

    settings, _ = settle(config, env)
    targets = _targets(settings, wanted.destination)
    database = parse_database(config.database, config.paths.state_dir)
    report = Report(dry_run=wanted.dry_run)

    def reader() -> AbstractContextManager[Connection]:
        return open_reader(database)

    tiers = TierResolver(settings.personal_tier, lambda: time.time_ns() // 1_000_000, identity=settings.identity)
    with reader() as conn:
        tiers.key = project_key(conn)
        own = own_host(conn, config, shared=database.kind != "sqlite")
    if tiers.key is None:
        report.notices.append("projects have no number yet: they get it when the daemon first runs")
    for target in targets:
        with _Courier(
            target, settings, own.instance_id, dry_run=wanted.dry_run, rate=wanted.rate, wait=wait
        ) as courier:
            report.destinations.append(courier.tally)
            courier.carry(_Past(reader, own.id, wanted, tiers.policy, courier.tally, show).traces(), tiers.policy)
    report.notices += tiers.notices
    return report


def _targets(settings: OtlpSettings, name: str | None) -> tuple[Destination, ...]:
    targets = settings.of("traces")
    if not targets:
        raise ConfigError(
            "no destination gets traces: name one (otlp.endpoint, or [otlp.destinations.NAME]) and allow it"
            " (privacy.tier = 1)"
        )
    chosen = tuple(target for target in targets if name in (None, target.name))
    if not chosen:
        known = ", ".join(target.name for target in targets)
        raise UsageError(f"--destination: no destination {name!r} gets traces; there is {known}")
    return chosen


class _Past:
    """The traces that are wanted, session by session and turn by turn; counts what is left out into `tally`."""

    def __init__(
        self,
        reader: Reader,
        host: int,
        wanted: Wanted,
        policy: Policies,
        tally: Tally,
        show: Shown,
    ) -> None:
        self._reader = reader
        self._host = host
        self._wanted = wanted
        self._policy = policy
        self._tally = tally
        self._show = show

    def traces(self) -> Iterator[list[ClosedFact]]:
        """The facts of one trace after the other, in the order in which they began."""
        from ccagent.store import closed, outbox

        with self._reader() as conn:
            cursor = outbox.read_cursor(conn, self._tally.destination, "traces", self._host)
            sessions = closed.active_sessions(conn, self._host, self._wanted.since_ms)
        # A destination that was never named will be, at the earliest, now.
        named = cursor.not_before if cursor is not None else time.time_ns() // 1_000_000 - outbox.HISTORY_MS
        before = None if self._wanted.again else named
        for number, session in enumerate(sessions, 1):
            with self._reader() as conn:
                facts = closed.session_facts(conn, self._host, session)
            for trace in _by_trace(facts):
                if any((fact.last_at or 0) >= self._wanted.since_ms for fact in trace):
                    found = [fact for fact in trace if self._chosen(fact, before)]
                    if found:
                        yield found
            self._show(number, len(sessions), "sessions")

    def _chosen(self, fact: ClosedFact, before: int | None) -> bool:
        policy = self._policy(fact.cwd, fact.project)
        if self._wanted.project is not None and not _of_project(fact, policy, self._wanted.project):
            return False
        if policy.tier < 1:
            self._tally.withheld += 1
            return False
        if before is not None and (fact.last_at or 0) >= before:
            self._tally.live += 1
            return False
        return True


def _by_trace(facts: Iterable[ClosedFact]) -> list[list[ClosedFact]]:
    from ccagent.export.otlp.spans import trace_key

    traces: dict[str, list[ClosedFact]] = defaultdict(list)
    for fact in facts:
        traces[trace_key(fact)].append(fact)

    def began(trace: list[ClosedFact]) -> int:
        return min((fact.occurred_at for fact in trace if fact.occurred_at is not None), default=0)

    return sorted(traces.values(), key=began)


def _of_project(fact: ClosedFact, policy: Policy, name: str) -> bool:
    path = (fact.project or "").rstrip("/")
    wanted = name.rstrip("/")
    return wanted in (path, path.rpartition("/")[2], policy.project)


class _Courier:
    """Brings traces to one destination, whole requests at a time; ends at the first that cannot be delivered."""

    def __init__(
        self,
        target: Destination,
        settings: OtlpSettings,
        instance: str,
        *,
        dry_run: bool,
        rate: float,
        wait: Callable[[float], None],
    ) -> None:
        from ccagent.export.otlp.sender import make_sender
        from ccagent.outgoing import encoding_of, resource_of

        self.tally = Tally(destination=target.name)
        self._encoding: Encoding = encoding_of(target, settings, aged=False)
        self._resource = resource_of(settings, instance)
        self._sender: Sender | None = None if dry_run else make_sender(target)
        self._rate = rate
        self._wait = wait

    def __enter__(self) -> _Courier:
        return self

    def __exit__(self, *_: object) -> None:
        if self._sender is not None:
            self._sender.close()

    def carry(self, traces: Iterable[list[ClosedFact]], policy: Policies) -> None:
        """Send all of them, or until the receiver takes no more; the tally says what became of them."""
        from ccagent.export.otlp.batch import MAX_ITEMS

        waiting: list[tuple[int, ClosedFact]] = []
        for trace in traces:
            self.tally.traces += 1
            waiting += enumerate(trace, len(waiting))
            while len(waiting) >= MAX_ITEMS and not self.tally.problem:
                waiting = self._one(waiting, policy)
            if self.tally.problem:
                return
        while waiting and not self.tally.problem:
            waiting = self._one(waiting, policy)

    def _one(self, waiting: list[tuple[int, ClosedFact]], policy: Policies) -> list[tuple[int, ClosedFact]]:
        """Send the first request of these; the rest, numbered anew."""
        from ccagent.export.otlp.batch import MAX_BYTES, collect
        from ccagent.facts.model import EventType

        batch = collect(waiting, self._encoding, policy, max_bytes=MAX_BYTES, end=waiting[-1][0])
        if batch.items:
            self._deliver(batch.items)
        if not self.tally.problem:
            self.tally.turns += sum(fact.event_type is EventType.TURN for _, fact in batch.facts)
        return list(enumerate(fact for _, fact in waiting[batch.end + 1 :]))

    def _deliver(self, items: list[Any]) -> None:
        from ccagent.export.otlp.verdict import Kind

        verdict = self._tried(items)
        if verdict is None:
            self.tally.spans += len(items)
            return
        if verdict.kind is Kind.ADVANCE:
            refused = min(verdict.rejected, len(items))
            self.tally.spans += len(items) - refused
            self.tally.refused += refused
            self._wait(len(items) / self._rate)
        elif verdict.kind in (Kind.RETRY, Kind.CONFIG):
            self.tally.problem = verdict.message or "the receiver gave no reason"
        elif len(items) == 1:
            self.tally.refused += 1
        else:
            half = len(items) // 2
            for part in (items[:half], items[half:]):
                if not self.tally.problem:
                    self._deliver(part)

    def _tried(self, items: list[Any]) -> Verdict | None:
        """The answer to one request, asked for again while it may come; None where nothing is to be sent."""
        from ccagent.export.otlp.verdict import Kind

        if self._sender is None:
            return None
        request = self._encoding.request(items, self._resource, __version__)
        pause = WAIT_SECONDS
        for _ in range(TRIES - 1):
            verdict = self._sender.send("traces", request)
            if verdict.kind is not Kind.RETRY:
                return verdict
            self._wait(min(verdict.delay_seconds or pause, LONGEST_WAIT_SECONDS))
            pause = min(pause * 2, LONGEST_WAIT_SECONDS)
        return self._sender.send("traces", request)
