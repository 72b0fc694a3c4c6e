"""A session that is being written: its lines appended to its file one by one, with the time of now."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from ccagent.demo.lines import Ids, Usage, tool_use
from ccagent.demo.transcript import Session

CALL_USAGE: Final = Usage(input=12, output=80, cache_read=40_000, cache_write=900)
"""Of each response."""


class LiveSession:
    """One file below a tree. Each method appends a line and returns the id of its tool call."""

    def __init__(self, tree: Path, seed: int) -> None:
        self._session = Session(ids=Ids(f"live-{seed}"), cwd=f"/home/demo/live-{seed}", start=_now_ms())
        self._path = tree / self._session.path
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._open: str | None = None
        self._session.prompt("go on", after_ms=0)
        self._append()

    def call(self) -> str:
        """A response that makes one call."""
        self._open = self._session.ids.tool()
        self._at_now()
        call = tool_use(self._open, "Bash", {"command": "true " * 200})
        self._session.assistant(call, usage=CALL_USAGE, after_ms=0)
        self._append()
        return self._open

    def result(self) -> str:
        """The result of the open call, which closes it. RuntimeError when none is open."""
        tool_id, self._open = self._open, None
        if tool_id is None:
            raise RuntimeError("no call is open; append one first")
        self._at_now()
        self._session.result(tool_id, "done " * 300, details={"stdout": "done " * 300, "stderr": ""}, after_ms=0)
        self._append()
        return tool_id

    def line(self) -> str:
        """The next line, whichever is due."""
        return self.call() if self._open is None else self.result()

    def _at_now(self) -> None:
        self._session.now = max(self._session.now + 1, _now_ms())

    def _append(self) -> None:
        data = b"".join(line.raw for line in self._session.lines)
        self._session.lines.clear()
        with self._path.open("ab", buffering=0) as file:
            file.write(data)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
