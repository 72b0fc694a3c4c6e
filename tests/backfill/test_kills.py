"""Jobs as processes, killed at every step: before the swap nothing has happened, after it everything."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ccagent import failpoints
from ccagent.metrics import names
from ccagent.store.generation import OF_FACTS
from tests.backfill.ground import Ground, cost_of_facts, session, tokens_booked, tokens_of_facts, tomorrow

ROOT = Path(__file__).resolve().parents[2]

DEADLINE_SECONDS = 120.0
"""A job on so small a tree that takes longer has hung."""

KILLS = min(40, int(os.environ.get("CCAGENT_KILLS") or 4))
"""Random kills of one rebuild; CI asks for more."""

DEAR = {
    "models": {"claude-opus-4-6": {"input": "1000", "output": "5000"}, "nobody-knows": {"input": "1", "output": "2"}}
}


def command(ground: Ground, *options: str) -> list[str]:
    """`ccagent backfill` on this ground."""
    places = ("--source", str(ground.tree.root), "--db", ground.database)
    return [sys.executable, "-m", "ccagent", "backfill", *places, *options]


def environment(ground: Ground, **variables: str) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PATH": os.environ["PATH"], "PYTHONPATH": path, **ground.env, **variables}


def run(ground: Ground, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the job to its end, whatever that is."""
    return subprocess.run(
        command(ground, *options), env=environment(ground, **variables), cwd=ground.folder, capture_output=True,
        text=True, timeout=DEADLINE_SECONDS, check=False,
    )  # fmt: skip


def kill_at(ground: Ground, point: str, *options: str, **variables: str) -> None:
    """Run the job until it is killed at a point."""
    done = run(ground, *options, **{failpoints.VARIABLE: point}, **variables)
    assert done.returncode == -signal.SIGKILL, done.stderr[-3_000:]


def finish(ground: Ground, *options: str, **variables: str) -> dict[str, Any]:
    """Run the job, which must succeed; its report."""
    done = run(ground, *options, "--json", **variables)
    assert done.returncode == 0, done.stderr[-3_000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def state(ground: Ground) -> tuple[object, ...]:
    """All that a rebuild which did not happen leaves alone."""
    own = {name: value for name, value in ground.counters().items() if name in OF_FACTS}
    return (
        ground.dump(),
        ground.closed(),
        own,
        ground.rows("SELECT seq FROM host"),
        ground.rows("SELECT id, carry FROM file"),
    )


@pytest.fixture
def older(ground: Ground) -> Ground:
    """A ground whose facts follow other rules than today's, with one transcript gone."""
    ground.tree.write(*(session(number) for number in range(3)))
    with tomorrow():
        ground.take_in()
    for path in (ground.tree.root / "-home-me-work-project2").rglob("*.jsonl"):
        path.unlink()
    return ground


@pytest.fixture
def wanted(older: Ground, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The facts of all transcripts that are there, by today's rules."""
    folder = tmp_path_factory.mktemp("wanted")
    other = Ground(folder, str(folder / "ccagent.db"))
    other.tree.root.rmdir()
    other.tree.root.symlink_to(older.tree.root)
    other.take_in()
    return other.dump()


def check(ground: Ground, before: dict[str, str], wanted: dict[str, str]) -> None:
    """The facts are as a rebuild makes them, and everything else agrees with them."""
    found = ground.dump()
    gone = {key for key in found if key not in wanted}
    assert {key: found[key] for key in wanted} == wanted
    assert gone
    assert {key: found[key] for key in gone} == {key: before[key] for key in gone}
    assert {name: ground.counters().get(name, 0) for name in OF_FACTS} == dict.fromkeys(OF_FACTS, 0)
    assert tokens_booked(ground) == tokens_of_facts(ground)
    assert sum(ground.labels(names.COST_USD).values()) == cost_of_facts(ground)
    assert ground.faults(recount=False) == []


@pytest.mark.parametrize(
    ("ground", "point"),
    [
        ("sqlite", "after_facts:kill"), ("sqlite", "after_commit:kill:2"), ("sqlite", "before_commit:kill:2"),
        ("sqlite", "rebuild_filled:kill"), ("sqlite", "rebuild_before_swap:kill"), ("sqlite", "rebuild_in_swap:kill"),
        ("postgres", "after_commit:kill:2"), ("postgres", "rebuild_in_swap:kill"),
    ],
    indirect=["ground"],
)  # fmt: skip
def test_killed_before_the_swap_nothing_has_happened_and_the_next_one_goes_on(
    older: Ground, wanted: dict[str, str], point: str
) -> None:
    # What is new, or gone, is noted first, as any backfill would.
    older.take_in()
    before = state(older)

    kill_at(older, point, "--rebuild", "--rate", "0.1")  # a slow one takes small steps
    assert state(older) == before

    report = finish(older, "--rebuild")

    assert report["resumed"] is True
    check(older, dict(before[0]), wanted)  # type: ignore[call-overload]


def test_killed_after_the_swap_everything_has_happened(older: Ground, wanted: dict[str, str]) -> None:
    before = older.dump()

    kill_at(older, "rebuild_after_swap:kill", "--rebuild")
    check(older, before, wanted)

    report = finish(older, "--rebuild")
    assert (report["resumed"], report["generation"]) == (True, 2)
    check(older, before, wanted)
    assert leftovers(older) == []


def leftovers(ground: Ground) -> list[str]:
    """What stands there of fresh tables."""
    if ground.database.startswith("postgresql"):
        return [str(name) for (name,) in ground.rows("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'ccagent_%'")]
    return [path.name for path in Path(ground.database).parent.iterdir() if ".rebuild" in path.name]


def test_a_backfill_throws_away_what_an_interrupted_rebuild_left(older: Ground) -> None:
    kill_at(older, "rebuild_filled:kill", "--rebuild")
    assert leftovers(older) != []

    finish(older)

    assert leftovers(older) == []


@pytest.mark.parametrize("ground", ["sqlite"], indirect=True)
def test_what_was_begun_for_another_store_state_is_begun_anew(older: Ground, wanted: dict[str, str]) -> None:
    before = older.dump()
    kill_at(older, "rebuild_filled:kill", "--rebuild")
    with tomorrow():
        # The host writes in between, without a job that would tidy up.
        from ccagent.job import Job
        from ccagent.service.following import Following
        from ccagent.service.live import Live

        older.tree.append(session(0), b'{"type":"mode","mode":"default"}\n')
        with Job(older.config(), older.env) as job:
            following = Following(job.store, job.roots, Live(), job.clock, max_line=1 << 20, scan_seconds=60)
            following.once()
            following.follower.close()

    report = finish(older, "--rebuild")

    assert report["resumed"] is False
    check(older, before, wanted)


def test_random_kills_end_in_the_same_facts(older: Ground, wanted: dict[str, str]) -> None:
    before, chance = older.dump(), random.Random(7)
    for _ in range(KILLS):
        process = subprocess.Popen(
            command(older, "--rebuild"), env=environment(older), cwd=older.folder, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(chance.uniform(0.3, 1.6))
        process.kill()
        process.wait()

    finish(older, "--rebuild")

    check(older, before, wanted)


@pytest.mark.parametrize("ground", ["sqlite"], indirect=True)
def test_a_backfill_that_is_killed_goes_on(ground: Ground) -> None:
    ground.tree.write(*(session(number) for number in range(4)))
    for point in ("after_files:kill", "after_facts:kill:2", "before_commit:kill:2"):
        kill_at(ground, point, "--rate", "0.1")

    report = finish(ground)

    assert report["caught_up"] is True
    assert ground.faults() == []
    assert ground.counters()["ingest.bytes"] == sum(path.stat().st_size for path in ground.tree.root.rglob("*.jsonl"))


@pytest.mark.parametrize(
    ("ground", "point"),
    [("sqlite", "recompute_slice:kill"), ("postgres", "recompute_end:kill"), ("sqlite", "before_commit:kill:2")],
    indirect=["ground"],
)
def test_prices_that_are_recomputed_and_killed(ground: Ground, point: str) -> None:
    first = session(0)
    first.request(model="nobody-knows")
    ground.tree.write(first, session(1))
    ground.take_in()
    prices = ground.folder / "prices.json"
    prices.write_text(json.dumps(DEAR))
    variables = {"CCAGENT_PRICES_OVERRIDE": str(prices)}

    kill_at(ground, point, "--recompute-prices", **variables)
    assert sum(ground.labels(names.COST_USD).values()) == cost_of_facts(ground)

    report = finish(ground, "--recompute-prices", **variables)

    assert report["new_generation"] is True
    assert sum(ground.labels(names.COST_USD).values()) == cost_of_facts(ground)
    assert ground.counters()[names.COST_USD] == ground.counters()[names.UNPRICED_TOKENS] == 0
    assert ground.rows("SELECT COUNT(*) FROM fact WHERE cost_booked IS NOT NULL") == [(0,)]
    assert ground.faults() == []
