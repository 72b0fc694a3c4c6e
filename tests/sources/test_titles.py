"""Titles: whose they are, never what they say."""

from __future__ import annotations

import pytest

from tests.sources.feed import Feed
from tests.transcripts import Session

pytestmark = pytest.mark.usefixtures("either_store")


@pytest.mark.parametrize(
    ("custom", "kind"),
    [((), None), ((False, False), "model"), ((True,), "person"), ((True, False), "person"), ((False, True), "person")],
)
def test_a_persons_title_beats_a_models(custom: tuple[bool, ...], kind: str | None) -> None:
    session = Session("s", version="2.1.229")
    session.prompt("hello")
    for each in custom:
        session.title("Wonderful plans", custom=each)

    feed = Feed().read(session)

    (row,) = feed.events("session.lifecycle")
    assert (row["title_kind"], row["retry_count"]) == (kind, None)
    assert "Wonderful" not in "".join(feed.dump())


def test_a_title_in_a_later_batch_is_a_state_and_no_event() -> None:
    session = Session("s", version="2.1.229")
    session.prompt("hello")
    feed = Feed().read(session)
    before = len(feed.events())
    session.title("Plans")
    session.title("Plans")

    feed.read(session)

    assert len(feed.events()) == before
    assert feed.events("session.lifecycle")[0]["title_kind"] == "model"
