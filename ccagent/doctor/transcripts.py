"""Whether the transcripts are there, may be read, can be watched, and are taken in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Final

from ccagent.doctor import inotify
from ccagent.doctor.finding import Finding, amount, counted, duration, fail, ok, warn
from ccagent.doctor.ground import Ground
from ccagent.follow.roots import PREFIXES
from ccagent.follow.state import GONE
from ccagent.follow.watch import WATCH_SHARE, remote_filesystem, system_watch_limit

LAG_SECONDS: Final = 60.0
"""A daemon takes a line in within seconds; behind by more than a scan it does not keep up."""

AHEAD_MS: Final = 5 * 60 * 1_000
"""Files changed so far in the future mean that a clock was set."""

UNFINISHED_BYTES: Final = 1_000_000
"""Of a line without its end. What is longer is taken for something to take in, and not read."""

_CLIENTS: Final = {"claude": "Claude Code", "codex": "Codex"}


def roots(ground: Ground) -> Iterator[Finding]:
    """Each client's folders: whether there are any, and what lies in them."""
    if not ground.trees:
        if ground.config.sources:
            where = f"none of the {counted(len(ground.roots), 'folder')} that are set exists"
            yield fail("roots", where, "correct `sources` in the configuration, or --source")
        else:
            yield warn(
                "roots", "no transcripts: neither Claude Code's nor Codex' usual folders exist",
                "start a session, set CLAUDE_CONFIG_DIR or CODEX_HOME as your client has it, or name --source",
            )  # fmt: skip
        return
    said = [_told(ground, kind) for kind in PREFIXES if any(tree.kind == kind for tree in ground.trees)]
    if not ground.files and any(tree.refused for tree in ground.trees):
        yield warn("roots", "; ".join(said), "see the next line: what may not be read is not counted")
    elif not ground.files:
        yield warn("roots", "; ".join(said), "start a session; it is found by itself")
    else:
        yield ok("roots", "; ".join(said))


def _told(ground: Ground, kind: str) -> str:
    trees = [tree for tree in ground.trees if tree.kind == kind]
    files = sum(len(tree.files) for tree in trees)
    size = sum(length for tree in trees for length, _ in tree.files.values())
    return f"{_CLIENTS.get(kind, kind)}: {counted(len(trees), 'root')}, {counted(files, 'file')}, {amount(size)}"


def readable(ground: Ground) -> Iterator[Finding]:
    """Whether everything below the roots may be read."""
    refused = sum(tree.refused for tree in ground.trees)
    if refused:
        yield fail(
            "transcripts", f"{counted(refused, 'file or folder', 'files or folders')} below the roots may not be read",
            "make them readable for the user that ccagent runs as; `ccagent init --dry-run` names them",
        )  # fmt: skip
    elif ground.trees:
        yield ok("transcripts", "all of them may be read")


def watching(
    ground: Ground, limit: int | None = None, listeners: Callable[[int], int] = inotify.obtainable
) -> Iterator[Finding]:
    """Whether changes are heard of at once, or only found by the scan. `limit` None: the system's. `listeners`: how many
    of so many sources of events can be had."""
    limit = system_watch_limit() if limit is None else limit
    folders = sum(tree.directories for tree in ground.trees)
    far = sorted({kind for tree in ground.trees if (kind := remote_filesystem(tree.root))})
    if ground.live is not None and ground.live.get("watch_mode") != "events":
        todo = "new lines are found by the scan all the same, later; `ccagent status` says why"
        yield warn("watching", f"the daemon's file events are {_word(ground.live.get('watch_mode'))}", todo)
    elif far:
        yield warn(
            "watching", f"transcripts lie on {' and '.join(far)}, where other machines' writes raise no events",
            "nothing is lost: the scan finds them; for quicker figures run ccagent where the files are written",
        )  # fmt: skip
    elif limit is not None and folders > limit * WATCH_SHARE:
        yield warn(
            "watching", f"{folders:,} folders are to be watched and this user may watch {limit:,}",
            f"raise the limit: sysctl fs.inotify.max_user_watches={_rounded(folders)}",
        )  # fmt: skip
    elif ground.pid is None and (had := listeners(len(ground.trees))) < len(ground.trees):
        allowed = inotify.instance_limit()
        yield warn(
            "watching", f"{counted(len(ground.trees), 'root')} to listen to, and this user may open {had} more listeners"
            + (f" ({allowed:,} in all)" if allowed is not None else ""),
            f"end programs that watch files, or raise the limit: sysctl fs.inotify.max_user_instances={2 * max(allowed or 0, 128)}",
        )  # fmt: skip
    else:
        bound = "the system sets no limit" if limit is None else f"{limit:,} are allowed"
        yield ok("watching", f"{counted(folders, 'folder')} to watch, {bound}")


def _word(mode: object) -> str:
    return "degraded" if mode == "degraded" else "off"


def _rounded(folders: int) -> int:
    """The next power of two above twice the need: others of the same user watch, too."""
    return max(8_192, 1 << (2 * folders).bit_length())


def offsets(ground: Ground) -> Iterator[Finding]:
    """What was read of each file, against what it holds."""
    if not ground.stored:
        return
    from ccagent.backfill import stored_states

    states = {state.path: state for state in stored_states(ground.config)}
    known = {path: state for path, state in states.items() if path in ground.files}
    shorter = sum(ground.files[path][0] < state.offset for path, state in known.items())
    gone = sum(state.state == GONE or _vanished(path) for path, state in states.items())
    begun = {path: known[path].offset if path in known else 0 for path in ground.files}
    unread = {path: size - begun[path] for path, (size, _) in ground.files.items() if size > begun[path]}
    left = sum(unread.values())
    # A line that nobody has finished is waited for: it is nothing to act on.
    waiting = {path for path, size in unread.items() if path in known and _unfinished(path, begun[path], size)}
    behind = [path for path in unread if path not in waiting] if ground.pid is None else []
    said = f"{counted(len(known), 'file')} known, {counted(gone, 'file')} gone since and kept"
    if shorter:
        yield warn(
            "offsets", f"{counted(shorter, 'file')} shorter than what was read: cut or replaced",
            "nothing by hand: the next scan reads such files again; `ccagent verify` compares afterwards",
        )  # fmt: skip
    elif behind:
        yield warn(
            "offsets", f"{amount(sum(unread[path] for path in behind))} of {counted(len(behind), 'file')} not taken in yet ({said})",
            "`ccagent run` follows them, `ccagent backfill` takes them in once",
        )  # fmt: skip
    else:
        yield ok(
            "offsets", said + (f", {amount(left)} at their ends are still to come" if left else ", read to their ends")
        )


def _vanished(path: bytes) -> bool:
    """Whether it is certain that nothing is there: a folder that refuses a look says nothing of what is in it."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _unfinished(path: bytes, offset: int, size: int) -> bool:
    """Whether the `size` bytes that follow the offset are one line without its end."""
    if size > UNFINISHED_BYTES:
        return False
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a path of bytes
            file.seek(offset)
            return b"\n" not in file.read(size)
    except OSError:
        return False


def lag(ground: Ground) -> Iterator[Finding]:
    """How far the running daemon is behind; nothing without one."""
    live = ground.live
    if live is None:
        return
    unread, oldest = int(live.get("unread_bytes") or 0), live.get("oldest_unread_ms")
    seconds = 0.0 if oldest is None or not unread else max(0.0, (ground.now_ms - int(oldest)) / 1_000)
    if not live.get("caught_up"):
        speed = float(live.get("bytes_per_second") or 0)
        yield ok("lag", f"reading history: {amount(unread)} left" + (f" at {speed / 1e6:.1f} MB/s" if speed else ""))
    elif live.get("paused"):
        yield fail("lag", "nothing is taken in: the database's log is too long", "`ccagent status` names who reads it")
    elif seconds > LAG_SECONDS:
        yield warn(
            "lag", f"{amount(unread)} unread, the oldest for {duration(seconds)}",
            "`ccagent status` shows problems; where there are none, the machine is too busy",
        )  # fmt: skip
    else:
        yield ok(
            "lag", f"{amount(unread)} unread; {amount(int(live.get('pending_bytes') or 0))} of unfinished lines wait"
        )


def clock(ground: Ground) -> Iterator[Finding]:
    """Whether this machine's clock agrees with the files and with the daemon's start."""
    bound = (ground.now_ms + AHEAD_MS) * 1_000_000
    ahead = sum(changed > bound for _, changed in ground.files.values())
    started = int((ground.live or {}).get("started_ms") or 0)
    if started > ground.now_ms + AHEAD_MS:
        yield warn("clock", "the daemon began in the future: the clock was set back", "see that the clock is right")
    elif ahead:
        yield warn(
            "clock", f"{counted(ahead, 'transcript')} changed in the future by this machine's clock",
            "see that the clock is right (timedatectl, or Date & Time), here and where the files are written",
        )  # fmt: skip
    else:
        yield ok("clock", "no file and no start lies in the future")
