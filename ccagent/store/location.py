"""Which database a setting names: a file of SQLite's, or one that Postgres serves."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final, Literal

from ccagent.errors import ConfigError

_PASSWORD: Final = re.compile(r"([?&][a-z_]*password=)([^&]*)", re.IGNORECASE)

POSTGRES_SCHEMES: Final = ("postgresql", "postgres")

NOWHERE: Final = Path(os.devnull)
"""Stands for a folder in which no file can be made, so that nothing is left where a process happens to stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """One database. `target` may hold a password: only `display` is for eyes."""

    kind: Literal["sqlite", "postgres"]
    target: str
    display: str
    sidecar: str
    """Beginning of the names of the files that stand for it on this machine: `.lock`, `.deriving`, `.status.json`."""

    def __repr__(self) -> str:
        return f"Database({self.display})"


def parse_database(text: str, state_dir: Path | None = None) -> Database:
    """The database that a setting names: a path, `sqlite:///PATH` or `postgresql://…`. ConfigError for another kind.

    `state_dir` is where the sidecar files of a served database lie; without it there are none, which readers do well with.
    """
    if "://" not in text:
        return Database(kind="sqlite", target=text, display=text, sidecar=text)
    scheme = text.partition("://")[0]
    if scheme == "sqlite":
        path = text.removeprefix("sqlite:///") if not text.startswith("sqlite:////") else text[10:]
        return Database(kind="sqlite", target=path, display=path, sidecar=path)
    if scheme not in POSTGRES_SCHEMES:
        raise ConfigError(
            f"a {scheme} database cannot be used; name a file, sqlite:///PATH or postgresql://… with --db"
        )
    display = masked(text)
    digest = blake2b(display.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return Database(
        kind="postgres", target=text, display=display, sidecar=str((state_dir or NOWHERE) / f"postgres-{digest}")
    )


def masked(url: str) -> str:
    """The URL with asterisks for its passwords, which may hold any sign, also those that a URL does not allow there."""
    scheme, _, rest = url.partition("://")
    account, at, server = rest.rpartition("@")
    user, colon, _ = account.partition(":")
    return _PASSWORD.sub(r"\1***", f"{scheme}://{user}{colon and ':***'}{at}{server}")


def passwords(url: str) -> list[str]:
    """What `masked` puts asterisks over, as it stands in the URL."""
    account = url.partition("://")[2].rpartition("@")[0]
    found = [account.partition(":")[2], *(match[2] for match in _PASSWORD.finditer(url))]
    return [each for each in found if each]
