"""Which database a setting names."""

from __future__ import annotations

from ccagent.errors import ConfigError


def sqlite_path(database: str) -> str:
    """The file that a database setting names: a path, or `sqlite:///PATH`. ConfigError for another kind."""
    if database.startswith("sqlite:///"):
        return database.removeprefix("sqlite:///") if not database.startswith("sqlite:////") else database[9:]
    if "://" in database:
        kind = database.partition("://")[0]
        raise ConfigError(f"a {kind} database cannot be used by this version; name a file or sqlite:///PATH with --db")
    return database
