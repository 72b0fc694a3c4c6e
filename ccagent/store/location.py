"""Which database a setting names: a file of SQLite's, or one that Postgres serves."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from ccagent.errors import ConfigError

POSTGRES_SCHEMES = ("postgresql", "postgres")


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """One database. `target` may hold a password: only `display` is for eyes."""

    kind: Literal["sqlite", "postgres"]
    target: str
    display: str
    sidecar: str
    """Beginning of the names of the files that stand for it on this machine: `.lock`, `.status.json`."""

    def __repr__(self) -> str:
        return f"Database({self.display})"


def parse_database(text: str, state_dir: Path | None = None) -> Database:
    """The database that a setting names: a path, `sqlite:///PATH` or `postgresql://…`. ConfigError for another kind.

    `state_dir` is where the sidecar files of a served database lie; readers do without.
    """
    if "://" not in text:
        return Database(kind="sqlite", target=text, display=text, sidecar=text)
    scheme = text.partition("://")[0]
    if scheme == "sqlite":
        path = text.removeprefix("sqlite:///") if not text.startswith("sqlite:////") else text[9:]
        return Database(kind="sqlite", target=path, display=path, sidecar=path)
    if scheme not in POSTGRES_SCHEMES:
        raise ConfigError(f"a {scheme} database cannot be used; name a file, sqlite:///PATH or postgresql://… with --db")
    try:
        display = masked(text)
    except ValueError as error:
        raise ConfigError(f"the database's URL cannot be read: {error}; write postgresql://USER@HOST:PORT/NAME") from error
    digest = blake2b(display.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return Database(kind="postgres", target=text, display=display, sidecar=str((state_dir or Path()) / f"postgres-{digest}"))


def masked(url: str) -> str:
    """The URL with asterisks for its passwords. ValueError for what is no URL."""
    parts = urlsplit(url)
    _ = parts.port  # a port that is no number is told now
    place = parts.netloc
    account, at, hosts = place.rpartition("@")
    if ":" in account:
        place = f"{account.partition(':')[0]}:***{at}{hosts}"
    query = [(name, "***" if "password" in name.lower() else value) for name, value in parse_qsl(parts.query, True)]
    return urlunsplit((parts.scheme, place, parts.path, urlencode(query, safe="*/"), ""))


def has_password(url: str) -> bool:
    """Whether a password stands in the URL itself."""
    return "://" in url and masked(url) != urlunsplit(urlsplit(url)._replace(fragment="")) and "***" in masked(url)
