"""The server comes back without the last commits, as after a failover to a standby that had not yet received them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kill import oracle
from tests.otlp.receiver import Running, http_receiver
from tests.outages.rig import served
from tests.pg import Server


@pytest.fixture
def collector() -> Iterator[Running]:
    with http_receiver() as running:
        yield running


def test_what_a_failover_has_lost_is_read_again(tmp_path: Path, own_pg_server: Server, collector: Running) -> None:
    url = own_pg_server.tcp_uri(own_pg_server.create_database())
    standby = own_pg_server.data.with_name("standby")
    with served(tmp_path / "ground", url) as ground:
        ground.write_turns(2)
        daemon = ground.start("--otlp-endpoint", collector.http, "--otlp-protocol", "http/protobuf")
        daemon.until_caught_up()
        own_pg_server.stop()
        subprocess.run(["cp", "-a", own_pg_server.data, standby], check=True)
        own_pg_server.start()
        ground.write_turns(6, seed=2)
        ground.until_all_is_taken(daemon)
        daemon.until(lambda: oracle.spans(url) <= sent(collector), "all spans of before have left")

        own_pg_server.stop("immediate")
        shutil.rmtree(own_pg_server.data)
        standby.rename(own_pg_server.data)
        own_pg_server.start()
        ground.write_turns(2, seed=3)

        ground.until_all_is_taken(daemon)
        daemon.until(lambda: oracle.spans(url) == sent(collector), "all spans have left, and no others")
        assert ground.events(daemon, "store.outdated") == 1
        assert daemon.process.poll() is None, daemon.words
        assert ground.findings() == []
        assert ground.differences() == 0


def sent(collector: Running) -> set[bytes]:
    """Ids of the spans that have arrived."""
    return {span.span_id for span in collector.received.spans}
