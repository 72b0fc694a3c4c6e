"""`ccagent backfill` as it is called: what goes together, what it says, with which code it ends."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ccagent.cli import main
from tests.daemon.rig import Ground, grounds, small_session


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """Two sessions in two projects, nothing taken in."""
    with grounds(tmp_path) as made:
        made.tree.write(small_session("one", cwd="/home/demo/atlas"), small_session("two", cwd="/home/demo/borea"))
        yield made


def backfill(ground: Ground, *options: str) -> subprocess.CompletedProcess[str]:
    return ground.verb("backfill", "--source", str(ground.root), *options)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--project", "x", "--all-projects"), "--all-projects"),
        (("--rebuild", "--project", "x"), "--rebuild"),
        (("--rebuild", "--recompute-prices"), "--recompute-prices"),
        (("--recompute-prices", "--since", "7d"), "--since"),
        (("--rebuild", "--dry-run"), "--dry-run"),
        (("--since", "soon"), "--since"),
        (("--rate", "0"), "--rate"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    options: tuple[str, ...], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backfill", "--db", "/nowhere/x.db", *options]) == 2
    assert named in capsys.readouterr().err


def test_it_takes_in_and_says_what(ground: Ground) -> None:
    preview = backfill(ground, "--dry-run")
    first = backfill(ground, "--project", "atlas")
    second = backfill(ground, "--all-projects", "--json")

    assert preview.stdout.splitlines()[-1].endswith("2 files would be read")
    assert "-home-demo-borea" in preview.stdout
    assert "not selected: 1 files" in first.stdout
    assert json.loads(second.stdout)["caught_up"] is True
    assert ground.usage()["requests"] == 4


def test_nothing_is_said_on_standard_error_without_a_terminal(ground: Ground) -> None:
    done = [backfill(ground, *options) for options in ((), ("--rebuild",), ("--recompute-prices",))]

    assert [(each.returncode, each.stderr) for each in done] == [(0, "")] * 3
    assert "generation 2" in done[1].stdout
    assert "4 requests: 0 have another cost" in done[2].stdout


def test_a_daemon_does_it_by_itself(ground: Ground) -> None:
    daemon = ground.start()
    daemon.until_caught_up()

    refused = backfill(ground)
    allowed = backfill(ground, "--dry-run")

    assert refused.returncode == 75
    assert "takes in by itself" in refused.stderr
    assert allowed.returncode == 0
    assert "0 files would be read" in allowed.stdout


def test_a_daemon_removes_what_an_interrupted_rebuild_left(ground: Ground) -> None:
    backfill(ground)
    killed = ground.verb("backfill", "--source", str(ground.root), "--rebuild", CCAGENT_FAILPOINT="rebuild_filled:kill")
    assert killed.returncode == -9
    assert [path.name for path in ground.database.parent.glob("*.rebuild*")]

    daemon = ground.start()
    daemon.until_caught_up()

    assert [path.name for path in ground.database.parent.glob("*.rebuild*")] == []


def test_after_a_rebuild_metrics_begin_at_zero_and_grow(ground: Ground) -> None:
    backfill(ground)
    daemon = ground.start()
    daemon.until_caught_up()
    before = daemon.tokens()
    assert daemon.terminate() == 0

    assert backfill(ground, "--rebuild").returncode == 0

    daemon = ground.start()
    daemon.until_caught_up()
    assert sum(before.values()) > 0
    assert sum(daemon.tokens().values()) == 0
    ground.tree.write(small_session("three", requests=3))
    daemon.until(lambda: sum(daemon.tokens().values()) == 1 + 2 + 3 + 30 + 300, "the new requests are on the page")


def test_status_says_that_facts_follow_older_rules(ground: Ground) -> None:
    backfill(ground)
    assert not [text for text in ground.status()["problems"] if "--rebuild" in text]

    with closing(sqlite3.connect(ground.database)) as conn, conn:
        conn.execute("UPDATE meta SET value = '0' WHERE name LIKE 'parser.%'")

    assert [text for text in ground.status()["problems"] if "ccagent backfill --rebuild" in text]
    backfill(ground, "--rebuild")
    assert not [text for text in ground.status()["problems"] if "--rebuild" in text]


def test_a_daemon_says_that_costs_follow_older_prices(ground: Ground) -> None:
    backfill(ground)
    prices = ground.folder / "prices.toml"
    prices.write_text('[models.nobody-knows]\ninput = "1"\noutput = "2"\n')

    daemon = ground.start(CCAGENT_PRICES_OVERRIDE=str(prices))
    daemon.until_caught_up()
    daemon.until(lambda: "caught_up" in ground.status(), "the daemon tells of itself")
    told = [text for text in ground.status()["problems"] if "--recompute-prices" in text]
    assert daemon.terminate() == 0
    ground.verb("backfill", "--recompute-prices", CCAGENT_PRICES_OVERRIDE=str(prices))

    daemon = ground.start(CCAGENT_PRICES_OVERRIDE=str(prices))
    daemon.until_caught_up()
    daemon.until(lambda: "caught_up" in ground.status(), "the daemon tells of itself")

    assert told
    assert not [text for text in ground.status()["problems"] if "--recompute-prices" in text]
