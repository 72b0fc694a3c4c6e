"""How fast rollouts of Codex are taken in: bytes a second of processor time, beside orjson alone.

    python -m benchmarks.codex [--megabytes 50]

Sessions, forks with copied histories and sub-agents, with outputs of a size as real ones have (lines: median 0.7 KB,
99th percentile 29 KB). The time of making the tree does not count.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from ccagent.facts.batch import Batch
from ccagent.intake import STEP_BYTES
from ccagent.sources.base import CODEX
from ccagent.sources.known import SOURCES

SIZES = (200, 700, 1_500, 6_000, 29_000)
WEIGHTS = (30, 40, 20, 9, 1)
"""Characters of an output, and how often."""


def stamp(ms: int) -> str:
    """A time as rollouts have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1_000)) + f".{ms % 1_000:03}Z"


def dated(ms: int, chance: random.Random) -> str:
    """A UUID of version 7."""
    digits = f"{ms:012x}7{chance.getrandbits(12):03x}8{chance.getrandbits(60):015x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


class Session:
    """One file's lines."""

    def __init__(self, now: int, chance: random.Random, parent: Session | None = None) -> None:
        self.now, self.chance = now, chance
        self.id = dated(now, chance)
        self.lines: list[bytes] = []
        self.total = list(parent.total) if parent is not None else [0] * 5
        more = {"forked_from_id": parent.id} if parent is not None else {}
        self.line("session_meta", {"id": self.id, "cwd": "/home/demo", "cli_version": "0.146.0", "source": "cli",
                                   "originator": "codex-tui", "model_provider": "openai", **more})  # fmt: skip
        if parent is not None:
            self.lines += [
                json.dumps(json.loads(raw) | {"timestamp": stamp(self.now)}).encode() for raw in parent.lines
            ]

    def line(self, kind: str, payload: dict[str, Any]) -> None:
        self.now += 400
        self.lines.append(json.dumps({"timestamp": stamp(self.now), "type": kind, "payload": payload}).encode())

    def turn(self) -> None:
        """A prompt and twelve requests with a command each."""
        turn = dated(self.now, self.chance)
        self.line("event_msg", {"type": "task_started", "turn_id": turn})
        self.line("turn_context", {"turn_id": turn, "cwd": "/home/demo", "model": "gpt-5.5", "effort": "high",
                                   "approval_policy": "never", "sandbox_policy": {"type": "read-only"}})  # fmt: skip
        self.line("event_msg", {"type": "user_message", "message": "go on"})
        for _ in range(12):
            call = f"call_{self.chance.getrandbits(96):024x}"
            text = "x" * self.chance.choices(SIZES, WEIGHTS)[0]
            self.line("response_item", {"type": "reasoning", "summary": [], "encrypted_content": "y" * 900})
            self.line("response_item", {"type": "function_call", "name": "exec_command", "arguments": '{"cmd":"ls"}',
                                        "call_id": call})  # fmt: skip
            last = [self.chance.randint(500, 90_000), 400, 50, 300, 100]
            self.total = [one + two for one, two in zip(self.total, last, strict=True)]
            usages = [
                {"input_tokens": each[0], "cached_input_tokens": each[1], "cache_write_input_tokens": each[2],
                 "output_tokens": each[3], "reasoning_output_tokens": each[4], "total_tokens": each[0] + each[3]}
                for each in (self.total, last)
            ]  # fmt: skip
            self.line("event_msg", {"type": "token_count", "info": {"total_token_usage": usages[0],
                      "last_token_usage": usages[1], "model_context_window": 400_000}})  # fmt: skip
            output = f"Wall time: 0.5 seconds\nProcess exited with code 0\nOutput:\n{text}"
            self.line("response_item", {"type": "function_call_output", "call_id": call, "output": output})
        self.line("event_msg", {"type": "task_complete", "turn_id": turn, "duration_ms": 5_000})


def make(folder: Path, megabytes: float) -> int:
    """The tree; its bytes."""
    chance, made, number, now = random.Random(1), 0, 0, 1_780_000_000_000
    parent: Session | None = None
    while made < megabytes * 1e6:
        now += 3_600_000
        session = Session(now, chance, parent if number % 4 == 3 else None)
        for _ in range(chance.randint(2, 8)):
            session.turn()
        parent = session
        data = b"\n".join(session.lines) + b"\n"
        path = folder / f"{number % 28 + 1:02}" / f"rollout-2026-05-28T20-26-40-{session.id}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        made, number = made + len(data), number + 1
    return made


def chunks(folder: Path) -> Iterator[tuple[Path, bytes, int]]:
    """Every file in pieces of whole lines."""
    for path in sorted(folder.rglob("rollout-*.jsonl")):
        data, start = path.read_bytes(), 0
        while start < len(data):
            end = len(data) if len(data) - start <= STEP_BYTES else data.rfind(b"\n", start, start + STEP_BYTES) + 1
            yield path, data[start:end], start
            start = end


def only_json(folder: Path) -> int:
    """The limit: orjson on every line."""
    return sum(orjson.loads(line) is not None for _, data, _ in chunks(folder) for line in data.split(b"\n") if line)


def derive(folder: Path) -> int:
    """Lines to merged partial facts, without a database."""
    batch, facts, source = Batch(), 0, SOURCES[CODEX]
    carried: dict[Path, bytes] = {}
    for number, (path, data, start) in enumerate(chunks(folder)):
        feeder = source.feeder(batch, carried.get(path), file=number, path=bytes(path))
        feeder.feed(data, start)
        carried[path] = feeder.carried()
        if batch.bytes >= STEP_BYTES:
            facts, batch = facts + batch.size(), Batch()
    return facts + batch.size()


def ingest(folder: Path) -> int:
    """Everything: scan, read, derive, store, close."""
    from ccagent.clock import SystemClock
    from ccagent.follow.reader import MAX_LINE
    from ccagent.follow.roots import Root
    from ccagent.service.following import Following
    from ccagent.service.live import Live
    from ccagent.store.sqlite import SqliteStore

    with tempfile.TemporaryDirectory() as place:
        store = SqliteStore(Path(place) / "facts.db", clock=SystemClock())
        roots = [Root(folder, CODEX)]
        following = Following(store, roots, Live(), SystemClock(), max_line=MAX_LINE, scan_seconds=60.0)
        following.once()
        following.follower.close()
        facts = int(next(iter(store.conn.execute("SELECT COUNT(*) FROM fact")))[0])
        store.close()
    return facts


def main() -> None:
    """Print MB a second of processor time and counts of each piece, the best of three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=50.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        size = make(Path(place), options.megabytes)
        pieces: tuple[tuple[str, Callable[[Path], int]], ...] = (
            ("orjson alone (lines)", only_json), ("derive (facts)", derive), ("ingest (facts)", ingest),
        )  # fmt: skip
        print(f"{size / 1e6:.1f} MB")
        for name, piece in pieces:
            seconds = []
            for _ in range(3):
                begun = time.process_time()
                count = piece(Path(place))
                seconds.append(time.process_time() - begun)
            print(f"{name:<22} {size / 1e6 / min(seconds):8.1f} MB/s  {count:>8,}  {count / min(seconds):>10,.0f}/s")


if __name__ == "__main__":
    main()
