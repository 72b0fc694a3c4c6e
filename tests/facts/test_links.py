"""Links from evidence: confidence by the table, shares that add up, the same for any order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.facts.evidence import WEIGHTS
from ccagent.facts.links import (
    CERTAIN,
    FEATURES,
    LEAST,
    STRATEGIES,
    TARGETS_OF_A_KIND,
    WHOLE,
    Evidence,
    Said,
    Strategy,
    feature_confidence,
    links,
    shares,
    spoken,
)
from ccagent.facts.model import EventType
from ccagent.facts.targets import Target

TABLE = [
    # how it was found; its part of the session's weight in percent; confidence
    (("command", "write"), 100, 950),  # 0.90 + two signals 0.03 + write 0.02
    (("command", "write", "read"), 100, 950),  # the cap
    (("command",), 100, 750),
    (("command", "read"), 100, 780),
    (("command", "read", "search"), 100, 800),
    (("create",), 100, 770),  # a strong write 0.75 + write 0.02
    (("create", "read"), 100, 800),
    (("write",), 100, 640),
    (("write", "read"), 100, 670),
    (("branch",), 100, 620),
    (("branch", "read"), 100, 650),
    (("branch", "write"), 100, 670),
    (("shell",), 100, 550),
    (("shell", "search", "read"), 100, 600),
    (("search",), 100, 350),
    (("other",), 100, 350),
    (("read",), 100, 350),  # 0.35 - 0.08, and never below 0.35
    (("read", "search"), 100, 380),
    # below 0.7 of the weight, below a half
    (("create",), 69, 670),
    (("create",), 70, 770),
    (("create",), 50, 670),
    (("create",), 49, 570),
    (("branch",), 60, 520),
    (("branch",), 30, 420),
    (("shell",), 30, 350),
    (("command",), 10, 750),  # a command is meant, whatever else there is
    (("front_matter",), 1, 1_000),
    (("front_matter", "read"), 1, 1_000),
]


@pytest.mark.parametrize(("ways", "percent", "confidence"), TABLE)
def test_the_confidence_of_a_feature_is_that_of_the_table(ways: tuple[str, ...], percent: int, confidence: int) -> None:
    weights = {STRATEGIES[way]: WEIGHTS.get(way, CERTAIN) for way in ways}

    assert feature_confidence(weights, percent, 100) == confidence


PLAIN = [
    (Target.COMMIT, Strategy.RECORD, 1_000, 1_000),
    (Target.COMMIT, Strategy.OUTPUT, 950, 950),
    (Target.COMMIT, Strategy.MENTIONED, 600, 600),
    (Target.COMMIT, Strategy.WINDOW, 400, 400),
    (Target.PULL_REQUEST, Strategy.RECORD, 1_000, 1_000),
    (Target.PULL_REQUEST, Strategy.URL, 950, 950),
    (Target.PULL_REQUEST, Strategy.NUMBER, 500, 500),
    (Target.TASK, Strategy.RECORD, 1_000, 1_000),
    (Target.TASK, Strategy.TEXT, 600, 600),
    (Target.TASK, Strategy.TICKET, 600, 600),
    (Target.PHASE, Strategy.TEXT, 600, 600),
    (Target.PROJECT, Strategy.WORKTREE, 950, 950),
    (Target.SESSION, Strategy.FORKED_FROM, 350, 1_000),
    (Target.SESSION, Strategy.SAME_FILE, 350, 950),
    (Target.SESSION, Strategy.PROCESS, 350, 900),
]


@pytest.mark.parametrize(("target", "strategy", "weight", "confidence"), PLAIN)
def test_the_confidence_of_other_links_is_that_of_how_they_were_found(
    target: Target, strategy: Strategy, weight: int, confidence: int
) -> None:
    (link,) = links([Evidence(target, "x", strategy, weight)])

    assert (link.confidence, link.inferred, link.share, link.ambiguity) == (confidence, confidence < 1_000, WHOLE, 0)


def test_two_features_of_equal_weight_are_as_ambiguous_as_can_be() -> None:
    one, two = links([Evidence(Target.FEATURE, name, Strategy.BRANCH, 840) for name in ("b", "a")])

    assert [(one.id, one.share, one.place), (two.id, two.share, two.place)] == [("a", 500_000, 1), ("b", 500_000, 2)]
    assert one.ambiguity == two.ambiguity == 500


def test_a_session_without_evidence_has_no_links() -> None:
    assert links([]) == ()


def test_a_commit_of_two_sources_has_the_surer_one() -> None:
    (link,) = links([
        Evidence(Target.COMMIT, "abc", Strategy.MENTIONED, 600, 5, 6),
        Evidence(Target.COMMIT, "abc", Strategy.RECORD, 1_000, 7, None),
    ])  # fmt: skip

    assert (link.strategy, link.confidence, link.evidence, link.first, link.last) == (Strategy.RECORD, 1_000, 2, 5, 6)


EVIDENCE = st.lists(
    st.builds(
        Evidence,
        st.sampled_from(sorted(Target)),
        st.sampled_from(["a", "b", "c", "d", "e"]),
        st.sampled_from([each for each in Strategy if each is not Strategy.FRONT_MATTER]),
        st.integers(1, CERTAIN - 50),
        st.none() | st.integers(0, 9),
        st.none() | st.integers(0, 9),
    ),
    max_size=40,
)


@given(EVIDENCE, st.randoms(use_true_random=False))
def test_links_are_the_same_for_any_order_and_repetition_of_evidence(evidence: list[Evidence], chance: object) -> None:
    again = [*evidence, *evidence[: len(evidence) // 2]]
    chance.shuffle(again)  # type: ignore[attr-defined]

    assert links(again) == links(evidence)


@given(EVIDENCE)
def test_shares_of_a_kind_add_up_to_one_and_places_follow_them(evidence: list[Evidence]) -> None:
    found = links(evidence)

    for target in {link.target for link in found}:
        group = [link for link in found if link.target is target]
        assert sum(link.share for link in group) == WHOLE
        assert [link.place for link in group] == list(range(1, len(group) + 1))
        assert [link.share for link in group] == sorted((link.share for link in group), reverse=True)
        assert len({link.id for link in group}) == len(group)


@given(EVIDENCE)
def test_inferred_features_are_within_the_table_s_bounds_and_stated_ones_certain(evidence: list[Evidence]) -> None:
    stated = Evidence(Target.FEATURE, "stated", Strategy.FRONT_MATTER, CERTAIN)

    found = [link for link in links([*evidence, stated]) if link.target is Target.FEATURE]

    assert all(350 <= link.confidence <= 950 and link.inferred for link in found if link.id != "stated")
    assert [(link.confidence, link.inferred) for link in found if link.id == "stated"] == [(1_000, False)]


@given(st.integers(1, 200), st.sampled_from([Target.FEATURE, Target.TASK]))
def test_links_of_a_kind_are_bounded(count: int, target: Target) -> None:
    found = links([Evidence(target, f"n{number}", Strategy.READ, 460) for number in range(count)])

    assert len(found) == min(count, FEATURES if target is Target.FEATURE else TARGETS_OF_A_KIND)
    assert sum(link.share for link in found) == WHOLE


@given(st.lists(st.integers(0, 10**6), max_size=30), st.integers(0, 10**12))
def test_parts_add_up_to_the_whole(weights: list[int], whole: int) -> None:
    parts = shares(weights, whole)

    assert sum(parts) == (whole if weights else 0)
    assert len(parts) == len(weights)
    total = sum(weights)
    if total:
        assert all(abs(part - whole * weight / total) < 1.001 for part, weight in zip(parts, weights, strict=True))


def said(kind: EventType, native: str, label: str | None = None, **fields: int | None) -> Evidence | None:
    return spoken(Said(kind, native, label, fields.get("attempts"), fields.get("size")), "s")


def test_what_facts_say() -> None:
    feature = said(EventType.ARTIFACT, "s/feature/login/branch", "branch", size=840)
    parent = said(EventType.ARTIFACT, "s/session/before/forked_from", "forked_from")

    assert feature == Evidence(Target.FEATURE, "login", Strategy.BRANCH, 840)
    assert parent == Evidence(Target.SESSION, "before", Strategy.FORKED_FROM, LEAST)
    assert said(EventType.COMMIT, "abc", attempts=100) == Evidence(Target.COMMIT, "abc", Strategy.RECORD, 1_000)
    assert said(EventType.COMMIT, "abc", attempts=95) == Evidence(Target.COMMIT, "abc", Strategy.OUTPUT, 950)
    assert said(EventType.PULL_REQUEST, "#7", attempts=60) == Evidence(
        Target.PULL_REQUEST, "#7", Strategy.MENTIONED, 600
    )
    assert said(EventType.TASK, "t/ENT-3", "ENT-3") == Evidence(Target.TASK, "ENT-3", Strategy.RECORD, 1_000)


def test_a_target_may_hold_slashes() -> None:
    found = said(EventType.ARTIFACT, "s/project//home/u/repo/worktree", "worktree", size=950)

    assert found == Evidence(Target.PROJECT, "/home/u/repo", Strategy.WORKTREE, 950)


@pytest.mark.parametrize(
    ("kind", "native", "label", "attempts"),
    [
        (EventType.ARTIFACT, "s/hologram/x/branch", "branch", None),
        (EventType.ARTIFACT, "s/session/s/process", "process", None),  # its own parent
        (EventType.ARTIFACT, "s/feature", "branch", None),
        (EventType.TASK, "t/1", "1", None),  # a number of the session's own list
        (EventType.TASK, "t/x", None, None),
        (EventType.COMMIT, "t/0", None, None),  # an attempt without a commit
        (EventType.TOOL_CALL, "t", None, 1),
    ],
)
def test_other_facts_say_nothing(kind: EventType, native: str, label: str | None, attempts: int | None) -> None:
    assert said(kind, native, label, attempts=attempts) is None


def test_a_number_alone_is_the_pull_request_whose_address_is_known() -> None:
    number = Evidence(Target.PULL_REQUEST, "#12", Strategy.NUMBER, 500, 1, 1)
    address = Evidence(Target.PULL_REQUEST, "github.com/a/b/pull/12", Strategy.RECORD, 1_000, 5, 5)
    other = address._replace(id="github.com/a/b/pull/112")

    (link,) = links([number, address])
    apart = links([number, other])
    unclear = links([number, address, address._replace(id="github.com/c/d/pull/12")])

    assert (link.id, link.confidence, link.evidence, link.first) == ("github.com/a/b/pull/12", 1_000, 2, 1)
    assert [each.id for each in apart] == ["github.com/a/b/pull/112", "#12"]
    assert len(unclear) == 3
