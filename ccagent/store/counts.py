"""How many facts there are of a host's transcripts."""

from __future__ import annotations

from typing import NamedTuple

from ccagent.store.writer import Writer


class FactCounts(NamedTuple):
    """Facts, and those of them that are closed."""

    facts: int
    closed: int


def count_facts(store: Writer) -> FactCounts:
    """Facts that stand in a transcript of this host; a scan of the table, so not for every second."""
    sql = f"SELECT COUNT(*), COUNT(f.closed_seq) FROM fact f WHERE 1 = 1{store.ingest_state.mine}"
    facts, closed = store.ask(sql)[0]
    return FactCounts(int(facts), int(closed))
