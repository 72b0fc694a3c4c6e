"""Local git history: commits that no transcript shows, read from the repositories of recent sessions.

Off unless `git.history` says otherwise. Once an hour `git log -g` (what was done in this very repository) is run, one
process for each repository and one after the other, never one for each session. It may take READ_SECONDS and print
OUTPUT_BYTES; it changes nothing, takes no locks, asks nothing and reaches no network. Hash, time, branch and kind of a
commit are kept; messages and names are not.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from ccagent.facts.reflog import FORMAT, Span, assigned, made
from ccagent.logs import get_logger
from ccagent.store.filesystem import mount_of, mounts, unsafe
from ccagent.store.history import add_commits, recent_sessions
from ccagent.worktrees import repository_of

if TYPE_CHECKING:
    from ccagent.clock import Clock
    from ccagent.store.writer import Writer

LOOK_SECONDS: Final = 3_600.0
"""Between two looks."""

READ_SECONDS: Final = 10.0
"""A repository that answers later is left for the next look: its disk is busy, or gone."""

OUTPUT_BYTES: Final = 4 * 1024 * 1024
"""More is not read: ENTRIES take a tenth of it."""

ENTRIES: Final = 2_000
"""Of one repository's log: more than is done in RECENT_MS."""

RECENT_MS: Final = 7 * 24 * 3_600 * 1_000
"""Sessions that ended before that are not looked at any more: their commits were found at the time."""

SETTLED_MS: Final = 10 * 60 * 1_000
"""Younger commits wait for the next look: a transcript may yet show them, and knows more."""

SESSIONS: Final = 2_000
REPOSITORIES: Final = 100
"""Of one look, those of the latest sessions first."""

LEVELS: Final = 64
"""Folders above one in which its `.git` is looked for."""

SLICE_SECONDS: Final = 0.1
"""Of each tick that a process is listened to: the thread has other things to do."""

ENDING_SECONDS: Final = 1.0
"""From the end of its output to the end of a process; far more than any needs."""

_KEPT: Final = ("PATH", "HOME", "SYSTEMROOT", "TMPDIR", "XDG_CONFIG_HOME")
_SETTINGS: Final = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_PAGER": "cat",
    "GIT_ASKPASS": "",
    "SSH_ASKPASS": "",
    "LC_ALL": "C",
}
_COMMAND: Final = (
    "--no-pager", "--no-optional-locks", "-c", "protocol.allow=never", "-c", "core.fsmonitor=false",
    "-c", "log.showSignature=false", "log", "-g", f"--max-count={ENTRIES}", "--no-color", "--no-patch", "--date=unix",
    f"--format={FORMAT}", "--branches", "HEAD", "--",
)  # fmt: skip


class Reading:
    """One `git log`, listened to in slices."""

    def __init__(self, git: str, repository: str, env: Mapping[str, str], now: float) -> None:
        """Begin. OSError where git cannot be run."""
        self.repository = repository
        self._deadline = now + READ_SECONDS
        self._parts: list[bytes] = []
        self._bytes = 0
        kept = {name: env[name] for name in _KEPT if name in env}
        self._process = subprocess.Popen(
            (git, "-C", repository, *_COMMAND), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env=kept | _SETTINGS, start_new_session=True,
        )  # fmt: skip

    def step(self, now: float) -> bool:
        """Listen for SLICE_SECONDS; whether it goes on. Past its time or its bytes it is ended, and gives nothing."""
        pipe = self._process.stdout
        assert pipe is not None
        end = time.monotonic() + SLICE_SECONDS
        while (left := end - time.monotonic()) > 0:
            if not select.select([pipe], [], [], left)[0]:
                break
            part = os.read(pipe.fileno(), 64 * 1024)
            if not part:
                self._ended()
                return False
            self._parts.append(part)
            self._bytes += len(part)
            if self._bytes > OUTPUT_BYTES:
                self.stop()
                return False
        if now < self._deadline:
            return True
        self.stop()
        return False

    def _ended(self) -> None:
        """It has closed its output, so it is ending."""
        try:
            self._process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self.stop()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def stop(self) -> None:
        """End it at once; what it said is forgotten."""
        self._parts.clear()
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    @property
    def text(self) -> str | None:
        """What it printed; None where it failed or was ended."""
        return b"".join(self._parts).decode("utf-8", "replace") if self._process.returncode == 0 else None


class Histories:
    """Driven by `tick(now)`, as the schedule thread is."""

    def __init__(self, store: Writer, clock: Clock, env: Mapping[str, str] | None = None) -> None:
        self._store = store
        self._clock = clock
        self._env = os.environ if env is None else env
        self._next = 0.0
        self._waiting: list[tuple[str, list[Span]]] = []
        self._reading: tuple[Reading, list[Span]] | None = None
        self._log = get_logger()

    def tick(self, now: float) -> None:
        """A little of what is due. StoreError where the database refuses; the next look tries again."""
        if self._reading is not None:
            self._go_on(*self._reading, now)
        elif self._waiting:
            self._begin(*self._waiting.pop(0), now)
        elif now >= self._next:
            self._next = now + LOOK_SECONDS
            self._waiting = self.repositories()

    @property
    def busy(self) -> bool:
        """Whether a look has begun and is not done."""
        return self._reading is not None or bool(self._waiting)

    def close(self) -> None:
        """End the process that is running."""
        if self._reading is not None:
            self._reading[0].stop()
            self._reading = None
        self._waiting = []

    def repositories(self) -> list[tuple[str, list[Span]]]:
        """The repositories on this machine's own disks in which recent sessions worked, with those sessions."""
        since = self._clock.now_ms() - RECENT_MS
        found: dict[str, list[Span]] = {}
        known = mounts()
        roots: dict[str, str | None] = {}
        for span in recent_sessions(self._store, since, SESSIONS):
            if span.project not in roots:
                mount = mount_of(span.project, known) if span.project.startswith("/") else None
                roots[span.project] = None if mount is not None and unsafe(mount) else root_of(span.project)
            root = roots[span.project]
            if root is not None and (root in found or len(found) < REPOSITORIES):
                found.setdefault(root, []).append(span)
        return list(found.items())

    def _begin(self, repository: str, spans: list[Span], now: float) -> None:
        git = shutil.which("git", path=self._env.get("PATH"))
        if git is None:
            self._waiting = []
            self._log.warning("git.absent")
            return
        try:
            self._reading = Reading(git, repository, self._env, now), spans
        except OSError as error:
            self._log.warning("git.failed", error=str(error))

    def _go_on(self, reading: Reading, spans: list[Span], now: float) -> None:
        if reading.step(now):
            return
        self._reading = None
        text = reading.text
        if text is None:
            self._log.debug("git.unread", repository=reading.repository)
            return
        found = assigned(made(text), spans, self._clock.now_ms() - SETTLED_MS)
        added = add_commits(self._store, found)
        if added:
            self._log.info("git.history", commits=added)


def root_of(folder: str) -> str | None:
    """The repository that a folder lies in, worktrees led back to it; None where it lies in none, or is gone."""
    if not folder.startswith("/") or "\0" in folder:
        return None
    place = os.path.normpath(folder)
    for _ in range(LEVELS):
        if os.path.lexists(os.path.join(place, ".git")):  # noqa: PTH118
            return repository_of(folder) or place
        above = os.path.dirname(place)  # noqa: PTH120
        if above == place:
            return None
        place = above
    return None
