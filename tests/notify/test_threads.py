"""The threads of the channels: none waits for another, a wake-up is heard, and the end is quick."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ccagent.errors import ConfigError
from ccagent.service import notifying
from ccagent.service.notifying import Notifying
from tests.daemon.rig import until
from tests.notify.desk import Desk, desk
from tests.notify.hooks import Answer, Hooks, receiving


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path, now_ms=time.time_ns() // 1_000_000) as made:
        yield made


class Started:
    """Notifiers that run in threads, and which these are."""

    def __init__(self, at: Desk) -> None:
        self.at = at
        self.threads: list[threading.Thread] = []
        self.deaths: list[BaseException] = []
        self.made: list[Notifying] = []

    def __call__(self, text: str) -> Notifying:
        made = self.at.notifying(text)
        made.start(self._guard)
        self.made.append(made)
        return made

    def _guard(self, name: str, work: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                work()
            except BaseException as error:
                self.deaths.append(error)

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        self.threads.append(thread)
        thread.start()
        return thread


@pytest.fixture
def start(at: Desk) -> Iterator[Started]:
    started = Started(at)
    yield started
    for one in started.made:
        one.stop(10)
    assert started.deaths == []


def two(good: Hooks, bad: Hooks, timeout: float = 60.0) -> str:
    return (
        f'[alerts]\ngroup_seconds = 0\n[alerts.channels.good]\ntype = "webhook"\nurl = "{good.url}"\n'
        f'[alerts.channels.bad]\ntype = "webhook"\nurl = "{bad.url}"\ntimeout_seconds = {timeout}\n'
    )


@pytest.mark.parametrize(
    "answer", [Answer(silent=True), Answer(status=500), Answer(reset=True), Answer(drip=True, body=b"x" * 500)]
)
def test_a_dead_channel_delays_no_other(at: Desk, hooks: Hooks, start: Started, answer: Answer) -> None:
    with receiving() as bad:
        bad.answer = answer
        running = start(two(hooks, bad))
        keys = []
        for number in range(5):
            keys.append(at.happen("bad", "good", subject=f"/p/{number}"))
            running.wake()
            until(lambda count=number: len(hooks.keys) > count, "the good channel was told")

        assert hooks.keys == keys
        assert bad.bodies
        running.stop(10)


def test_threads_of_channels_begin_when_they_are_needed(at: Desk, hooks: Hooks, start: Started) -> None:
    with receiving() as other:
        running = start(two(hooks, other))
        at.happen("good")
        running.wake()
        until(lambda: hooks.keys, "it was told")

    assert [thread.name for thread in start.threads] == ["notify", "notify-good"]


def test_what_another_process_wrote_is_found_without_a_wake_up(
    at: Desk, hooks: Hooks, start: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifying, "IDLE_SECONDS", 0.05)
    start(two(hooks, hooks))

    key = at.happen("good")

    until(lambda: hooks.keys == [key], "it was told")


def test_the_end_waits_for_no_answer_and_the_message_is_told_after_the_next_start(
    at: Desk, hooks: Hooks, start: Started
) -> None:
    hooks.script.append(Answer(silent=True))
    running = start(two(hooks, hooks))
    key = at.happen("bad")
    running.wake()
    until(lambda: hooks.bodies, "the request is under way")

    running.stop(0.3)

    until(lambda: not any(thread.is_alive() for thread in start.threads), "all threads have ended", 20)
    (row,) = at.rows()
    assert (str(row.state), row.attempts) == ("waiting", 0)
    again = start(two(hooks, hooks))
    until(lambda: hooks.keys == [key], "it was told again")
    assert again is not running


def test_a_reload_adds_changes_and_removes_channels(at: Desk, hooks: Hooks, start: Started) -> None:
    with receiving() as moved:
        running = start(two(hooks, hooks))
        at.happen("good")
        running.wake()
        until(lambda: len(hooks.keys) == 1, "it was told")
        fresh = at.config(
            f'[alerts]\ngroup_seconds = 0\n[alerts.channels.good]\ntype = "webhook"\nurl = "{moved.url}"\n'
        )

        running.reload(fresh.alerts, running._settings)
        keys = [at.happen("good", "bad", subject="/p/two")]
        running.wake()
        until(lambda: moved.keys == keys, "the new address was told")
        until(
            lambda: [row.channel for row in at.rows() if str(row.state) == "dropped"] == ["bad"],
            "the old one is dropped",
        )

    assert len(hooks.keys) == 1


def test_a_reload_that_cannot_be_used_changes_nothing(at: Desk, hooks: Hooks, start: Started) -> None:
    running = start(two(hooks, hooks))
    broken = at.config('[alerts.channels.good]\ntype = "command"\ncommand = ["/bin/true", "{nothing}"]\n')

    with pytest.raises(ConfigError):
        running.reload(broken.alerts, running._settings)
    key = at.happen("good")
    running.wake()

    until(lambda: hooks.keys == [key], "the old channel was told")


def test_a_program_that_runs_ends_with_the_daemon(at: Desk, start: Started, tmp_path: Path) -> None:
    marker: Any = tmp_path / "began"
    command = f'["/bin/sh", "-c", "echo $$ > {marker}; sleep 60"]'
    running = start(
        f'[alerts]\ngroup_seconds = 0\n[alerts.channels.cmd]\ntype = "command"\ncommand = {command}\ntimeout_seconds = 60\n'
    )
    at.happen("cmd")
    running.wake()
    until(marker.exists, "the program runs")

    running.stop(10)

    assert not any(thread.is_alive() for thread in start.threads)
    assert at.rows()[0].attempts == 0
