"""The server is stopped and started again under a daemon at work: nothing is lost, nothing doubled, nobody intervenes."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

from tests.daemon.rig import until
from tests.outages.rig import LONG, at_random, served
from tests.pg import Server

RESTARTS = 60 if LONG else 10


def test_a_server_that_restarts_again_and_again_loses_and_doubles_nothing(
    tmp_path: Path, own_pg_server: Server
) -> None:
    chance = random.Random(5)
    url = own_pg_server.tcp_uri(own_pg_server.create_database())
    modes = itertools.cycle(("immediate", "fast"))
    with served(tmp_path / "ground", url) as ground:
        daemon = ground.start()
        with ground.writing(seed=1):
            daemon.until(ground.taken, "something is taken in")
            at_random(chance, RESTARTS, 0.2, 0.9, lambda: own_pg_server.restart(next(modes)))
        ground.until_all_is_taken(daemon)

        ground.until_clean()
        assert daemon.process.poll() is None, daemon.words
        assert ground.events(daemon, "store.refused"), "no restart was noticed"
        assert ground.findings() == []
        assert ground.differences() == 0


def test_the_status_names_a_server_that_is_away_until_it_is_back(tmp_path: Path, own_pg_server: Server) -> None:
    url = own_pg_server.tcp_uri(own_pg_server.create_database())
    with served(tmp_path / "ground", url) as ground:
        ground.write_turns(2)
        daemon = ground.start()
        daemon.until_caught_up()
        own_pg_server.stop("immediate")
        ground.write_turns(2, seed=2)

        daemon.until(lambda: ground.events(daemon, "store.refused"), "the store refuses")
        until(lambda: "does not answer" in str(ground.status()["problems"]), "the status names the server")
        assert ground.status()["running"]
        own_pg_server.start()

        ground.until_all_is_taken(daemon)
        ground.until_clean()
        assert ground.findings() == []
