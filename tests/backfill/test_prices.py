"""Costs by today's prices: nothing else changes, and what is booked equals the facts at any moment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ccagent.clock import SystemClock
from ccagent.metrics import names
from ccagent.price_file import load_prices
from ccagent.rebuild import recompute_prices
from ccagent.store import repricing
from ccagent.store.location import parse_database
from ccagent.store.opening import open_store
from ccagent.store.repricing import Repricing
from ccagent.store.writer import Writer
from tests.backfill.ground import Ground, cost_of_facts, session

DEAR = {"input": "1000", "output": "5000"}
ACTIONS = ("prompt", "reply", "bash", "reply", "gateway", "agent", "edit", "turn end")


@pytest.fixture
def full(ground: Ground) -> Ground:
    """Three sessions by the bundled prices; `nobody-knows` has no price there."""
    sessions = [session(number, actions=ACTIONS) for number in range(3)]
    sessions[0].request(model="nobody-knows")
    ground.tree.write(*sessions)
    ground.take_in()
    return ground


def other_prices(ground: Ground, models: dict[str, Any]) -> dict[str, str]:
    """Flags that lay these prices over the bundled ones."""
    path = ground.folder / "prices.json"
    path.write_text(json.dumps({"models": models}))
    return {"prices.override": str(path)}


def recompute(ground: Ground, models: dict[str, Any]) -> dict[str, Any]:
    """`ccagent backfill --recompute-prices` under these prices."""
    return recompute_prices(ground.config(**other_prices(ground, models)), ground.env)


def everything(ground: Ground) -> list[tuple[Any, ...]]:
    """All of the facts that prices do not change."""
    return ground.rows(
        "SELECT key, type, context, name, occurred_at, status, flags, token_input, token_output, parser, file, closed_host,"
        " closed_seq, ended FROM fact ORDER BY key"
    )


def lawful(ground: Ground) -> bool:
    """Whether the cost that was booked, over all labels, is that of the facts."""
    return sum(ground.labels(names.COST_USD).values()) == cost_of_facts(ground)


@contextmanager
def store_of(ground: Ground, models: dict[str, Any]) -> Iterator[Writer]:
    """The store under these prices, for whoever wants to turn it by hand."""
    config = ground.config(**other_prices(ground, models))
    store = open_store(
        parse_database(config.database, config.paths.state_dir), clock=SystemClock(), host_id=ground.host_id,
        prices=load_prices(config),
    )  # fmt: skip
    try:
        yield store
    finally:
        store.close()


def by_model_and_project(ground: Ground) -> dict[tuple[str, str], int]:
    """Booked cost. How the cost of the past was split over kinds of tokens is not kept, so it is not asked."""
    found: dict[tuple[str, str], int] = {}
    for labels, amount in ground.labels(names.COST_USD).items():
        model, _, project = json.loads(labels)
        found[model, project] = found.get((model, project), 0) + amount
    return found


def unpriced(ground: Ground) -> dict[str, int]:
    """Tokens without a price by model, as the facts have them."""
    tokens = "SUM(f.token_input + f.token_output + f.token_cache_read + f.token_cache_write)"
    sql = f"SELECT n.value, {tokens} FROM fact f JOIN name n ON n.id = f.name WHERE f.type = 4 AND f.cost IS NULL GROUP BY 1"
    return {str(model): int(amount) for model, amount in ground.rows(sql)}


def unpriced_booked(ground: Ground) -> dict[str, int]:
    """The same, as the totals have them."""
    return {json.loads(labels)[0]: amount for labels, amount in ground.labels(names.UNPRICED_TOKENS).items()}


def test_only_the_cost_changes(full: Ground) -> None:
    before, cost = everything(full), cost_of_facts(full)

    report = recompute(full, {"claude-opus-4-6": DEAR})

    assert everything(full) == before
    assert cost_of_facts(full) > cost
    assert report["changed"] > 0
    assert (report["cost_before"], report["cost_after"]) == (cost, cost_of_facts(full))
    assert full.rows("SELECT COUNT(*) FROM fact WHERE cost_booked IS NOT NULL") == [(0,)]
    assert full.faults() == []


def test_costs_are_those_of_a_store_that_had_these_prices_from_the_start(full: Ground, tmp_path: Any) -> None:
    models = {"claude-opus-4-6": DEAR, "nobody-knows": {"input": "1", "output": "2"}}
    recompute(full, models)

    other = Ground(tmp_path / "other", str(tmp_path / "other.db"))
    other.tree.root.rmdir()
    other.tree.root.symlink_to(full.tree.root)
    from ccagent.backfill import backfill
    from ccagent.selection import Selection

    backfill(other.config(**other_prices(full, models)), other.env, Selection())

    assert full.dump() == other.dump()
    assert by_model_and_project(full) == by_model_and_project(other)
    assert unpriced_booked(full) == unpriced_booked(other) == unpriced(full)


def test_metrics_of_prices_begin_again_and_others_run_on(full: Ground) -> None:
    before = full.counters()

    report = recompute(full, {"claude-opus-4-6": DEAR})

    after = full.counters()
    assert report["new_generation"] is True
    assert report["generation"] == 2
    assert before[names.COST_USD] > 0 == after[names.COST_USD]
    assert after[names.UNPRICED_TOKENS] == 0
    same = set(before) - {names.COST_USD, names.UNPRICED_TOKENS, names.STORE_WRITE_HOLD, names.ROLLUP_DURATION}
    assert {name: after[name] for name in same} == {name: before[name] for name in same}


def test_a_model_gets_a_price_and_loses_it(full: Ground) -> None:
    before = unpriced(full)
    assert unpriced_booked(full) == before
    assert "nobody-knows" in before

    gained = recompute(full, {"nobody-knows": {"input": "3", "output": "15"}})
    assert (gained["priced"], gained["unpriced"]) == (1, 0)
    assert (
        unpriced_booked(full) == unpriced(full) == {model: before[model] for model in before if model != "nobody-knows"}
    )
    assert lawful(full)

    lost = recompute(full, {})
    assert (lost["priced"], lost["unpriced"]) == (0, 1)
    assert unpriced_booked(full) == unpriced(full) == before
    assert lawful(full)
    assert full.faults() == []


def test_the_same_prices_change_nothing_and_begin_nothing(full: Ground) -> None:
    before, dump = full.counters(), full.dump()

    report = recompute_prices(full.config(), full.env)

    assert (report["changed"], report["new_generation"], report["generation"]) == (0, False, 1)
    assert full.dump() == dump
    assert full.counters()[names.COST_USD] == before[names.COST_USD]


def test_prices_that_fall_make_totals_fall(full: Ground) -> None:
    recompute(full, {"claude-opus-4-6": DEAR})
    dear = sum(full.labels(names.COST_USD).values())

    recompute(full, {"claude-opus-4-6": {"input": "0.01", "output": "0.01"}})

    assert sum(full.labels(names.COST_USD).values()) < dear
    assert lawful(full)
    assert full.faults() == []


def test_rollups_follow(full: Ground) -> None:
    recompute(full, {"claude-opus-4-6": DEAR})

    rolled = full.rows("SELECT SUM(cost) FROM rollup WHERE period = 1 AND family = 4")[0][0]
    assert rolled == full.rows("SELECT SUM(cost) FROM fact WHERE type = 4 AND occurred_at IS NOT NULL")[0][0]


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four facts a transaction."""
    monkeypatch.setattr(repricing, "SLICE", 4)


@pytest.mark.usefixtures("small_slices")
def test_at_any_slice_the_books_agree_with_the_facts(full: Ground) -> None:
    with store_of(full, {"claude-opus-4-6": DEAR}) as store:
        work = Repricing(store)
        steps = 0
        while work.step():
            steps += 1
            assert lawful(full)

    assert steps > 3
    assert full.rows("SELECT COUNT(*) FROM fact WHERE cost_booked IS NOT NULL")[0][0] > 0


@pytest.mark.usefixtures("small_slices")
def test_what_was_interrupted_is_gone_on_with(full: Ground) -> None:
    models = {"claude-opus-4-6": DEAR, "nobody-knows": {"input": "1", "output": "2"}}
    with store_of(full, models) as store:
        first = Repricing(store)
        for _ in range(3):
            assert first.step()

    report = recompute(full, models)

    whole = full.rows("SELECT COUNT(*) FROM fact WHERE type = 4")[0][0]
    assert report["resumed"] is True
    assert report["requests"] == whole - 12
    assert report["new_generation"] is True
    assert lawful(full)
    assert unpriced_booked(full) == unpriced(full)
    assert "nobody-knows" not in unpriced(full)


@pytest.mark.usefixtures("small_slices")
def test_lines_that_come_in_between_are_booked_once(full: Ground) -> None:
    models = {"claude-opus-4-6": DEAR}
    with store_of(full, models) as store:
        first = Repricing(store)
        for _ in range(3):
            first.step()
    full.tree.write(session(9, actions=ACTIONS))
    from ccagent.backfill import backfill
    from ccagent.selection import Selection

    backfill(full.config(**other_prices(full, models)), full.env, Selection())
    assert lawful(full)

    recompute(full, models)

    assert lawful(full)
    assert full.faults() == []


@pytest.mark.usefixtures("small_slices")
def test_prices_that_change_in_the_middle_are_looked_at_from_the_start(full: Ground) -> None:
    with store_of(full, {"nobody-knows": {"input": "1", "output": "2"}}) as store:
        first = Repricing(store)
        while first.step():
            pass

    recompute(full, {})

    assert unpriced_booked(full) == unpriced(full)
    assert "nobody-knows" in unpriced(full)
    assert lawful(full)
    assert full.faults() == []


def test_facts_whose_transcripts_are_gone_get_their_cost_too(full: Ground) -> None:
    for path in full.tree.root.rglob("*.jsonl"):
        path.unlink()

    report = recompute(full, {"claude-opus-4-6": DEAR})

    assert report["changed"] > 0
    assert lawful(full)


def test_a_rebuild_takes_todays_prices_for_what_it_derives(full: Ground) -> None:
    from ccagent.rebuild import rebuild

    config = full.config(**other_prices(full, {"claude-opus-4-6": DEAR}))
    rebuild(config, full.env)

    versions = full.rows("SELECT DISTINCT n.value FROM fact f JOIN name n ON n.id = f.price")
    assert versions == [(load_prices(config).version,)]
    assert lawful(full)
    assert full.faults() == []
