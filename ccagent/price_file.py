"""The prices that apply: the bundled table under the owner's own file."""

from __future__ import annotations

import tomllib

import orjson

from ccagent.config import Config
from ccagent.errors import ConfigError
from ccagent.facts.pricing import PriceTable


def load_prices(config: Config) -> PriceTable:
    """The bundled price table, with the owner's override laid over it. ConfigError names what is wrong in that file."""
    table = PriceTable.bundled()
    path = config.prices.override
    if path is None:
        return table
    try:
        data = path.read_bytes()
        override = orjson.loads(data) if path.suffix == ".json" else tomllib.loads(data.decode())
        if not isinstance(override, dict):
            raise ValueError("it is no table")
        return table.with_override(override)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"the price file {path} cannot be used: {error}") from error
