"""A database that came back with other data than it had: positions are taken from it, however often it goes away."""

from __future__ import annotations

from pathlib import Path

from ccagent.clock import FakeClock
from ccagent.errors import AwayError, OutdatedError
from ccagent.facts.batch import Batch
from ccagent.service.following import RETRY_SECONDS, Following
from ccagent.service.live import Live
from ccagent.store.base import FileRow
from ccagent.store.connection import scalar
from ccagent.store.sqlite import SqliteStore
from tests.transcripts import Session, Tree, Usage, text

AWAY = 3
"""Questions after the failover that find nobody."""


class Failover(SqliteStore):
    """Goes on as a standby that lacks all that was ever written, and is away once more while it is asked."""

    lost = False
    away = 0

    def lose(self) -> None:
        """The standby takes over."""
        self.write(lambda conn: conn.execute("DELETE FROM fact"))
        self.write(lambda conn: conn.execute("DELETE FROM file"))
        self.write(lambda conn: conn.execute("UPDATE host SET catch_up_done = NULL"))
        self.lost, self.away = True, AWAY

    def resume(self) -> None:
        super().resume()
        self.ingest_state.live = False  # as it stands in the row

    def ingest(self, batch: Batch, files: list[FileRow]) -> list[int]:  # type: ignore[override]
        if self.lost:
            self.lost = False
            raise OutdatedError("it has other commits than ccagent left")
        return super().ingest(batch, files)

    def files(self, *, carry: bool = True) -> list[FileRow]:
        if self.away:
            self.away -= 1
            raise AwayError("nobody is there")
        return super().files(carry=carry)


def test_a_database_that_goes_away_again_while_it_is_read_anew_loses_nothing(
    tmp_path: Path, tree: Tree, live: Live, clock: FakeClock
) -> None:
    session = Session(seed="one", start=clock.now_ms() - 60_000)
    session.prompt("hello")
    session.assistant(text("a reply"), usage=Usage(input=3, output=5))
    tree.write(session)
    store = Failover(tmp_path / "ccagent.db", clock=clock)
    following = Following(store, [tree.root], live, clock, max_line=1 << 20, scan_seconds=60.0)
    try:
        while following.turn():
            pass
        store.lose()
        session.assistant(text("a reply"), usage=Usage(input=4, output=6))
        tree.write(session)

        for _ in range(3 * AWAY):
            clock.advance(round(RETRY_SECONDS[1] * 1_000))
            while following.turn():
                pass

        assert live.problems.get("store") is None
        assert scalar(store.conn, "SELECT COUNT(*) FROM fact WHERE type = 4") == 2
        assert store.away == 0
        assert scalar(store.conn, "SELECT catch_up_done FROM host") is not None
        assert live.caught_up
        assert store.ingest_state.live
    finally:
        following.close()
        store.close()
