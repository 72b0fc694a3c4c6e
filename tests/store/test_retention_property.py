"""Whatever is pruned whenever: rollups and totals stay, the same lines add nothing, late facts add their amounts."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccagent.store.archive import archives
from ccagent.store.restore import restore
from tests.sources.feed import START_MS, Feed
from tests.sources.orders import shuffled
from tests.store.pruned import (
    DAY_MS,
    MONTH_MS,
    amounts,
    begun_later,
    feed_in_zone,
    histories,
    links,
    of_facts,
    prune,
    totals,
    without_active_time,
)

pytestmark = pytest.mark.usefixtures("either_store")

MANY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
MOMENTS = st.lists(st.integers(START_MS - 100 * DAY_MS, START_MS + 90 * DAY_MS), min_size=1, max_size=3)
SOME = ["prompt", "reply", "streamed", "bash", "failed", "edit", "mcp", "slash", "agent", "compaction", "retries"]
LATER = st.lists(
    st.tuples(
        st.lists(st.sampled_from(SOME), min_size=1, max_size=6),
        st.integers(START_MS - 130 * DAY_MS, START_MS + 100 * DAY_MS),
        st.sampled_from([None, "session-0", "session-1"]),
    ),
    min_size=1,
    max_size=3,
)


def read(feed: Feed, files: dict[str, bytes], cuts: int, seed: int) -> None:
    for pieces in shuffled(files, cuts, random.Random(seed)):
        feed.take(*pieces)
    feed.until(START_MS + 300 * DAY_MS)


@MANY
@given(histories(), st.integers(1, 9), st.integers(0, 2**32), MOMENTS)
def test_pruning_leaves_rollups_and_totals_and_the_same_lines_add_nothing(
    files: dict[str, bytes], cuts: int, seed: int, moments: list[int]
) -> None:
    chance = random.Random(seed)
    feed = feed_in_zone()
    read(feed, files, cuts, seed)
    rows, counted = amounts(feed), totals(feed)
    for moment in moments:
        whole = feed.dump()

        removed = prune(feed, moment)

        assert removed.facts == len(whole) - len(feed.dump())
        assert set(feed.dump()) <= set(whole) or removed.facts
        assert amounts(feed) == rows
        assert totals(feed) == counted

        left, launched = feed.dump(), links(feed)
        for path in chance.sample(sorted(files), len(files)):
            feed.take((path, files[path]), again=True)
            feed.tick()
        assert feed.dump() == left
        assert [link for link in links(feed) if link not in launched] == []
        assert amounts(feed) == rows
        assert of_facts(feed) == {key: counted[key] for key in of_facts(feed)}
        counted = totals(feed)


@MANY
@given(histories(), st.integers(1, 9), st.integers(0, 2**32), MOMENTS, LATER)
def test_late_facts_add_what_they_would_have_added(
    files: dict[str, bytes], cuts: int, seed: int, moments: list[int], later: list[tuple[list[str], int, str | None]]
) -> None:
    pruned, kept = feed_in_zone(), feed_in_zone()
    for feed in (pruned, kept):
        read(feed, files, cuts, seed)
    prune(pruned, moments[0])
    sealed = pruned.store.meta("sealed_before")
    late: dict[str, bytes] = {}
    for number, (actions, start, of) in enumerate(later):
        # Of an old session later lines: earlier ones would move its own fact, and a removed one does not move.
        late |= begun_later(number, actions, start if of is None else max(start, START_MS + DAY_MS // 24), of=of)

    for feed in (pruned, kept):
        read(feed, late, cuts, seed + 1)

    assert without_active_time(amounts(pruned)) == without_active_time(amounts(kept))
    assert of_facts(pruned) == of_facts(kept)

    rows, counted = amounts(pruned), of_facts(pruned)
    for moment in moments[1:]:
        prune(pruned, moment)
        for path, data in {**files, **late}.items():
            pruned.take((path, data), again=True)
        assert (amounts(pruned), of_facts(pruned)) == (rows, counted)
    assert int(pruned.store.meta("sealed_before") or 0) >= int(sealed or 0)


@settings(MANY, max_examples=15)
@given(histories(), st.integers(1, 9), st.integers(0, 2**32), MOMENTS)
def test_what_was_archived_comes_back_to_the_byte(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], cuts: int, seed: int, moments: list[int]
) -> None:
    folder: Path = tmp_path_factory.mktemp("archive")
    feed = feed_in_zone()
    read(feed, files, cuts, seed)
    whole, launched = feed.dump(), links(feed)
    rows, counted = amounts(feed), totals(feed)
    removed = sum(prune(feed, moment + MONTH_MS, archive=folder).facts for moment in moments)

    back = restore(archives(folder), feed.store) if removed else None

    assert feed.dump() == whole
    assert links(feed) == launched
    assert (amounts(feed), totals(feed)) == (rows, counted)
    assert back is None or (back.returned, back.new, back.unreadable) == (removed, 0, 0)
    if removed:
        assert restore(archives(folder), feed.store).known == removed
        assert feed.dump() == whole
