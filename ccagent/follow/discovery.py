"""Finding what changed on disk: the full truth by scanning, and a quick look at the files that likely changed."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from ccagent.follow.files import HOT_SECONDS, Files, Stat, Tracked, state_stat
from ccagent.follow.identity import agrees
from ccagent.follow.roots import Kinds, Place, lies_within, resolve_roots
from ccagent.follow.scan import Walk, is_transcript, status_of
from ccagent.follow.state import GONE, LIVE, UNREADABLE, FileState, Problem, ScanReport
from ccagent.follow.turns import Turns

MISSED_AFTER_NS: Final = 2_000_000_000
"""A change younger than 2 s may still be on its way through the watcher: it was not missed."""


Wanted = Callable[[bytes, os.stat_result], bool]
"""Whether a transcript is followed this time, judged by its path and what `lstat` says of it."""


class Discovery:
    """Compares the followed files with the disk and hands those that changed to the queue. Opens a file only to
    recognise a renamed one."""

    def __init__(
        self, roots: Sequence[Place], files: Files, turns: Turns, opener: Callable[[bytes], int],
        wall_ns: Callable[[], int], backfill: bool, wanted: Wanted | None = None,
    ) -> None:  # fmt: skip
        self._covered = {os.path.abspath(os.fsencode(root)) for root in roots}
        self._roots = roots
        self._kinds = Kinds(roots)
        self._real: list[bytes] = []
        self._files = files
        self._turns = turns
        self._opener = opener
        self._wall_ns = wall_ns
        self._backfill = backfill
        self._wanted = wanted
        self._refused: set[bytes] = set()
        self.scanned = False
        self.turned: Callable[[], None] = lambda: None
        """Called for each transcript that a scan comes by: over a slow network a scan takes minutes."""

    def scan(self, hints: set[bytes], watching: bool) -> ScanReport:
        """Looks at every file there is. `hints`: what the watcher announced; all else that changed was missed."""
        before, self._real = self._real, resolve_roots(self._roots)
        self._covered.update(self._real)
        self._kinds.refresh()
        first = not self.scanned
        new: list[tuple[bytes, os.stat_result]] = []
        seen: set[Tracked] = set()
        changed = returned = missed = directories = 0
        problems: list[Problem] = []
        sources: dict[str, int] = {}
        for root in self._real:
            walk = Walk(root)
            watched = watching and not first and root in before
            for path, status in walk:
                self.turned()
                kind = self._kinds.of_transcript(path)
                if kind is None or (self._wanted is not None and not self._wanted(path, status)):
                    continue
                sources[kind] = sources.get(kind, 0) + 1
                tracked = self._files.by_path.get(path)
                if tracked is None:
                    new.append((path, status))
                else:
                    seen.add(tracked)
                    if tracked.settled and tracked.present and tracked.stat == _stat(status):
                        continue
                    returned += tracked.state.state == GONE
                    if not self._look(tracked, status, first):
                        continue
                    changed += 1
                missed += watched and self._was_missed(path, status, hints)
            directories += walk.directories
            problems += walk.problems
        renamed = self._take_new(new, seen, first)
        gone = self._find_gone(seen)
        self._turns.handles.close_cold(self._files.is_hot)  # sessions end without a word
        if first:
            self._order_recent()
        self.scanned = True
        return ScanReport(
            files=self._files.sums.files, new=len(new) - renamed, changed=changed, renamed=renamed, gone=gone,
            returned=returned, missed=missed, directories=directories, roots=tuple(self._real),
            problems=(*self._news(problems), *self._drained_problems()), refused=len(self._refused), sources=sources,
        )  # fmt: skip

    def poll(self, hints: Iterable[bytes], *, hot: bool = True) -> int:
        """Looks at the hinted and, where asked to, the hot files; the number of files that turned out changed or new."""
        found = 0
        new: list[tuple[bytes, os.stat_result]] = []
        known = dict.fromkeys(self._files.hot() if hot else ())
        for hint in hints:
            tracked = self._files.by_path.get(hint)
            if tracked is not None:
                known[tracked] = None
            else:
                new += self._unknown(hint)
        for tracked in known:
            try:
                status = os.lstat(tracked.state.path)
            except OSError:
                continue  # what became of it is the next scan's question
            blocked = tracked.blocked and tracked.stat == _stat(status)  # the next scan tries again
            if stat.S_ISREG(status.st_mode) and not blocked:
                found += self._look(tracked, status, first=False)
        distinct = {path: status for path, status in new if path not in self._files.by_path}
        if distinct:
            self._take_new(list(distinct.items()), set(), first=False)
        return found + len(distinct)

    def _unknown(self, path: bytes) -> list[tuple[bytes, os.stat_result]]:
        """The transcripts that an unknown hinted path brings: itself, or those below it if it is a folder."""
        for root in self._real:
            try:
                if self._is_transcript(path, root) and (status := status_of(path)) is not None:
                    return [(path, status)]
                if lies_within(path, root) and os.path.isdir(path) and os.path.realpath(path) == path:
                    return [(name, status) for name, status in Walk(path) if self._is_transcript(name, root)]
            except OSError:
                continue  # the next scan tells why
        return []

    def _is_transcript(self, path: bytes, root: bytes) -> bool:
        return is_transcript(path, root) and self._kinds.takes(path)

    def _look(self, tracked: Tracked, status: os.stat_result, first: bool) -> bool:
        """Compares a known file with what stands at its path; True if it changed."""
        now = _stat(status)
        tracked.present, tracked.draining = True, False
        if tracked.state.state == GONE:
            tracked.went = tracked.elsewhere = False
            self._files.update(tracked, replace(tracked.state, state=LIVE))
        tracked.blocked = False
        if now == tracked.stat and tracked.state.state != UNREADABLE:
            # A state that was saved at the file's end says so without the file being opened.
            tracked.settled = tracked.settled or now == state_stat(tracked.state)
            self._files.book(tracked)
            self._turns.enqueue(tracked)
            return False
        grown = now != tracked.stat
        tracked.stat = now
        if grown and not first:
            self._files.changed(tracked)
        else:
            tracked.settled = False
            self._files.book(tracked)
        self._turns.enqueue(tracked)
        return grown

    def _take_new(self, new: list[tuple[bytes, os.stat_result]], seen: set[Tracked], first: bool) -> int:
        """Takes in files under unknown paths; the number of those that are known ones, renamed."""
        if not new:
            return 0
        by_inode: dict[tuple[int, int], list[Tracked]] = {}
        for tracked in self._files.by_path.values():
            if tracked not in seen:
                by_inode.setdefault(tracked.stat[2:], []).append(tracked)
        renamed = 0
        for path, status in new:
            candidates = by_inode.get((status.st_ino, status.st_dev), [])
            known = next((tracked for tracked in candidates if self._is_renamed(tracked, path)), None)
            if known is not None:
                candidates.remove(known)
                self._files.rename(known, path)
                self._look(known, status, first)
                seen.add(known)
                renamed += 1
            else:
                seen.add(self._begin(path, status, first))
        return renamed

    def _is_renamed(self, tracked: Tracked, path: bytes) -> bool:
        try:
            if status_of(tracked.state.path) is not None:
                return False
            self._turns.opens += 1
            descriptor = self._opener(path)
        except OSError:
            return False
        try:
            return agrees(descriptor, tracked.state)
        except OSError:
            return False
        finally:
            os.close(descriptor)

    def _begin(self, path: bytes, status: os.stat_result, first: bool) -> Tracked:
        size, mtime_ns, inode, device = _stat(status)
        state = FileState(
            file_id=None, path=path, device=device, inode=inode, size=0, mtime_ns=mtime_ns, offset=0, head=b"",
            head_length=0, marker=b"", generation=0, lines=0, state=LIVE,
        )  # fmt: skip
        tracked = Tracked(
            state=state, stat=(size, mtime_ns, inode, device), changed_at=self._files.clock(), present=True,
            settled=size == 0, skip_history=first and not self._backfill,
        )  # fmt: skip
        self._files.add(tracked)
        if not first:
            self._files.seen_at(tracked, self._files.clock())
        self._files.book(tracked)
        self._turns.enqueue(tracked)
        return tracked

    def _find_gone(self, seen: set[Tracked]) -> int:
        gone = 0
        there: Counter[tuple[int, int]] | None = None
        for tracked in self._files.by_path.values():
            if tracked in seen or tracked.draining or tracked.state.state == GONE:
                continue
            if not self._covers(tracked.state.path):
                continue  # of a root that is not followed this time
            try:
                if status_of(tracked.state.path) is not None:
                    continue  # came back just now, or was skipped by a folder that could not be listed
            except OSError:
                continue  # it cannot be known; that folder is among the problems
            if there is None:  # once a scan: a root may go with all its files
                there = Counter(known.stat[2:] for known in self._files.by_path.values() if known.present)
            self._gone(tracked, there)
            gone += 1
        return gone

    def _gone(self, tracked: Tracked, there: Counter[tuple[int, int]]) -> None:
        """`there`: how many files are present by inode and device, kept up to date."""
        there[tracked.stat[2:]] -= tracked.present
        tracked.present = False
        tracked.elsewhere = tracked.size > tracked.state.offset and there[tracked.stat[2:]] > 0
        handle = self._turns.handles.get(tracked)
        if handle is not None and _holds_more(handle.descriptor, tracked.state.offset):
            # What is left of it can still be read; it is gone when that is done.
            tracked.draining, tracked.settled = True, False
            self._files.book(tracked)
            self._turns.enqueue(tracked)
            return
        self._turns.handles.close(tracked)
        tracked.went = True
        self._files.update(tracked, replace(tracked.state, state=GONE))
        self._files.book(tracked)

    def _covers(self, path: bytes) -> bool:
        return any(lies_within(path, root) for root in self._covered)

    def _was_missed(self, path: bytes, status: os.stat_result, hints: set[bytes]) -> bool:
        if self._wall_ns() - status.st_mtime_ns < MISSED_AFTER_NS or path in hints:
            return False
        return not any(lies_within(path, hint) for hint in hints)

    def _order_recent(self) -> None:
        """At the first scan nobody has seen a change: the files' own times say which are hot."""
        now, wall_ns = self._files.clock(), self._wall_ns()
        aged = []
        for tracked in self._files.by_path.values():
            tracked.changed_at = now - max(0, wall_ns - tracked.stat[1]) / 1e9
            if tracked.present and now - tracked.changed_at < HOT_SECONDS:
                aged.append(tracked)
        for tracked in sorted(aged, key=lambda item: item.changed_at):
            self._files.seen_at(tracked, tracked.changed_at)

    def _news(self, problems: list[Problem]) -> list[Problem]:
        """Those of `problems` that were not told yet; those that are over may be told again."""
        told, self._refused = self._refused, {problem.path for problem in problems}
        return [problem for problem in problems if problem.path not in told]

    def _drained_problems(self) -> list[Problem]:
        problems, self._turns.problems = self._turns.problems, []
        return problems


def _holds_more(descriptor: int, offset: int) -> bool:
    try:
        return os.fstat(descriptor).st_size > offset
    except OSError:
        return False  # of a network drive, where somebody else has removed it: nothing is to be had of it any more


def _stat(status: os.stat_result) -> Stat:
    return status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev
