"""Tokens of Codex sessions: every request once, in whatever file, order and piece its copies come."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from typing import Final

import pytest

from ccagent.sources.codex.identity import request_native, time_of
from ccagent.sources.codex.tokens import spent
from tests.sources.codex_feed import FORMS, VERSIONS, Rollout, Spent, Version, amounts, files_of
from tests.sources.feed import Feed
from tests.sources.orders import shuffled

OLD, *_, NEW = VERSIONS


def stored(feed: Feed) -> dict[tuple[str, str], tuple[int, ...]]:
    """The same amounts as the facts have them."""
    return amounts(
        Spent(row["session_id"], row["model"], row["token_input"], row["token_cache_read"],
              row["token_cache_write_5m"] + row["token_cache_write_1h"], row["token_output"], row["token_thinking"] or 0)
        for row in feed.events("llm.request")
    )  # fmt: skip


def rollout(version: Version = NEW, seed: int = 0) -> Rollout:
    return Rollout(random.Random(seed), version=version).meta()


def worked(version: Version = NEW, seed: int = 0) -> Rollout:
    """A session of two turns, with everything that must not be counted twice."""
    session = rollout(version, seed)
    session.begin()
    session.without_info()
    session.tokens(1_000, cached=400, output=90, reasoning=40, write=200)
    session.repeated()
    session.shell()
    session.repeated()
    session.end()
    session.begin(model="gpt-5.6-sol")
    session.tokens(300, cached=1_500)
    session.tokens(10, cached=1_900)
    session.end()
    return session


def read(*rollouts: Rollout) -> Feed:
    feed = Feed()
    for path, data in files_of(*rollouts).items():
        feed.take((path, data))
    return feed


def truth(*rollouts: Rollout) -> dict[tuple[str, str], tuple[int, ...]]:
    return amounts(one for each in rollouts for one in each.truth)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_each_growth_of_the_total_is_one_request_of_the_turns_model(version: Version) -> None:
    session = worked(version)

    assert stored(read(session)) == truth(session)


def test_cached_and_written_tokens_are_parts_of_the_input_and_reasoning_of_the_output() -> None:
    session = rollout()
    session.begin()
    session.tokens(100, cached=30, output=20, reasoning=15, write=7)

    (row,) = read(session).events("llm.request")

    assert [row[name] for name in ("token_input", "token_cache_read", "token_cache_write_5m", "token_output")] == [
        100, 30, 7, 20,
    ]  # fmt: skip
    assert (row["token_thinking"], row["quality"], row["provider"]) == (15, "final", "openai")


def test_a_total_that_fell_counts_whole() -> None:
    session = rollout()
    session.begin()
    session.tokens(5_000)
    session.restarted()
    session.tokens(70)

    assert stored(read(session)) == truth(session)


def test_a_session_that_is_resumed_goes_on_from_its_total() -> None:
    session = worked()
    session.now += 86_400_000
    session.meta()
    session.begin()
    session.tokens(33)

    assert stored(read(session)) == truth(session)


LINES: tuple[tuple[str, bool], ...] = (
    ("fork", True), ("fork without the parent's meta", True), ("agent with history", True),
    ("agent without history", True), ("fork", False), ("agent with history", False), ("agent without history", False),
)  # fmt: skip


def descend(parent: Rollout, kind: str) -> Rollout:
    match kind:
        case "fork":
            child = parent.fork()
        case "fork without the parent's meta":
            child = parent.fork(foreign_meta=False)
        case _:
            child = parent.agent(replayed=kind == "agent with history")
    child.begin("and now")
    child.shell()
    child.tokens(77, cached=11)
    child.end()
    return child


@pytest.mark.parametrize(("kind", "dated"), LINES)
def test_a_copied_history_is_not_counted_whether_its_original_comes_before_later_or_never(
    kind: str, dated: bool
) -> None:
    parent = worked(NEW if dated else OLD)
    child = descend(parent, kind)

    assert stored(read(parent, child)) == truth(parent, child)
    assert stored(read(child, parent)) == truth(parent, child)
    assert stored(read(child)) == truth(child)


def test_a_slow_copy_is_known_by_its_turns_and_a_quick_answer_by_its_own() -> None:
    parent = worked()
    child = parent.child()
    child.meta(forked_from_id=parent.session)
    for raw in parent.lines:
        child.now += 1_500  # the disk sleeps
        child.replay([raw])
    child.total = list(parent.total)
    child.now = parent.now + 60_000  # as if no time had passed since the copy
    child.turn = child.dated()
    child.event("task_started", turn_id=child.turn, after_ms=1)
    child.line("turn_context", {"turn_id": child.turn, "model": child.model, "cwd": child.cwd}, after_ms=1)
    last = [50, 0, 0, 5, 0, 55]
    child.total = [one + two for one, two in zip(child.total, last, strict=True)]
    child.counted(last, after_ms=1)
    child.truth.append(Spent(child.session, child.model, 50, 0, 0, 5, 0))

    assert stored(read(child)) == truth(child)
    assert stored(read(child, parent)) == truth(child, parent)


def test_three_generations_with_three_agents_each_count_each_request_once_in_any_order() -> None:
    eldest = worked()
    fork = descend(eldest, "fork")
    agents = [descend(fork, "agent with history") for _ in range(3)]
    family = [eldest, fork, *agents]

    dumps = {tuple(read(*order).dump()) for order in itertools.islice(itertools.permutations(family), 0, 120, 7)}

    assert stored(read(*family)) == truth(*family)
    assert len(dumps) == 1


def test_a_copy_that_nothing_betrays_has_the_keys_of_its_original() -> None:
    parent = worked()
    copied = Rollout(parent.chance, now=parent.now + 10_000).meta()  # no word of its ancestor
    copied.replay(parent.lines[1:])
    copied.total = list(parent.total)
    copied.now += 2_000
    copied.begin()
    copied.tokens(21)

    both, other = read(parent, copied), read(copied, parent)

    assert stored(both) == truth(parent, copied)
    assert both.dump() == other.dump()


def test_unrelated_sessions_with_the_same_counts_stay_apart() -> None:
    for version in VERSIONS:
        one, two = worked(version, 1), worked(version, 2)

        assert stored(read(one, two)) == truth(one, two)


def family(chance: random.Random) -> list[Rollout]:
    """Sessions, forks and agents of forks, all versions, with everything that occurs."""
    version = chance.choice(VERSIONS)
    eldest = Rollout(chance, version=version).meta()
    found = [eldest]
    for _ in range(chance.randint(1, 3)):
        act(eldest, chance)
    for _ in range(chance.randint(1, 4)):
        parent = chance.choice(found)
        child = parent.fork() if chance.random() < 0.5 else parent.agent(replayed=chance.random() < 0.6)
        for _ in range(chance.randint(1, 2)):
            act(child, chance)
        found.append(child)
    return found


COMMANDS: Final = (
    ("pytest -q", "=== 1 failed, 2 passed in 0.12s ===\n"),
    ("ruff check . && pytest", "All checks passed!\n"),
    ("rm one.txt two.txt", ""),
    ("git commit -m 'ABC-7 words'", "[main 1234567] Words\n 1 file changed, 2 insertions(+)\n"),
    ("git push --force", "To github.com:demo/atlas.git\n + 1111111...2222222 main -> main (forced update)\n"),
    ("gh pr create --fill", "https://github.com/demo/atlas/pull/7\n"),
    ("gh pr merge 7 && git switch -c topic", "Switched to a new branch 'topic'\n"),
    ("cat docs/plans/search-index.md", "text"),
)
"""Commands and what they print."""


def act(session: Rollout, chance: random.Random) -> None:
    session.begin(f"prompt {chance.random()}", model=chance.choice(["gpt-5.5", "gpt-5.6-sol", "gpt-5.3-codex"]))
    for _ in range(chance.randint(1, 5)):
        match chance.randrange(13):
            case 0:
                session.shell()
            case 1:
                session.patch({"/a.py": {"type": "update", "unified_diff": "@@ -1 +1,2 @@\n-a\n+b\n+c\n"}})
            case 2:
                session.mcp(failed=chance.random() < 0.3)
            case 3:
                session.compact()
            case 4:
                session.repeated()
            case 5:
                session.without_info()
            case 6:
                session.event("stream_error", message="Reconnecting... 1/5")
            case 7 | 8 | 9:
                command, text = chance.choice(COMMANDS)
                session.run(command, text, chance.choice([0, 0, 1, 124]), form=chance.choice(FORMS))
            case 10:
                session.run(*chance.choice(COMMANDS), None)
            case 11:
                session.poll(7, chance.choice(COMMANDS)[1], chance.choice([0, 1, None]))
            case _:
                session.tokens(
                    chance.randint(1, 9_000), cached=chance.randint(0, 90_000), output=chance.randint(1, 900)
                )
    session.tokens(chance.randint(1, 500))
    session.abort() if chance.random() < 0.2 else session.end()


@pytest.mark.parametrize("seed", range(24))
def test_any_cut_order_and_repetition_gives_one_dump_and_the_true_totals(seed: int) -> None:
    chance = random.Random(seed)
    rollouts = family(chance)
    files = files_of(*rollouts)
    plain = read(*rollouts)

    mixed = Feed()
    for batch in shuffled(files, 6, chance):
        mixed.take(*batch)
    for path in chance.sample(sorted(files), 1):
        mixed.take((path, files[path]), again=True)

    assert mixed.dump() == plain.dump()
    assert stored(mixed) == truth(*rollouts)


def vectors(*amounts: Iterable[int]) -> list[tuple[int, ...]]:
    return [tuple(amount) for amount in amounts]


@pytest.mark.parametrize(
    ("before", "total", "last", "heir", "expected"),
    [
        (None, (5, 1, 0, 2, 1, 7), (5, 1, 0, 2, 1, 7), False, (5, 1, 0, 2, 1, 7)),
        (None, (9, 1, 0, 3, 1, 12), (4, 1, 0, 2, 1, 6), False, (9, 1, 0, 3, 1, 12)),
        (None, (9, 1, 0, 3, 1, 12), (4, 1, 0, 2, 1, 6), True, (4, 1, 0, 2, 1, 6)),
        ((5, 1, 0, 2, 1, 7), (9, 2, 0, 3, 1, 12), (1, 1, 1, 1, 1, 1), False, (4, 1, 0, 1, 0, 5)),
        ((50, 9, 0, 20, 1, 70), (9, 2, 0, 3, 1, 12), (1, 1, 1, 1, 1, 1), False, (9, 2, 0, 3, 1, 12)),
        ((50, 9, 0, 20, 5, 70), (60, 8, 0, 20, 4, 80), None, False, (10, 0, 0, 0, 0, 10)),
        ((50, 9, 0, 20, 5, 70), (60, 8, 0, 20, 4, 80), (60, 8, 0, 20, 4, 80), False, (60, 8, 0, 20, 4, 80)),
    ],
)
def test_what_a_total_adds(
    before: tuple[int, ...] | None, total: tuple[int, ...], last: tuple[int, ...] | None, heir: bool,
    expected: tuple[int, ...],
) -> None:  # fmt: skip
    assert spent(before, total, last, heir=heir) == expected


def test_a_session_that_is_resumed_and_counts_from_zero_loses_nothing() -> None:
    session = rollout()
    session.begin()
    session.tokens(10_000, output=50)
    session.end()
    session.restarted()
    session.meta()
    session.begin()
    session.tokens(12_000, output=90)
    session.end()

    assert stored(read(session)) == truth(session)


def test_a_window_that_is_full_is_no_request_and_what_follows_counts_whole() -> None:
    session = rollout()
    session.begin()
    session.tokens(300_000, output=50)
    session.total = [0, 0, 0, 0, 0, 400_000]
    session.counted([0, 0, 0, 0, 0, 99_950])
    session.line("compacted", {"message": ""})
    session.tokens(20_000, output=90)
    session.end()

    feed = read(session)

    assert stored(feed) == truth(session)
    assert [row["tokens_before"] for row in feed.events("compaction")] == [400_000]


def test_a_total_of_an_ancestor_that_is_told_before_any_reply_is_no_request() -> None:
    """A sub-agent whose file holds no copied history, but goes on from its parent's total."""
    parent = worked()
    child = Rollout(random.Random(5), version=NEW).meta(parent_thread_id=parent.session)
    child.begin()
    child.total = list(parent.total)
    child.repeated()
    child.event("user_message", message="go on")
    child.tokens(40, output=9)
    child.end()

    feed = read(parent, child)

    assert stored(feed) == truth(parent, child)
    assert [row["token_output"] for row in feed.events("llm.request") if row["session_id"] == child.session] == [9]


def test_only_ids_of_version_7_tell_their_time() -> None:
    assert time_of("019a9777-0a51-7092-90de-d816b661a402") == 0x019A97770A51
    assert time_of("019a9777-0a51-4092-90de-d816b661a402") is None
    assert [time_of(text) for text in (None, "", "1", "019a9777")] == [None] * 4


def test_a_requests_id_depends_on_scope_total_and_last() -> None:
    ids = {request_native(scope, total, last) for scope in "ab" for total in ((1,), (2,)) for last in ((1,), None)}

    assert len(ids) == 8
