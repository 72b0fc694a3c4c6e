"""The compatible set: names as Claude Code's own, sums equal to ccagent's, off unless switched on."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccagent.export.prometheus import render
from ccagent.facts.decisions import decision_of
from ccagent.facts.model import Context, Flag, Rank, Status
from ccagent.metrics import compat, names
from ccagent.metrics.catalogue import METRICS
from ccagent.metrics.compat import COMPAT, CompatibleSpec, language_of
from ccagent.metrics.compat_ledger import of_claude_code, query_source
from ccagent.metrics.snapshot import History, snapshot
from ccagent.metrics.spec import Kind, MetricSpec
from ccagent.store import totals
from ccagent.store.compat import switch
from ccagent.store.generation import restarts
from tests.sources.feed import Feed, fallen
from tests.sources.orders import shuffled
from tests.sources.trees import trees
from tests.transcripts import Session, Usage, text

pytestmark = pytest.mark.usefixtures("either_store")

SOME = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])

PROMETHEUS = {
    "claude_code_session_count_total", "claude_code_lines_of_code_count_total",
    "claude_code_pull_request_count_total", "claude_code_commit_count_total", "claude_code_cost_usage_USD_total",
    "claude_code_token_usage_tokens_total", "claude_code_code_edit_tool_decision_total",
    "claude_code_active_time_seconds_total",
}  # fmt: skip
KINDS = {"input": ("input",), "output": ("output",), "cacheRead": ("cache_read",),
         "cacheCreation": ("cache_write_5m", "cache_write_1h")}  # fmt: skip


def switched_on(**options: Any) -> Feed:
    feed = Feed(**options)
    switch(feed.store, on=True)
    return feed


def by_label(feed: Feed, metric: str, place: int) -> dict[str, int]:
    """Totals of a metric, added up by one of its labels."""
    found: dict[str, int] = {}
    for labels, value in feed.counted(metric).items():
        name = orjson.loads(labels)[place]
        found[name] = found.get(name, 0) + value
    return found


def equal(feed: Feed) -> bool:
    """Whether the set's sums are ccagent's own: tokens by type, cost to the micro-dollar, everything else."""
    own, told = by_label(feed, names.TOKENS, 1), by_label(feed, compat.TOKEN_USAGE, 0)
    tokens = {kind: sum(own.get(each, 0) for each in parts) for kind, parts in KINDS.items()}
    return (
        {kind: told.get(kind, 0) for kind in KINDS} == tokens
        and feed.total(compat.COST_USAGE) == feed.total(names.COST_USD)
        and feed.total(compat.LINES_OF_CODE) == feed.total(names.LINES_CHANGED)
        and feed.total(compat.SESSION_COUNT) == feed.total(names.SESSIONS)
        and feed.total(compat.COMMIT_COUNT) == feed.total(names.COMMITS)
        and feed.total(compat.PULL_REQUEST_COUNT) == feed.total(names.PULL_REQUESTS)
        and feed.counted(compat.ACTIVE_TIME) == feed.counted(names.ACTIVE)
    )


def test_the_eight_have_the_names_that_the_usual_translation_gives_them() -> None:
    assert {spec.prometheus_name for spec in COMPAT.values()} == PROMETHEUS
    assert [spec.otel_name for spec in COMPAT.values()] == list(COMPAT)


def test_no_label_names_a_session_or_a_person() -> None:
    allowed = {"start_type", "type", "model", "query_source", "tool_name", "decision", "source", "language"}

    assert {label for spec in COMPAT.values() for label in spec.labels} == allowed
    assert {label for spec in COMPAT.values() for label in spec.open_labels} == {"model"}


def test_a_native_name_is_refused_by_the_catalogue_and_any_other_by_the_set() -> None:
    assert not any(spec.otel_name.startswith("claude_code.") for spec in METRICS.values())
    given = {"kind": Kind.COUNTER, "unit": "", "help": "Some.", "source": "turn"}
    with pytest.raises(ValueError, match="compatible set alone"):
        MetricSpec(name="claude_code.turns", **given)
    with pytest.raises(ValueError, match="only"):
        CompatibleSpec(name="turns", **given)


@pytest.mark.parametrize(
    ("path", "language"),
    [("/a/b.py", "Python"), ("C:\\x\\y.TSX", "TypeScript"), ("/a/Makefile", "unknown"), ("/a.py/Makefile", "unknown"),
     ("/a/secret.name", "unknown"), (None, "unknown"), ("", "unknown")],
)  # fmt: skip
def test_a_language_comes_from_a_closed_list(path: str | None, language: str) -> None:
    assert language_of(path) == language
    assert language in COMPAT[compat.EDIT_DECISION].closed["language"]


def context(agent: str | None = None, rank: int = Rank.MAIN, *, provider: str | None = None,
            entrypoint: str | None = "cli") -> Context:  # fmt: skip
    return Context("s", "/p", "/p", None, "2.1.0", entrypoint, None, agent, None, provider, rank)


def test_who_asked_is_read_from_the_sub_agent() -> None:
    assert query_source(context()) == "main"
    assert query_source(context("a1")) == "subagent"
    assert query_source(context(rank=Rank.SIDECHAIN)) == "subagent"
    assert query_source(context("acompact-1")) == "auxiliary"


def test_other_clients_are_not_part_of_it() -> None:
    assert of_claude_code(context())
    assert of_claude_code(context(entrypoint=None))
    assert not of_claude_code(context(provider="openai"))
    assert not of_claude_code(context(entrypoint="Codex_cli_rs"))


def a_session() -> Session:
    session = Session(version="2.1.229")
    session.prompt("x" * 100)
    session.assistant(text("hi"), usage=Usage(input=3, output=40, cache_read=1_000, cache_write=100, cache_write_1h=30))
    session.edit("/home/demo/atlas/app.py", added=5, removed=2)
    session.rejected("Write", {"file_path": "/home/demo/atlas/notes.md", "content": "x"})
    session.turn_duration(61_000)
    return session


def test_off_nothing_is_booked() -> None:
    feed = Feed().read(a_session())

    assert not [metric for metric, _, _ in feed.totals() if metric in COMPAT]
    feed.close()


def test_a_session_is_booked_under_the_native_labels() -> None:
    feed = switched_on().read(a_session())
    feed.tick(90_000_000)

    assert equal(feed)
    assert by_label(feed, compat.TOKEN_USAGE, 2).keys() == {"main"}
    assert by_label(feed, compat.TOKEN_USAGE, 0)["cacheCreation"] == 100
    assert feed.counted(compat.LINES_OF_CODE) == {
        '["added","claude-opus-4-6"]': 5, '["removed","claude-opus-4-6"]': 2
    }  # fmt: skip
    assert feed.counted(compat.EDIT_DECISION) == {
        '["Edit","accept","unknown","Python"]': 1, '["Write","reject","user_reject","unknown"]': 1
    }  # fmt: skip
    assert feed.counted(compat.ACTIVE_TIME) == feed.counted(names.ACTIVE) == {'["cli"]': 6_800}
    assert feed.counted(compat.SESSION_COUNT) == {'["fresh"]': 1}
    feed.close()


@SOME
@given(trees(), st.integers(1, 12), st.integers(0, 2**32))
def test_whatever_comes_in_whatever_order_the_sums_are_ccagents_own(
    files: dict[str, bytes], cuts: int, seed: int
) -> None:
    feed, seen = switched_on(), {}
    chance = random.Random(seed)
    for pieces in shuffled(files, cuts, chance):
        feed.take(*pieces)
        if chance.random() < 0.2:
            feed.tick(chance.choice((2_000, 700_000, 90_000_000)))

        assert equal(feed)
        assert fallen(seen, feed.totals()) == []
        seen = feed.totals()
    feed.close()


@pytest.mark.sqlite
def test_the_corpus_has_the_same_sums_in_both(corpus_files: dict[str, bytes]) -> None:
    feed = switched_on()
    for path, data in corpus_files.items():
        feed.take((path, data))

    assert equal(feed)
    assert feed.total(compat.TOKEN_USAGE) > 0
    assert {"main", "subagent"} <= by_label(feed, compat.TOKEN_USAGE, 2).keys()
    feed.close()


def test_switched_on_later_it_starts_at_zero_then() -> None:
    session = a_session()
    feed = Feed().read(session)
    feed.store.catch_up_done()
    feed.tick(1_000_000)
    moment = feed.clock.now_ms()

    switch(feed.store, on=True)

    assert feed.total(compat.TOKEN_USAGE) == 0
    assert {restarts(feed.store.conn, feed.store.host)[name] for name in COMPAT} == {moment}
    before = feed.total(names.TOKENS)
    session.prompt("more")
    session.assistant(text("hi"), usage=Usage(input=7, output=11))
    feed.read(session)
    assert feed.total(compat.TOKEN_USAGE) == feed.total(names.TOKENS) - before > 0
    switch(feed.store, on=True)
    assert {restarts(feed.store.conn, feed.store.host)[name] for name in COMPAT} == {moment}
    feed.close()


def shown(feed: Feed, *, on: bool) -> str:
    history = History(
        store_ms=1_000, ledger_ms=500, caught_up_ms=2_000, restarted=restarts(feed.store.conn, feed.store.host)
    )
    stored = totals.read(feed.store.conn, feed.store.host)
    registry = {**METRICS, **COMPAT} if on else METRICS
    return render(snapshot(stored, {}, history, project_label=False, exportable_only=False, registry=registry))[
        0
    ].decode()


def test_the_page_shows_it_where_it_is_on_and_only_there() -> None:
    feed = switched_on().read(a_session())
    feed.tick(90_000_000)

    page = shown(feed, on=True)

    assert {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE claude_code")} == PROMETHEUS
    assert 'claude_code_active_time_seconds_total{type="cli"} 6.8' in page
    assert "claude_code_pull_request_count_total 0" in page
    assert "claude_code" not in shown(feed, on=False)
    feed.close()


def test_values_beyond_the_budget_go_together() -> None:
    feed = switched_on()
    session = Session(version="2.1.229")
    session.prompt("x")
    for number in range(25):
        session.assistant(text("hi"), usage=Usage(input=1, output=1), model=f"model-{number}")
    feed.read(session)

    models = by_label(feed, compat.TOKEN_USAGE, 1)

    assert len(models) == 21
    assert models["_overflow_"] > 0
    assert feed.counted(names.METRICS_OVERFLOW)[f'["{compat.TOKEN_USAGE}","model"]'] > 0
    assert compat.TOKEN_USAGE in METRICS[names.METRICS_OVERFLOW].closed["metric"]
    assert equal(feed)
    feed.close()


@pytest.mark.sqlite
def test_a_failed_transaction_leaves_nothing_of_it_behind() -> None:
    feed = switched_on()
    conn = feed.store.conn
    conn.execute("CREATE TEMP TRIGGER refuse BEFORE INSERT ON main.total BEGIN SELECT RAISE(ABORT, 'no space'); END")
    session = a_session()
    with pytest.raises(Exception, match="no space"):
        feed.read(session)
    conn.execute("DROP TRIGGER temp.refuse")
    feed.read(session)

    assert feed.total(compat.LINES_OF_CODE) == 7
    assert equal(feed)
    feed.close()


def test_a_decision_is_read_from_outcome_mode_and_failure() -> None:
    assert decision_of("Edit", Status.OK, None, 0, "acceptEdits") == ("accept", "config")
    assert decision_of("Bash", Status.OK, None, 0, "acceptEdits") == ("accept", "unknown")
    assert decision_of("Bash", Status.ERROR, "nonzero_exit", 0, "bypassPermissions") == ("accept", "config")
    assert decision_of("Bash", Status.OK, None, Flag.HUMAN, "default") == ("accept", "user_temporary")
    assert decision_of("Bash", Status.REJECTED, "rejected", Flag.HUMAN, None) == ("reject", "user_reject")
    assert decision_of("Bash", Status.REJECTED, "denied", 0, None) == ("reject", "unknown")
    assert decision_of("Bash", Status.OPEN, None, 0, None) is None
    assert decision_of("Bash", Status.INTERRUPTED, "interrupted", 0, None) is None
    assert decision_of("Edit", Status.ERROR, "invalid_input", 0, None) is None


def test_the_document_names_each_metric_with_its_labels() -> None:
    document = (Path(__file__).resolve().parents[2] / "docs" / "compatible.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in document.splitlines() if line.startswith("| `")]

    assert rows == [
        [f"`{spec.otel_name}`", f"`{spec.prometheus_name}`", ", ".join(f"`{label}`" for label in spec.labels)]
        for spec in COMPAT.values()
    ]
