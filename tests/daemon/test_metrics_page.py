"""The metrics page of a real daemon: what it holds back, what it equals, whom it answers."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ccagent.clock import SystemClock
from ccagent.config import load
from ccagent.daemon import Daemon
from ccagent.export.prometheus import render
from tests.daemon.rig import KINDS, Ground, get, small_session


@pytest.fixture
def inside(ground: Ground) -> Iterator[Daemon]:
    """A daemon in this process, driven by hand: its store, its follower and its snapshot, without threads."""
    ground.tree.write(*(small_session(f"session-{number}", requests=20) for number in range(3)))
    mask = os.umask(0o077)
    config = load({"database": str(ground.database), "sources": (str(ground.root),), "listen": "off"}, {})
    daemon = Daemon(config, {"HOME": str(ground.home)}, SystemClock())
    try:
        yield daemon
    finally:
        daemon.following.follower.close()
        daemon.close()
        os.umask(mask)


def page(daemon: Daemon) -> str:
    return render(daemon.snapshot(), "")[0].decode()


def test_metrics_of_facts_are_absent_until_the_history_is_taken_in(inside: Daemon) -> None:
    before = page(inside)

    while inside.following.turn():
        assert "ccagent_tokens_total" not in page(inside)

    assert "ccagent_build_info" in before
    assert "ccagent_tokens_total" not in before
    assert "ccagent_tokens_total" in page(inside)


def test_ready_comes_before_the_history_is_taken_in(inside: Daemon) -> None:
    inside.following.turn()

    assert (inside.live.ready, inside.live.caught_up) == (True, False)


def test_its_tokens_equal_those_of_usage(ground: Ground) -> None:
    ground.tree.write(small_session("one", requests=7), small_session("two", requests=3))
    daemon = ground.start()
    daemon.until_caught_up()

    tokens = ground.usage()["tokens"]

    assert tokens["input"] == 28 + 6
    assert {kind: daemon.tokens()[kind] for kind in KINDS} == tokens


def test_no_value_falls_over_restarts_and_kills(ground: Ground) -> None:
    seen: list[dict[str, int]] = []
    for number in range(4):
        ground.tree.write(small_session(f"session-{number}", requests=number + 1))
        daemon = ground.start()
        daemon.until_caught_up()
        daemon.until(lambda count=number + 1: ground.requests() == count * (count + 1) // 2, "the session is there")  # type: ignore[misc]
        seen.append(daemon.tokens())
        if number % 2:
            daemon.kill()
        else:
            assert daemon.terminate() == 0

    assert [page["output"] for page in seen] == [10, 30, 60, 100]
    assert seen[-1] == ground.usage()["tokens"]


def test_a_restart_changes_no_total_of_facts(ground: Ground) -> None:
    ground.tree.write(small_session("one"))
    first = ground.start()
    first.until_caught_up()
    counters = ("ccagent_tokens_total", "ccagent_requests_total", "ccagent_turns_total", "ccagent_cost_usd_total")
    before = {key: value for key, value in first.samples().items() if key[0] in counters}
    first.kill()

    second = ground.start()
    second.until_caught_up()

    assert {key: value for key, value in second.samples().items() if key[0] in counters} == before
    assert any(value > 0 for value in before.values())


def test_a_page_of_another_site_cannot_read_it(ground: Ground) -> None:
    daemon = ground.start()
    daemon.until_caught_up()

    assert get(f"{daemon.url}/metrics", Host="attacker.example")[0] == 403
    assert get(f"{daemon.url}/metrics", Origin="http://attacker.example")[0] == 403


def test_it_says_that_it_is_ready(ground: Ground) -> None:
    daemon = ground.start()
    daemon.until_caught_up()

    assert get(f"{daemon.url}/readyz") == (200, "ready\n")
    assert "# EOF" in get(f"{daemon.url}/metrics", Accept="application/openmetrics-text; version=1.0.0")[1]
