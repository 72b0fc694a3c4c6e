"""SIGHUP: a sound configuration is taken, any other is refused and said, and the daemon lives on."""

from __future__ import annotations

import signal

import pytest

from tests.daemon.collector import PROTOCOLS, receiver
from tests.daemon.rig import Daemon, Ground, small_session
from tests.otlp.receiver import Answer, http_receiver

SUCCESS = ("ccagent_config_last_reload_success", ())


def started(ground: Ground, text: str) -> Daemon:
    ground.config.write_text(text)
    ground.tree.write(small_session("one"))
    daemon = ground.start("--config", str(ground.config))
    daemon.until_caught_up()
    return daemon


def reload(daemon: Daemon, text: str, event: str) -> None:
    """Write the configuration, let it be read, wait until the log says `event`."""
    daemon.ground.config.write_text(text)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.until_logged(event)


def test_a_broken_file_is_refused_and_the_old_values_are_kept(ground: Ground) -> None:
    daemon = started(ground, "[metrics]\nproject_label = true\n")

    reload(daemon, "[metrics]\nproject_label = perhaps\n", "config.reload_failed")

    samples = daemon.samples()
    assert samples[SUCCESS] == 0
    assert any(name == "ccagent_tokens_total" and "project" in dict(labels) for name, labels in samples)
    daemon.until(
        lambda: any("the old configuration is kept" in one for one in ground.status()["problems"]), "the status says so"
    )


def test_a_destination_that_cannot_be_used_is_refused_and_the_daemon_lives_on(ground: Ground) -> None:
    daemon = started(ground, "")
    bad = '[otlp]\nendpoint = "http://127.0.0.1:4318"\ncertificate = "/nowhere/ca.pem"\n'

    reload(daemon, bad, "config.reload_failed")

    assert daemon.samples()[SUCCESS] == 0
    assert daemon.process.poll() is None


def test_a_corrected_file_takes_the_problem_back(ground: Ground) -> None:
    daemon = started(ground, "")
    reload(daemon, "metrics = 7\n", "config.reload_failed")

    reload(daemon, "[metrics]\nproject_label = false\n", "config.reloaded")

    assert daemon.samples()[SUCCESS] == 1
    daemon.until(lambda: ground.status()["problems"] == [], "the status has no problem any more")


def test_the_project_label_comes_with_the_next_scrape(ground: Ground) -> None:
    daemon = started(ground, "")
    assert not any("project" in dict(labels) for _, labels in daemon.samples())

    reload(daemon, "[metrics]\nproject_label = true\n", "config.reloaded")

    assert any("project" in dict(labels) for _, labels in daemon.samples())


def test_a_destination_named_later_gets_what_closed_since_and_in_the_last_hour(ground: Ground) -> None:
    daemon = started(ground, "")
    with http_receiver() as collector:
        reload(daemon, f'[otlp]\nendpoint = "{collector.http}"\nprotocol = "http/protobuf"\n', "config.reloaded")
        daemon.until(lambda: len(collector.received.spans) == 3, "the session before the reload has left")

        ground.tree.write(small_session("two"))

        daemon.until(lambda: len(collector.received.spans) == 6, "the session after the reload has left")


def test_a_destination_taken_back_gets_nothing_more(ground: Ground) -> None:
    with http_receiver() as collector:
        daemon = started(ground, f'[otlp]\nendpoint = "{collector.http}"\nprotocol = "http/protobuf"\n')
        daemon.until(lambda: len(collector.received.spans) == 3, "the first session has left")
        reload(daemon, "", "config.reloaded")

        ground.tree.write(small_session("two"))
        daemon.until(lambda: ground.requests() == 4, "the second session is in the store")
        assert daemon.terminate() == 0

        assert len(collector.received.spans) == 3


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_destination_taken_back_while_a_request_hangs_is_no_death(ground: Ground, protocol: str) -> None:
    with receiver(protocol) as collector:
        collector.received.rule = lambda _request: Answer(silent=True)
        daemon = started(ground, f'[otlp]\nendpoint = "{collector.http}"\nprotocol = "{protocol}"\n')
        daemon.until(lambda: collector.received.offered, "a request hangs")

        reload(daemon, "", "config.reloaded")
        collector.received.ended.set()
        ground.tree.write(small_session("two"))

        daemon.until(lambda: ground.requests() == 4, "it goes on")
        assert daemon.terminate() == 0, daemon.words


def test_what_holds_only_from_the_next_start_on_is_named(ground: Ground) -> None:
    daemon = started(ground, "")

    reload(daemon, "[ingest]\nscan_interval_seconds = 5\n", "config.reloaded")

    daemon.until(lambda: ground.status()["problems"] == ["restart to apply: ingest"], "the status names it")
