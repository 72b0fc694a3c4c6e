"""A real Prometheus with the shipped rules agrees with the daemon that it scrapes, also over a restart and new prices."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.collector.stage import TOOLS, Metrics, prometheus, running
from tests.daemon.rig import Daemon, Ground, get, now_ms
from tests.deploy.rule_files import DEPLOY, all_rules
from tests.transcripts import Session, Usage, text

pytestmark = [
    pytest.mark.collector,
    pytest.mark.skipif(
        not TOOLS.is_dir(), reason=f"takes a minute; runs where {TOOLS} is, beside the other real parts"
    ),
]

BUDGET_USD = 1.0
MODEL = "claude-opus-4-6"
DOUBLED = {"input": "10", "output": "50"}
"""USD a million tokens: twice what the bundled table says."""

COST = "instance:ccagent_cost_usd:total"
DAY = "job:ccagent_cost_usd:increase1d"
FIRING = 'ALERTS{alertstate="firing"}'
BUDGET = ("CcagentDailyBudget",)


@contextmanager
def watching(folder: Path, *listening: str) -> Iterator[Metrics]:
    """A Prometheus with the shipped configuration and rules; only targets, pace and the budget are put in their place."""
    folder.mkdir(parents=True)
    for path in DEPLOY.glob("ccagent.*.yml"):
        shutil.copy(path, folder)
    budgets = folder / "ccagent.budgets.yml"
    budgets.write_text(budgets.read_text().replace("vector(+Inf)", f"vector({BUDGET_USD})", 1))
    words = (DEPLOY / "prometheus.yml").read_text()
    for shipped, wanted in (
        ('"127.0.0.1:9464"', ", ".join(f'"{one}"' for one in listening)),
        ("# - ccagent.alerts-optional.yml", "- ccagent.alerts-optional.yml"),
        ("evaluation_interval: 1m", "evaluation_interval: 1s"),
    ):
        assert shipped in words
        words = words.replace(shipped, wanted)
    _, _, rest = words.partition("  scrape_interval: 15s\n")
    store = prometheus(folder, rest)
    with running(store):
        yield store


def dear(name: str, requests: int = 1) -> Session:
    """A session of one turn; each request costs half a dollar."""
    session = Session(seed=name, start=now_ms() - 20_000, model=MODEL, cwd="/home/demo/atlas")
    session.prompt("hello")
    for _ in range(requests):
        session.assistant(text("a reply"), usage=Usage(input=100_000, output=10))
    session.turn_duration(5_000)
    return session


def spent(ground: Ground) -> float:
    """USD in the store, as `usage` says."""
    row = ground.usage()
    return float(row["cost_microusd"]) / 1_000_000 if row else 0.0


def agrees(store: Metrics, query: str, amount: float) -> bool:
    """Whether a query's one answer is this amount, to a thousandth of a cent."""
    return [round(value, 5) for value in store.sums(query).values()] == [round(amount, 5)]


def about(store: Metrics, query: str, amount: float) -> bool:
    """Whether a query's one answer is this amount to a fifth: `increase()` extrapolates, less the longer it looks back."""
    return list(store.sums(query).values()) == [pytest.approx(amount, rel=0.2)]


def listening(daemon: Daemon) -> str:
    return daemon.url.removeprefix("http://")


def names(store: Metrics) -> set[tuple[str, ...]]:
    """What fires in Prometheus."""
    return set(store.sums(FIRING, "alertname"))


def test_both_find_the_budget_spent(ground: Ground, tmp_path: Path) -> None:
    daemon = ground.start(CCAGENT_ALERTS_DAILY_BUDGET_USD=str(BUDGET_USD), CCAGENT_ALERTS_INTERVAL_SECONDS="1")
    daemon.until_caught_up()
    with watching(tmp_path / "prometheus", listening(daemon)) as store:
        daemon.until(lambda: agrees(store, COST, 0.0), "an empty ledger counts as zero")
        ground.tree.write(dear("below"))
        daemon.until(lambda: spent(ground) > 0 and agrees(store, COST, spent(ground)), "the first amount is there")
        first = spent(ground)
        assert 0.5 < first < BUDGET_USD * 0.9
        assert BUDGET not in names(store)
        assert firing(ground) == {}

        ground.tree.write(dear("above"))
        daemon.until(lambda: BUDGET in names(store), "Prometheus says that the budget is spent")
        daemon.until(lambda: "budget-daily" in firing(ground), "ccagent says so")
        daemon.until(
            lambda: store.sums('ccagent_alerts_firing{rule="budget-daily"}', "rule") == {("budget-daily",): 1.0},
            "what it says is scraped",
        )

        assert spent(ground) == pytest.approx(2 * first)
        assert agrees(store, COST, spent(ground))
        assert firing(ground)["budget-daily"] == pytest.approx(spent(ground))
        daemon.until(lambda: about(store, DAY, spent(ground)), "the day's increase is what was spent")
        assert faults(store) == []


def test_what_fires_of_a_session_is_passed_on(ground: Ground, tmp_path: Path) -> None:
    daemon = ground.start(CCAGENT_ALERTS_INTERVAL_SECONDS="1")
    daemon.until_caught_up()
    passed_on = 'ALERTS{alertname="CcagentSessionRule",alertstate="firing"}'
    with watching(tmp_path / "prometheus", listening(daemon)) as store:
        daemon.until(
            lambda: store.sums('ccagent_alerts_firing{rule="session-cost"}') == {(): 0.0}, "the rule does not fire"
        )
        assert store.sums(passed_on) == {}

        ground.tree.write(dear("long", 11))
        daemon.until(
            lambda: store.sums(passed_on, "rule") == {("session-cost",): 1.0}, "it fires, and so says Prometheus"
        )

        (subjects,) = [rule["firing"] for rule in listed(ground) if rule["id"] == "session-cost"]
        assert [round(one["value"], 1) for one in subjects] == [5.5]
        assert faults(store) == []


def listed(ground: Ground) -> list[dict[str, Any]]:
    """The rules of ccagent, as it lists them."""
    done = ground.group("alerts", "list", "--json", "--check")
    assert done.returncode in (0, 10), done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode == 10) == bool(document["firing"])
    return list(document["rules"])


def firing(ground: Ground) -> dict[str, float]:
    """What fires in ccagent, with the value that it found."""
    return {str(rule["id"]): float(subject["value"]) for rule in listed(ground) for subject in rule["firing"]}


def faults(store: Metrics) -> list[str]:
    """Rules that Prometheus could not evaluate."""
    status, body = get(f"{store.url}/api/v1/rules")
    assert status == 200
    rules = [rule for group in json.loads(body)["data"]["groups"] for rule in group["rules"]]
    assert {rule["health"] for rule in rules} <= {"ok", "unknown", "err"}
    assert len(rules) == len(all_rules())
    return [rule["name"] for rule in rules if rule["health"] == "err"]


def test_a_restart_adds_nothing_and_new_prices_lose_nothing(ground: Ground, tmp_path: Path) -> None:
    daemon = ground.start()
    daemon.until_caught_up()
    place = listening(daemon)
    ground.tree.write(dear("history", 4))
    daemon.until(lambda: spent(ground) > 0, "there is a past")
    before = spent(ground)
    with watching(tmp_path / "prometheus", place) as store:
        daemon.until(lambda: agrees(store, COST, before), "Prometheus has the total")
        assert daemon.terminate() == 0
        again = ground.start(listen=place)
        again.until_caught_up()
        again.until(lambda: store.sums("sum(ccagent_starts_total)") == {(): 2.0}, "the next one is scraped")
        again.until(lambda: agrees(store, COST, before), "with the same total")
        again.until(lambda: store.sums(DAY) != {}, "an increase is known: it takes two scrapes and an evaluation")
        assert store.sums(DAY) == {(): 0.0}

        ground.tree.write(dear("between"))
        again.until(
            lambda: spent(ground) > before and agrees(store, COST, spent(ground)), "a spend before the new prices"
        )
        between = spent(ground) - before
        assert again.terminate() == 0
        prices = tmp_path / "prices.json"
        prices.write_text(json.dumps({"models": {MODEL: DOUBLED}}))
        done = ground.verb("backfill", "--recompute-prices", CCAGENT_PRICES_OVERRIDE=str(prices))
        assert done.returncode == 0, done.stderr
        last = ground.start(listen=place, CCAGENT_PRICES_OVERRIDE=str(prices))
        last.until_caught_up()
        last.until(lambda: agrees(store, COST, 0.0), "the counters begin again at zero")
        corrected = spent(ground)
        assert corrected > 1.9 * (before + between)
        ground.tree.write(dear("after"))
        last.until(lambda: spent(ground) > corrected, "a spend after them")
        after = spent(ground) - corrected
        last.until(lambda: agrees(store, COST, after), "and on the page")

        last.until(lambda: sum(store.sums(DAY).values()) > between + 0.9 * after, "both count")
        last.until(lambda: about(store, DAY, between + after), "and nothing else does")
        last.until(lambda: BUDGET in names(store), "the budget is spent")
