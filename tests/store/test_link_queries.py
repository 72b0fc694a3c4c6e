"""What `ccagent session --links` asks: links with the facts behind them."""

from __future__ import annotations

import pytest

from ccagent.cli.links_section import links_document, links_section
from ccagent.store.link_queries import features_of, session_links
from tests.sources.feed import START_MS, Feed
from tests.store.worked import passing, worked
from tests.transcripts import Session

pytestmark = pytest.mark.usefixtures("either_store")


def test_every_link_names_the_facts_behind_it_with_file_and_offset() -> None:
    session = worked()
    feed = Feed().read(session)

    found = {(link.target_type, link.target): link for link in session_links(feed.store.conn, "one")}

    feature = found["feature", "login-form"]
    assert [piece.strategy for piece in feature.evidence] == ["branch", "command", "read", "write"]
    assert feature.evidence[0].at == START_MS + 1_000
    assert {piece.file for piece in feature.evidence} == {session.path}
    assert feature.evidence[1].detail == "docs/project_plans/login-form.md"
    assert feature.evidence[2].offset == sum(len(line.raw) for line in session.lines[:1])
    assert (feature.origin, feature.low) == ("auto", False)
    assert [piece.strategy for piece in found["task", "ENT-110"].evidence] == ["text"]


def test_a_number_is_evidence_of_the_pull_request_that_the_client_recorded() -> None:
    session = Session("one")
    session.prompt("hello")
    session.bash("gh pr view 7")
    session.pull_request(7)
    feed = Feed().read(session)

    (link,) = [link for link in session_links(feed.store.conn, "one") if link.target_type == "pull_request"]

    assert (link.target, link.confidence, link.inferred) == ("example.com/demo/atlas/pull/7", 1.0, False)
    assert sorted(piece.strategy for piece in link.evidence) == ["number", "record"]


def test_a_commit_is_linked_as_surely_as_its_record() -> None:
    session = Session("one")
    session.prompt("hello")
    session.tool("Bash", {"command": "git commit -m x"}, "[main 1a2b3c4] x\n 1 file changed, 1 insertion(+)")
    feed = Feed().read(session)

    (link,) = [link for link in session_links(feed.store.conn, "one") if link.target_type == "commit"]

    assert (link.target, link.confidence, link.strategy) == ("1a2b3c4", 0.95, "output")
    assert [piece.event_type for piece in link.evidence] == ["git.commit"]


def test_a_session_that_is_not_known_or_touched_nothing_has_none() -> None:
    feed = Feed().read(passing())

    assert session_links(feed.store.conn, "nobody") == []
    assert session_links(feed.store.conn, "idle") == []
    assert features_of(feed.store.conn, []) == {}


def test_text_and_document_say_the_same() -> None:
    feed = Feed().read(worked())
    links = session_links(feed.store.conn, "one")

    section = links_section(links)
    document = links_document(links)

    text = "\n".join(section.lines)
    assert section.heading == f"Links ({len(links)})"
    for link, shown in zip(links, document, strict=True):
        assert f"{link.target_type} {link.target}" in text
        assert shown["confidence"] == link.confidence
        assert len(shown["evidence"]) == len(link.evidence) > 0  # type: ignore[arg-type]
    assert "0.95 inferred  feature login-form" in text
    assert links_section([]).lines == ["none: no branch, document, ticket, commit or pull request"]
