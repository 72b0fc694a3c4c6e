"""Merging partial facts: commutes, associates, and repeats without a trace."""

from __future__ import annotations

from copy import copy

from hypothesis import given
from hypothesis import strategies as st

from ccagent.facts.model import Context, EventType, Flag, Rank, Status
from ccagent.facts.partial import NO_TIME, Partial, Result, merge

FIELDS = (
    "rank", "owner_at", "context", "turn", "name", "request", "extra", "occurred_at", "ended_at", "result_at",
    "error_at", "flags", "label", "failure", "attempts", "reported_ms", "size", "token_input", "token_output",
    "token_cache_read", "token_cache_write", "token_cache_write_1h", "token_thinking", "longest", "result", "closing",
)  # fmt: skip

WORDS = st.sampled_from((None, "a", "b", "c"))
NUMBERS = st.none() | st.integers(0, 3)
COUNTS = st.integers(0, 3)
CONTEXTS = st.builds(
    Context, WORDS, WORDS, st.just(None), WORDS, st.just(None), st.just(None), st.just(None), st.just(None),
    st.just(None), st.just(0),
)  # fmt: skip
RESULTS = st.none() | st.builds(
    Result, st.sampled_from(tuple(int(status) for status in Status)), st.integers(-1, 2), st.sampled_from(("", "x")),
    st.integers(-1, 1),
)  # fmt: skip


@st.composite
def partials(draw: st.DrawFn) -> Partial:
    fact = Partial(EventType.LLM_REQUEST, "m")
    fact.rank, fact.owner_at = draw(st.integers(0, 2)), draw(st.sampled_from((1, 2, NO_TIME)))
    fact.context = draw(CONTEXTS)._replace(rank=fact.rank)
    for field in ("turn", "name", "request", "extra", "label", "failure"):
        setattr(fact, field, draw(WORDS))
    for field in ("occurred_at", "ended_at", "result_at", "error_at", "attempts", "reported_ms", "size", "longest"):
        setattr(fact, field, draw(NUMBERS))
    for field in FIELDS:
        if field.startswith("token_"):
            setattr(fact, field, draw(COUNTS))
    fact.flags = draw(st.integers(0, 7))
    fact.result, fact.closing = draw(RESULTS), draw(st.booleans())
    return fact


def merged(*facts: Partial) -> tuple[object, ...]:
    """The fields of all of them merged, from the left."""
    whole = copy(facts[0])
    for fact in facts[1:]:
        merge(whole, fact)
    return tuple(getattr(whole, field) for field in FIELDS)


@given(partials(), partials())
def test_merging_commutes(one: Partial, two: Partial) -> None:
    assert merged(one, two) == merged(two, one)


@given(partials(), partials(), partials())
def test_merging_associates(one: Partial, two: Partial, three: Partial) -> None:
    right = copy(two)
    merge(right, three)

    assert merged(one, two, three) == merged(one, right)


@given(partials(), partials())
def test_merging_again_changes_nothing(one: Partial, two: Partial) -> None:
    assert merged(one, two, two, one) == merged(one, two)


def owned(rank: int, at: int, session: str, name: str = "Bash") -> Partial:
    fact = Partial(EventType.TOOL_CALL, "t")
    fact.rank, fact.owner_at, fact.name = rank, at, name
    fact.context = Context(session, None, None, None, None, None, None, None, None, None, rank)
    return fact


def owner(*facts: Partial) -> str | None:
    """The session that owns the merged fact."""
    whole = copy(facts[0])
    for fact in facts[1:]:
        merge(whole, fact)
    return whole.context.session


def test_the_main_chain_beats_a_sub_agents_file_beats_a_relayed_copy() -> None:
    relayed, sidechain = owned(Rank.RELAYED, 1, "relayed"), owned(Rank.SIDECHAIN, 2, "sidechain")

    assert owner(relayed, sidechain) == "sidechain"
    assert owner(relayed, sidechain, owned(Rank.MAIN, 3, "main")) == "main"


def test_of_two_copies_of_one_rank_the_earlier_owns() -> None:
    assert owner(owned(0, 5, "late"), owned(0, 4, "early")) == "early"


def test_a_copy_without_a_time_owns_only_alone() -> None:
    assert owner(owned(0, NO_TIME, "timeless"), owned(0, 9, "timed")) == "timed"


def test_of_two_copies_of_one_moment_the_smaller_session_owns() -> None:
    assert owner(owned(0, 4, "b"), owned(0, 4, "a")) == "a"


def test_attributes_are_taken_whole_from_the_owner() -> None:
    better = owned(0, 1, "a")
    better.name = None
    whole = owned(0, 2, "b", "Bash")

    merge(whole, better)

    assert (whole.context.session, whole.name) == ("a", None)


def test_a_result_is_one_tuple_and_the_worse_outcome_wins() -> None:
    fact, other = owned(0, 1, "a"), owned(0, 1, "a")
    fact.result = Result(Status.OK, 900, "", 0, 80)
    other.result = Result(Status.ERROR, 100, "nonzero_exit", 2, 10)

    merge(fact, other)

    assert fact.result == Result(Status.ERROR, 100, "nonzero_exit", 2, 10)


def test_where_a_fact_was_first_seen_is_no_property_of_its_content() -> None:
    live, history = owned(0, 1, "a"), owned(0, 1, "a")
    history.flags = int(Flag.BACKFILL) | int(Flag.RESULT)

    merge(live, history)

    assert live.flags == int(Flag.RESULT)
