"""The ingest marks what shares amounts with a changed fact: usage by tool and by model stays that of the facts."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from ccagent.facts.batch import Batch
from ccagent.facts.model import Context, EventType, Flag, Rank
from ccagent.store import rollups
from ccagent.store.base import FileRow
from ccagent.store.queries import usage
from tests.sources.feed import START_MS, Feed
from tests.store import usage_oracle

pytestmark = pytest.mark.usefixtures("either_store")

HOUR = 3_600_000
UTC = ZoneInfo("UTC")
PLACE = Context("s", "/p", "/p", "main", "2.1.0", "cli", None, None, None, None, Rank.MAIN)
OTHER_PLACE = PLACE._replace(session="a")


class Fed:
    """A store that is handed single requests and calls."""

    def __init__(self) -> None:
        self.feed = Feed()

    def request(self, native: str, at: int | None, model: str = "claude-opus-4-5") -> None:
        batch = Batch()
        fact, _ = batch.get(EventType.LLM_REQUEST, native, 0, 0, 10)
        fact.claim(Rank.MAIN, at or 0, PLACE, None, model)
        fact.occurred_at = fact.ended_at = at
        fact.token_input = 101
        self._take(batch)

    def call(self, native: str, at: int | None, request: str | None, context: Context = PLACE) -> None:
        batch = Batch()
        fact, _ = batch.get(EventType.TOOL_CALL, native, 0, 0, 10)
        fact.claim(Rank.MAIN, START_MS, context, None, f"tool {native}", request)
        fact.occurred_at = fact.ended_at = at
        fact.flags = Flag.DIRECT
        self._take(batch)

    def _take(self, batch: Batch) -> None:
        row = FileRow(
            file_id=None, path=b"/t.jsonl", device=1, inode=1, size=10, mtime_ns=0, offset=10, head=b"", head_length=0,
            marker=b"", generation=0, lines=1, state=0, carry=None,
        )  # fmt: skip
        self.feed.store.ingest(batch, [row])

    def settle(self) -> None:
        while self.feed.store.write(lambda conn: rollups.refresh(conn, UTC)):
            pass

    def check(self, by: str) -> None:
        """Before and after the refresh of what is marked, usage is that of the facts."""
        for _ in range(2):
            window = {"by": by, "since_ms": None, "until_ms": None, "timezone": None}
            assert usage(self.feed.store.conn, **window) == usage_oracle.usage(self.feed.store.conn, **window)
            self.settle()


@pytest.fixture
def fed() -> Fed:
    """A request with a call two hours later, and fresh rollups."""
    fed = Fed()
    fed.request("m1", START_MS)
    fed.request("m2", START_MS + 9 * HOUR, "claude-haiku-4-5")
    fed.call("c1", START_MS + 2 * HOUR, "m1")
    fed.settle()
    return fed


@pytest.mark.parametrize("by", ["tool", "model"])
def test_a_call_more_in_another_hour(fed: Fed, by: str) -> None:
    fed.call("c2", START_MS + 3 * HOUR, "m1")

    fed.check(by)


@pytest.mark.parametrize("by", ["tool", "model"])
def test_a_call_without_a_time(fed: Fed, by: str) -> None:
    fed.call("c2", None, "m1")

    fed.check(by)


@pytest.mark.parametrize("by", ["tool", "model"])
@pytest.mark.parametrize("request_id", ["m2", None])
def test_a_call_whose_owner_names_another_request(fed: Fed, by: str, request_id: str | None) -> None:
    fed.call("c1", START_MS + 2 * HOUR, request_id, OTHER_PLACE)

    fed.check(by)


@pytest.mark.parametrize("by", ["tool", "model"])
def test_the_request_of_calls_comes_without_a_time(fed: Fed, by: str) -> None:
    fed.call("c2", START_MS + 5 * HOUR, "m3")
    fed.settle()

    fed.request("m3", None)

    fed.check(by)
