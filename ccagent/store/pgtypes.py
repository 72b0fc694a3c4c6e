"""How values travel to Postgres and back, so that the store meets the types that SQLite gives it."""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg.adapt import AdaptersMap, Buffer, Loader
from psycopg.types.array import ListBinaryDumper
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper
from psycopg.types.string import TextLoader


class _NumberLoader(Loader):
    """numeric as int where it has no fraction (a sum of bigint), as float where it has one (an average)."""

    def load(self, data: Buffer) -> int | float:
        text = bytes(data)
        try:
            return int(text)
        except ValueError:
            return float(text)


class _BooleanLoader(Loader):
    """boolean as 1 and 0, which is what SQLite gives."""

    def load(self, data: Buffer) -> int:
        return int(bytes(data) == b"t")


def _adapters() -> AdaptersMap:
    """How values travel. An int is a bigint whatever its size, else the type of an expression would depend on it."""
    adapters = AdaptersMap(psycopg.adapters)
    for integer in (int, bool):
        adapters.register_dumper(integer, Int8Dumper)
        adapters.register_dumper(integer, Int8BinaryDumper)
    adapters.register_dumper(list, ListBinaryDumper)
    adapters.register_loader("numeric", _NumberLoader)
    adapters.register_loader("bool", _BooleanLoader)
    for name in ("json", "jsonb"):
        adapters.register_loader(name, TextLoader)
    return adapters


ADAPTERS: Final = _adapters()
