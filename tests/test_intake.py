"""From files on disk to the store, one transaction a step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ccagent.clock import FakeClock
from ccagent.errors import StoreError
from ccagent.follow.follower import Follower
from ccagent.intake import Intake, file_states
from ccagent.store.sqlite import SqliteStore
from ccagent.store.view import canonical_dump
from tests.sources.feed import Feed
from tests.transcripts import Session, Tree, tool_use


class Daemon:
    """A follower and a store on disk; `restart` is a new process."""

    def __init__(self, root: Path, database: Path, **options: int) -> None:
        self.root, self.database, self.options = root, database, options
        self.start()

    def start(self) -> None:
        self.store = SqliteStore(self.database, clock=FakeClock(1_000))
        self.follower = Follower([self.root], file_states(self.store), **self.options)  # type: ignore[arg-type]
        self.intake = Intake(self.follower, self.store)

    def restart(self) -> None:
        self.stop()
        self.start()

    def stop(self) -> None:
        self.follower.close()
        self.store.close()

    def catch_up(self, budget: int = 1 << 20) -> int:
        self.follower.scan()
        taken = 0
        while step := self.intake.step(budget):
            taken += step
        return taken

    def dump(self) -> list[str]:
        return list(canonical_dump(self.store.conn))


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree((tmp_path / "projects").resolve())


@pytest.fixture
def daemon(tree: Tree, tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tree.root, tmp_path / "facts.db")
    yield daemon
    daemon.stop()


@pytest.fixture
def session() -> Session:
    session = Session("s")
    session.prompt("hello")
    session.bash("ls")
    return session


def test_a_tree_on_disk_gives_the_facts_of_its_lines(daemon: Daemon, tree: Tree, session: Session) -> None:
    tool = session.launch()
    child = session.agent()
    child.request()
    session.landed(tool, child)
    tree.write(session)

    taken = daemon.catch_up()

    assert taken == len(session.content) + len(child.content)
    assert daemon.dump() == Feed().read(session).dump()


def test_a_second_pass_reads_nothing(daemon: Daemon, tree: Tree, session: Session) -> None:
    tree.write(session)
    daemon.catch_up()

    assert daemon.catch_up() == 0


def test_a_restart_goes_on_where_the_last_commit_ended(daemon: Daemon, tree: Tree, session: Session) -> None:
    session.assistant(tool_use("t", "Bash"))
    tree.write(session)
    daemon.catch_up()
    written = len(session.content)
    session.result("t", "fine")

    daemon.restart()
    tree.append(session, session.content[written:])

    assert daemon.catch_up() == len(session.content) - written
    assert daemon.dump() == Feed().read(session).dump()


@pytest.mark.parametrize("budget", [1, 700, 5_000])
def test_small_steps_give_the_same_facts(tree: Tree, tmp_path: Path, session: Session, budget: int) -> None:
    for _ in range(5):
        session.edit("/a.py", added=2, removed=1)
    tree.write(session)
    daemon = Daemon(tree.root, tmp_path / "small.db")

    daemon.catch_up(budget)

    assert daemon.dump() == Feed().read(session).dump()
    daemon.stop()


def test_a_line_without_its_newline_waits(daemon: Daemon, tree: Tree, session: Session) -> None:
    whole = session.content
    tree.put(session.path, whole[:-1])
    daemon.catch_up()
    before = daemon.dump()

    tree.put(session.path, whole)
    daemon.catch_up()

    assert daemon.dump() == Feed().read(session).dump() != before


def test_what_the_store_refused_is_read_again(daemon: Daemon, tree: Tree, session: Session) -> None:
    tree.write(session)
    conn = daemon.store.conn
    conn.execute("CREATE TEMP TRIGGER refuse BEFORE INSERT ON main.file BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(StoreError):
        daemon.catch_up()
    assert daemon.dump() == []
    conn.execute("DROP TRIGGER temp.refuse")

    daemon.catch_up()

    assert daemon.dump() == Feed().read(session).dump()


def test_a_rewritten_file_is_read_anew_without_doubling(daemon: Daemon, tree: Tree, session: Session) -> None:
    tree.write(session)
    daemon.catch_up()
    other = Session("t", seed=4)
    other.request()

    tree.put(session.path, other.content + session.content)
    daemon.catch_up()

    assert daemon.dump() == Feed().read(session, other).dump()


def test_a_line_beyond_the_limit_is_quarantined_and_the_next_one_read(
    tree: Tree, tmp_path: Path, session: Session
) -> None:
    long = b'{"type":"user","message":{"content":"' + b"x" * 200_000 + b'"}}\n'
    tree.put(session.path, long + session.content)
    daemon = Daemon(tree.root, tmp_path / "limit.db", max_line=100_000, turn_bytes=10_000)

    daemon.catch_up()

    assert daemon.dump() == Feed().read(session).dump()
    found = daemon.store.conn.execute('SELECT "offset", length, reason FROM quarantine').fetchall()
    assert found == [(0, len(long), "oversize")]
    daemon.stop()


def test_facts_outlive_their_file(daemon: Daemon, tree: Tree, session: Session) -> None:
    path = tree.write(session)
    daemon.catch_up()

    path.unlink()
    daemon.catch_up()

    assert daemon.dump() == Feed().read(session).dump()


def test_a_renamed_file_is_not_read_again(daemon: Daemon, tree: Tree, session: Session) -> None:
    path = tree.write(session)
    daemon.catch_up()

    path.rename(path.with_name("renamed.jsonl"))

    assert daemon.catch_up() == 0
    daemon.restart()
    assert daemon.catch_up() == 0
