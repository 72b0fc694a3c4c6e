"""Writes a projects tree of any size, the same bytes for the same seed.

Streamed messages of one to five lines, sub-agents in files of their own (in the main file for the oldest client), forks
that repeat another session's first lines, results from a few bytes to a megabyte, compactions, and some broken lines.
The mean line has about 2.5 KB.

    python benchmarks/generate.py DIR --mb 100 [--files N] [--seed 7]
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.figures import MEGABYTE
from ccagent.demo.lines import Ids, Json, Usage, stamp, text, tool_use
from ccagent.demo.transcript import Session

END_MS: Final = 1_770_714_000_000
"""All sessions begin before this moment, so that a tree does not depend on the day it is made."""

DAYS_MS: Final = 28 * 24 * 3_600 * 1_000
POOL_CHARACTERS: Final = 2_000_000
"""Texts are cut out of one pool: drawing each anew would take longer than reading them."""

SESSION_BYTES: Final = (300_000, 1.1)
"""Median and spread (sigma of the logarithm) of a session's size: a few large ones hold most of the bytes."""

VERSIONS: Final = (("2.1.229", 40), ("2.1.98", 20), ("2.1.30", 20), ("2.0.76", 15), ("1.0.108", 5))
MODELS: Final = (("claude-opus-4-6", 40), ("claude-sonnet-4-5-20250929", 45), ("claude-haiku-4-5-20251001", 15))
TOOLS: Final = (("Bash", 36), ("Read", 27), ("Edit", 16), ("Grep", 12), ("Write", 5), ("mcp__tracker__search", 4))
RESULT_CHARACTERS: Final = {"Read": 2_200, "Bash": 800, "Grep": 800, "Edit": 700}
WORDS: Final = (
    "add and api array async await block branch build bytes cache call case change check class client column commit "
    "config count data default delete error event export field file filter fix flag for format function get group "
    "handler if import index input insert item join key line list load lock log loop map merge message method model "
    "module name new None not null number object open option order output parse path print query queue read record "
    "remove request result return row run save schema search select server session set sort source split start state "
    "stop store string table task test text thread time token total true type update user value view wait write"
).split()

EXCHANGE_BYTES: Final = 8_000
"""What a request and its results take, about: a turn is not to overshoot a small session by much."""

FORK_LINES: Final = 60
HISTORY: Final = 100
"""Earlier sessions that a fork may begin with, and how many of their lines it repeats."""

CONTEXT_LIMIT: Final = 160_000
"""Tokens at which a session compacts."""

BROKEN_EVERY: Final = 25
"""One session of so many, the first among them, has a line that is no record."""

BROKEN: Final = (
    b'{"parentUuid":null,"type":"assistant","message":{"model":"claude-opus-4-6","id":"msg_01\n',
    b"\0" * 512 + b"\n",
    b"not a record at all\n",
)


@dataclass(slots=True, kw_only=True)
class Written:
    """What a tree holds."""

    files: int = 0
    lines: int = 0
    size: int = 0


class Generator:
    """Draws sessions from one seed and writes them below `root`."""

    def __init__(self, root: Path, seed: int = 7) -> None:
        self.root = root
        self.written = Written()
        self._random = random.Random(f"ccagent-benchmark-{seed}")
        self._ids = Ids(f"benchmark-{seed}")
        self._pool = self._make_pool()
        self._signature = "".join(self._random.choices("ABCDEFGHabcdefgh0123456789+/", k=20_000))
        self._sessions = 0
        self._history: list[tuple[str, list[bytes]]] = []

    def write(self, size: int, files: int | None = None) -> Written:
        """Sessions of `size` bytes together; with `files`, so many of equal size."""
        if files is not None:
            for _ in range(files):
                self._save(self._session(size // files))
            return self.written
        while self.written.size < size:
            self._save(self._session(min(self._around(*SESSION_BYTES, 5_000), size - self.written.size)))
        return self.written

    # ---- sessions --------------------------------------------------------------------------------------------------

    def _session(self, size: int) -> Session:
        draw = self._random
        session = Session(
            cwd=f"/home/demo/project-{draw.randrange(12):02d}",
            version=self._weighted(VERSIONS),
            branch=draw.choice(("main", "main", "feat/" + draw.choice(WORDS))),
            start=END_MS - draw.randrange(7_200_000, DAYS_MS),
            model=self._weighted(MODELS),
            ids=self._ids,
        )
        context, done = draw.randrange(12_000, 24_000), 0
        self._sessions += 1
        breaks = self._sessions % BROKEN_EVERY == 1
        if self._history and size > 100_000 and draw.random() < 0.06:
            done += self._fork(session)
        else:
            session.row({"type": "file-history-snapshot", "messageId": self._ids.uuid(), "isSnapshotUpdate": False})
        while done < size:
            seen = len(session.lines)
            context = self._turn(session, context, size - done)
            if breaks and done > size // 3:
                breaks = False
                session.raw(draw.choice(BROKEN))
            if context > CONTEXT_LIMIT:
                session.compaction(context)
                context = 22_000
            done += sum(len(line.raw) for line in session.lines[seen:])
        if breaks:
            session.raw(draw.choice(BROKEN))
        session.row({"type": "summary", "summary": self._text(40), "leafUuid": session.last_uuid})
        return session

    def _fork(self, session: Session) -> int:
        known, lines = self._random.choice(self._history)
        for line in lines:
            session.raw(line.replace(known.encode(), session.session_id.encode()))
        return sum(map(len, lines))

    def _turn(self, session: Session, context: int, room: int) -> int:
        draw = self._random
        session.wait(draw.randrange(1_000, 180_000))
        session.prompt(self._text(self._around(220, 1.1, 5)))
        for _ in range(min(draw.randint(1, 14), room // EXCHANGE_BYTES)):
            if draw.random() < 0.012:
                self._subagent(session)
            else:
                context = self._exchange(session, context)
            if draw.random() < 0.01:
                queued: Json = {"type": "queue-operation", "operation": "enqueue", "content": self._text(60)}
                session.row(queued | {"timestamp": stamp(session.now), "sessionId": session.session_id})
            if draw.random() < 0.004:
                session.api_error(attempt=1)
        context = self._reply(session, context, [])
        if draw.random() < 0.5:
            session.turn_duration(draw.randrange(500, 90_000))
        return context

    def _subagent(self, session: Session) -> None:
        inline = session.generation < (2,)
        tool_id = session.launch(words=self._text(1_200))
        child = session.agent(model=self._weighted(MODELS), inline=inline)
        child.prompt(self._text(1_200))
        context = 12_000
        for _ in range(self._random.randint(2, 10)):
            context = self._exchange(child, context)
        self._reply(child, context, [])
        if inline:
            session.adopt(child)
        session.landed(tool_id, child)

    # ---- lines -----------------------------------------------------------------------------------------------------

    def _exchange(self, session: Session, context: int) -> int:
        count = self._random.choices((1, 2, 3), (78, 15, 7))[0]
        calls = [(session.ids.tool(), self._weighted(TOOLS)) for _ in range(count)]
        context = self._reply(session, context, calls)
        for tool_id, name in calls:
            self._result(session, tool_id, name)
        return context

    def _reply(self, session: Session, context: int, calls: list[tuple[str, str]]) -> int:
        draw = self._random
        blocks: list[Json] = []
        if draw.random() < 0.45:
            signature = self._signature[: self._around(900, 0.6, 200)]
            blocks.append(
                {"type": "thinking", "thinking": self._text(self._around(500, 0.9, 40)), "signature": signature}
            )
        if not calls or draw.random() < 0.6:
            blocks.append(text(self._text(self._around(350, 1.0, 20))))
        blocks += [tool_use(tool_id, name, self._input(session, name)) for tool_id, name in calls]
        output, write = self._around(350, 0.9, 12), self._around(900, 1.0, 0)
        long_lived = write if draw.random() < 0.3 else 0
        usage = Usage(
            input=draw.randrange(1, 400),
            output=output,
            cache_read=context,
            cache_write=write,
            cache_write_1h=long_lived,
        )
        session.assistant(*blocks, usage=usage)
        return context + write + output

    def _input(self, session: Session, name: str) -> Json:
        path = f"{session.cwd}/src/{self._random.choice(WORDS)}.py"
        if name == "Bash":
            return {"command": self._text(self._around(120, 0.9, 5)), "description": self._text(40)}
        if name == "Edit":
            old, new = self._text(self._around(400, 1.0, 5)), self._text(self._around(600, 1.0, 5))
            return {"file_path": path, "old_string": old, "new_string": new, "replace_all": False}
        if name == "Write":
            return {"file_path": path, "content": self._text(self._around(4_000, 0.9, 50))}
        return {"file_path": path} if name == "Read" else {"pattern": self._text(30), "path": session.cwd}

    def _result(self, session: Session, tool_id: str, name: str) -> None:
        draw = self._random
        huge = draw.random() < 0.001
        size = self._around(200_000, 0.6, 100_000) if huge else self._around(RESULT_CHARACTERS.get(name, 400), 1.2, 10)
        output = self._text(min(size, 1_000_000))
        repeated = output if draw.random() < 0.5 and not huge else output[:200]
        path = f"{session.cwd}/src/{draw.choice(WORDS)}.py"
        details: object = {"content": repeated}
        if name == "Bash":
            details = {"stdout": repeated, "stderr": "", "interrupted": False, "isImage": False}
        elif name == "Read":
            file = {"filePath": path, "content": repeated, "numLines": 50, "startLine": 1, "totalLines": 50}
            details = {"type": "text", "file": file}
        elif name == "Edit":
            lines = [draw.choice("+- ") + line for line in output.split("\n")[:12]]
            hunk = {"oldStart": 1, "oldLines": 7, "newStart": 1, "newLines": 9, "lines": lines}
            details = {"filePath": path, "structuredPatch": [hunk], "userModified": False}
        failed = draw.random() < 0.04
        if failed:
            details = "Error: " + output[:200]
        session.result(
            tool_id, output, is_error=failed, details=details, after_ms=draw.randrange(40, 9_000)
        )  # fmt: skip

    # ---- drawing ---------------------------------------------------------------------------------------------------

    def _make_pool(self) -> str:
        draw, parts, size = self._random, [], 0
        while size < POOL_CHARACTERS:
            words = " ".join(draw.choices(WORDS, k=draw.randint(3, 14)))
            kind = draw.random()
            if kind < 0.1:
                words = f"{draw.randint(1, 2_000):>6}\t{words}"
            elif kind < 0.2:
                words = f'    {draw.choice(WORDS)}["{draw.choice(WORDS)}"] = {words}'
            elif kind < 0.22:
                words = f"— ✓ {words} …"
            parts.append(words)
            size += len(words) + 1
        return "\n".join(parts)

    def _text(self, size: int) -> str:
        start = self._random.randrange(len(self._pool) - size)
        return self._pool[start : start + size]

    def _around(self, middle: int, spread: float, least: int) -> int:
        """A number around `middle`, with a long tail that ends at 60 times as much."""
        return max(least, min(60 * middle, int(middle * self._random.lognormvariate(0.0, spread))))

    def _weighted(self, choices: tuple[tuple[str, int], ...]) -> str:
        return self._random.choices([name for name, _ in choices], [weight for _, weight in choices])[0]

    def _save(self, session: Session) -> None:
        if len(self._history) < HISTORY and not session.inline_agent:
            self._history.append((session.session_id, [line.raw for line in session.lines[1 : FORK_LINES + 1]]))
        for part in (session, *session.agents):
            target = self.root / part.path
            target.parent.mkdir(parents=True, exist_ok=True)
            content = part.content
            target.write_bytes(content)
            self.written.files += 1
            self.written.lines += len(part.lines)
            self.written.size += len(content)


@contextmanager
def tree_or_generated(tree: Path | None, mb: float, files: int | None = None) -> Iterator[Path]:
    """`tree` as it is, else a generated one that is gone at the end."""
    if tree is not None:
        yield tree
        return
    with tempfile.TemporaryDirectory(prefix="ccagent-benchmark-") as folder:
        root = Path(folder) / "projects"
        Generator(root).write(int(mb * MEGABYTE), files)
        yield root


def main() -> None:
    """Write a tree and say what it holds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mb", type=float, default=20.0)
    parser.add_argument("--files", type=int, help="so many sessions of equal size")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    written = Generator(given.folder, given.seed).write(int(given.mb * MEGABYTE), given.files)
    print(f"{written.files:,} files, {written.lines:,} lines, {written.size:,} bytes")


if __name__ == "__main__":
    main()
