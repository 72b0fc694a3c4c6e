"""One fault at a time, planted behind everybody's back: each is found, and named for what it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.verifying import Answer, Ground, busy

REQUEST = "(SELECT MIN(key) FROM fact WHERE type = 4 AND token_output = 40)"
CALL = "(SELECT MIN(key) FROM fact WHERE type = 5 AND name IS NOT NULL)"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree and a store that agree."""
    ground = Ground(tmp_path_factory.mktemp("sound"))
    session = busy("one")
    session.raw(b'{"type":"user","mess\n')
    ground.tree.write(session, busy("two", cwd="/home/demo/bolt"))
    ground.take_in()
    assert ground.verify(full=True).status == "equal"
    return ground.home


@pytest.fixture
def ground(sound: Path, tmp_path: Path) -> Ground:
    """A copy of it: the tree is shared, nobody writes there."""
    ground = Ground(tmp_path)
    ground.tree.root = sound / "projects"
    shutil.copy(sound / "facts.db", ground.database)
    return ground


def damaged(ground: Ground, sql: str) -> Answer:
    ground.damage(sql)
    answer = ground.verify(full=True)
    assert (answer.status, answer["equal"]) == ("fault", False)
    return answer


@pytest.mark.parametrize(
    ("sql", "row", "fault"),
    [
        (f"UPDATE fact SET token_output = token_output * 2 WHERE key = {REQUEST}", "tokens.output", "different"),
        (f"UPDATE fact SET token_output = token_output - 1 WHERE key = {REQUEST}", "tokens.output", "different"),
        (f"UPDATE fact SET token_cache_write_1h = 0 WHERE key = {REQUEST}", "tokens.cache_write_1h", "different"),
        (f"DELETE FROM fact WHERE key = {REQUEST}", "requests", "missing"),
        (f"DELETE FROM fact WHERE key = {CALL}", "tool_calls", "missing"),
        ("DELETE FROM fact WHERE type = 8 AND key = (SELECT MIN(key) FROM fact WHERE type = 8)", "compactions", "missing"),
        ("DELETE FROM fact WHERE type = 1 AND key = (SELECT MIN(key) FROM fact WHERE type = 1)", "sessions", "missing"),
        (f"UPDATE fact SET flags = flags & ~1 WHERE key = {CALL}", "tool_calls_relayed", "different"),
        (f"UPDATE fact SET flags = flags | 4 WHERE key = {CALL} OR type = 5", "tool_errors", "different"),
        (f"UPDATE fact SET name = (SELECT id FROM name WHERE value = 'Edit') WHERE key = {CALL} OR type = 5",
         "tool_calls", "different"),
        (f"UPDATE fact SET occurred_at = occurred_at + 60000 WHERE key = {REQUEST}", "requests", "different"),
        (f"UPDATE fact SET context = (SELECT MAX(id) FROM context) WHERE key = {REQUEST}", None, "different"),
    ],
    ids=["more tokens", "fewer tokens", "another lifetime", "request lost", "call lost", "compaction lost",
         "session lost", "call relayed", "results failed", "another tool", "another time", "another session"],
)  # fmt: skip
def test_a_fact_that_the_transcripts_tell_otherwise_is_named(
    ground: Ground, sql: str, row: str | None, fault: str
) -> None:
    answer = damaged(ground, sql)

    assert fault in {what for _, what in answer.named()}
    if row is not None:
        assert answer.rows()[row][2] == "fault"


def test_a_request_under_another_model_is_a_fault_of_both_models(ground: Ground) -> None:
    answer = damaged(
        ground, f"UPDATE fact SET name = (SELECT id FROM name WHERE value = 'claude-opus-5') WHERE key = {REQUEST}"
    )

    assert {row: answer.rows()[row] for row in answer.rows() if row.startswith("requests")} == {
        "requests{claude-opus-4-6}": (9, 10, "fault"),
        "requests{claude-opus-5}": (3, 2, "fault"),
    }
    assert "counters by model" in answer.broken()


def test_a_doubled_fact_is_in_no_transcript(ground: Ground) -> None:
    (columns,) = ground.asked(
        "SELECT group_concat('\"' || name || '\"') FROM pragma_table_info('fact') WHERE name <> 'key'"
    )[0]

    answer = damaged(
        ground, f"INSERT INTO fact (key, {columns}) SELECT randomblob(16), {columns} FROM fact WHERE key = {REQUEST}"
    )

    assert "in no transcript" in {fault for _, fault in answer.named()}
    stored, recounted, verdict = answer.rows()["requests"]
    assert (stored - recounted, verdict) == (1, "fault")
    assert {"keys of facts", "numbers of closed facts"} <= answer.broken()


def test_one_lost_and_one_invented_do_not_cancel_out(ground: Ground) -> None:
    answer = damaged(ground, f"UPDATE fact SET key = zeroblob(16) WHERE key = {REQUEST}")

    stored, recounted, verdict = answer.rows()["requests"]
    assert (stored, verdict) == (recounted, "fault")
    assert {fault for _, fault in answer.named()} == {"missing", "in no transcript"}


@pytest.mark.parametrize(
    ("sql", "row"),
    [
        ("UPDATE total SET value = value + 1 WHERE metric = 'tokens' AND labels LIKE '%\"output\"%'", "booked tokens.output"),
        ("UPDATE total SET value = value - 1 WHERE metric = 'tokens' AND labels LIKE '%\"input\"%'", "booked tokens.input"),
        ("DELETE FROM total WHERE metric = 'cost.usd'", "booked cost_microusd"),
        ("UPDATE total SET value = value + 1 WHERE metric = 'ingest.records' AND labels LIKE '%new%'", "records read"),
        ("DELETE FROM total WHERE metric = 'ingest.records' AND labels LIKE '%broken%'", "broken pieces"),
        ("DELETE FROM quarantine", "lines_bad"),
    ],
    ids=["booked too much", "booked too little", "cost forgotten", "record read twice", "broken piece forgotten",
         "bad line forgotten"],
)  # fmt: skip
def test_a_counter_that_says_other_than_the_facts_is_named(ground: Ground, sql: str, row: str) -> None:
    assert damaged(ground, sql).rows()[row][2] == "fault"


@pytest.mark.parametrize(
    ("sql", "check"),
    [
        ("UPDATE total SET value = value + 1 WHERE metric = 'turns'", "counters of outcomes"),
        ("UPDATE total SET value = value + 1 WHERE metric = 'file.writes'", "counters of outcomes"),
        ("UPDATE total SET labels = replace(labels, 'opus-5', 'opus-9') WHERE metric = 'tokens'", "counters by model"),
        (f"UPDATE fact SET name = 999999 WHERE key = {REQUEST}", "texts of facts"),
        ("UPDATE fact SET turn = 999999 WHERE turn IS NOT NULL", "texts of facts"),
        ("UPDATE context SET branch = 999999", "texts of contexts"),
        ("UPDATE agent SET turn = 999999", "texts of sub-agents"),
        ("UPDATE rollup SET branch = 999999 WHERE period = 4", "texts of rollups"),
        ("INSERT INTO measured (metric, hour, session, project, labels, value, count) VALUES ('turns', 0, 999999, 0, '[]', 1, 1)",
         "texts of measured hours"),
        (f"UPDATE fact SET context = 999999 WHERE key = {REQUEST}", "contexts of facts"),
        (f"UPDATE fact SET file = 999999 WHERE key = {REQUEST}", "transcripts of facts"),
        ("INSERT INTO contributor (key, file) VALUES (zeroblob(16), 1)", "copies of facts"),
        (f"UPDATE fact SET request = zeroblob(16) WHERE key = {CALL}", "requests of tool calls"),
        (f"UPDATE fact SET request = (SELECT MIN(key) FROM fact WHERE type = 1) WHERE key = {CALL}",
         "requests of tool calls"),
        ("UPDATE agent SET tool = zeroblob(16)", "links of sub-agents"),
        ("UPDATE file SET host = 7", "hosts"),
        ("UPDATE fact SET closed_host = 7 WHERE closed_seq IS NOT NULL", "hosts"),
        ("UPDATE host SET seq = 3", "change numbers"),
        (f"UPDATE fact SET seq = 1000000 WHERE key = {REQUEST}", "change numbers"),
        (f"UPDATE fact SET closed_seq = 1000000, closed_host = 1 WHERE key = {REQUEST}", "change numbers"),
        (f"UPDATE fact SET closed_host = NULL WHERE key = {REQUEST}", "change numbers"),
        ("UPDATE fact SET closed_seq = 5, closed_host = 1", "numbers of closed facts"),
        ("INSERT INTO export_cursor VALUES ('here', 'traces', 1, 0, 1000000, 0, 0, 0)", "export cursors"),
        ('UPDATE file SET "offset" = size + 1', "offsets of transcripts"),
        ('UPDATE file SET "offset" = "offset" - 700', "places of facts"),
        (f"INSERT INTO pruned (key) SELECT {REQUEST}", "facts kept and removed"),
        ("UPDATE fact SET native = native || 'x' WHERE type = 2", "keys of facts"),
    ],
)  # fmt: skip
def test_a_broken_law_of_the_tables_is_named(ground: Ground, sql: str, check: str) -> None:
    answer = damaged(ground, sql)

    assert check in answer.broken()
    assert next(row["examples"] for row in answer["checks"] if row["name"] == check)


@pytest.mark.parametrize(
    ("period", "family", "column", "check"),
    [
        (1, 4, "token_output", "rollups by hour"),
        (1, 4, "cost", "rollups by hour"),
        (1, 4, "count", "rollups by hour"),
        (1, 5, "count", "rollups by hour"),
        (1, 6, "added", "rollups by hour"),
        (1, 1, "count", "rollups by hour"),
        (1, 101, "token_input", "usage by hour"),
        (1, 102, "results", "usage by hour"),
        (1, 103, "count", "usage by hour"),
        (2, 4, "token_output", "rollups by day"),
        (2, 5, "duration_ms", "rollups by day"),
        (2, 101, "cost", "rollups by day"),
        (3, 4, "token_output", "rollups by week"),
        (3, 1, "duration_ms", "rollups by week"),
        (4, 4, "token_output", "rollups by session"),
        (4, 5, "errors", "rollups by session"),
    ],
)
def test_a_changed_rollup_is_named(ground: Ground, period: int, family: int, column: str, check: str) -> None:
    answer = damaged(ground, f"UPDATE rollup SET {column} = {column} + 1 WHERE period = {period} AND family = {family}")

    assert check in answer.broken()
    assert answer.rows() == {}


@pytest.mark.parametrize(("period", "check"), [(1, "hour"), (2, "day"), (3, "week"), (4, "session")])
def test_a_lost_rollup_is_named(ground: Ground, period: int, check: str) -> None:
    answer = damaged(ground, f"DELETE FROM rollup WHERE period = {period} AND family = 4")

    assert f"rollups by {check}" in answer.broken()


def test_a_rollup_row_under_another_name_is_named(ground: Ground) -> None:
    answer = damaged(ground, "UPDATE rollup SET name = name + 1000 WHERE period = 1 AND family = 4")

    assert "rollups by hour" in answer.broken()


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        ('UPDATE file SET "offset" = "offset" - 1', "is not where its"),
        ('UPDATE file SET "offset" = "offset" - 700', "is not where its"),
        ('UPDATE file SET "offset" = "offset" + 700', "is not where its"),
        ("UPDATE file SET lines = lines - 1", "lines were taken in"),
        ("UPDATE file SET size = 1", "lies outside of"),
        ("DELETE FROM quarantine", "bad lines were kept"),
    ],
)
def test_a_wrong_row_of_a_file_names_the_file(ground: Ground, sql: str, fault: str) -> None:
    answer = damaged(ground, sql)

    assert any(fault in row["fault"] for row in answer["files_at_fault"])
    assert answer["paths_at_fault"] == [row["path"] for row in answer["files_at_fault"]]


def test_groups_at_fault_are_listed_by_session_and_day(ground: Ground) -> None:
    answer = damaged(ground, f"UPDATE fact SET token_output = 41 WHERE key = {REQUEST}")

    names = {row["name"] for row in answer["differences"]}
    assert {"by session", "by day"} <= answer.broken()
    assert "tokens.output{day 2026-02-10}" in names
    assert names & {"tokens.output{session one}", "tokens.output{session two}"}
