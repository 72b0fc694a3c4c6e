"""What a service manager hears over a real socket: ready once, work that goes on, and nothing of a thread that hangs."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccagent.clock import FakeClock
from ccagent.service.live import Live
from ccagent.service.supervisor import FEEDS, START_SECONDS, STATUS_LENGTH, Pulse, Supervisor, describe

WATCHDOG_SECONDS = 30.0


class Manager:
    """The end of the socket at which a service manager listens."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self._socket.setblocking(False)

    @property
    def env(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": self.name, "WATCHDOG_USEC": str(int(WATCHDOG_SECONDS * 1e6))}

    def heard(self) -> list[str]:
        """The lines that have arrived since it was last asked."""
        lines: list[str] = []
        while True:
            try:
                lines += self._socket.recv(4_096).decode().splitlines()
            except BlockingIOError:
                return lines

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    name = str(tmp_path / "notify") if request.param == "file" else f"@ccagent-test-{os.getpid()}-{id(tmp_path)}"
    made = Manager(name)
    yield made
    made.close()


@pytest.fixture
def pulse() -> Pulse:
    return Pulse("follow", "schedule")


def both(pulse: Pulse) -> None:
    pulse.beat("follow")
    pulse.beat("schedule")


def test_ready_is_said_once_and_only_after_the_first_scan(
    manager: Manager, clock: FakeClock, live: Live, pulse: Pulse
) -> None:
    supervisor = Supervisor(manager.env, clock, pulse)
    supervisor.tick(live)
    before, waited = manager.heard(), supervisor.waits

    live.ready = live.caught_up = True
    supervisor.tick(live)
    supervisor.tick(live)

    assert before == ["STATUS=Starting"]
    assert waited
    assert not supervisor.waits
    assert manager.heard() == ["READY=1", "STATUS=Following 0 files"]


def test_the_watchdog_is_fed_in_time_while_both_threads_turn(
    manager: Manager, clock: FakeClock, live: Live, pulse: Pulse
) -> None:
    supervisor = Supervisor(manager.env, clock, pulse)
    fed = []
    for second in range(61):
        both(pulse)
        supervisor.tick(live)
        fed += [second] * manager.heard().count("WATCHDOG=1")
        clock.advance(1_000)

    assert fed == list(range(0, 61, int(WATCHDOG_SECONDS / FEEDS)))


@pytest.mark.parametrize("alive", ["follow", "schedule"])
def test_one_thread_that_hangs_ends_the_feeding(
    manager: Manager, clock: FakeClock, live: Live, pulse: Pulse, alive: str
) -> None:
    supervisor = Supervisor(manager.env, clock, pulse)
    both(pulse)
    supervisor.tick(live)
    first = manager.heard().count("WATCHDOG=1")

    for _ in range(60):
        clock.advance(1_000)
        pulse.beat(alive)
        supervisor.tick(live)

    assert first == 1
    assert "WATCHDOG=1" not in manager.heard()


def test_threads_that_wait_for_a_server_that_is_away_do_not_hang(
    manager: Manager, clock: FakeClock, live: Live, pulse: Pulse
) -> None:
    supervisor = Supervisor(manager.env, clock, pulse)
    pulse.excuse()
    supervisor.tick(live)

    assert "WATCHDOG=1" in manager.heard()


def test_the_watchdog_of_another_process_is_left_alone(
    manager: Manager, clock: FakeClock, live: Live, pulse: Pulse
) -> None:
    supervisor = Supervisor({**manager.env, "WATCHDOG_PID": str(os.getpid() + 1)}, clock, pulse)
    both(pulse)
    supervisor.tick(live)

    assert "WATCHDOG=1" not in manager.heard()


def test_a_reload_is_told_with_its_time_and_ends_ready(
    manager: Manager, clock: FakeClock, live: Live, pulse: Pulse
) -> None:
    clock.advance(2_500)
    live.ready = True
    supervisor = Supervisor(manager.env, clock, pulse)
    supervisor.tick(live)
    manager.heard()

    supervisor.reloading()
    supervisor.reloaded()

    assert manager.heard() == ["RELOADING=1", "MONOTONIC_USEC=2500000", "READY=1"]


def test_a_start_that_waits_says_for_what_and_asks_for_time(manager: Manager, clock: FakeClock, pulse: Pulse) -> None:
    Supervisor(manager.env, clock, pulse).waiting("the server\nis away", 60)

    assert manager.heard() == ["STATUS=the server is away", "EXTEND_TIMEOUT_USEC=60000000"]


@pytest.mark.parametrize("name", ["", "relative", "/nowhere/at/all"])
def test_without_a_manager_nothing_is_sent_and_nobody_waits(
    name: str, clock: FakeClock, live: Live, pulse: Pulse
) -> None:
    live.ready = True
    both(pulse)
    supervisor = Supervisor({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000000"}, clock, pulse)

    supervisor.tick(live)
    supervisor.stopping()

    assert not supervisor.waits


def test_the_status_is_one_short_line_with_the_worst_first(live: Live) -> None:
    live.ready = True
    live.files, live.total_bytes, live.unread_bytes = 7, 200, 50
    reading = describe(live)
    live.caught_up = True
    live.problem("listen", "taken")
    following = describe(live)
    live.problem("store", "full\n" * STATUS_LENGTH)

    assert reading == "Reading what was written before: 75 % of 7 files"
    assert following == "Following 7 files; 1 problem, see `ccagent status`"
    assert describe(live).startswith("full full")
    assert len(describe(live)) == STATUS_LENGTH


def named(pulse: Pulse, supervisor: Supervisor, name: str, waiting: tuple[str, ...] = ()) -> None:
    """What a thread of that name says of its own work."""
    thread = threading.Thread(target=supervisor.at_work, args=(waiting,), name=name)
    thread.start()
    thread.join()


def test_a_start_that_takes_long_asks_for_time_now_and_then_until_all_is_ready(manager: Manager, pulse: Pulse) -> None:
    clock = FakeClock(0)
    supervisor = Supervisor(manager.env, clock, pulse)
    for _ in range(3):
        supervisor.at_work()
    once = manager.heard()
    clock.advance(int(1_000 * START_SECONDS[0]))
    supervisor.at_work()
    again = manager.heard()
    supervisor.tick(Live(started_ms=0, ready=True))
    manager.heard()
    clock.advance(int(1_000 * START_SECONDS[0]))
    supervisor.at_work()

    assert once == ["STATUS=Preparing the database", f"EXTEND_TIMEOUT_USEC={START_SECONDS[1] * 1e6:.0f}"]
    assert again == once
    assert manager.heard() == []


def test_a_thread_at_long_work_beats_and_so_does_the_one_that_waits_for_it(manager: Manager, pulse: Pulse) -> None:
    supervisor = Supervisor(manager.env, FakeClock(0), pulse)

    named(pulse, supervisor, "ccagent-follow")
    alone = pulse.all_turned()
    named(pulse, supervisor, "ccagent-follow", ("ccagent-schedule",))

    assert not alone
    assert pulse.all_turned()
