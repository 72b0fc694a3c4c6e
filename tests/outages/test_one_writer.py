"""One writer a host: whoever comes second is turned away, unless nobody is left at the other end of the first."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

from ccagent.clock import SystemClock
from ccagent.store.location import parse_database
from ccagent.store.postgres import PostgresStore
from tests.daemon.rig import DEADLINE_SECONDS, Daemon, small_session
from tests.outages.rig import IMPATIENT, Served, served
from tests.pg import Server, dbname
from tests.pgproxy import Proxy

SAME = {"CCAGENT_HOST_ID": "the-one-host"}


def second(folder: Path, first: Served) -> Served:
    """A ground with a home of its own over the same tree and database: nothing but the server knows of both."""
    other = Served(folder, url=first.url, direct=first.direct, module=IMPATIENT)
    other.root = first.root
    return other


def following(ground: Served, **variables: str) -> Daemon:
    daemon = ground.start(**variables)
    daemon.until_caught_up()
    return daemon


def test_a_second_daemon_of_a_host_ends_with_75_and_names_the_first(tmp_path: Path, pg_database: str) -> None:
    with served(tmp_path / "one", pg_database) as ground:
        ground.tree.write(small_session("one"))
        first = following(ground, **SAME)

        done = second(tmp_path / "two", ground).verb("run", "--source", str(ground.root), **SAME)

        assert done.returncode == 75, done.stderr
        assert "another ccagent writes for host the-one-host" in done.stderr
        assert f" {first.process.pid} " in done.stderr
        assert first.process.poll() is None


def test_another_host_works_at_the_same_time(tmp_path: Path, pg_database: str) -> None:
    with served(tmp_path / "one", pg_database) as ground:
        ground.tree.write(small_session("one", requests=2))
        following(ground, CCAGENT_HOST_ID="one")

        done = second(tmp_path / "two", ground).once(CCAGENT_HOST_ID="two")

        assert done.returncode == 0, done.stderr
        assert ground.requests() == 2
        assert ground.rows("SELECT host_id FROM host ORDER BY id") == [("one",), ("two",)]


def test_after_a_kill_the_next_start_takes_the_place_of_a_session_that_the_server_takes_for_alive(
    tmp_path: Path, pg_server: Server, pg_database: str
) -> None:
    with Proxy(pg_server.tcp_port) as proxy:
        url = pg_server.tcp_uri(dbname(pg_database), port=proxy.port)
        with served(tmp_path / "one", url, direct=pg_database) as ground:
            ground.tree.write(small_session("one", requests=2))
            first = following(ground)
            proxy.freeze()
            proxy.thaw()
            first.kill()
            holding = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name LIKE %s"
            named = dbname(pg_database), f"ccagent % {first.process.pid} %"
            assert pg_server.rows(holding, named) == [(1,)]
            ground.tree.write(small_session("two", requests=3))

            again = ground.start()

            again.until(lambda: ground.requests() == 5, "the next one works")
            assert pg_server.rows(holding, named) == [(0,)]


def test_who_lost_the_hosts_place_while_away_ends_with_75(tmp_path: Path, own_pg_server: Server) -> None:
    """A copy of the home on another machine: it took over while the first was without its server."""
    url = own_pg_server.tcp_uri(own_pg_server.create_database())
    with served(tmp_path / "one", url, module=IMPATIENT) as ground:
        ground.tree.write(small_session("one"))
        first = following(ground, **SAME)
        first.process.send_signal(signal.SIGSTOP)
        own_pg_server.restart()
        store = PostgresStore(parse_database(url), host_id=SAME["CCAGENT_HOST_ID"], clock=SystemClock())
        try:
            first.process.send_signal(signal.SIGCONT)
            ground.tree.write(small_session("two"))

            code = first.process.wait(DEADLINE_SECONDS)
        finally:
            store.close()

        assert code == 75, first.words
        assert "another ccagent writes for host" in first.words


def test_who_comes_back_after_another_wrote_as_this_host_reads_the_positions_anew(
    tmp_path: Path, own_pg_server: Server
) -> None:
    url = own_pg_server.tcp_uri(own_pg_server.create_database())
    with served(tmp_path / "one", url) as ground:
        ground.write_turns(2)
        first = following(ground, **SAME)
        first.process.send_signal(signal.SIGSTOP)
        own_pg_server.restart()
        ground.write_turns(2, seed=2)
        done = second(tmp_path / "two", ground).once(**SAME)
        assert done.returncode == 0, done.stderr
        shutil.rmtree(tmp_path / "two")

        first.process.send_signal(signal.SIGCONT)
        ground.write_turns(2, seed=3)

        ground.until_all_is_taken(first)
        assert ground.findings() == []
        assert ground.events(first, "store.outdated") == 1
        assert first.process.poll() is None
