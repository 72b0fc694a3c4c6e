"""Whatever happens to files, in whatever order: what the follower delivered is compared with what was written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.follow.driver import Session, append

NAMES = st.sampled_from(["a.jsonl", "b.jsonl", "p/c.jsonl", "p/q/d.jsonl"])
FOLDERS = st.sampled_from(["p", "p2"])
TEXT = st.sampled_from([b"x", b"\r", b"\x00", b"yy" * 20, "\u2028".encode(), b"z" * 90])


class Files(RuleBasedStateMachine):
    """Writers, movers and destroyers against one follower that may restart at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(os.path.realpath(tempfile.mkdtemp()))
        self.session = Session(self.root, turn_bytes=32, max_line=4096)
        self.written = 0
        self.gentle = False

    def teardown(self) -> None:
        self.session.follower.close()
        shutil.rmtree(self.root)

    def line(self, text: bytes) -> bytes:
        """A line that was never written before."""
        self.written += 1
        return b"%d:" % self.written + text

    def look_between(self) -> None:
        """Two moves or replacements between two looks hide where a file went: it may then come once more."""
        if self.gentle:
            self.session.scan_and_save()

    def taken(self, name: str) -> Path:
        """A path to write to."""
        path = self.root / name
        if not path.exists():
            self.look_between()
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def existing(self, name: str) -> Path | None:
        path = self.root / name
        return path if path.is_file() else None

    def stamp(self, path: Path) -> None:
        """A time of its own: within one tick of the system's clock a rewrite of equal length cannot be seen."""
        self.written += 1
        os.utime(path, ns=(self.written, path.stat().st_mtime_ns + self.written * 1_000_000))

    @initialize(gentle=st.booleans())
    def first_look(self, gentle: bool) -> None:
        """Gentle runs only append, move and replace by what goes on alike: there no line may come twice."""
        self.gentle = gentle
        self.session.catch_up(64)

    @rule(name=NAMES, text=TEXT)
    def append_partial(self, name: str, text: bytes) -> None:
        path = self.taken(name)
        append(path, self.line(text))

    @rule(name=NAMES, text=TEXT)
    def finish_line(self, name: str, text: bytes) -> None:
        path = self.taken(name)
        append(path, self.line(text) + b"\n")

    @rule(name=NAMES)
    def replace_same(self, name: str) -> None:
        self.replace(name, lambda content: content)

    @rule(name=NAMES, text=TEXT)
    def replace_grown(self, name: str, text: bytes) -> None:
        self.replace(name, lambda content: content + self.line(text) + b"\n")

    @precondition(lambda self: not self.gentle)
    @rule(name=NAMES, text=TEXT)
    def replace_other(self, name: str, text: bytes) -> None:
        self.replace(name, lambda content: self.line(text) + b"\n" + content)

    def replace(self, name: str, change: Callable[[bytes], bytes]) -> None:
        path = self.existing(name)
        if path is not None:
            self.look_between()
            other = path.with_suffix(".tmp")
            other.write_bytes(change(path.read_bytes()))
            other.replace(path)

    @precondition(lambda self: not self.gentle)
    @rule(name=NAMES, keep=st.integers(0, 100))
    def truncate(self, name: str, keep: int) -> None:
        path = self.existing(name)
        if path is not None:
            os.truncate(path, min(keep, path.stat().st_size))
            self.stamp(path)

    @precondition(lambda self: not self.gentle)
    @rule(name=NAMES, text=TEXT)
    def truncate_and_regrow(self, name: str, text: bytes) -> None:
        path = self.existing(name)
        if path is not None:
            size = path.stat().st_size
            lines = b""
            while len(lines) <= size:
                lines += self.line(text) + b"\n"
            with path.open("r+b") as stream:
                stream.truncate()
                stream.write(lines)
            self.stamp(path)

    @precondition(lambda self: not self.gentle)
    @rule(name=NAMES)
    def unlink(self, name: str) -> None:
        path = self.existing(name)
        if path is not None:
            path.unlink()

    @rule(source=NAMES, to=NAMES)
    def rename_file(self, source: str, to: str) -> None:
        path = self.existing(source)
        if path is None or source == to or (self.gentle and (self.root / to).exists()):
            return
        self.look_between()
        path.rename(self.taken(to))

    @rule(source=FOLDERS, to=FOLDERS)
    def rename_folder(self, source: str, to: str) -> None:
        if (self.root / source).is_dir() and not (self.root / to).exists():
            self.look_between()
            (self.root / source).rename(self.root / to)

    @precondition(lambda self: not self.gentle)
    @rule(source=NAMES, to=NAMES)
    def hard_link(self, source: str, to: str) -> None:
        path = self.existing(source)
        if path is not None and not (self.root / to).exists():
            (self.root / to).parent.mkdir(parents=True, exist_ok=True)
            os.link(path, self.root / to)

    @rule(name=NAMES)
    def hint(self, name: str) -> None:
        self.session.follower.hint(os.fsencode(self.root / name))

    @rule()
    def poll(self) -> None:
        self.session.follower.poll()

    @rule()
    def scan(self) -> None:
        self.session.follower.scan()

    @rule(budget=st.integers(1, 200))
    def read_turn(self, budget: int) -> None:
        self.session.turn(budget)

    @rule(budget=st.integers(1, 200))
    def fail_to_store(self, budget: int) -> None:
        self.session.follower.rollback(self.session.follower.read(budget))

    @rule()
    def restart(self) -> None:
        self.session = self.session.restart()

    @rule()
    def look_at_everything(self) -> None:
        """The promise: every complete line of every file has been delivered, at the place where it stands."""
        self.session.catch_up(64)
        ledger, pending = self.session.ledger, 0
        current = {state.path: number for number, state in ledger.states.items() if state.state == 0}
        for path in self.root.rglob("*.jsonl"):
            *lines, tail = path.read_bytes().split(b"\n")
            pending += len(tail)
            number = current.get(os.fsencode(path))
            if number is None:
                assert not lines
                continue
            generation = ledger.states[number].generation
            assert ledger.states[number].offset == path.stat().st_size - len(tail)
            delivered = [line for line in ledger.lines if (line.file_id, line.generation) == (number, generation)]
            place = {line.offset: line.data for line in delivered}
            position = 0
            for line in lines:
                assert place[position] == line
                position += len(line) + 1
            assert ledger.states[number].lines == len(lines)
        follower = self.session.follower
        assert follower.caught_up
        assert follower.pending_bytes == pending
        assert follower.unread_bytes == 0

    @precondition(lambda self: self.gentle)
    @invariant()
    def nothing_comes_twice(self) -> None:
        texts = self.session.texts()
        assert len(texts) == len(set(texts))


Files.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestFiles = Files.TestCase
