"""Failpoints: what arms them, when they act, and that they cost nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from ccagent import failpoints
from ccagent.errors import ConfigError


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm(None)


def test_a_point_that_is_not_armed_does_nothing() -> None:
    for name in failpoints.POINTS:
        failpoints.hit(name)


def test_an_armed_point_leaves_the_others_alone() -> None:
    failpoints.arm(failpoints.parse("before_commit:raise"))

    failpoints.hit("after_commit")
    with pytest.raises(failpoints.InjectedFaultError, match="before_commit"):
        failpoints.hit("before_commit")


def test_a_point_acts_once_at_its_count() -> None:
    failpoints.arm(failpoints.parse("after_facts:raise:3"))

    failpoints.hit("after_facts")
    failpoints.hit("after_facts")
    with pytest.raises(failpoints.InjectedFaultError):
        failpoints.hit("after_facts")
    failpoints.hit("after_facts")


def test_kill_ends_the_process_without_any_handler() -> None:
    path = os.pathsep.join(filter(None, sys.path))
    code = "import atexit; atexit.register(print, 'handler'); from ccagent.failpoints import hit; hit('after_post')"

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, failpoints.VARIABLE: "after_post:kill", "PYTHONPATH": path},
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout) == (-signal.SIGKILL, b"")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("nowhere:kill", "nowhere"),
        ("before_commit", "kill, raise, sleep"),
        ("before_commit:explode", "explode"),
        ("before_commit:kill:0", "from 1"),
        ("before_commit:kill:x", "'x'"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_is_right(text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        failpoints.parse(text)
