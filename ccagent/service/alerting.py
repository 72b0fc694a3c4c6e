"""The evaluation of alert rules, as the schedule thread drives it.

Rules are read from the table when it says that it changed, by whatever process. What an evaluation finds is kept by one
transaction a rule: where its subjects stand, each change of state, and what is to be told of it. In a database of
several hosts the one that makes the rollups evaluates; what a rule asks of a process itself (is its export broken, does
it fall behind) each host evaluates for itself, with its own name as the subject.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from ccagent import alert_book
from ccagent.alerts.backtest import operands_of
from ccagent.alerts.engine import unseen_ms
from ccagent.alerts.evaluate import Outcome, evaluate
from ccagent.alerts.metrics import known
from ccagent.alerts.rule import Operand, Rule
from ccagent.alerts.series import Series
from ccagent.alerts.states import Standing, State, Transition
from ccagent.clock import Clock
from ccagent.config_alerts import AlertsConfig
from ccagent.errors import StoreError
from ccagent.logs import get_logger
from ccagent.metrics import names as metric
from ccagent.metrics.labels import BUDGETS, OVERFLOW
from ccagent.metrics.snapshot import Gauges
from ccagent.service.live import Live
from ccagent.store import alert_rules, alert_samples, alert_states, alert_version, measured
from ccagent.store.alert_rules import StoredRule
from ccagent.store.alert_states import Telling
from ccagent.store.connection import Connection, snapshot
from ccagent.store.hosts import read_host
from ccagent.store.ingest import Ingest
from ccagent.store.standing import commits
from ccagent.store.writer import Writer
from ccagent.tracing import OFF, Tracer

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

IDLE_SECONDS: Final = 60.0
"""Between two evaluations while nothing is written: only time passes, and what the process tells of itself."""

KEEP_MS: Final = 10 * 60_000
"""How old a kept standing may get of which only its reading changes: an idle machine on which something fires does not
write for it. A restart counts at most engine.GAP_MS of what is missing."""

BOOK_MS: Final = 10 * 60_000
"""Between two writes of how many evaluations there were, for the same reason. The first, errors, and what is left at the
end are booked at once."""

PRUNE_MS: Final = 24 * 3_600_000

Reader = Callable[[], AbstractContextManager[Connection]]
Asking = Callable[[Connection, int], Series]
"""The series of a moment (ms UTC) over a connection."""

Place = tuple[str, str]
"""A rule and a subject."""


@dataclass(slots=True)
class _Book:
    """What was read of the table, and how the subjects stand; `kept` is what the table has of them."""

    version: int = -1
    rules: list[StoredRule] = field(default_factory=list)
    standings: dict[str, dict[str, Standing]] = field(default_factory=dict)
    kept: dict[Place, Standing] = field(default_factory=dict)


class Alerting:
    """Driven by `tick(now)`; what fires is in `firing`, for any thread."""

    def __init__(
        self, store: Writer, reader: Reader, zone: ZoneInfo, live: Live, clock: Clock, config: AlertsConfig,
        series: Asking,
    ) -> None:  # fmt: skip
        self.tracer: Tracer = OFF
        self.firing: Gauges = {}
        self.told: Callable[[], None] = lambda: None
        """Called when there may be something to tell."""
        self._store = store
        self._reader = reader
        self._zone = zone
        self._live = live
        self._clock = clock
        self._config = config
        self._series = series
        self._book = _Book()
        self._synced = False
        self._elected = False
        self._not_before: int | None = None
        self._commits: int | None = None
        self._counts = {"ok": 0, "error": 0}
        self._booked_ms: int | None = None
        self._pruned_ms = 0
        self._next_look = 0.0
        self._next_run = 0.0
        self._failing: set[str] = set()
        self._log = get_logger()

    def reload(self, config: AlertsConfig) -> None:
        """Another configuration holds from the next look on, which is at once. Thread-safe."""
        self._config, self._synced, self._next_look = config, False, 0.0

    def tick(self, now: float) -> None:
        """Evaluate if it is time, at `now` (steady seconds). StoreError where the store refuses: the next look begins anew."""
        if not self._live.caught_up or now < self._next_look:
            return
        self._next_look = now + self._config.interval_seconds
        if now >= self._next_run or (self._elected and not self._synced) or self._changed():
            self._next_run = now + IDLE_SECONDS
            self.evaluate()

    def evaluate(self) -> None:
        """Evaluate now, whatever has changed."""
        with self.tracer.span("alert run") as span:
            try:
                rules, transitions = self._evaluate()
            except BaseException:
                self._book = _Book()  # what stands in the table is the truth
                raise
            span.set(rules=rules, transitions=transitions)
            if not rules:
                span.discard()

    def active(self) -> list[Rule]:
        """The rules that are evaluated, as they were read last."""
        if not self._config.enabled:
            return []
        return [stored.rule for stored in self._book.rules if stored.active and stored.rule is not None]

    # ---- what there is to evaluate ---------------------------------------------------------------------------------

    def _changed(self) -> bool:
        """Whether anybody has written anything since the last evaluation."""
        with self._reader() as conn:
            return commits(conn) != self._commits or alert_version.version(conn) != self._book.version

    def _evaluate(self) -> tuple[int, int]:
        """Numbers of rules that were evaluated, and of changes of state."""
        now_ms, elected = self._clock.now_ms(), self._store.elected()
        if elected is not self._elected:  # another host may have evaluated meanwhile, by another configuration
            if elected and self._store.conn.dialect.shared:
                self._store.write(alert_version.touch)  # and keeps nothing of what it is at, should it wake up
            self._book, self._synced, self._elected = _Book(), False, elected
        if elected and not self._synced:
            self._sync(now_ms)
            self._book.version = -1
        self._read_rules(now_ms, elected=elected)
        rules = [
            stored.rule for stored in self._book.rules if stored.rule is not None and self._is_mine(stored, elected)
        ]
        done = 0
        if rules:
            with self._reader() as conn:
                series = self._series(conn, now_ms)
                for number, rule in enumerate(rules):
                    changes = self._one(rule, series, now_ms)
                    if changes is None:
                        self._book.version = -1  # somebody has changed rules meanwhile
                        self._next_look = 0.0
                        rules = rules[:number]
                        break
                    done += changes
        self._tell(elected=elected)
        self._settle(now_ms, elected=elected)
        return len(rules), done

    def _is_mine(self, stored: StoredRule, elected: bool) -> bool:
        rule = stored.rule if self._config.enabled and stored.active else None
        return rule is not None and (elected or self._of_hosts(rule))

    def _of_hosts(self, rule: Rule) -> bool:
        """Whether each host of a shared database judges it for itself: it asks for a gauge that tells of a process."""
        return self._store.conn.dialect.shared and any(map(_of_process, operands_of(rule)))

    def _sync(self, now_ms: int) -> None:
        self._synced = True  # before the configuration is looked at: a reload meanwhile asks for another look
        try:
            found = alert_book.sync(self._store, self._config, now_ms)
        except BaseException:
            self._synced = False
            raise
        for notice in found.notices:
            self._log.warning("alerts.notice", notice=notice)
        if found.changed:
            self._log.info("alerts.rules", written=len(found.written), removed=len(found.removed))

    def _read_rules(self, now_ms: int, *, elected: bool) -> None:
        with self._reader() as conn:
            version = alert_version.version(conn)
            if version == self._book.version:
                return
            with snapshot(conn):
                version = alert_version.version(conn)
                rules, standings = alert_rules.rules(conn), alert_states.standings(conn)
            if self._not_before is None:
                host = read_host(conn, self._store.host_id)
                self._not_before = None if host is None else host.catch_up_done
        self._book = _Book(version=version, rules=rules)
        for one in standings:
            self._book.standings.setdefault(one.rule, {})[one.subject] = one
            self._book.kept[one.rule, one.subject] = one
        unreadable = [f"{stored.id}: {stored.problem}" for stored in rules if stored.problem is not None]
        said = f"{len(unreadable)} alert rules cannot be read and are not evaluated: {'; '.join(unreadable)}"
        self._live.unreadable_rules = tuple(stored.id for stored in rules if stored.problem is not None)
        self._live.problem("alert_rules", said if unreadable else None)
        if elected:
            self._retire(now_ms)

    def _retire(self, now_ms: int) -> None:
        """Nothing fires of a rule that is gone or switched off. One that cannot be read stands as it stood."""
        there = {stored.id for stored in self._book.rules if (stored.active and self._config.enabled) or stored.problem}
        gone = sorted({rule for rule, one in self._going_on() if rule not in there})
        if not gone:
            return

        def work(conn: Connection) -> None:
            for rule in gone:
                alert_states.retire(conn, rule, now_ms=now_ms)

        self._store.write(work)
        self._book.version = -1
        self._read_rules(now_ms, elected=False)
        rules = {stored.id for stored in self._book.rules if stored.active}
        self._live.problem("alerts", None if self._failing <= rules else self._live.problems.get("alerts"))

    def _going_on(self) -> list[tuple[str, Standing]]:
        """Whatever is pending or fires."""
        return [
            (rule, one)
            for rule, subjects in self._book.standings.items()
            for one in subjects.values()
            if one.state is not State.INACTIVE
        ]

    # ---- one rule --------------------------------------------------------------------------------------------------

    def _one(self, rule: Rule, series: Series, now_ms: int) -> int | None:
        """Evaluate a rule and keep what came of it; the changes of state, None where the evaluation is out of date."""
        before = self._standings_of(rule)
        try:
            outcome = evaluate(rule, series, before, now_ms, self._zone, not_before=self._not_before or 0)
        except Exception as error:
            fault = self._store.translated(error)
            if isinstance(fault, StoreError) and not self._store.refused(error):
                raise fault from (None if fault is error else error)  # the store's trouble, not the rule's
            self._failed(rule, error)
            return 0
        self._well(rule)
        return self._keep(rule, self._outwards(rule, outcome), now_ms)

    def _standings_of(self, rule: Rule) -> Mapping[str, Standing]:
        found = self._book.standings.get(rule.id, {})
        if not self._of_hosts(rule):
            return found
        mine = found.get(self._store.host_id)
        return {} if mine is None else {"": replace(mine, subject="")}

    def _outwards(self, rule: Rule, outcome: Outcome) -> Outcome:
        """The outcome with this host as the subject, where each host judges for itself."""
        if not self._of_hosts(rule):
            return outcome
        host = self._store.host_id
        mine = next((replace(one, subject=host) for one in outcome.standings.values()), None)
        return Outcome(
            standings=dict.fromkeys([host], mine) if mine is not None else {},
            transitions=tuple(replace(one, subject=host) for one in outcome.transitions),
            changed=tuple(replace(one, subject=host) for one in outcome.changed),
            forgotten=tuple(host for _ in outcome.forgotten),
        )

    def _keep(self, rule: Rule, outcome: Outcome, now_ms: int) -> int | None:
        changed = [one for one in outcome.changed if self._matters(one)]
        forgotten = [(rule.id, subject) for subject in outcome.forgotten]
        transitions = outcome.transitions
        if changed or forgotten or transitions:

            def work(state: Ingest) -> bool:
                state.wrote = True
                return alert_states.record(
                    state.conn, host=self._store.host, standings=changed,
                    forgotten=forgotten, transitions=transitions, telling=self._telling, now_ms=now_ms,
                    version=self._book.version,
                )  # fmt: skip

            if not self._store.run(work):
                return None
        subjects = self._book.standings.setdefault(rule.id, {})
        subjects.update(outcome.standings)
        for place in forgotten:
            subjects.pop(place[1], None)
            self._book.kept.pop(place, None)
        self._book.kept.update({(one.rule, one.subject): one for one in changed})
        self._log_changes(rule, transitions)
        if transitions:
            self.told()
        return len(transitions)

    def _matters(self, one: Standing) -> bool:
        """Whether a standing says more than the kept one, beyond its reading, or that is old."""
        kept = self._book.kept.get((one.rule, one.subject))
        if kept is None or not 0 <= one.evaluated_at - kept.evaluated_at < KEEP_MS:
            return True
        return replace(one, evaluated_at=kept.evaluated_at, value=kept.value, threshold=kept.threshold) != kept

    def _telling(self, rule: str) -> Telling:
        stored = next(one for one in self._book.rules if one.id == rule)
        assert stored.rule is not None
        named = "channels" in stored.document
        return Telling(
            severity=str(stored.rule.severity),
            channels=stored.rule.channels if named else self._config.default_channels,
        )

    def _log_changes(self, rule: Rule, transitions: Sequence[Transition]) -> None:
        """Subjects are names of projects and sessions: only at debug."""
        for one in transitions:
            self._log.debug(
                "alert.transition", rule=rule.id, subject=one.subject, before=str(one.before), after=str(one.after),
                reason=str(one.reason), value=one.value, threshold=one.threshold,
            )  # fmt: skip

    def _failed(self, rule: Rule, error: Exception) -> None:
        self._counts["error"] += 1
        what = f"{type(error).__name__}: {error}"
        if rule.id not in self._failing:
            self._failing.add(rule.id)
            self._log.error("alert.failed", rule=rule.id, error=what, exc_info=error)
        self._live.problem("alerts", f"the alert rule {rule.id} cannot be evaluated: {what}")

    def _well(self, rule: Rule) -> None:
        self._counts["ok"] += 1
        if rule.id in self._failing:
            self._failing.discard(rule.id)
            if not self._failing:
                self._live.problem("alerts", None)

    # ---- what others see -------------------------------------------------------------------------------------------

    def _tell(self, *, elected: bool) -> None:
        """The gauge: 1 for rules that fire, 0 for enabled ones that do not; those that fire first, where there are many."""
        mine = [
            stored.rule for stored in self._book.rules if stored.rule is not None and self._is_mine(stored, elected)
        ]
        active = [rule.id for rule in mine]
        fires = {
            rule.id for rule in mine if any(one.state is State.FIRING for one in self._standings_of(rule).values())
        }
        ordered = sorted(active, key=lambda rule: (rule not in fires, rule))
        shown, rest = ordered[: BUDGETS["rule"]], ordered[BUDGETS["rule"] :]
        found: dict[tuple[str, tuple[str, ...]], int | float] = {
            (metric.ALERTS_FIRING, (rule,)): int(rule in fires) for rule in shown
        }
        if rest:
            found[metric.ALERTS_FIRING, (OVERFLOW,)] = sum(rule in fires for rule in rest)
        self.firing = found

    def _settle(self, now_ms: int, *, elected: bool) -> None:
        """Book how often rules were evaluated, remove what is old, and note what was seen of the store."""
        if self._counts["error"] or self._booked_ms is None or not 0 <= now_ms - self._booked_ms < BOOK_MS:
            self.book(now_ms)
        if elected and not 0 <= now_ms - self._pruned_ms < PRUNE_MS:
            self._pruned_ms = now_ms
            asked = {operand.metric for rule in self.active() for operand in operands_of(rule)}
            self._store.write(lambda conn: measured.keep_only(conn, asked))
            self._store.write(lambda conn: alert_samples.keep_only(conn, asked))
            while self._store.write(lambda conn: alert_states.prune(conn, now_ms)) == alert_states.PRUNED:
                pass
            # What fired for a host that nobody has heard of for a day could never end; a live one keeps it every KEEP_MS.
            unseen = {rule.id: now_ms - unseen_ms(rule) for rule in self.active() if self._of_hosts(rule)}
            if self._store.write(lambda conn: alert_states.expire(conn, unseen, now_ms)):
                self.told()
        with self._reader() as conn:
            self._commits = commits(conn)

    def book(self, now_ms: int) -> None:
        """Book what was counted."""
        amounts: dict[tuple[str, tuple[str, ...], bool], int] = {
            (metric.ALERT_EVALUATIONS, (status,), True): number for status, number in self._counts.items() if number
        }
        self._store.book(amounts)  # where it refuses they are booked the next time
        self._counts, self._booked_ms = {"ok": 0, "error": 0}, now_ms


def asks_standing(rules: Sequence[Rule]) -> bool:
    """Whether any of them asks for a gauge of facts (service/measuring.py)."""
    asked = [known()[one.metric] for rule in rules for one in operands_of(rule)]
    return any(one.is_gauge and one.spec is not None and one.spec.from_facts for one in asked)


def _of_process(operand: Operand) -> bool:
    asked = known()[operand.metric]
    return asked.is_gauge and asked.spec is not None and not asked.spec.from_facts
