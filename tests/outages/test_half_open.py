"""A connection that is dead without anybody having said so: it is found out, and the session at its other end is ended."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.daemon.rig import until
from tests.outages.impatient import SILENCE_SECONDS
from tests.outages.rig import IMPATIENT, LONG, served
from tests.pg import Server, dbname
from tests.pgproxy import Proxy

PREFIX = "198.18.77"
"""Addresses for tests of networks (RFC 2544), which no real network uses."""

PORT = 15_432

RELAY = """
import socket, sys, threading
def pump(one, two):
    try:
        while chunk := one.recv(65536):
            two.sendall(chunk)
    except OSError:
        pass
    for end in (one, two):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    client, _ = listener.accept()
    server = socket.socket(socket.AF_UNIX)
    server.connect(sys.argv[3])
    for pair in ((client, server), (server, client)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
"""
"""From an address to a Unix socket: what stands on the far side of a cable."""

_SESSIONS = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'ccagent %% %% %%'"


def sessions(server: Server, url: str) -> set[int]:
    """The backends of ccagent's writers in a database. (A reader's holds nothing; the server ends it by and by.)"""
    return {pid for (pid,) in server.rows(_SESSIONS, (dbname(url),))}


def test_a_connection_that_a_firewall_forgot_is_given_up_and_its_session_ended(
    tmp_path: Path, pg_server: Server, pg_database: str
) -> None:
    with Proxy(pg_server.tcp_port) as proxy:
        url = pg_server.tcp_uri(dbname(pg_database), port=proxy.port)
        with served(tmp_path / "ground", url, direct=pg_database, module=IMPATIENT) as ground:
            daemon = ground.start()
            with ground.writing(seed=1):
                daemon.until(ground.taken, "something is taken in")
                before = sessions(pg_server, pg_database)
                for _ in range(2):
                    taken = ground.taken()
                    proxy.freeze()
                    proxy.thaw()
                    frozen = time.monotonic()
                    daemon.until(lambda taken=taken: ground.taken() > taken, "it goes on")
                    assert time.monotonic() - frozen > SILENCE_SECONDS / 2, "the connection was not frozen"
            ground.until_all_is_taken(daemon)

            until(lambda: not before & sessions(pg_server, pg_database), "the sessions of before are ended")
            assert daemon.process.poll() is None, daemon.words
            assert ground.findings() == []


@pytest.mark.slow
@pytest.mark.skipif(not LONG, reason="takes half a minute; see CCAGENT_KILLS")
def test_a_cable_that_is_pulled_is_noticed_and_what_was_written_meanwhile_is_taken_in(
    tmp_path: Path, pg_server: Server, pg_database: str
) -> None:
    with cable(pg_server) as (pulled, plugged):
        url = f"postgresql://postgres@{PREFIX}.2:{PORT}/{dbname(pg_database)}?tcp_user_timeout=3000&connect_timeout=2"
        with served(tmp_path / "ground", url, direct=pg_database) as ground:
            daemon = ground.start()
            with ground.writing(seed=1):
                daemon.until(ground.taken, "something is taken in")
                before = sessions(pg_server, pg_database)
                subprocess.run(pulled, check=True)
                daemon.until(lambda: ground.events(daemon, "store.refused"), "the dead connection is noticed")
                until(lambda: "does not answer" in ground.problems(), "the status names it")
                subprocess.run(plugged, check=True)
                daemon.until(lambda: ground.taken() > 0 and not before & sessions(pg_server, pg_database), "it goes on")
            ground.until_all_is_taken(daemon)

            ground.until_clean()
            assert ground.findings() == []


def socket_of(server: Server) -> str:
    """Its Unix socket."""
    return f"{conninfo_to_dict(server.uri())['host']}/.s.PGSQL.{server.tcp_port}"


@contextmanager
def cable(server: Server) -> Iterator[tuple[list[str], list[str]]]:
    """A network with one cable in it; at the other end is the server. Gives the commands that pull and plug it."""
    ip = shutil.which("ip")
    if ip is None:
        pytest.skip("there is no ip(8) on this system")
    space, near, far = (f"cca{os.getpid()}{end}" for end in "snf")
    tried = subprocess.run([ip, "netns", "add", space], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"this system lets nobody make a network: {tried.stderr.strip()}")
    relay: subprocess.Popen[str] | None = None
    inside = [ip, "-n", space]
    try:
        tried = subprocess.run(
            [ip, "link", "add", near, "type", "veth", "peer", "name", far, "netns", space],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if tried.returncode:
            pytest.skip(f"this system has no virtual cables: {tried.stderr.strip()}")
        for command in (
            [ip, "addr", "add", f"{PREFIX}.1/24", "dev", near], [ip, "link", "set", near, "up"],
            [*inside, "addr", "add", f"{PREFIX}.2/24", "dev", far], [*inside, "link", "set", far, "up"],
        ):  # fmt: skip
            subprocess.run(command, check=True)
        relay = subprocess.Popen(
            [ip, "netns", "exec", space, sys.executable, "-c", RELAY, f"{PREFIX}.2", str(PORT), socket_of(server)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert relay.stdout is not None
        assert relay.stdout.readline() == "ready\n"
        yield [*inside, "link", "set", far, "down"], [*inside, "link", "set", far, "up"]
    finally:
        if relay is not None:
            relay.kill()
            relay.communicate()
        subprocess.run([ip, "netns", "del", space], check=False)
