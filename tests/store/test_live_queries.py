"""The small reads of a scrape."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from ccagent.store.live_queries import cache_hit_ratios
from ccagent.store.refreshing import refresh_slice
from tests.sources.feed import START_MS, Feed
from tests.transcripts import Session, Usage, text

pytestmark = pytest.mark.usefixtures("either_store")


def test_one_model_of_two_accounts_has_one_ratio_and_neither_account() -> None:
    session = Session("accounts", cwd="/home/demo/atlas", start=START_MS)
    session.prompt("hello")
    for account, usage in (("111122223333", Usage(input=100)), ("444455556666", Usage(input=100, cache_read=200))):
        model = f"arn:aws:bedrock:eu-west-1:{account}:inference-profile/claude-nine"
        session.assistant(text("a reply"), usage=usage, model=model)
    feed = Feed().read(session)
    while refresh_slice(feed.store, ZoneInfo("UTC"), limit=24):
        pass

    found = cache_hit_ratios(feed.store.conn, START_MS - 3_600_000)

    assert found == {"claude-nine": pytest.approx(0.5)}
