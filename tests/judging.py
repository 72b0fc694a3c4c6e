"""Facts beside the lines that they were read from, for people who judge rules by hand (docs/rules.md).

    CCAGENT_TEST_CORPUS=DIR python -m tests.judging RULE [--sample 50] [--seed 4] [--where SQL] [--part 1/5] [--count]

RULE is a name of `RULES`, or a kind of fact (`quality.run`, `git.commit` …). The sample is
`random.Random(seed).sample` of the sorted keys, so everybody reads the same facts. Each is printed with its columns,
its own line, the other lines of the file that name it, and as many lines around as `--around` says. What it prints
comes from real transcripts: it belongs on a screen, not in a file that is kept.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from ccagent.facts.model import EVENT_NAMES
from ccagent.store.connection import Connection
from ccagent.store.open import open_reader
from ccagent.store.view import event_columns, events_select
from tests.conftest import CORPUS_VARIABLE
from tests.sources.feed import Feed

RULES: Final[Mapping[str, str]] = {
    "failure_class": "event_type = 'tool.call' AND failure_class IS NOT NULL",
    "retry": "event_type = 'tool.call' AND retry_count > 0",
    "repeated": "repeated = 1",
    "timeout": "event_type = 'tool.call' AND timeout_flag = 1",
    "human_wait": "waited_for_human = 1",
    "loop": "loop = 1",
    "stall": "stall = 1",
    "session_kind": "event_type = 'session.lifecycle'",
    "api_failure": "event_type = 'api.error'",
    "prompt_kind": "event_type = 'prompt'",
    "usage_quality": "event_type = 'llm.request' AND quality <> 'final'",
    "turn_status": "event_type = 'turn' AND status <> 'ok'",
    "drift": "event_type = 'record.unknown'",
}
"""Rules by name: which facts they judged, as a condition on the columns of telemetry_events. Any other name is taken
for a kind of fact."""

DULL: Final = frozenset(
    ("seq", "closed_seq", "host_id", "file_id", "byte_offset", "byte_length", "parser_version", "sequence_no",
     "source", "root_session_id", "price_version", "cost_source", "project_id", "cwd", "entrypoint")
)  # fmt: skip
"""Columns that say nothing about a judgement."""

_ID: Final = re.compile(r"toolu_\w+|msg_\w+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""The part of a fact's key that stands in transcripts."""

RELATED: Final = 4
"""Further lines of the file, naming the fact's own id, that are shown."""


def main() -> int:
    options = _options()
    root = Path(os.environ.get(CORPUS_VARIABLE, ""), "projects") if options.root is None else Path(options.root)
    if not root.is_dir():
        print(f"{CORPUS_VARIABLE} names no folder with transcripts", file=sys.stderr)
        return 2
    condition = RULES.get(options.rule, f"event_type = '{options.rule}'")
    if options.rule not in RULES and options.rule not in EVENT_NAMES.values():
        print(f"RULE is one of {', '.join([*RULES, *EVENT_NAMES.values()])}", file=sys.stderr)
        return 2
    if options.where:
        condition = f"({condition}) AND ({options.where})"
    if options.db:
        with open_reader(options.db, None) as conn:
            return _judge(conn, root, condition, options)
    feed = Feed()
    for path in transcripts(root):
        feed.take((str(path.relative_to(root)), path.read_bytes()))
    return _judge(feed.store.conn, root, condition, options)


def transcripts(root: Path) -> list[Path]:
    """The transcripts below a folder, in order."""
    return sorted(path for path in root.rglob("*.jsonl") if path.name != "journal.jsonl")


def sampled(keys: list[str], size: int, seed: int = 4) -> list[str]:
    """As many of the keys, the same for everybody; all of them where there are no more."""
    keys = sorted(keys)
    return keys if len(keys) <= size else random.Random(seed).sample(keys, size)


def _judge(conn: Connection, root: Path, condition: str, options: argparse.Namespace) -> int:
    columns = list(event_columns(conn.dialect.name, times="{}"))
    select = events_select(conn.dialect.name, times="{}")
    rows = [
        dict(zip(columns, row, strict=True))
        for row in conn.execute(f"SELECT * FROM ({select}) AS events WHERE {condition}")
    ]
    by_key = {str(row["source_key"]): row for row in rows}
    keys = sampled(list(by_key), options.sample, options.seed)
    print(f"{len(rows)} facts judged; a sample of {len(keys)} (seed {options.seed})")
    if options.count:
        return 0
    part, parts = (int(number) for number in options.part.split("/"))
    paths = {int(number): os.fsdecode(bytes(path)) for number, path in conn.execute("SELECT id, path FROM file")}
    share = -(-len(keys) // parts)
    for number, key in list(enumerate(keys, 1))[(part - 1) * share : part * share]:
        for line in _shown(number, by_key[key], root, paths, options):
            print(line)
    return 0


def _shown(
    number: int, row: Mapping[str, Any], root: Path, paths: Mapping[int, str], options: argparse.Namespace
) -> Iterator[str]:
    said = {name: value for name, value in row.items() if value is not None and name not in DULL}
    yield f"\n━━━ {number} ━━━ " + "  ".join(f"{name}={value}" for name, value in said.items())
    path = paths.get(row["file_id"])
    if path is None:
        return
    lines = _lines(root / path)
    at = _line_at(root / path, int(row["byte_offset"]))
    native = str(row["source_key"]).partition(":")[2]
    needle = (found.group() if (found := _ID.search(native)) else native).encode()
    for place in range(max(0, at - options.around), min(len(lines), at + options.around + 1)):
        yield f"{'>' if place == at else ' '} {path[-40:]}:{place + 1} {shortened(lines[place], options.width)}"
    others = [place for place, line in enumerate(lines) if needle in line and abs(place - at) > options.around]
    for place in others[:RELATED]:
        yield f"~ {path[-40:]}:{place + 1} {shortened(lines[place], options.width)}"


@lru_cache(maxsize=4)
def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1]


def _line_at(path: Path, offset: int) -> int:
    position = 0
    for number, line in enumerate(_lines(path)):
        if position >= offset:
            return number
        position += len(line) + 1
    return len(_lines(path)) - 1


def shortened(line: bytes, width: int) -> str:
    """A line as JSON whose texts are cut to `width` characters, without what every record repeats."""
    try:
        value = json.loads(line)
    except ValueError:
        return line[: 4 * width].decode("utf-8", "replace")
    if isinstance(value, dict):
        for name in ("parentUuid", "userType", "slug", "isSidechain", "cwd", "sessionId", "signature"):
            value.pop(name, None)
    return json.dumps(_cut(value, width), ensure_ascii=False)


def _cut(value: Any, width: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= width else f"{value[: width * 2 // 3]} …{len(value)}… {value[-width // 3 :]}"
    if isinstance(value, list):
        return [_cut(item, width) for item in value[:12]] + [f"… {len(value)} items"] * (len(value) > 12)
    if isinstance(value, dict):
        return {key: _cut(item, width) for key, item in value.items() if key not in ("signature", "originalFile")}
    return value


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.judging", description=__doc__.partition("\n")[0])
    parser.add_argument("rule", help=f"{', '.join(RULES)}, or a kind of fact: {', '.join(EVENT_NAMES.values())}")
    parser.add_argument("--sample", type=int, default=50, help="how many facts (50)")
    parser.add_argument("--seed", type=int, default=4, help="of the sample (4)")
    parser.add_argument("--where", help="a further condition on the columns of telemetry_events")
    parser.add_argument("--part", default="1/1", help="i/n: the i-th of n pages of the sample")
    parser.add_argument("--around", type=int, default=0, help="lines before and after (0)")
    parser.add_argument("--width", type=int, default=300, help="characters of a text (300)")
    parser.add_argument("--count", action="store_true", help="say only how many were judged")
    parser.add_argument("--db", help="a SQLite database that has read the transcripts, instead of reading them now")
    parser.add_argument("--root", help=f"folder of the transcripts (default: ${CORPUS_VARIABLE}/projects)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
