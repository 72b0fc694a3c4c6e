"""Nothing lost, nothing doubled: what a store must hold after any number of kills, judged from outside.

The truth is the writer's manifest and the bytes of the tree; the verdict is a list of findings in plain words, empty
when all is well. The database is read with the standard library's sqlite3 or with psycopg, not with ccagent's store.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from ccagent.facts.model import KEY_PREFIXES, EventType
from ccagent.facts.trace_ids import span_id
from ccagent.store.open import open_reader
from ccagent.store.view import canonical_dump

Ask = Callable[..., list[tuple[Any, ...]]]
"""Rows of a statement with placeholders `?`, given its values."""

KEYED = (EventType.LLM_REQUEST, EventType.TOOL_CALL, EventType.PROMPT)
"""The kinds of facts whose keys the manifest names."""

KINDS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")


def findings(database: Path | str, tree: Path, manifest: Path) -> list[str]:
    """Everything that is wrong with `database` (a file, or a URL), given what was written to `tree`."""
    keys, tokens = read_manifest(manifest)
    with asking(database) as ask:
        found = [*_keys(ask, keys), *_tokens(ask, tokens), *_closed(ask), *_offsets(ask, tree)]
        return found if isinstance(database, str) else [*_integrity(ask), *found]


@contextmanager
def asking(database: Path | str) -> Iterator[Ask]:
    """Asks the database from outside; all that is asked within is of one moment, whatever a daemon goes on doing."""
    if isinstance(database, Path):
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=1)) as file:
            file.execute("BEGIN")
            yield lambda sql, *values: file.execute(sql, values).fetchall()
        return
    with closing(psycopg.connect(database, connect_timeout=5)) as served:
        served.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        served.execute("SET search_path = ccagent")
        yield lambda sql, *values: served.execute(sql.replace("?", "%s").encode(), values).fetchall()


def read_manifest(manifest: Path) -> tuple[Counter[str], tuple[int, ...]]:
    """All keys with the number of times they were noted, and the sum of the tokens by kind."""
    keys: Counter[str] = Counter()
    sums = [0] * len(KINDS)
    for path in sorted(manifest.glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            entry = json.loads(line)
            keys[entry["key"]] += 1
            for index, amount in enumerate(entry.get("tokens", ())):
                sums[index] += amount
    return keys, tuple(sums)


def spans(database: Path | str) -> set[bytes]:
    """Ids of the spans that must have left: one for each closed fact that is a span."""
    kinds = ",".join(str(int(kind)) for kind in (EventType.TURN, EventType.LLM_REQUEST, EventType.TOOL_CALL))
    with asking(database) as ask:
        rows = ask(f"SELECT type, native FROM fact WHERE type IN ({kinds}) AND closed_seq IS NOT NULL")
    return {span_id(KEY_PREFIXES[kind] + native) for kind, native in rows}


def dump(database: Path | str) -> list[str]:
    """The canonical dump: equal for two stores that took in the same lines, in whatever way."""
    with open_reader(database) as connection:
        return list(canonical_dump(connection))


def progress(database: Path | str) -> int:
    """Bytes taken in so far; 0 while there is no database."""
    if isinstance(database, Path) and not database.exists():
        return 0
    try:
        with asking(database) as ask:
            return int(ask('SELECT coalesce(sum("offset"), 0) FROM file')[0][0])
    except (sqlite3.OperationalError, psycopg.OperationalError, psycopg.errors.UndefinedTable):
        return 0  # no tables yet, busy being created, or out of reach


def _integrity(ask: Ask) -> Iterator[str]:
    answer = [row[0] for row in ask("PRAGMA integrity_check")]
    if answer != ["ok"]:
        yield f"integrity_check: {answer[:3]}"


def _keys(ask: Ask, written: Counter[str]) -> Iterator[str]:
    kinds = ",".join(str(int(kind)) for kind in KEYED)
    rows = ask(f"SELECT type, native FROM fact WHERE type IN ({kinds})")
    stored = Counter(KEY_PREFIXES[kind] + native for kind, native in rows)
    lost, foreign = sorted(written.keys() - stored.keys()), sorted(stored.keys() - written.keys())
    doubled = sorted(key for key, count in stored.items() if count > 1)
    for word, some in (("lost", lost), ("never written", foreign), ("doubled", doubled)):
        if some:
            yield f"{len(some)} keys {word}, such as {some[:3]}"


def _tokens(ask: Ask, written: tuple[int, ...]) -> Iterator[str]:
    stored = ask(
        """SELECT sum(token_input), sum(token_output), sum(token_cache_read),
                  sum(token_cache_write) - sum(token_cache_write_1h), sum(token_cache_write_1h)
           FROM fact WHERE type = ?""",
        int(EventType.LLM_REQUEST),
    )[0]
    booked = Counter[str]()
    for labels, value in ask("SELECT labels, value FROM total WHERE metric = 'tokens'"):
        booked[json.loads(labels)[1]] += value
    counters = tuple(booked[kind] for kind in KINDS)
    stored = tuple(int(amount or 0) for amount in stored)
    if stored != written:
        yield f"tokens of the facts are {stored}, written were {written}"
    if counters != written:
        yield f"the counter of tokens says {counters}, written were {written}"


def _closed(ask: Ask) -> Iterator[str]:
    """Outcomes are booked once, when a fact closes: as many as there are closed facts."""
    for metric, kind in (("requests", EventType.LLM_REQUEST), ("tool.calls", EventType.TOOL_CALL)):
        query = "SELECT count(*) FROM fact WHERE type = ? AND closed_seq IS NOT NULL AND name IS NOT NULL"
        facts = ask(query, int(kind))[0][0]
        booked = _total(ask, metric)
        if facts != booked:
            yield f"the counter {metric} says {booked}, {facts} such facts are closed"


def _offsets(ask: Ask, tree: Path) -> Iterator[str]:
    stored = {bytes(path): offset for path, offset in ask('SELECT path, "offset" FROM file')}
    consumed = lines = 0
    for path in sorted(tree.rglob("*.jsonl")):
        content = path.read_bytes()
        expected = content.rfind(b"\n") + 1
        consumed += expected
        lines += content.count(b"\n")
        offset = stored.get(os.fsencode(path.resolve()), 0)  # an empty file need not be known
        if offset != expected:
            yield f"{path.name}: offset {offset}, the last newline ends at {expected}"
    for metric, written in (("ingest.bytes", consumed), ("ingest.records", lines)):
        booked = _total(ask, metric)
        if booked != written:
            yield f"the counter {metric} says {booked}, the files hold {written} in whole lines"


def _total(ask: Ask, metric: str) -> int:
    query = "SELECT coalesce(sum(value), 0) FROM total WHERE metric = ?"
    return int(ask(query, metric)[0][0])
