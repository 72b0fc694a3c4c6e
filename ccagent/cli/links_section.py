"""How `ccagent session --links` shows what a session worked on, and why: as a section of text, and in its document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ccagent.cli.output import clean, rfc3339
from ccagent.cli.session_output import Section

if TYPE_CHECKING:
    from ccagent.store.link_queries import LinkEvidence, SessionLink


def links_section(links: Sequence[SessionLink]) -> Section:
    """The links, each with its evidence below it."""
    lines = [line for link in links for line in _link(link)]
    return Section(f"Links ({len(links)})", lines or ["none: no branch, document, ticket, commit or pull request"])


def _link(link: SessionLink) -> Iterator[str]:
    how = "inferred" if link.inferred else "explicit"
    doubt = ", low" if link.low else ""
    yield f"{link.confidence:.2f} {how}{doubt}  {link.target_type} {clean(link.target)}"
    yield f"     by {link.strategy}, share {link.share:.3f}, ambiguity {link.ambiguity:.3f}"
    for piece in link.evidence:
        yield f"     {_evidence(piece)}"


def _evidence(piece: LinkEvidence) -> str:
    at = rfc3339(piece.at)
    # The file's name alone: its folder would fill the line, and the document has it whole.
    place = f" {clean(piece.file.rsplit('/', 1)[-1])}:{piece.offset}" if piece.file is not None else ""
    about = f" {clean(piece.detail)}" if piece.detail is not None else ""
    return f"{'—' if at is None else at[:19] + 'Z':<20} {piece.event_type} {piece.strategy}{place}{about}"


def links_document(links: Sequence[SessionLink]) -> list[dict[str, object]]:
    """The links as `ccagent session --links --json` has them."""
    return [
        {
            "target_type": link.target_type,
            "target": link.target,
            "confidence": link.confidence,
            "inferred": link.inferred,
            "low_confidence": link.low,
            "strategy": link.strategy,
            "origin": link.origin,
            "ambiguity": link.ambiguity,
            "share": link.share,
            "first_at": rfc3339(link.first_at),
            "last_at": rfc3339(link.last_at),
            "evidence": [
                {
                    "event_type": piece.event_type,
                    "source_key": piece.source_key,
                    "strategy": piece.strategy,
                    "at": rfc3339(piece.at),
                    "file": piece.file,
                    "offset": piece.offset,
                    "path": piece.detail,
                }
                for piece in link.evidence
            ],
        }
        for link in links
    ]
