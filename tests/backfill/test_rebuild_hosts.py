"""A rebuild where several hosts share the database: each derives its own transcripts anew, and no other's."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from ccagent import failpoints
from ccagent.metrics import names
from ccagent.store.generation import OF_FACTS
from tests.backfill.ground import Ground, cost_of_facts, session, tokens_booked, tokens_of_facts, tomorrow
from tests.backfill.test_kills import command, environment

OUTPUTS = "SELECT f.native, f.token_output FROM fact f JOIN context c ON c.id = f.context JOIN name n ON n.id = c.session" \
    " WHERE f.type = 4 AND n.value = ?"  # fmt: skip


@pytest.fixture
def hosts(pg_database: str, tmp_path: Path) -> tuple[Ground, Ground]:
    """Two hosts on one database: the first has sessions 0 and 1, the second 1 and 2."""
    first, second = (Ground(tmp_path / name, pg_database, name) for name in ("first", "second"))
    first.tree.write(session(0), session(1))
    second.tree.write(session(1), session(2))
    first.take_in()
    second.take_in()
    return first, second


def booked_by(ground: Ground, host_id: str) -> list[tuple[Any, ...]]:
    """Totals of facts of a host, with their generation."""
    found = ground.rows(
        "SELECT t.metric, t.labels, t.exportable, t.value, t.base, t.created_at FROM total t JOIN host h ON h.id = t.host"
        " WHERE h.host_id = ? ORDER BY 1, 2, 3",
        host_id,
    )
    return [row for row in found if row[0] in OF_FACTS]


def lawful(ground: Ground) -> None:
    assert tokens_booked(ground) == tokens_of_facts(ground)
    assert sum(ground.labels(names.COST_USD).values()) == cost_of_facts(ground)
    assert ground.faults(recount=False) == []


def test_only_what_no_other_host_has_follows_the_new_rules(hosts: tuple[Ground, Ground]) -> None:
    first, _ = hosts
    before = {number: dict(first.rows(OUTPUTS, f"session-{number}")) for number in range(3)}
    totals = booked_by(first, "second")

    with tomorrow():
        first.rebuild()

    after = {number: dict(first.rows(OUTPUTS, f"session-{number}")) for number in range(3)}
    assert after[0] == {native: min(output, 7) for native, output in before[0].items()} != before[0]
    assert after[1] == before[1]  # the second host's copies say more than the new rules do
    assert after[2] == before[2]
    assert booked_by(first, "second") == totals
    lawful(first)


def test_when_every_host_has_rebuilt_all_facts_follow_the_new_rules_as_far_as_one_host_has_them(
    hosts: tuple[Ground, Ground],
) -> None:
    first, second = hosts

    with tomorrow():
        first.rebuild()
        second.rebuild()

    for number in (0, 2):
        assert {output for _, output in first.rows(OUTPUTS, f"session-{number}")} <= set(range(8))
    closed = first.rows("SELECT closed_host, closed_seq FROM fact WHERE closed_seq IS NOT NULL")
    assert len(set(closed)) == len(closed)
    lawful(first)
    lawful(second)


def test_another_host_writes_while_facts_are_exchanged(hosts: tuple[Ground, Ground]) -> None:
    first, second = hosts
    with tomorrow():
        first.tree.write(session(3))
        first.take_in()
    second.tree.write(session(0), session(3), session(4))  # copies of what is being exchanged, and something new

    with (first.folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command(first, "--rebuild"), env=environment(first, **{failpoints.VARIABLE: "rebuild_in_swap:sleep"}),
            cwd=first.folder, stdout=log, stderr=log,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not first.rows("SELECT 1 FROM pg_locks WHERE mode = 'RowExclusiveLock' AND relation = 'fact'::regclass"):
            assert process.poll() is None, (first.folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        second.take_in()
        assert process.wait(60) == 0, (first.folder / "log").read_text()

    for number in (0, 3, 4):
        assert first.rows(OUTPUTS, f"session-{number}") != []
    assert second.take_in()["bytes"] == 0
    lawful(first)
    assert second.faults() == []
