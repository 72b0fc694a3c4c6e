"""The same verification where hosts share a database: each recounts what it has read itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.transcripts import Usage
from tests.verifying import Ground, busy


@pytest.fixture
def one(pg_database: str, tmp_path: Path) -> Ground:
    """A host with two sessions in the shared database."""
    ground = Ground(tmp_path / "one", database=pg_database, host="one")
    ground.tree.write(busy("one"), busy("two", cwd="/home/demo/bolt"))
    ground.take_in()
    return ground


@pytest.fixture
def other(pg_database: str, tmp_path: Path, one: Ground) -> Ground:
    """Another host: it has a copy of a session that both know, which goes on there, and one of its own."""
    ground = Ground(tmp_path / "other", database=pg_database, host="other")
    shared = busy("two", cwd="/home/demo/bolt")
    shared.request("only here", usage=Usage(output=13))
    ground.tree.write(shared, busy("three"))
    ground.take_in()
    return ground


def test_a_shared_database_with_one_host_is_equal(one: Ground) -> None:
    answer = one.verify(full=True)

    assert (answer.status, answer.rows(), answer.broken(), answer["host"]) == ("equal", {}, set(), "one")
    assert {row["name"]: row["checked"] for row in answer["checks"]}["rollups by hour"] > 0


def test_what_only_other_hosts_have_read_is_counted_and_no_fault(one: Ground, other: Ground) -> None:
    answers = [ground.verify(full=True) for ground in (one, other)]

    for answer in answers:
        assert (answer["equal"], answer.named(), answer.broken()) == (True, [], set())
        stored, recounted, verdict = answer.rows()["requests"]
        assert (verdict, stored > recounted) == ("source gone", True)
        (row,) = [row for row in answer["totals"] if row["name"] == "requests"]
        assert row["elsewhere"] == stored - recounted
        assert "gone" not in row
    assert {answer["host"] for answer in answers} == {"one", "other"}
    assert all(answer.rows().get("booked tokens.output") is None for answer in answers)


def test_a_host_finds_what_was_lost_of_its_own(one: Ground, other: Ground) -> None:
    one.damage(
        "DELETE FROM fact WHERE type = 5 AND context IN (SELECT c.id FROM context c JOIN name n ON n.id = c.session"
        " WHERE n.value = 'one')"
    )

    assert {fault for _, fault in one.verify().named()} == {"missing"}
    assert other.verify().named() == []


def test_a_host_without_a_name_here_finds_everything_elsewhere(one: Ground, tmp_path: Path) -> None:
    stranger = Ground(tmp_path / "stranger", database=one.database, host="stranger")

    answer = stranger.verify(full=True)

    assert (answer["equal"], answer["host"], answer["files"]["stored"]) == (True, None, 0)
    assert answer["causes"].keys() == {"elsewhere"}


@pytest.mark.parametrize(
    ("sql", "check"),
    [
        ("UPDATE rollup SET token_output = token_output + 1 WHERE period = 1 AND family = 4", "rollups by hour"),
        ("UPDATE fact SET name = 999999 WHERE type = 4", "texts of facts"),
        ("UPDATE host SET seq = 3", "change numbers"),
        ("UPDATE fact SET native = native || 'x' WHERE type = 2", "keys of facts"),
    ],
)
def test_damage_in_a_shared_database_is_named(one: Ground, sql: str, check: str) -> None:
    one.damage(sql)

    assert check in one.verify(full=True).broken()


def test_a_manifest_of_one_store_is_held_by_the_other_kind(one: Ground, tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    assert one.verify(manifest=file)["manifest"]["written"]
    local = Ground(tmp_path / "local")
    local.tree.root = one.tree.root
    local.take_in()

    answer = local.verify(manifest=file)

    assert (answer.status, answer["manifest"]["faults"]) == ("equal", [])
