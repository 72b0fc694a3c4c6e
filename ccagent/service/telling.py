"""One alert channel at work: it is handed messages, delivers them, and keeps what became of each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ccagent.alerts import grouping
from ccagent.alerts.message import Message
from ccagent.clock import Clock
from ccagent.config_channels import ChannelConfig
from ccagent.errors import ConfigError, DamagedError, StoreError
from ccagent.failpoints import hit
from ccagent.logs import get_logger
from ccagent.metrics import names as metric
from ccagent.notify.channel import WITHHELD, Channel, Outcome, Verdict, retry
from ccagent.service.live import Live
from ccagent.store.alert_queue import DeliveryState, settle
from ccagent.store.ingest import Ingest
from ccagent.store.writer import Writer

STORE_SECONDS: Final = 2.0
"""Before a store that refused is asked again."""

IDLE_SECONDS: Final = 60.0
"""A thread with nothing to do looks so often whether it is to end; work wakes it."""

GIVEN_UP: Final = "given_up"

STATES: Final = {
    Outcome.SENT: DeliveryState.SENT,
    Outcome.WITHHELD: DeliveryState.DROPPED,
    Outcome.REFUSED: DeliveryState.FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A message and the deliveries (ids) that it settles; `attempts` were made before, `at` is the transition's time."""

    message: Message
    deliveries: tuple[int, ...]
    attempts: int
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What became of deliveries, until it is written."""

    deliveries: tuple[int, ...]
    state: DeliveryState
    at: int
    next_at: int | None = None
    error: str | None = None
    tried: bool = True


class Teller:
    """Delivers on one channel. `take` hands it work that its thread does; `work` does it in the caller's.

    `make` builds the channel at the first need. `done` is called when it is free again. `chance` gives numbers from 0 to 1.
    """

    def __init__(
        self,
        config: ChannelConfig,
        make: Callable[[], Channel],
        store: Writer,
        live: Live,
        clock: Clock,
        *,
        chance: Callable[[], float],
        done: Callable[[], None] = lambda: None,
    ) -> None:
        self.config = config
        self.busy = False
        self.rest_until = 0
        """Nothing is tried before (ms UTC): the receiver is away, or wishes it so."""
        self.thread: threading.Thread | None = None
        self.problem: str | None = None
        self._make = make
        self._store = store
        self._live = live
        self._clock = clock
        self._chance = chance
        self._done = done
        self._channel: Channel | None = None
        self._failures = 0
        self._work: Sequence[Told] = ()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._log = get_logger()

    def take(self, told: Sequence[Told]) -> None:
        """Hand it work. Only when it is not busy."""
        self._work = told
        self.busy = True
        self._wake.set()

    def run(self) -> None:
        """Do what is handed over until stopped."""
        while not self._stop.is_set():
            self._wake.wait(IDLE_SECONDS)
            self._wake.clear()
            if self.busy and not self._stop.is_set():
                self.work(self._work)
                self._work = ()
                self.busy = False
                self._done()

    def stop(self) -> None:
        """Ask it to end; an answer that is waited for is given up. What is not settled is told again, with the same key."""
        self._stop.set()
        self._wake.set()
        channel = self._channel
        if channel is not None:
            channel.close()

    def work(self, told: Sequence[Told]) -> None:
        """Deliver messages in as few pieces as the channel allows. After a piece that is to be tried again the rest waits."""
        channel = self._open()
        pieces = grouping.batches(told, 1 if isinstance(channel, Verdict) else channel.most)
        while pieces and not self._stop.is_set():
            piece = pieces.pop(0)
            verdict = channel if isinstance(channel, Verdict) else self._deliver(channel, piece)
            if self._stop.is_set() and verdict.outcome is Outcome.RETRY:
                return  # it was given up to end, and is no failure
            hit("after_notification")
            if verdict.outcome is Outcome.REFUSED and len(piece) > 1:
                pieces = [[one] for one in piece] + pieces  # one of them may be all that is wrong
                continue
            self._settle(piece, verdict)
            if verdict.outcome is Outcome.RETRY:
                self._postpone([one for rest in pieces for one in rest])
                return

    def _open(self) -> Channel | Verdict:
        if self._channel is None:
            try:
                self._channel = self._make()
            except ConfigError as error:
                return retry(str(error))
            except StoreError as error:
                return retry(f"the database: {error}")
        return self._channel

    def _deliver(self, channel: Channel, piece: Sequence[Told]) -> Verdict:
        try:
            return channel.deliver([one.message for one in piece])
        except DamagedError:
            raise
        except StoreError as error:  # a channel asks where the work was done
            return retry(f"the database: {error}")
        except Exception as error:  # a defect of one channel must end neither the others nor the daemon
            self._log.error(
                "alert.channel_failed", channel=self.config.name, error=type(error).__name__, exc_info=error
            )
            return retry(f"a defect of ccagent: {type(error).__name__}")

    def _settle(self, piece: Sequence[Told], verdict: Verdict) -> None:
        now = self._clock.now_ms()
        if verdict.outcome is not Outcome.RETRY:
            self._failures = 0
            self.rest_until = 0
            self._tell(None if verdict.outcome is not Outcome.REFUSED else f"refused: {verdict.reason}")
            kept_back = [one for one in piece if one.message.key in verdict.withheld]
            self._end([one for one in piece if one not in kept_back], verdict.outcome, verdict.reason, now)
            self._end(kept_back, Outcome.WITHHELD, WITHHELD, now)
            return
        self._failures = max(self._failures, *(one.attempts for one in piece)) + 1
        self.rest_until = now + grouping.pause_ms(self._failures, self._chance(), verdict.after_ms)
        self._tell(verdict.reason)
        again = tuple(number for one in piece if not grouping.given_up(one.at, now) for number in one.deliveries)
        lost = tuple(number for one in piece if grouping.given_up(one.at, now) for number in one.deliveries)
        settlements = []
        if again:
            settlements.append(
                Settlement(
                    deliveries=again, state=DeliveryState.WAITING, at=now, next_at=self.rest_until, error=verdict.reason
                )
            )
        if lost:
            reason = f"given up after a day: {verdict.reason}"
            settlements.append(Settlement(deliveries=lost, state=DeliveryState.FAILED, at=now, error=reason))
        self._write(settlements, {Outcome.RETRY.value: len(again), GIVEN_UP: len(lost)})

    def _end(self, piece: Sequence[Told], outcome: Outcome, reason: str, now_ms: int) -> None:
        """What is told, or never will be."""
        ids = tuple(number for one in piece for number in one.deliveries)
        if ids:
            one = Settlement(deliveries=ids, state=STATES[outcome], at=now_ms, error=reason or None)
            self._write([one], {outcome.value: len(ids)})

    def _postpone(self, rest: Sequence[Told]) -> None:
        if rest:
            ids = tuple(number for one in rest for number in one.deliveries)
            self._write(
                [
                    Settlement(
                        deliveries=ids,
                        state=DeliveryState.WAITING,
                        at=self._clock.now_ms(),
                        next_at=self.rest_until,
                        tried=False,
                    )
                ],
                {},
            )

    def _tell(self, problem: str | None) -> None:
        if problem == self.problem:
            return
        if problem is not None and self.problem is None:
            self._log.warning("alert.channel_problem", channel=self.config.name, problem=problem)
        elif problem is None:
            self._log.info("alert.channel_well", channel=self.config.name)
        self.problem = problem
        where = f"alerts.channels.{self.config.name}"
        self._live.problem(where, None if problem is None else f"the channel {self.config.name}: {problem}")

    def _write(self, settlements: Sequence[Settlement], counted: dict[str, int]) -> None:
        """Keep it, again where the store refuses: what was delivered must not be delivered once more for that."""

        def work(state: Ingest) -> None:
            write(state, settlements)
            for status, count in counted.items():
                if count:
                    state.booking.count(metric.ALERT_NOTIFICATIONS, (self.config.type, status), count, True)

        while True:
            try:
                self._store.run(work)
                return
            except DamagedError:
                raise
            except StoreError as error:
                self._log.error("alert.store", channel=self.config.name, error=str(error))
                if self._stop.wait(STORE_SECONDS):
                    return


def write(state: Ingest, settlements: Sequence[Settlement]) -> None:
    """Keep what became of deliveries, within the caller's transaction."""
    state.wrote = True
    for one in settlements:
        settle(
            state.conn, one.deliveries, one.state, now_ms=one.at, next_at=one.next_at, error=one.error, tried=one.tried
        )
