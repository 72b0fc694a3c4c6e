"""This machine among those that share a database."""

from __future__ import annotations

from ccagent.config import Config
from ccagent.store.hosts import local_host_id
from ccagent.store.location import parse_database


def host_id(config: Config) -> str | None:
    """This machine's name in a shared database; a file of one's own needs none."""
    if parse_database(config.database).kind == "sqlite":
        return None
    return config.host_id or local_host_id(config.paths.data_dir)
