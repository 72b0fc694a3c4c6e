"""Writes transcripts as four busy sessions would, and notes every key before the line that carries it.

    python -m tests.kill.writer TREE MANIFEST SEED PAUSE_MS [TURNS]

Four threads append to session files under TREE until SIGTERM, or until each has written TURNS turns. Each line goes
out in two write calls, cut at a random byte, so that a reader often meets half a line. Now and then a session is
forked: the last turn is copied under a new session id, as a resumed session does, and must not count again.

MANIFEST is a folder with one file a thread. A line of it is JSON: `key` (the source key of the fact) and, for a
request, `tokens` (input, output, cache_read, cache_write_5m, cache_write_1h) as they stand after its last line.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

THREADS = 4
TURNS_PER_SESSION = 25
FORK_SHARE = 0.04  # of all turns
MODELS = ("claude-opus-4-6", "claude-sonnet-4-6", "model-without-price")
TOOLS = ("Bash", "Read", "Edit")


@dataclass(slots=True, kw_only=True)
class Session:
    """One growing session file."""

    path: Path
    session_id: str
    descriptor: int
    parent: str | None = None
    turns: int = 0
    last_turn: list[dict[str, Any]] = field(default_factory=list)


class Writer:
    """One thread's pen: its own random numbers, sessions and manifest."""

    def __init__(self, tree: Path, manifest: Path, name: str, seed: int, pause: float) -> None:
        self._tree = tree
        self._name = name
        self._random = random.Random(f"{seed}/{name}")
        self._pause = pause
        self._numbers = 0
        self._manifest = os.open(manifest / f"{name}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._session = self._open_session()

    def run(self, stop: threading.Event, turns: int | None) -> None:
        """Write whole turns until `stop` is set or `turns` are written."""
        written = 0
        while not stop.is_set() and written != turns:
            self._turn()
            written += 1
            if self._random.random() < FORK_SHARE:
                self._fork()
            elif self._session.turns >= TURNS_PER_SESSION:
                os.close(self._session.descriptor)
                self._session = self._open_session()

    def _turn(self) -> None:
        session = self._session
        session.turns += 1
        session.last_turn.clear()
        prompt = self._record("user", message={"role": "user", "content": "do the next thing"})
        self._note("prompt:" + prompt["uuid"])
        self._append(prompt)
        for _ in range(self._random.randint(1, 3)):
            self._request()

    def _request(self) -> None:
        """One API response of one to three lines, its output growing; then the result of its tool call, if any."""
        number = self._next()
        message_id = f"msg_{number}"
        five_minutes, one_hour = self._random.randint(0, 400), self._random.choice((0, 0, 900))
        output = self._random.randint(1, 2_000)
        tokens = [self._random.randint(1, 50), output, self._random.randint(0, 90_000), five_minutes, one_hour]
        self._note("llm:" + message_id, tokens)
        call = f"toolu_{number}" if self._random.random() < 0.6 else None
        if call:
            self._note("tool:" + call)
        lines = self._random.randint(1, 3)
        model = self._random.choice(MODELS)
        for line in range(1, lines + 1):
            last = line == lines
            block: dict[str, Any] = {"type": "text", "text": "done — \u2028 é"}
            if last and call:
                block = {"type": "tool_use", "id": call, "name": self._random.choice(TOOLS), "input": {"x": "y" * 40}}
            usage = {
                "input_tokens": tokens[0],
                "output_tokens": output if last else max(1, output * line // (lines + 1)),
                "cache_read_input_tokens": tokens[2],
                "cache_creation_input_tokens": five_minutes + one_hour,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": five_minutes,
                    "ephemeral_1h_input_tokens": one_hour,
                },
            }
            stop = ("tool_use" if call else "end_turn") if last else None
            message = {
                "id": message_id,
                "type": "message",
                "role": "assistant",
                "model": model,
                "content": [block],
                "stop_reason": stop,
                "usage": usage,
            }
            self._append(self._record("assistant", message=message, requestId=f"req_{number}"))
        if call:
            failed = self._random.random() < 0.2
            result = {"type": "tool_result", "tool_use_id": call, "content": "output " * 20, "is_error": failed}
            self._append(self._record("user", message={"role": "user", "content": [result]}))

    def _fork(self) -> None:
        """A new session whose file starts with copies of the last turn's records."""
        copied = list(self._session.last_turn)
        os.close(self._session.descriptor)
        self._session = self._open_session()
        for record in copied:
            self._append({**record, "sessionId": self._session.session_id})

    def _open_session(self) -> Session:
        session_id = f"{self._name}-session-{self._next()}"
        folder = self._tree / f"-home-dev-{self._name}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{session_id}.jsonl"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return Session(path=path, session_id=session_id, descriptor=descriptor)

    def _record(self, kind: str, **fields: Any) -> dict[str, Any]:
        uuid = f"uuid-{self._next()}"
        record = {
            "parentUuid": self._session.parent,
            "isSidechain": False,
            "userType": "external",
            "cwd": f"/home/dev/{self._name}",
            "sessionId": self._session.session_id,
            "version": "2.1.229",
            "gitBranch": "main",
            "type": kind,
            **fields,
            "uuid": uuid,
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        self._session.parent = uuid
        return record

    def _append(self, record: dict[str, Any]) -> None:
        """The line in two writes, cut at a random byte."""
        self._session.last_turn.append(record)
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        cut = self._random.randrange(1, len(line))
        os.write(self._session.descriptor, line[:cut])
        time.sleep(self._pause)
        os.write(self._session.descriptor, line[cut:])

    def _note(self, key: str, tokens: list[int] | None = None) -> None:
        entry = {"key": key} if tokens is None else {"key": key, "tokens": tokens}
        os.write(self._manifest, json.dumps(entry).encode() + b"\n")

    def _next(self) -> str:
        self._numbers += 1
        return f"{self._name}_{self._numbers:07d}"


def write(tree: Path, manifest: Path, *, seed: int, pause: float, turns: int | None, stop: threading.Event) -> None:
    """Run all threads until `stop` is set or each has written `turns` turns."""
    manifest.mkdir(parents=True, exist_ok=True)
    names = [f"w{seed}t{number}" for number in range(THREADS)]
    pens = [Writer(tree, manifest, name, seed, pause) for name in names]
    threads = [threading.Thread(target=pen.run, args=(stop, turns)) for pen in pens]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main(arguments: list[str]) -> None:
    """Command line, as in the module's docstring; SIGTERM lets every thread end its turn."""
    tree, manifest, seed, pause_ms, *turns = arguments
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    write(
        Path(tree),
        Path(manifest),
        seed=int(seed),
        pause=float(pause_ms) / 1_000,
        turns=int(turns[0]) if turns else None,
        stop=stop,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
