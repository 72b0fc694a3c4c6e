"""Advisory locks of Postgres: who is this host's writer, and who of all hosts does what only one may do.

They belong to a session and end with it, however it ends. Nothing is left behind that somebody would have to clear.
"""

from __future__ import annotations

import os
import re
import time
import uuid
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Final

from ccagent.errors import InstanceRunningError
from ccagent.store.pgconnection import PgConnection
from ccagent.store.pgerrors import explained

POLL_SECONDS: Final = 0.1
"""Between two looks at a lock that somebody else holds."""

TERMINATE_MS: Final = 5_000
"""How long the server is given to end a session that was told to."""

HOST_CHARACTERS: Final = 12
"""Of the host's id in a session's name, which holds 63 bytes: enough to recognise it, the lock's key has it whole."""

_NAME: Final = re.compile(r"ccagent (?P<host>\S{1,12}) (?P<pid>\d{1,10}) (?P<machine>[0-9a-f]{8})")

# A key of 64 bits shows as two halves in pg_locks; objsubid 1 tells it from a pair of 32-bit keys.
_HOLDER: Final = """
    SELECT l.pid, COALESCE(a.application_name, ''), host(a.client_addr)
    FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
        AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
        AND (l.classid::bigint << 32) | l.objid::bigint = ?
"""

_holding: weakref.WeakSet[PgConnection] = weakref.WeakSet()
"""Sessions of this process that have taken a lock; those that are over do not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """Who a session belongs to, as its name tells: the host's id cut short, and a process on a machine."""

    host: str
    pid: int
    machine: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The session that holds a lock. `client_addr` is None on a Unix socket, or where the server does not tell."""

    backend_pid: int
    application_name: str
    client_addr: str | None


class AdvisoryLock:
    """A lock of one session on one key. Released by `release`, or when the session ends."""

    def __init__(self, conn: PgConnection, key: int) -> None:
        self.conn = conn
        self.key = key

    @property
    def held(self) -> bool:
        """Whether this session has the lock, as far as is known here without asking the server."""
        return self.key in self.conn.advisory_keys and not self.conn.closed

    def try_acquire(self) -> bool:
        """Take the lock unless another session has it; never waits. The driver's error when the session is over."""
        if self.held:
            return True  # the server would count, and want as many releases
        row = self.conn.execute("SELECT pg_try_advisory_lock(?)", (self.key,)).fetchone()
        if row != (1,):
            return False
        self.conn.advisory_keys.add(self.key)
        _holding.add(self.conn)
        return True

    def release(self) -> None:
        """Give the lock up, if it is held."""
        if self.held:
            self.conn.execute("SELECT pg_advisory_unlock(?)", (self.key,))
        self.conn.advisory_keys.discard(self.key)


def lock_key(*parts: str) -> int:
    """The number of the lock that these words name, 64 bits with sign. Locks are the database's own: another database
    may use the same number."""
    digest = blake2b(digest_size=8)
    for part in parts:
        digest.update(part.encode() + b"\0")
    return int.from_bytes(digest.digest(), "big", signed=True)


def host_key(schema: str, host_id: str) -> int:
    """The lock of a host's one writer."""
    return lock_key(schema, "host", host_id)


def holder(conn: PgConnection, key: int) -> Holder | None:
    """The session that holds the lock, None if nobody does."""
    row = conn.execute(_HOLDER, (key,)).fetchone()
    return None if row is None else Holder(backend_pid=row[0], application_name=row[1], client_addr=row[2])


def terminate(conn: PgConnection, backend_pid: int) -> bool:
    """End a session and wait for it: whether it is over. Sessions of another role may not be ended by everybody: the
    driver's InsufficientPrivilege."""
    row = conn.execute("SELECT pg_terminate_backend(?::integer, ?)", (backend_pid, TERMINATE_MS)).fetchone()
    return row == (1,)


def application_name(host_id: str, pid: int) -> str:
    """What a writer's session is called: at most 63 bytes of ASCII, the server would cut and replace the rest."""
    host = re.sub(r"[^!-~]", "_", host_id[:HOST_CHARACTERS]) or "_"
    return f"ccagent {host} {pid} {_machine()}"


def parse_application(name: str) -> Application | None:
    """What `application_name` has put together; None for the name of any other session."""
    match = _NAME.fullmatch(name)
    return None if match is None else Application(host=match["host"], pid=int(match["pid"]), machine=match["machine"])


def is_alive(pid: int) -> bool:
    """Whether a process of that number runs on this machine."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def claim_host(
    connect: Callable[[], PgConnection],
    host_id: str,
    *,
    alive: Callable[[int], bool] = is_alive,
    patience_seconds: float,
    sleep: Callable[[float], None] = time.sleep,
) -> PgConnection:
    """A fresh session that holds the host's lock, and so is its only writer. Closing it frees the lock.

    **Why the lock proves that the earlier session is over.** The server frees a session's advisory locks when its
    process ends, after it has ended the session's transaction: a COMMIT that was under way has then taken place, and
    one that still travels finds nobody to read it. Whoever has the lock therefore reads the last word of the session
    before: the host's number of commits tells whether a COMMIT of unknown fate is in. Without the lock a late COMMIT
    could follow that reading, and what it holds would be written twice.

    A session that holds the lock is ended if it is ours and nobody sits at its other end: its name has this host's id
    and a process of this machine that does not live, or is this very process, of which no connection in use holds the
    lock. So a daemon whose socket died, or that was killed while the network was away, does not wait for the server to
    notice. A name from elsewhere may be a copy of this machine's files, at work: it is left alone. (After a reboot the
    machine counts as another one; the server frees the lock within a minute.)

    Raises InstanceRunningError, which names the holder, after `patience_seconds`, and StoreError without a connection.
    """
    conn = connect()
    try:
        with explained(conn.display):
            _take(AdvisoryLock(conn, host_key(conn.schema, host_id)), host_id, alive, patience_seconds, sleep)
    except BaseException:
        conn.close()
        raise
    return conn


def _take(
    lock: AdvisoryLock,
    host_id: str,
    alive: Callable[[int], bool],
    patience_seconds: float,
    sleep: Callable[[float], None],
) -> None:
    waited = 0.0
    while not lock.try_acquire():
        found = holder(lock.conn, lock.key)
        if found and _abandoned(found, lock.key, host_id, alive) and terminate(lock.conn, found.backend_pid):
            continue
        if found and waited >= patience_seconds:
            place = f" on {found.client_addr}" if found.client_addr else ""
            raise InstanceRunningError(
                f"another ccagent writes for host {host_id[:HOST_CHARACTERS]} into {lock.conn.display}: session"
                f" {found.backend_pid} ({found.application_name or 'without a name'}){place}; stop that ccagent, or give"
                " each machine a CCAGENT_HOST_ID of its own; if its machine is gone, the server ends it within a minute"
            )
        sleep(POLL_SECONDS)
        waited += POLL_SECONDS


def _abandoned(found: Holder, key: int, host_id: str, alive: Callable[[int], bool]) -> bool:
    """Whether nobody is at the other end of the session any more."""
    name = parse_application(found.application_name)
    ours = parse_application(application_name(host_id, os.getpid()))
    if name is None or ours is None or (name.host, name.machine) != (ours.host, ours.machine):
        return False
    if name.pid != os.getpid():
        return not alive(name.pid)
    return not any(AdvisoryLock(conn, key).held and conn.backend_pid == found.backend_pid for conn in list(_holding))


@cache
def _machine() -> str:
    """What tells one place with process numbers of its own from others: this boot of this machine, or a container."""
    marks = []
    try:
        marks.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii"))
        marks.append(str(Path("/proc/self/ns/pid").readlink()))
    except OSError:
        marks.append(f"{uuid.getnode():x}")  # no /proc: the network card's number
    return blake2b("\0".join(marks).encode(), digest_size=4).hexdigest()
