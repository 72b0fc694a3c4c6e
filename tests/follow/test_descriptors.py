"""Few descriptors: reading goes on with those there are, and leaves some to everybody else."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ccagent.follow.handles import MAX_HANDLES, SHARE, most_handles
from tests.follow.driver import Session, write_new

FILES = 60


@contextmanager
def allowed(number: int) -> Iterator[None]:
    """This process may have so many descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def lowest_free() -> int:
    """The number that the next descriptor gets: limits count from there."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


def test_all_is_read_though_descriptors_run_out_on_the_way(tmp_path: Path) -> None:
    for number in range(FILES):
        write_new(tmp_path / f"{number}.jsonl", b"%d\n" % number)
    session = Session(tmp_path)  # which would keep all of them
    session.follower.scan()

    with allowed(lowest_free() + 10):
        session.drain()

    assert sorted(session.texts(), key=int) == [b"%d" % number for number in range(FILES)]


@pytest.mark.parametrize(("limit", "kept"), [(1_024, MAX_HANDLES), (MAX_HANDLES, MAX_HANDLES // SHARE)])
def test_no_more_are_kept_than_the_system_can_spare(limit: int, kept: int) -> None:
    with allowed(limit):
        assert most_handles() == kept
