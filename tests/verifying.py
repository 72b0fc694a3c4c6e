"""A tree of transcripts, a database that takes them in, and the verification of both."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ccagent.clock import FakeClock
from ccagent.config import Config, load
from ccagent.follow.follower import Follower
from ccagent.intake import Intake, file_states
from ccagent.store.location import parse_database
from ccagent.store.opening import open_store
from ccagent.store.rollups import refresh
from ccagent.store.writer import Writer
from ccagent.verify import verify
from tests.transcripts import Session, Tree, Usage, text

ZONE = "Europe/Berlin"
NOW_MS = 1_770_720_000_000
"""Some hours after the sessions below."""


class Ground:
    """One host: `tree` is what it follows, `database` where the facts go (a file of its own by default)."""

    def __init__(self, home: Path, *, database: str | None = None, host: str | None = None) -> None:
        self.home = home
        self.tree = Tree(home / "projects")
        self.clock = FakeClock(NOW_MS)
        self.database = database or str(home / "facts.db")
        self.host = host
        self.more: tuple[Path, ...] = ()
        """Roots beside that of the tree."""

    @property
    def roots(self) -> list[Path]:
        return [self.tree.root, *self.more]

    @property
    def env(self) -> dict[str, str]:
        return {"HOME": str(self.home)}

    def config(self) -> Config:
        flags: dict[str, object] = {"database": self.database, "sources": [str(root) for root in self.roots]}
        if self.host is not None:
            flags["host_id"] = self.host
        return load(flags, self.env)

    def open(self) -> Writer:
        """The writer of the database; whoever calls closes it."""
        store = open_store(parse_database(self.database), clock=self.clock, host_id=self.host)
        store.set_meta("zone", ZONE)
        return store

    def take_in(self, *, rollups: bool = True, quiet: bool = False) -> None:
        """Read all there is; make the rollups; with `quiet` let the timers close what is over."""
        store = self.open()
        try:
            follower = Follower(self.roots, file_states(store))
            follower.scan()
            intake = Intake(follower, store)
            while intake.step():
                pass
            intake.keep_states()
            while quiet and store.close_due([row.file_id for row in store.files() if row.file_id], ()):
                pass
            while rollups and store.write(lambda conn: refresh(conn, ZoneInfo(ZONE))):
                pass
        finally:
            store.close()

    def damage(self, sql: str, values: tuple[object, ...] = ()) -> None:
        """Change the tables behind everybody's back: no number moves on, nothing is marked."""
        store = self.open()
        try:
            store.conn.execute(sql, values)
        finally:
            store.close()

    def asked(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a question."""
        store = self.open()
        try:
            return store.conn.execute(sql).fetchall()
        finally:
            store.close()

    def verify(self, **options: Any) -> Answer:
        return Answer(verify(self.config(), self.env, **options))


class Answer:
    """The answer of a verification, with short ways to what tests ask."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document

    def __getitem__(self, name: str) -> Any:
        return self.document[name]

    @property
    def status(self) -> str:
        return str(self.document["status"])

    def rows(self) -> dict[str, tuple[int, int, str]]:
        """The totals that are not equal: name → stored, recounted, verdict."""
        return {
            row["name"]: (row["stored"], row["recounted"], row["verdict"])
            for row in self.document["totals"]
            if row["verdict"] != "equal"
        }

    def broken(self) -> set[str]:
        """The checks that found a fault."""
        return {row["name"] for row in self.document["checks"] if row["faults"]}

    def named(self) -> list[tuple[str, str]]:
        """The facts at fault: key and what is wrong."""
        return [(row["key"], row["fault"]) for row in self.document["facts_at_fault"]]


def busy(name: str = "one", *, cwd: str = "/home/demo/atlas") -> Session:
    """A session with a prompt, tools, a sub-agent, a compaction and two models."""
    session = Session(name, cwd=cwd)
    session.prompt("hello")
    session.assistant(text("hi"), usage=Usage(input=3, output=40, cache_write=9, cache_write_1h=4))
    session.bash("ls", exit_code=1, usage=Usage(input=1, output=2))
    session.edit("/home/demo/atlas/a.py", added=3, removed=1, usage=Usage(input=2, output=9))
    launched = session.launch(usage=Usage(input=4, output=5))
    child = session.agent()
    child.prompt("look into it")
    child.bash("pwd", usage=Usage(input=7, output=8))
    session.landed(launched, child)
    session.compaction()
    session.prompt("go on")
    session.request("done", usage=Usage(input=5, output=6), model="claude-opus-5")
    session.turn_duration(9_000)
    return session
