"""What a scrape asks beside the totals: a few small reads that cost the same at any size of the archive."""

from __future__ import annotations

from typing import Final

from ccagent.facts.model import EventType
from ccagent.facts.naming import shown_model
from ccagent.rollups.metrics import Period
from ccagent.store.connection import Connection

MODELS: Final = 20
"""Models whose cache hit ratio is shown: the budget of the label."""

_CACHE: Final = (
    "SELECT n.value, SUM(r.token_cache_read), SUM(r.token_input + r.token_cache_read + r.token_cache_write_5m"
    " + r.token_cache_write_1h) AS whole FROM rollup r JOIN name n ON n.id = r.name"
    f" WHERE r.period = {int(Period.HOURLY)} AND r.bucket > ? AND r.family = {int(EventType.LLM_REQUEST)}"
    f" GROUP BY 1 ORDER BY whole DESC LIMIT {MODELS}"
)


def cache_hit_ratios(conn: Connection, since_ms: int) -> dict[str, float]:
    """Cache reads as a share of all input by model, from the hourly rollups since then; no entry without input.

    Models have the name under which they are shown: several accounts' ids of one model are one.
    """
    amounts: dict[str, tuple[int, int]] = {}
    for model, reads, whole in conn.execute(_CACHE, (since_ms,)):
        known = amounts.get(shown_model(str(model)), (0, 0))
        amounts[shown_model(str(model))] = known[0] + reads, known[1] + whole
    return {model: reads / whole for model, (reads, whole) in amounts.items() if whole}
