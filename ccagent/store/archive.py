"""Archives of facts that retention removes: `facts-<UTC date>-<number>.jsonl.gz`, one JSON object a fact.

The object has every column of `telemetry_events` by name, times as RFC 3339, so that DuckDB's `read_json_auto` or any
other reader of JSON lines makes a useful table of it. What the tables hold beyond that, and a restore needs to the bit,
stands in `raw`: texts instead of numbers, keys in hexadecimal, times in ms UTC.

A file is whole and on the disk before it has its name. Its mode is 0600: it holds what the database holds.
"""

from __future__ import annotations

import gzip
import os
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

import orjson

from ccagent.errors import ConfigError, StoreError
from ccagent.facts.model import KEY_PREFIXES, Context
from ccagent.paths import create_private
from ccagent.store import rows
from ccagent.store.connection import Connection, snapshot
from ccagent.store.expired import Listed
from ccagent.store.interning import Contexts, Names
from ccagent.store.view import event_columns, events_select

PAGE: Final = 1_000
"""Facts read with one question."""

LEFT_OVER_SECONDS: Final = 24 * 3_600
"""A file that nobody has finished for so long was left by a process that was killed."""

_PREFIX: Final = ".facts-"
_PARTIAL: Final = ".partial"
_TIMES: Final = ("occurred_at", "ended_at", "result_at")
_COLUMNS: Final = tuple(event_columns("sqlite"))
_TEXTS: Final = ("turn", "name", "failure", "stop", "price")
_KEYS: Final = ("key", "request")
_FIELDS: Final = tuple(column.strip('"') for column in rows.COLUMNS)
_OWN: Final = frozenset((*_TEXTS, *_KEYS, "context", "file", "host", "closed_host"))
"""Columns whose numbers mean something in their database alone."""

Record = dict[str, Any]
"""One line: columns of `telemetry_events`, and `raw`."""

Place = dict[str, str | None]
"""A transcript: `path`, or `hex` where that is no text, and `host`."""


class Archive:
    """A folder of archives. StoreError says why nothing can be written there; then nothing is to be removed."""

    def __init__(self, folder: Path, now_ms: int) -> None:
        self._folder = folder
        self._date = datetime.fromtimestamp(now_ms / 1_000, UTC).date().isoformat()

    def write(self, reader: Connection, listed: Sequence[Listed]) -> Path:
        """Write these facts, as they are now, into a new file; its path."""
        try:
            create_private(self._folder)
            self._clear()
            descriptor, name = tempfile.mkstemp(prefix=_PREFIX, suffix=_PARTIAL, dir=self._folder)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:
                        for line in _lines(reader, [fact.key for fact in listed]):
                            packed.write(line)
                    file.flush()
                    os.fsync(file.fileno())
                path = self._name(Path(name))
            finally:
                Path(name).unlink(missing_ok=True)
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except (OSError, ConfigError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise StoreError(
                f"cannot write the archive in {self._folder} ({reason}); nothing was removed: free some space, or"
                " name another folder as retention.archive"
            ) from error
        return path

    def _name(self, partial: Path) -> Path:
        """Give the finished file the next free name of the day."""
        number = 1
        while True:
            path = self._folder / f"facts-{self._date}-{number}.jsonl.gz"
            try:
                os.link(partial, path)
                return path
            except FileExistsError:
                number += 1
            except OSError:  # a file system without links: whoever else writes here is taken not to be this quick
                if not path.exists():
                    partial.replace(path)
                    return path
                number += 1

    def _clear(self) -> None:
        for left in self._folder.glob(f"{_PREFIX}*{_PARTIAL}"):
            if left.stat().st_mtime < time.time() - LEFT_OVER_SECONDS:
                left.unlink(missing_ok=True)


def archives(path: Path) -> list[Path]:
    """The archives that a path names: itself, or those of a folder by date and number. StoreError where there is none."""
    if not path.is_dir():
        if not path.exists():
            raise StoreError(f"there is no archive at {path}; name a facts-*.jsonl.gz, or a folder of them")
        return [path]
    found = sorted(path.glob("facts-*.jsonl.gz"), key=lambda each: (each.name[:16], len(each.name), each.name))
    if not found:
        raise StoreError(f"there is no archive facts-*.jsonl.gz in {path}")
    return found


def read(path: Path) -> Iterator[Record]:
    """The facts of an archive. StoreError, naming the line, where it is cut off or no archive."""
    number = 0
    try:
        with gzip.open(path, "rb") as file:
            for line in file:
                number += 1
                record = orjson.loads(line)
                if not isinstance(record, dict) or not isinstance(record.get("raw"), dict):
                    raise ValueError("it is no fact")
                yield record
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise StoreError(f"{path}, line {number + 1}: cannot be read ({error}); is it a whole archive?") from error


def _lines(reader: Connection, keys: Sequence[bytes]) -> Iterator[bytes]:
    names = Names(reader)
    contexts = Contexts(reader, names)
    hosts = {int(number): str(host) for number, host in reader.execute("SELECT id, host_id FROM host")}
    for first in range(0, len(keys), PAGE):
        page = sorted(keys[first : first + PAGE])
        with snapshot(reader):
            yield from _page(reader, page, names, contexts, hosts)


def _page(
    reader: Connection, keys: list[bytes], names: Names, contexts: Contexts, hosts: dict[int, str]
) -> Iterator[bytes]:
    dialect = reader.dialect
    listed = dialect.listed(keys)
    select = events_select(dialect.name, times="{}")
    among = f"WHERE f.key IN (SELECT k.value FROM {dialect.blobs})"
    events = {
        str(row[_COLUMNS.index("source_key")]): dict(zip(_COLUMNS, row, strict=True))
        for row in reader.execute(f"{select} {among}", (listed,))
    }
    found = rows.fetch(reader, f"{among} ORDER BY f.key", (listed,))
    files = _files(reader, {row[rows.FILE] for row in found}, hosts)
    copies = _copies(reader, keys, hosts)
    links = _links(reader, keys, names)
    for row in found:
        key = bytes(row[rows.KEY])
        event = events[KEY_PREFIXES[row[rows.TYPE]] + row[rows.NATIVE]]
        for column in _TIMES:
            event[column] = _rfc3339(event[column])
        raw = dict(zip(_FIELDS, row, strict=True))
        raw |= {column: names.text(raw[column]) for column in _TEXTS}
        raw |= {column: None if raw[column] is None else bytes(raw[column]).hex() for column in _KEYS}
        raw |= {column: hosts.get(raw[column]) for column in ("host", "closed_host")}
        raw["context"] = contexts.value(row[rows.CONTEXT])._asdict()
        raw["file"] = files.get(row[rows.FILE])
        raw["copies"] = copies.get(key, [])
        raw["link"] = links.get(key)
        yield orjson.dumps(event | {"raw": raw}) + b"\n"


def _files(reader: Connection, numbers: set[int | None], hosts: dict[int, str]) -> dict[int, Place]:
    given = sorted(number for number in numbers if number is not None)
    if not given:
        return {}
    dialect = reader.dialect
    sql = f"SELECT f.id, f.path, f.host FROM {dialect.numbers} JOIN file f ON f.id = k.value"
    return {
        int(number): _place(path, hosts.get(host))
        for number, path, host in reader.execute(sql, (dialect.listed(given),))
    }


def _copies(reader: Connection, keys: list[bytes], hosts: dict[int, str]) -> dict[bytes, list[Place]]:
    dialect = reader.dialect
    sql = (
        f"SELECT c.key, f.path, f.host FROM {dialect.blobs} JOIN contributor c ON c.key = k.value"
        " JOIN file f ON f.id = c.file ORDER BY c.key, f.id"
    )
    found: dict[bytes, list[Place]] = {}
    for key, path, host in reader.execute(sql, (dialect.listed(keys),)):
        found.setdefault(bytes(key), []).append(_place(path, hosts.get(host)))
    return found


def _links(reader: Connection, keys: list[bytes], names: Names) -> dict[bytes, Record]:
    """The launch of the sub-agent to which a fact belongs, by the fact's key."""
    dialect = reader.dialect
    sql = (
        "SELECT f.key, a.agent, a.tool, a.turn, a.depth, a.linked_at"
        f" FROM {dialect.blobs} JOIN fact f ON f.key = k.value JOIN context c ON c.id = f.context"
        " JOIN agent a ON a.agent = c.agent"
    )
    return {
        bytes(key): {
            "agent": names.text(agent), "tool": None if tool is None else bytes(tool).hex(), "turn": names.text(turn),
            "depth": depth, "linked_at": linked_at,
        }
        for key, agent, tool, turn, depth, linked_at in reader.execute(sql, (dialect.listed(keys),)).fetchall()
    }  # fmt: skip


def _place(path: bytes, host: str | None) -> Place:
    """A transcript's path: as text, or in hexadecimal where it is none; and the host that has it."""
    raw = bytes(path)
    try:
        return {"path": raw.decode(), "hex": None, "host": host}
    except UnicodeDecodeError:
        return {"path": None, "hex": raw.hex(), "host": host}


def path_of(place: Place) -> bytes:
    """The path that `_place` has written."""
    text, packed = place["path"], place["hex"]
    return bytes.fromhex(packed or "") if text is None else text.encode()


def context_of(raw: Record) -> Context:
    """The context of a record."""
    return Context(**{"provider": None, **cast("dict[str, Any]", raw["context"])})


def _rfc3339(moment: int | None) -> str | None:
    """None too for what no calendar has."""
    if moment is None:
        return None
    try:
        shown = datetime.fromtimestamp(moment / 1_000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return shown.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def row_of(raw: Record, names: Names, contexts: Contexts, own: Record) -> rows.Row:
    """The row of a record in another database; `own`: what the database itself gives (file, host, seq, closed_host,
    closed_seq)."""
    values = {field: raw[field] for field in _FIELDS if field not in _OWN}
    values |= {column: names.optional(raw[column]) for column in _TEXTS}
    values |= {column: None if raw[column] is None else bytes.fromhex(raw[column]) for column in _KEYS}
    values["context"] = contexts.id(context_of(raw))
    values |= own
    return tuple(values[field] for field in _FIELDS)
