"""Who writes into a database: a row of `host` each. On a laptop there is one; a shared database has one a machine."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ccagent.errors import StoreError
from ccagent.paths import create_private
from ccagent.store.connection import Connection

_SELECT: Final = "SELECT id, host_id, instance_id, created_at, ledger_start, catch_up_done FROM host"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A writer. `id` is its number in this database; `host_id` names it everywhere; times are ms UTC.

    `ledger_start`: time of the oldest fact that its totals hold; `catch_up_done`: when its history had been read.
    """

    id: int
    host_id: str
    instance_id: str
    created_at: int
    ledger_start: int | None
    catch_up_done: int | None


def read_hosts(conn: Connection) -> list[Host]:
    """All hosts, in the order of their coming."""
    return [
        Host(
            id=row[0], host_id=row[1], instance_id=row[2], created_at=row[3], ledger_start=row[4], catch_up_done=row[5]
        )
        for row in conn.execute(f"{_SELECT} ORDER BY id")
    ]


def read_host(conn: Connection, host_id: str | None = None) -> Host | None:
    """The host of that name; without a name the only or first one (SQLite). None where there is none."""
    found = read_hosts(conn)
    return next((host for host in found if host_id is None or host.host_id == host_id), None)


def enter(conn: Connection, host_id: str | None, now_ms: int) -> Host:
    """The host's row, made now if it has none. Without a name: the one that is there, else a new name."""
    known = read_host(conn, host_id)
    if known is None:
        conn.execute(
            "INSERT INTO host (host_id, instance_id, seq, commits, created_at) VALUES (?, ?, 0, 0, ?)",
            (host_id or uuid.uuid4().hex, str(uuid.uuid4()), now_ms),
        )
        known = read_host(conn, host_id)
        if known is None:
            raise StoreError("the database forgot the host that was just entered; run `ccagent db check`")
    return known


def local_host_id(data_dir: Path) -> str:
    """This machine's name in shared databases: made at the first need, kept in `host_id` (0600) in the data folder."""
    path = data_dir / "host_id"
    try:
        text = path.read_text("ascii").strip()
    except FileNotFoundError:
        create_private(data_dir)
        text = uuid.uuid4().hex
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            return local_host_id(data_dir)  # another process was quicker
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror}; set CCAGENT_HOST_ID instead") from error
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")
        return text
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"cannot read {path}: {error}; repair it, or set CCAGENT_HOST_ID") from error
    if not text or len(text) > 128:
        raise StoreError(f"{path} holds no host id; write a name of up to 128 characters into it, or remove it")
    return text
