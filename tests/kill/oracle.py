"""Nothing lost, nothing doubled: what a store must hold after any number of kills, judged from outside.

The truth is the writer's manifest and the bytes of the tree; the verdict is a list of findings in plain words, empty
when all is well. The database is read with the standard library's sqlite3, not with ccagent's own store.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from ccagent.export.otlp.spans import span_id
from ccagent.facts.model import KEY_PREFIXES, EventType
from ccagent.store.open import open_reader
from ccagent.store.view import canonical_dump

KEYED = (EventType.LLM_REQUEST, EventType.TOOL_CALL, EventType.PROMPT)
"""The kinds of facts whose keys the manifest names."""

KINDS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")


def findings(database: Path, tree: Path, manifest: Path) -> list[str]:
    """Everything that is wrong with `database`, given what was written to `tree`."""
    keys, tokens = read_manifest(manifest)
    with closing(sqlite3.connect(database)) as connection:
        return [
            *_integrity(connection),
            *_keys(connection, keys),
            *_tokens(connection, tokens),
            *_closed(connection),
            *_offsets(connection, tree),
        ]


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


def spans(database: Path) -> set[bytes]:
    """Ids of the spans that must have left: one for each closed fact that is a span."""
    kinds = ",".join(str(int(kind)) for kind in (EventType.TURN, EventType.LLM_REQUEST, EventType.TOOL_CALL))
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(f"SELECT type, native FROM fact WHERE type IN ({kinds}) AND closed_seq IS NOT NULL")
        return {span_id(KEY_PREFIXES[kind] + native) for kind, native in rows}


def dump(database: Path) -> list[str]:
    """The canonical dump: equal for two stores that took in the same lines, in whatever way."""
    with open_reader(database) as connection:
        return list(canonical_dump(connection))


def progress(database: Path) -> int:
    """Bytes taken in so far; 0 while there is no database."""
    if not database.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=1)) as connection:
            return int(connection.execute('SELECT coalesce(sum("offset"), 0) FROM file').fetchone()[0])
    except sqlite3.OperationalError:  # no tables yet, or busy being created
        return 0


def _integrity(connection: sqlite3.Connection) -> Iterator[str]:
    answer = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    if answer != ["ok"]:
        yield f"integrity_check: {answer[:3]}"


def _keys(connection: sqlite3.Connection, written: Counter[str]) -> Iterator[str]:
    kinds = ",".join(str(int(kind)) for kind in KEYED)
    rows = connection.execute(f"SELECT type, native FROM fact WHERE type IN ({kinds})")
    stored = Counter(KEY_PREFIXES[kind] + native for kind, native in rows)
    lost, foreign = sorted(written.keys() - stored.keys()), sorted(stored.keys() - written.keys())
    doubled = sorted(key for key, count in stored.items() if count > 1)
    for word, some in (("lost", lost), ("never written", foreign), ("doubled", doubled)):
        if some:
            yield f"{len(some)} keys {word}, such as {some[:3]}"


def _tokens(connection: sqlite3.Connection, written: tuple[int, ...]) -> Iterator[str]:
    stored = connection.execute(
        """SELECT sum(token_input), sum(token_output), sum(token_cache_read),
                  sum(token_cache_write) - sum(token_cache_write_1h), sum(token_cache_write_1h)
           FROM fact WHERE type = ?""",
        (int(EventType.LLM_REQUEST),),
    ).fetchone()
    booked = Counter[str]()
    for labels, value in connection.execute("SELECT labels, value FROM total WHERE metric = 'tokens'"):
        booked[json.loads(labels)[1]] += value
    counters = tuple(booked[kind] for kind in KINDS)
    if stored != written:
        yield f"tokens of the facts are {stored}, written were {written}"
    if counters != written:
        yield f"the counter of tokens says {counters}, written were {written}"


def _closed(connection: sqlite3.Connection) -> Iterator[str]:
    """Outcomes are booked once, when a fact closes: as many as there are closed facts."""
    for metric, kind in (("requests", EventType.LLM_REQUEST), ("tool.calls", EventType.TOOL_CALL)):
        query = "SELECT count(*) FROM fact WHERE type = ? AND closed_seq IS NOT NULL AND name IS NOT NULL"
        facts = connection.execute(query, (int(kind),)).fetchone()[0]
        booked = _total(connection, metric)
        if facts != booked:
            yield f"the counter {metric} says {booked}, {facts} such facts are closed"


def _offsets(connection: sqlite3.Connection, tree: Path) -> Iterator[str]:
    stored = {bytes(path): offset for path, offset in connection.execute('SELECT path, "offset" FROM file')}
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
        booked = _total(connection, metric)
        if booked != written:
            yield f"the counter {metric} says {booked}, the files hold {written} in whole lines"


def _total(connection: sqlite3.Connection, metric: str) -> int:
    query = "SELECT coalesce(sum(value), 0) FROM total WHERE metric = ?"
    return int(connection.execute(query, (metric,)).fetchone()[0])
