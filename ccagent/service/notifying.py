"""Telling people of alerts: one thread that looks for what is due, and one a channel that delivers.

What is to be told stands in the database, written with the transition itself (`store/alert_queue.py`). It is settled only
after the channel has answered, so a kill at any moment loses nothing; what may then be told twice has the same key. No
channel waits for another, and neither ingest nor evaluation waits for any.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ccagent.alerts import grouping
from ccagent.alerts.message import Message, compose
from ccagent.alerts.quiet import QuietHours, parse_quiet, passes, told_once
from ccagent.alerts.rule import Rule, Severity
from ccagent.alerts.states import State, Transition
from ccagent.clock import Clock
from ccagent.config_channel_keys import QUIET_OFF
from ccagent.errors import DamagedError, StoreError
from ccagent.logs import get_logger
from ccagent.service.channels import check_channels, make_channel
from ccagent.service.live import Live
from ccagent.service.telling import Settlement, Teller, Told, write
from ccagent.store.alert_queue import OPEN, Delivery, DeliveryState, due, next_due
from ccagent.store.alert_rules import read_rule
from ccagent.store.alert_states import Entry
from ccagent.store.writer import Writer

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from ccagent.config_alerts import AlertsConfig
    from ccagent.config_channels import ChannelConfig
    from ccagent.otlp_settings import OtlpSettings

IDLE_SECONDS: Final = 15.0
"""Between two looks that nobody asked for. What the evaluation records is announced; what other processes write, or other
hosts left lying, can wait so long."""

AGAIN_SECONDS: Final = 1.0
"""Before the next look where something is due and no channel is at work on it: what came meanwhile, or a store that refused."""

ROWS: Final = 500
"""Deliveries of one look; more wait for the next."""

FAR_MS: Final = 25 * 3_600_000
"""Beyond the longest wait of a delivery: what is held is looked at anew after a change of the configuration."""

SET_BACK_MS: Final = 60_000
"""A clock that went back by more was wrong before, and with it the times that were noted by it."""

DRAINS: Final = 50
"""Looks of one drain; each takes up to `ROWS`."""

Reader = Callable[[], AbstractContextManager[Any]]
Guard = Callable[[str, Callable[[], None]], threading.Thread]
Row = tuple[Delivery, Message]


class Notifying:
    """All channels of one configuration. `start` runs them in threads, `drain` tells what is due in the caller's.

    Raises ConfigError for a channel that cannot be used, before anything is told on any. `chance` gives numbers from 0 to 1.
    """

    def __init__(
        self,
        alerts: AlertsConfig,
        settings: OtlpSettings,
        store: Writer,
        reader: Reader,
        zone: ZoneInfo,
        live: Live,
        clock: Clock,
        env: Mapping[str, str],
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._reader = reader
        self._zone = zone
        self._live = live
        self._clock = clock
        self._env = env
        self._chance = chance
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._guard: Guard | None = None
        self._thread: threading.Thread | None = None
        self._groups: dict[str, int] = {}
        self._seen_ms = 0
        self._failing = False
        self._log = get_logger()
        self._tellers: dict[str, Teller] = {}
        self._configure(alerts, settings)

    def start(self, guard: Guard) -> None:
        """The thread that looks; those of the channels begin when they are needed. A death of one ends the process."""
        self._guard = guard
        self._thread = guard("notify", self._run)

    def wake(self) -> None:
        """A transition was recorded, or a channel is free again. Thread-safe."""
        self._wake.set()

    def reload(self, alerts: AlertsConfig, settings: OtlpSettings) -> None:
        """Go over to another configuration; channels that stay as they are go on undisturbed, and what is held is looked at
        anew. Raises ConfigError before anything is changed."""
        with self._lock:
            same = settings == self._settings
            old = dict(self._tellers)
            self._configure(alerts, settings)
            for name, teller in old.items():
                config = alerts.channels.get(name)
                if config == teller.config and (same or teller.config.type != "otlp"):
                    continue
                del self._tellers[name]
                teller.stop()
                self._live.problem(f"alerts.channels.{name}", None)
            self._groups.clear()
            self._attempt(partial(self._release, self._clock.now_ms(), {DeliveryState.HELD}))
        self.wake()

    def stop(self, seconds: float) -> None:
        """Ask the threads to end and wait a little; what is not told stays in the database."""
        self._stop.set()
        self._wake.set()
        threads = [self._thread]
        for teller in list(self._tellers.values()):
            teller.stop()
            threads.append(teller.thread)
        alive = [thread for thread in threads if thread is not None]
        for thread in alive:
            thread.join(seconds / len(alive))

    def drain(self) -> dict[str, str]:
        """Tell what is due once (`run --once`), without waiting for others to join; what is wrong, by channel."""
        for _ in range(DRAINS):
            if not self.look(self._clock.now_ms(), drain=True):
                break
        for teller in self._tellers.values():
            teller.stop()
        return {f"alerts/{name}": teller.problem for name, teller in self._tellers.items() if teller.problem}

    # ---- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            pause = IDLE_SECONDS
            try:
                coming = self._next()
                if self._store.conn.dialect.shared or self._is_due(coming) or self._went_back(self._clock.now_ms()):
                    self.look(self._clock.now_ms())
                    coming = self._next()
                if self._is_due(coming) and not any(one.busy for one in self._tellers.values()):
                    pause = AGAIN_SECONDS
                elif coming is not None:
                    pause = min(IDLE_SECONDS, max(0.0, (coming - self._clock.now_ms()) / 1_000))
                self._failing = False
            except DamagedError:
                raise
            except StoreError as error:
                if not self._failing:
                    self._log.error("alert.store", error=str(error))
                self._failing = True
            if not self._stop.is_set():
                self._wake.wait(pause or IDLE_SECONDS)

    def _is_due(self, coming: int | None) -> bool:
        """Whether a time has come; one too far away was noted by a clock that was wrong."""
        return coming is not None and not 0 < coming - self._clock.now_ms() <= FAR_MS

    def _went_back(self, now_ms: int) -> bool:
        """Whether the clock was set back since the last look."""
        return now_ms < self._seen_ms - SET_BACK_MS

    def _next(self) -> int | None:
        """When this host's next delivery is due, None where nothing waits."""
        with self._reader() as conn:
            return next_due(conn, self._store.host)

    def look(self, now_ms: int, *, drain: bool = False) -> int:
        """Hand over what is due, hold what is to wait; how many deliveries were looked at. StoreError when the database
        refuses. With `drain` nothing waits for a group, and all is delivered when it returns."""
        with self._lock:
            if self._went_back(now_ms):
                self._release(now_ms, OPEN)
            self._seen_ms = now_ms
            busy = sorted(name for name, teller in self._tellers.items() if teller.busy)
            rows = self._due(now_ms, drain, busy)
            held: list[Settlement] = []
            leaving: dict[str, list[Delivery]] = {}
            for row in rows:
                settlement = self._waits(row, now_ms, drain)
                if settlement is None:
                    leaving.setdefault(row.channel, []).append(row)
                elif settlement.deliveries:
                    held.append(settlement)
            if held:
                self._store.run(lambda state: write(state, held))
            work = {name: self._messages(name, found) for name, found in leaving.items()}
            for name, told in work.items():
                self._hand_over(name, told, drain=drain)
            return len(held) + sum(map(len, work.values()))

    # ---- what is due -----------------------------------------------------------------------------------------------

    def _due(self, now_ms: int, drain: bool, busy: Sequence[str]) -> list[Delivery]:
        until = now_ms + round(self._alerts.group_seconds * 1_000) if drain else now_ms
        others = self._store.conn.dialect.shared and self._store.elected()
        with self._reader() as conn:
            found = due(conn, until, ROWS, host=self._store.host, others=others, without=busy)
        # What waits for others of its group goes at once in a drain; what a receiver did not take waits for its own time.
        return [row for row in found if row.state is DeliveryState.HELD or not drain or (row.next_at or 0) <= now_ms]

    def _waits(self, row: Delivery, now_ms: int, drain: bool) -> Settlement | None:
        """What a delivery that is due has to wait for, or why it is not told; None when it leaves now.

        One without deliveries in it: it is none of this host's business.
        """
        config = self._alerts.channels.get(row.channel)
        if config is None:
            if row.entry.host != self._store.host:
                return Settlement(deliveries=(), state=DeliveryState.WAITING, at=now_ms)
            return _dropped(row, now_ms, f"there is no channel {row.channel}")
        severity = _severity(row.entry)
        if _rank(severity) < _rank(Severity(config.min_severity)):
            return _dropped(row, now_ms, f"the channel tells from {config.min_severity} on")
        if row.entry.after is State.RESOLVED and not config.send_resolved:
            return _dropped(row, now_ms, "the channel does not tell that alerts are over")
        quiet = self._quiet(config)
        until = None if quiet is None or passes(severity) else quiet.until(now_ms, self._zone)
        if until is not None:
            return _held(row, DeliveryState.HELD, now_ms, until)
        if drain or row.attempts:
            return None
        teller = self._tellers.get(row.channel)
        if teller is not None and now_ms < teller.rest_until <= now_ms + grouping.WISH_MS:
            return _held(row, DeliveryState.WAITING, now_ms, teller.rest_until)
        if row.state is DeliveryState.HELD:
            return None
        group_ms = round(self._alerts.group_seconds * 1_000)
        leaves = grouping.leaves_at(severity, row.entry.at, now_ms, group_ms, self._groups.get(row.channel))
        if leaves <= now_ms:
            return None
        self._groups[row.channel] = leaves
        return _held(row, DeliveryState.HELD, now_ms, leaves)

    def _release(self, now_ms: int, states: Collection[DeliveryState]) -> None:
        """What waits in one of these states is due at once, to be judged by the hours that hold now."""
        with self._reader() as conn:
            rows = due(conn, now_ms + FAR_MS, ROWS, host=self._store.host)
        again = [_held(row, row.state, now_ms, now_ms) for row in rows if row.state in states]
        if again:
            self._store.run(lambda state: write(state, again))

    def _messages(self, name: str, rows: Sequence[Delivery]) -> list[Told]:
        """What a channel is to tell; an alert that fired and was resolved within quiet hours is one message."""
        rules: dict[str, Rule | None] = {}
        with self._reader() as conn:
            for rule in {row.entry.rule for row in rows}:
                stored = read_rule(conn, rule)
                rules[rule] = None if stored is None else stored.rule
        pairs = [(row, message_of(row.entry, rules[row.entry.rule])) for row in rows]
        quiet = self._quiet(self._alerts.channels[name])
        inside = [row for row, _ in pairs if quiet is not None and quiet.until(row.entry.at, self._zone) == row.next_at]
        by_key = {message.key: row for row, message in pairs}
        calm = told_once([message for row, message in pairs if row in inside])
        plain = [message for row, message in pairs if row not in inside]
        told = [_told(message, by_key) for message in (*calm, *plain)]
        return sorted(told, key=lambda one: (one.at, one.deliveries))

    def _quiet(self, config: ChannelConfig) -> QuietHours | None:
        text = config.quiet_hours or self._alerts.quiet_hours
        return None if text is None or text == QUIET_OFF else parse_quiet(text)

    # ---- channels --------------------------------------------------------------------------------------------------

    def _configure(self, alerts: AlertsConfig, settings: OtlpSettings) -> None:
        check_channels(alerts.channels)
        self._alerts = alerts
        self._settings = settings

    def _hand_over(self, name: str, told: Sequence[Told], *, drain: bool) -> None:
        teller = self._tellers.get(name)
        if teller is None:
            teller = self._tellers[name] = self._make(self._alerts.channels[name])
            if self._guard is not None:
                teller.thread = self._guard(f"notify-{name}", teller.run)
        if drain:
            teller.work(told)
        else:
            teller.take(told)

    def _make(self, config: ChannelConfig) -> Teller:
        settings = self._settings
        return Teller(
            config, lambda: make_channel(config, settings, self._store, self._reader, self._clock, self._env),
            self._store, self._live, self._clock, chance=self._chance, done=self.wake,
        )  # fmt: skip

    def _attempt(self, work: Callable[[], None]) -> None:
        """What comes right by itself at the next look."""
        try:
            work()
        except DamagedError:
            raise
        except StoreError as error:
            self._log.error("alert.store", error=str(error))


def message_of(entry: Entry, rule: Rule | None) -> Message:
    """The message of a transition as the history has it."""
    transition = Transition(
        rule=entry.rule, subject=entry.subject, before=entry.before, after=entry.after, at=entry.at, reason=entry.reason,
        episode=entry.episode, value=entry.value, threshold=entry.threshold,
    )  # fmt: skip
    return compose(transition, entry.key or "", rule, severity=_severity(entry))


def _told(message: Message, rows: Mapping[str, Delivery]) -> Told:
    found = [rows[key] for key in message.keys]
    return Told(
        message=message, deliveries=tuple(row.id for row in found), attempts=max(row.attempts for row in found),
        at=message.at,
    )  # fmt: skip


def _severity(entry: Entry) -> Severity:
    """A word of a newer version counts as the one in the middle."""
    return Severity(entry.severity) if entry.severity in set(Severity) else Severity.WARNING


def _rank(severity: Severity) -> int:
    order: Iterable[Severity] = Severity
    return list(order).index(severity)


def _held(row: Delivery, state: DeliveryState, now_ms: int, until: int) -> Settlement:
    return Settlement(deliveries=(row.id,), state=state, at=now_ms, next_at=until, error=row.error, tried=False)


def _dropped(row: Delivery, now_ms: int, reason: str) -> Settlement:
    return Settlement(deliveries=(row.id,), state=DeliveryState.DROPPED, at=now_ms, error=reason, tried=False)
