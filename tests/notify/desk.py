"""A store with rules and recorded transitions, and what tells people of them, turned by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ccagent.clock import FakeClock
from ccagent.config import Config, load
from ccagent.metrics import names as metric
from ccagent.otlp_settings import resolve
from ccagent.service.live import Live
from ccagent.service.notifying import Notifying
from ccagent.store import totals
from ccagent.store.alert_queue import Delivery, deliveries
from ccagent.store.alert_rules import Origin, put_rule
from ccagent.store.alert_states import Telling, history, record
from ccagent.store.ingest import Ingest
from ccagent.store.location import parse_database
from ccagent.store.opening import open_readers, open_store
from ccagent.store.writer import Writer
from tests.notify.hooks import Hooks
from tests.notify.made import NOON, PROJECT, transition

BERLIN = ZoneInfo("Europe/Berlin")
RULE: Mapping[str, Any] = {
    "id": "budget", "name": "Daily budget", "metric": "session_cost", "window": "daily", "operator": ">", "threshold": 5.0,
    "scope": "project",
}  # fmt: skip


def open_writer(database: str, clock: FakeClock, host: str | None = None) -> Writer:
    """A store at a path or URL."""
    return open_store(parse_database(database), clock=clock, host_id=host)


@dataclass
class Desk:
    """`happen` records a transition, `look` does what the thread would."""

    store: Writer
    clock: FakeClock
    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)
    zone: ZoneInfo = BERLIN

    def __post_init__(self) -> None:
        self.live = Live(started_ms=NOON)
        self.readers = open_readers(self.store.database)
        self._write(lambda state: put_rule(state.conn, RULE, origin=Origin.CLI, now_ms=NOON))

    def _write(self, work: Any) -> Any:
        def wrapped(state: Ingest) -> Any:
            state.wrote = True
            return work(state)

        return self.store.run(wrapped)

    def config(self, text: str) -> Config:
        """A configuration file's meaning."""
        path = self.folder / "config.toml"
        path.write_text(text)
        return load({}, self.env, path)

    def notifying(self, text: str, *, chance: float = 0.0) -> Notifying:
        """Everything that tells, under this configuration."""
        config = self.config(text)
        return Notifying(
            config.alerts, resolve(config, self.env), self.store, self.readers.reader, self.zone, self.live, self.clock,
            self.env, chance=lambda: chance,
        )  # fmt: skip

    def happen(self, *channels: str, severity: str = "warning", **more: Any) -> str:
        """Record a transition that these channels are to be told of; its key."""
        one = transition(**{"at": self.clock.now_ms()} | more)
        self._write(
            lambda state: record(
                state.conn, host=self.store.host, standings=[], transitions=[one],
                telling=lambda _: Telling(severity=severity, channels=channels), now_ms=self.clock.now_ms(),
            )
        )  # fmt: skip
        with self.readers.reader() as conn:
            return str(history(conn, limit=1)[0].key)

    def rows(self) -> list[Delivery]:
        """All deliveries, in the order in which they were recorded."""
        with self.readers.reader() as conn:
            return deliveries(conn, [entry.id for entry in history(conn)])

    def states(self) -> list[str]:
        """What became of each."""
        return [str(row.state) for row in self.rows()]

    def counted(self) -> dict[tuple[str, str], int]:
        """Notifications by kind of channel and what became of them."""
        with self.readers.reader() as conn:
            return {
                (total.labels[0], total.labels[1]): total.value
                for total in totals.read(conn, self.store.host).totals
                if total.metric == metric.ALERT_NOTIFICATIONS and total.value
            }

    def close(self) -> None:
        """Give connections up."""
        self.readers.close()
        self.store.close()


@contextmanager
def desk(folder: Path, *, env: Mapping[str, str] | None = None, now_ms: int = NOON) -> Iterator[Desk]:
    """One on a SQLite database of its own."""
    clock = FakeClock(now_ms)
    made = Desk(store=open_writer(str(folder / "alerts.db"), clock), clock=clock, folder=folder, env=env or {})
    try:
        yield made
    finally:
        made.close()


def configured(hooks: Hooks, alerts: str = "group_seconds = 0", channel: str = "", more: str = "") -> str:
    return f'[alerts]\n{alerts}\n[alerts.channels.hook]\ntype = "webhook"\nurl = "{hooks.url}"\ntimeout_seconds = 2\n{channel}\n{more}'


class Turned:
    """A notifier whose channels work when they are told to, in the caller's thread."""

    def __init__(self, at: Desk, text: str, **more: Any) -> None:
        self.at = at
        self.notifying: Notifying = at.notifying(text, **more)

    def look(self) -> None:
        """One look of the thread, and the work of each channel that was handed any."""
        self.notifying.look(self.at.clock.now_ms())
        for teller in self.notifying._tellers.values():
            if teller.busy:
                teller.work(teller._work)
                teller.busy = False


__all__ = ["PROJECT", "RULE", "Desk", "Turned", "configured", "desk", "open_writer"]
