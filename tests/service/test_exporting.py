"""The sender threads: what they count reaches the totals, and a change wakes them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ccagent.clock import Clock, FakeClock, SystemClock
from ccagent.config import load
from ccagent.errors import ConfigError
from ccagent.metrics import names as metric
from ccagent.metrics.snapshot import Snapshot
from ccagent.otlp_settings import resolve
from ccagent.service.exporting import Exporting, Observed
from ccagent.service.following import Following
from ccagent.service.live import Live
from ccagent.store.connection import scalar
from ccagent.store.open import open_reader
from ccagent.store.sqlite import SqliteStore
from tests.daemon.rig import small_session, until
from tests.otlp.receiver import Answer, Running, http_receiver
from tests.transcripts import Tree


@pytest.fixture
def collector() -> Iterator[Running]:
    with http_receiver() as running:
        yield running


@pytest.fixture
def exporting(store: SqliteStore, live: Live) -> Callable[..., Exporting]:
    """Makes the senders to an endpoint."""

    @contextmanager
    def reader() -> Iterator[Any]:
        with open_reader(store.path) as conn:
            yield conn

    def make(endpoint: str, clock: Clock | None = None, **more: object) -> Exporting:
        flags = {"otlp.endpoint": endpoint, "otlp.protocol": "http/protobuf", "database": store.path, **more}
        return Exporting(
            resolve(load(flags, {}), {}),
            store,
            reader,
            live,
            clock or SystemClock(),
            "1",
            lambda: Snapshot(families=()),
        )

    return make


def guard(name: str, work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread


def take_in(store: SqliteStore, tree: Tree, name: str) -> None:
    tree.write(small_session(name))
    following = Following(store, [tree.root], Live(), SystemClock(), max_line=1 << 20, scan_seconds=60)
    following.once()
    following.follower.close()


def test_what_is_written_while_the_senders_idle_leaves_at_the_wake_up(
    exporting: Callable[..., Exporting], collector: Running, store: SqliteStore, tree: Tree
) -> None:
    senders = exporting(collector.http)
    senders.start(guard)
    try:
        take_in(store, tree, "one")
        senders.wake()
        until(lambda: len(collector.received.spans) == 3, "the session has left", 4.0)
    finally:
        senders.stop(1.0)


def test_stopped_senders_end_their_threads(exporting: Callable[..., Exporting], collector: Running) -> None:
    before = threading.active_count()
    senders = exporting(collector.http)
    senders.start(guard)

    senders.stop(5.0)

    until(lambda: threading.active_count() <= before + 1, "the threads have ended")  # the receiver keeps one


def test_a_destination_that_left_is_shown_no_more_though_its_answer_is_still_waited_for(
    exporting: Callable[..., Exporting], collector: Running, store: SqliteStore, tree: Tree, live: Live
) -> None:
    take_in(store, tree, "one")
    collector.received.rule = lambda _request: Answer(silent=True)
    senders = exporting(collector.http, **{"otlp.timeout_seconds": 1.5, "otlp.signals": ("traces",)})
    senders.start(guard)
    try:
        until(lambda: len(collector.received.offered) == 1, "an answer is waited for", 4.0)

        senders.reload(resolve(load({"database": store.path}, {}), {}))

        until(lambda: not any(one.name.startswith("export-otlp") for one in threading.enumerate()), "it has ended", 4.0)
        assert live.exports == {}
    finally:
        senders.stop(1.0)


def test_what_a_project_file_is_told_for_ends_with_the_mistake_and_with_the_destination(
    exporting: Callable[..., Exporting], collector: Running, store: SqliteStore, tree: Tree, live: Live, tmp_path: Path
) -> None:
    file = tmp_path / "project" / ".ccagent.toml"
    file.parent.mkdir()
    file.write_text("tier =\n")
    tree.write(small_session("one", cwd=str(file.parent)))
    following = Following(store, [tree.root], Live(), SystemClock(), max_line=1 << 20, scan_seconds=60)
    following.once()
    following.follower.close()
    clock = FakeClock(SystemClock().now_ms())
    senders = exporting(collector.http, clock=clock, **{"otlp.signals": ("traces",)})
    senders.start(guard)
    try:
        until(lambda: "cannot be used" in live.problems.get("projects", ""), "the mistake is told", 4.0)
        shown = dict(live.project_files)
        file.write_text("tier = 1\n")
        clock.jump(clock.now_ms() + 301_000)
        senders.wake()
        until(lambda: "projects" not in live.problems, "it is told no longer", 4.0)
        corrected = dict(live.project_files)

        senders.reload(resolve(load({"database": store.path}, {}), {}))

        assert (shown, corrected, live.project_files) == ({str(file): 0}, {str(file): 1}, {})
    finally:
        senders.stop(1.0)


def test_a_destination_that_comes_back_is_shown_again(
    exporting: Callable[..., Exporting], store: SqliteStore, live: Live
) -> None:
    senders = exporting("http://127.0.0.1:9")
    settings = resolve(load({"otlp.endpoint": "http://127.0.0.1:9", "database": store.path}, {}), {})

    senders.reload(resolve(load({"database": store.path}, {}), {}))
    gone = dict(live.exports)
    senders.reload(settings)

    assert gone == {}
    assert live.exports["otlp/traces"]["endpoint"] == "http://127.0.0.1:9"


def test_draining_says_what_could_not_be_sent(
    exporting: Callable[..., Exporting], store: SqliteStore, tree: Tree
) -> None:
    take_in(store, tree, "one")

    problems = exporting("http://127.0.0.1:9").drain()

    assert "no answer from 127.0.0.1" in problems["traces"]


def test_drained_spans_and_their_requests_are_counted(
    exporting: Callable[..., Exporting], collector: Running, store: SqliteStore, tree: Tree
) -> None:
    take_in(store, tree, "one")

    problems = exporting(collector.http).drain()

    counted = "SELECT sum(value) FROM total WHERE metric = ? AND labels LIKE '%traces%'"
    assert problems == {}
    assert len(collector.received.spans) == 3
    assert scalar(store.conn, counted, (metric.EXPORTS,)) == 1


def test_a_certificate_that_is_not_there_is_an_error_before_anything_starts(
    exporting: Callable[..., Exporting], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="not a readable file"):
        exporting("https://127.0.0.1:4318", **{"otlp.certificate": str(tmp_path / "none.pem")})


def test_counts_that_the_store_refuses_are_kept_for_the_next_time(store: SqliteStore, live: Live) -> None:
    observed = Observed(live)
    observed.exported("otlp", "traces", "ok")
    observed.duration("otlp", "traces", 0.2)
    store.conn.execute("PRAGMA query_only = ON")
    observed.book(store)
    store.conn.execute("PRAGMA query_only = OFF")

    observed.book(store)

    assert scalar(store.conn, "SELECT sum(value) FROM total WHERE metric = ?", (metric.EXPORTS,)) == 1
    assert scalar(store.conn, "SELECT count(*) FROM histogram WHERE metric = ?", (metric.EXPORT_DURATION,)) == 1


def test_notes_of_one_signal_do_not_touch_another(live: Live) -> None:
    observed = Observed(live)

    observed.note("otlp", "traces", state="active", backlog=3)
    observed.note("otlp", "metrics", state="degraded")
    observed.note("otlp", "traces", backlog=0)

    assert live.exports == {
        "otlp/traces": {"state": "active", "backlog": 0}, "otlp/metrics": {"state": "degraded"},
    }  # fmt: skip
