"""Links where two hosts write, and the same links from either database."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.sources.feed import Feed, files_of
from tests.store.hosted import Hosted
from tests.store.worked import copied, links, worked
from tests.transcripts import Session

WAIT_SECONDS = 30.0


@pytest.fixture
def hosts(pg_database: str) -> Iterator[tuple[Hosted, Hosted]]:
    one, two = Hosted(pg_database, "one"), Hosted(pg_database, "two")
    yield one, two
    for host in (one, two):
        host.close()


def halves() -> tuple[Session, Session, Session]:
    """One session, of which two machines hold different continuations, and the same on one machine."""
    first, second = worked(), worked()
    first.tool("Read", {"file_path": "/home/demo/atlas/docs/plans/search.md"})
    second.now += 60_000
    second.tool("Write", {"file_path": "/home/demo/atlas/docs/plans/billing.md", "content": "x"})
    return first, second, copied(worked(), "fork")


def test_two_hosts_that_write_of_one_session_at_once_end_in_the_same_links(hosts: tuple[Hosted, Hosted]) -> None:
    """Each line of both is a transaction of its own, so that the two meet often."""
    first, second, fork = halves()
    plain = Feed().read(first, fork)
    plain.take(*((f"two/{path}", data) for path, data in files_of(second).items()))
    barrier = threading.Barrier(2)
    errors: list[BaseException] = []

    def write(host: Hosted, *sessions: Session) -> None:
        try:
            barrier.wait(WAIT_SECONDS)
            for session in sessions:
                for path, data in files_of(session).items():
                    for line in data.splitlines(keepends=True):
                        host.take((path, line))
        except BaseException as error:
            errors.append(error)

    threads = [
        threading.Thread(target=write, args=(hosts[0], first, fork)),
        threading.Thread(target=write, args=(hosts[1], second)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_SECONDS)

    assert errors == []
    assert links(hosts[0]) == links(plain)


def test_both_databases_hold_the_same_links(pg_database: str) -> None:
    first, second, fork = halves()
    second.session_id = "other"
    served = Hosted(pg_database, "one")
    plain = Feed()

    for feed in (served, plain):
        feed.read(first, fork)

    assert links(served) == links(plain)
    assert links(plain)
    served.close()
