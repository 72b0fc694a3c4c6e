"""What alert rules ask of the store: held against every fact of it, and against the same hours in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccagent.alerts.metrics import known
from ccagent.alerts.rule import Scope
from ccagent.alerts.series import BEGINNING, Span
from ccagent.facts.model import EventType, Flag, Status
from ccagent.facts.targets import Target
from ccagent.metrics import names
from ccagent.rollups.buckets import bucket_start
from ccagent.store.alert_hours import load_hours
from ccagent.store.alert_series import StoreSeries
from tests.rollups.oracle import active, amounts, facts
from tests.rollups.test_refresh import AT, CLOCKS_CHANGE, apply, steps
from tests.store.builder import HOST, Builder
from tests.store.measuring import DAY, HOUR, OF_FACTS, OF_ROLLUPS, one, operand, refresh, rounded, series

UTC = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
TOKENS = ("token_output", "token_cache_read", "token_cache_write", "token_cache_write_1h")
SHOP, CART = "/work/shop", "/work/cart"


@pytest.fixture
def store(new_store: Callable[[], Builder]) -> Builder:
    """An empty store of either kind."""
    return new_store()


def link(store: Builder, kind: Target, source: str, target_kind: Target, target: str, place: int = 1) -> None:
    store.conn.execute(
        "INSERT INTO link (kind, source, target_kind, target, strategy, confidence, inferred, ambiguity, share, place,"
        " evidence) VALUES (?, ?, ?, ?, 1, 900, 0, 0, 1000000, ?, 1)",
        (int(kind), store.name(source), int(target_kind), store.name(target), place),
    )


def spend(store: Builder, native: str, at: int, cost: int | None, **columns: Any) -> None:
    """A request of `cost` micro-dollars."""
    place = {"session": "s1", "project": SHOP} | {
        key: columns.pop(key) for key in ("session", "project", "branch", "agent") if key in columns
    }
    columns = {"name": "claude-opus-4-6", "token_input": 10} | dict.fromkeys(TOKENS, 0) | columns
    store.request(native, context=store.context(**place), occurred_at=at, cost=cost, **columns)


# ---- held against every fact --------------------------------------------------------------------------------------------


def naive(store: Builder, zone: ZoneInfo, metric: str, scope: Scope, span: Span) -> dict[str, tuple[float, float]]:
    """The amount of a rollup metric by subject, from every fact that begins in the span."""
    texts = {int(number): str(text) for number, text in store.conn.execute("SELECT id, value FROM name")}
    declared = known()[metric].rollup
    assert declared is not None
    found: dict[str, list[float]] = {}
    sessions: dict[str, set[int]] = {}
    held = facts(store.conn)

    def subject(fact: dict[str, Any]) -> str | None:
        if scope is Scope.GLOBAL:
            return ""
        return texts.get(fact["project" if scope is Scope.PROJECT else "session"] or 0)

    if declared.family == EventType.SESSION:
        for fact in held:
            at, whose = fact["occurred_at"], subject(fact)
            if at is not None and span[0] <= at < span[1] and fact["session"] is not None and whose is not None:
                sessions.setdefault(whose, set()).add(fact["session"])
        milliseconds: dict[str, int] = {}
        for session in {fact["session"] for fact in held} - {None}:
            by_hour, _ = active((fact for fact in held if fact["session"] == session), zone)
            for (hour, (project, _, _)), ms in by_hour.items():
                whose = {Scope.GLOBAL: "", Scope.PROJECT: texts.get(project)}.get(scope, texts[session])
                if span[0] <= hour < span[1] and whose is not None:
                    milliseconds[whose] = milliseconds.get(whose, 0) + ms
        if metric == "session_count":
            return {whose: (len(which), len(which)) for whose, which in sessions.items()}
        return {
            whose: (milliseconds.get(whose, 0) / 1_000, len(sessions.get(whose, ())))
            for whose in milliseconds.keys() | sessions.keys()
        }
    for fact in held:
        at, whose = fact["occurred_at"], subject(fact)
        if fact["type"] != declared.family or at is None or not span[0] <= at < span[1] or whose is None:
            continue
        values = amounts(fact)
        value, count = {
            "session_cost": (values["cost"] / 1e6, values["count"] - values["unpriced"]),
            "session_tokens": (sum(values[name] for name in values if name.startswith("token_")), values["count"]),
            "tool_success_rate": (values["ok"], values["results"]),
            "tool_errors": (values["errors"],) * 2,
            "lines_added": (values["added"],) * 2,
            "lines_removed": (values["removed"],) * 2,
            "unpriced_requests": (values["unpriced"],) * 2,
            "nonfinal_requests": (values["placeholder"] + values["partial"] + values["estimated"],) * 2,
            "task_velocity": (values["ok"],) * 2,
        }.get(metric, (values["count"],) * 2)
        if count or metric == "session_tokens":
            sums = found.setdefault(whose, [0, 0])
            sums[0] += value
            sums[1] += count
    return {whose: (sums[0], sums[1]) for whose, sums in found.items()}


def spans_at(zone: ZoneInfo, now: int) -> list[Span]:
    """Windows as rules have them: calendar periods to date, trailing ones, past days."""
    day = bucket_start(zone, "day", now)
    before = bucket_start(zone, "day", day - 1)
    return [
        (bucket_start(zone, "hour", now - 1), now), (day, now), (bucket_start(zone, "week", now), now),
        (bucket_start(zone, "month", now), now), (bucket_start(zone, "hour", now - 6 * HOUR), now), (before, day),
        (bucket_start(zone, "day", before - 2 * DAY), before),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "Australia/Lord_Howe"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(steps, st.lists(st.integers(1, 220), min_size=1, max_size=2))
def test_rollup_metrics_are_what_the_facts_say(
    new_store: Callable[[], Builder], name: str, plan: list[dict[str, Any] | int], later: list[int]
) -> None:
    zone, store = ZoneInfo(name), new_store()
    for step in plan:
        apply(store, zone, CLOCKS_CHANGE[name], step)
    refresh(store.conn, zone)
    for hours in later:
        now = bucket_start(zone, "hour", CLOCKS_CHANGE[name] + hours * HOUR)
        spans = [span for span in spans_at(zone, now) if span[0] < span[1]]
        found = series(store.conn, now, zone=zone)

        for scope in (Scope.GLOBAL, Scope.PROJECT, Scope.SESSION):
            for metric in OF_ROLLUPS:
                said = found.amounts(operand(metric), scope, spans)
                for place, span in enumerate(spans):
                    wanted = naive(store, zone, metric, scope, span)
                    at_place = {
                        subject: (pytest.approx(each.value), each.count)
                        for subject, found_there in said.items() if (each := found_there[place]) is not None
                    }  # fmt: skip
                    assert at_place == wanted, (metric, scope, span)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(steps, st.integers(1, 220))
def test_the_store_says_what_its_hours_in_memory_say(
    new_store: Callable[[], Builder], plan: list[dict[str, Any] | int], later: int
) -> None:
    store = new_store()
    for step in plan:
        apply(store, BERLIN, CLOCKS_CHANGE["Europe/Berlin"], step)
    for column in ("token_input", *TOKENS):  # the ingest writes no request without them
        store.conn.execute(
            f"UPDATE fact SET {column} = COALESCE({column}, 0) WHERE type = {int(EventType.LLM_REQUEST)}"
        )
    refresh(store.conn)
    link(store, Target.SESSION, "s1", Target.FEATURE, "payments")
    now = bucket_start(BERLIN, "hour", CLOCKS_CHANGE["Europe/Berlin"] + later * HOUR)
    spans = [span for span in spans_at(BERLIN, now) if span[0] < span[1]]
    operands = [operand(metric) for metric in (*OF_ROLLUPS, *OF_FACTS)]
    for scope in Scope:
        moment = load_hours(store.conn, BERLIN, operands, scope, 0, now).at(now)
        for kept in (False, True):
            found = series(store.conn, now, kept=kept)
            for each in operands:
                assert rounded(found.amounts(each, scope, spans)) == rounded(moment.amounts(each, scope, spans)), each
                began = found.began(each, scope).items()
                assert {subject: hour for subject, hour in began if hour < now} == moment.began(each, scope), each


@pytest.mark.corpus
def test_the_store_says_what_its_hours_in_memory_say_of_the_corpus(corpus_feed: Any) -> None:
    conn = corpus_feed.store.conn
    first, last = conn.execute("SELECT MIN(occurred_at), MAX(occurred_at) FROM fact").fetchone()
    operands = [
        operand("tool.failures", tool="Bash"), operand("ccagent.requests", status=["ok", "error"]),
        operand(names.TOOL_DURATION), operand(names.CONTEXT_UTILIZATION), operand(names.TOKENS, type="cache_read"),
    ]  # fmt: skip
    for scope in Scope:
        hours = load_hours(conn, BERLIN, operands, scope, 0, last + 1)
        for part in range(1, 6):
            now = bucket_start(BERLIN, "hour", first + (last - first) * part // 5)
            spans = [span for span in spans_at(BERLIN, now) if span[0] < span[1]]
            # the store of all tests has no rollups and is not to be written to: its hours are all stale
            found, moment = StoreSeries(conn, BERLIN, now), hours.at(now)
            for each in operands:
                assert rounded(found.amounts(each, scope, spans)) == rounded(moment.amounts(each, scope, spans)), each


# ---- what counts, and for whom ------------------------------------------------------------------------------------------


def test_a_day_so_far_and_the_days_before_it(store: Builder) -> None:
    spend(store, "m1", AT - 2 * DAY, 1_000_000)
    spend(store, "m2", AT - DAY + HOUR, 2_000_000)
    spend(store, "m3", AT, 4_000_000)
    spend(store, "m4", AT + HOUR + 1, 8_000_000)
    refresh(store.conn, UTC)
    now, today = AT + HOUR + 2, bucket_start(UTC, "day", AT)

    found = series(store.conn, now, zone=UTC)

    assert one(found, "session_cost", (today, now)) == (12.0, 2)
    assert one(found, "session_cost", (today - DAY, today)) == (2.0, 1)
    assert one(found, "session_cost", (today - 2 * DAY, now)) == (15.0, 4)
    assert one(found, "session_cost", (BEGINNING, now)) == (15.0, 4)


def test_nothing_is_not_zero(store: Builder) -> None:
    spend(store, "m1", AT, None)
    refresh(store.conn)
    found = series(store.conn, AT + 1)

    assert one(found, "session_cost", (AT, AT + 1)) is None
    assert one(found, "unpriced_requests", (AT, AT + 1)) == (1.0, 1)
    assert one(found, "tool_errors", (AT, AT + 1)) is None
    assert one(found, names.TOOL_FAILURES, (AT, AT + 1)) is None


def test_a_session_of_two_days_is_one(store: Builder) -> None:
    spend(store, "m1", AT, 1)
    spend(store, "m2", AT + DAY, 1)
    spend(store, "m3", AT + DAY, 1, session="s2")
    refresh(store.conn)
    now = AT + 2 * DAY

    found = series(store.conn, now)

    assert one(found, "session_count", (AT - DAY, now)) == (2.0, 2)


def test_a_worktree_counts_in_its_repository(store: Builder) -> None:
    spend(store, "m1", AT, 1_000_000)
    spend(store, "m2", AT, 2_000_000, project="/work/.trees/shop-2", session="s2")
    spend(store, "m3", AT, 5_000_000, project=CART, session="s3")
    link(store, Target.PROJECT, "/work/.trees/shop-2", Target.PROJECT, SHOP)
    refresh(store.conn)
    found = series(store.conn, AT + 1)

    for metric, amount in (("session_cost", 3.0), (names.COST_USD, 3.0)):
        said = found.amounts(operand(metric), Scope.PROJECT, [(AT, AT + 1)])
        assert {subject: each[0].value for subject, each in said.items() if each[0]} == {SHOP: amount, CART: 5.0}
        assert one(found, metric, (AT, AT + 1), project="shop") == (3.0, 2)
        assert one(found, metric, (AT, AT + 1), project=[CART, "no such"]) == (5.0, 1)
    assert found.amounts(operand("session_cost"), Scope.PROJECT, [(AT, AT + 1)], ["cart"]).keys() == {CART}


@pytest.mark.parametrize("metric", ["session_cost", names.COST_USD])
def test_a_feature_has_the_sessions_that_are_linked_to_it_most_strongly(store: Builder, metric: str) -> None:
    for number, session in enumerate(("s1", "s2", "s3")):
        spend(store, f"m{number}", AT + number * HOUR, 10**6 * 10**number, session=session)
    link(store, Target.SESSION, "s1", Target.FEATURE, "payments")
    link(store, Target.SESSION, "s1", Target.FEATURE, "search", place=2)
    link(store, Target.SESSION, "s2", Target.FEATURE, "payments")
    refresh(store.conn)
    now = AT + 3 * HOUR

    said = series(store.conn, now).amounts(operand(metric), Scope.FEATURE, [(AT, now), (AT, AT + HOUR)])

    assert rounded(said) == {"payments": [(11.0, 2.0, ()), (1.0, 1.0, ())]}


@pytest.mark.parametrize("metric", ["session_cost", names.COST_USD])
def test_a_session_is_asked_whole_or_in_a_window(store: Builder, metric: str) -> None:
    spend(store, "m1", AT, 1_000_000)
    spend(store, "m2", AT + 30 * HOUR, 2_000_000, agent="a1")
    spend(store, "m3", AT + 30 * HOUR, 4_000_000, session="s2")
    store.fact(EventType.SESSION, "s1", occurred_at=AT, ended_at=AT + 30 * HOUR)
    refresh(store.conn)
    now = AT + 31 * HOUR

    said = series(store.conn, now).amounts(
        operand(metric), Scope.SESSION, [(BEGINNING, now), (AT + 26 * HOUR, now)], ["s1", "no such session"]
    )

    assert rounded(said) == {"s1": [(3.0, 2.0, ()), (2.0, 1.0, ())]}


def test_dimensions(store: Builder) -> None:
    spend(store, "m1", AT, 1_000_000, branch="main")
    spend(
        store, "m2", AT, 2_000_000, branch="other", agent="a1", name="arn:aws:bedrock:eu::x/anthropic.claude-haiku-4-5"
    )
    done = {"closed_host": HOST, "closed_seq": 1, "result_at": AT + 2}
    store.call("t1", name="Bash", occurred_at=AT, status=int(Status.OK), **done)
    store.call(
        "t2", name="Read", occurred_at=AT, status=int(Status.ERROR), failure="not_found",
        flags=int(Flag.DIRECT | Flag.RESULT | Flag.ERROR), **done,
    )  # fmt: skip
    refresh(store.conn)
    found, span = series(store.conn, AT + 1), (AT, AT + 1)

    assert one(found, "session_cost", span, branch="main") == (1.0, 1)
    assert one(found, "session_cost", span, branch=["main", "other"]) == (3.0, 2)
    assert one(found, "session_cost", span, session_type="subagent") == (2.0, 1)
    assert one(found, "session_cost", span, agent="a1", branch="main") is None
    assert one(found, "session_cost", span, model="claude-opus-4-6") == (1.0, 1)
    assert one(found, "session_cost", span, model="gpt") is None
    assert one(found, "tool_success_rate", span) == (1.0, 2)
    assert one(found, "tool_success_rate", span, tool="Read") == (0.0, 1)
    assert one(found, "tool.calls", span, status="ok") == (1.0, 1)
    assert one(found, "tool.failures", span, tool="Read", failure_class=["timeout", "not_found"]) == (1.0, 1)
    assert one(found, "session_cost", span, Scope.SESSION, "s1", model="claude-opus-4-6") == (1.0, 1)
    assert one(found, "session_cost", (BEGINNING, AT + 1), Scope.SESSION, "s1", branch="other") == (2.0, 1)


def test_a_histogram_has_its_buckets(store: Builder) -> None:
    for number, seconds in enumerate((1, 1, 40)):
        store.call(
            f"t{number}", name="Bash", occurred_at=AT + number, result_at=AT + number + seconds * 1_000,
            closed_host=HOST, closed_seq=number + 1, status=int(Status.OK),
        )  # fmt: skip
    refresh(store.conn)

    for kept in (True, False):
        said = series(store.conn, AT + 9, kept=kept).amounts(operand(names.TOOL_DURATION), Scope.GLOBAL, [(AT, AT + 9)])

        (found,) = said[""]
        bounds = known()[names.TOOL_DURATION].buckets
        assert found is not None
        assert (found.value, found.count, sum(found.buckets)) == (42.0, 3, 3)
        assert found.buckets[bounds.index(1)] == 2
        assert found.buckets[bounds.index(60)] == 1


def test_late_facts_change_what_is_said_of_the_past(store: Builder) -> None:
    spend(store, "m1", AT, 1_000_000)
    refresh(store.conn)
    now = AT + 3 * DAY
    assert one(series(store.conn, now), "session_cost", (AT - DAY, now)) == (1.0, 1)
    assert one(series(store.conn, now), names.TOKENS, (AT - DAY, now), Scope.PROJECT, SHOP) == (10.0, 1)

    spend(store, "late", AT + 5, 2_000_000)
    refresh(store.conn)

    assert one(series(store.conn, now), "session_cost", (AT - DAY, now)) == (3.0, 2)
    assert one(series(store.conn, now), names.TOKENS, (AT - DAY, now), Scope.PROJECT, SHOP) == (20.0, 2)


def test_since_when_there_is_something(store: Builder) -> None:
    spend(store, "m1", AT + 5, None)
    spend(store, "m2", AT + 2 * HOUR, 1, project=CART, session="s2")
    spend(store, "m3", AT + 40 * HOUR, 1)
    link(store, Target.SESSION, "s2", Target.FEATURE, "payments")
    refresh(store.conn, UTC)
    found = series(store.conn, AT + 41 * HOUR, zone=UTC)

    assert found.began(operand("session_cost"), Scope.GLOBAL) == {"": AT + 2 * HOUR}
    assert found.began(operand("requests"), Scope.PROJECT) == {SHOP: AT, CART: AT + 2 * HOUR}
    assert found.began(operand(names.TOKENS), Scope.PROJECT) == {SHOP: AT, CART: AT + 2 * HOUR}
    assert found.began(operand(names.TOKENS), Scope.FEATURE) == {"payments": AT + 2 * HOUR}
    assert found.began(operand("session_cost"), Scope.SESSION) == {"s1": AT + 40 * HOUR, "s2": AT + 2 * HOUR}
    assert found.began(operand("api_errors"), Scope.GLOBAL) == {}


def test_sessions_with_a_record_since_a_moment(store: Builder) -> None:
    for number, ended in enumerate((AT, AT + HOUR, AT + 3 * HOUR)):
        store.fact(EventType.SESSION, f"s{number}", occurred_at=ended - 60_000, ended_at=ended)

    found = series(store.conn, AT + 2 * HOUR).sessions(AT + 1, AT + 2 * HOUR)

    assert found == {"s1": AT + HOUR}


def test_the_same_question_is_asked_once(store: Builder) -> None:
    spend(store, "m1", AT, 1_000_000)
    refresh(store.conn)
    found = series(store.conn, AT + 1)
    first = one(found, "session_cost", (AT, AT + 1))
    spend(store, "m2", AT, 1_000_000)
    refresh(store.conn)

    assert one(found, "session_cost", (AT, AT + 1)) == first
    assert one(series(store.conn, AT + 1), "session_cost", (AT, AT + 1)) == (2.0, 2)


def test_gauges_are_those_that_were_handed_in(store: Builder) -> None:
    live = {
        (names.INGEST_LAG, ()): 12.5,
        (names.EXPORT_STATE, ("home", "traces", "active")): 1,
        (names.EXPORT_STATE, ("home", "traces", "circuit_open")): 0,
        (names.EXPORT_STATE, ("home", "logs", "circuit_open")): 1,
        (names.CACHE_HIT_RATIO, ("a",)): 0.25,
        (names.CACHE_HIT_RATIO, ("b",)): 0.75,
    }
    found = StoreSeries(store.conn, BERLIN, AT, live)
    now = (BEGINNING, AT)

    assert one(found, names.INGEST_LAG, now) == (12.5, 1)
    assert one(found, names.EXPORT_STATE, now, state="circuit_open") == (1, 1)
    assert one(found, names.EXPORT_STATE, now, state="circuit_open", signal="traces") == (0, 1)
    assert one(found, names.CACHE_HIT_RATIO, now) == (0.75, 1)
    assert one(found, names.STORE_WAL, now) is None


def test_a_gauge_of_a_project_is_found_by_path_and_by_last_folder(store: Builder) -> None:
    live = {(names.COST_ANOMALY, ("shop",)): 4.0, (names.COST_ANOMALY, ("car_t",)): 9.0}
    found = StoreSeries(store.conn, BERLIN, AT, live)
    now = (BEGINNING, AT)

    assert one(found, names.COST_ANOMALY, now, project="/work/shop") == (4.0, 1)
    assert one(found, names.COST_ANOMALY, now, project="shop") == (4.0, 1)
    assert one(found, names.COST_ANOMALY, now, project="car\u202et") == (9.0, 1)
    assert one(found, names.COST_ANOMALY, now, project="/work/other") is None


def test_a_metric_that_is_not_known_and_a_scope_that_it_has_not_are_refused(store: Builder) -> None:
    found = series(store.conn, AT)

    with pytest.raises(ValueError, match="no metric has the name 'nonsense'"):
        found.amounts(operand("nonsense"), Scope.GLOBAL, [(AT, AT + 1)])
    with pytest.raises(ValueError, match="has no scope session"):
        found.amounts(operand(names.INGEST_LAG), Scope.SESSION, [(AT, AT + 1)])
