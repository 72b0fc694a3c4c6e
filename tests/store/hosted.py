"""Several hosts of one served database, each fed by hand."""

from __future__ import annotations

from ccagent.clock import FakeClock
from ccagent.store.location import parse_database
from ccagent.store.opening import open_store
from tests.sources.feed import START_MS, Feed


class Hosted(Feed):
    """A feed of one host of a shared database."""

    def __init__(self, url: str, host: str) -> None:
        self.clock = FakeClock(START_MS)
        self.store = open_store(parse_database(url), clock=self.clock, host_id=host)
        self._rows = {}
