"""A rebuild: facts by today's rules where their transcripts are there, and as they were where they are not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ccagent.backfill import backfill
from ccagent.errors import StoreError
from ccagent.facts.model import EventType
from ccagent.follow.state import Chunk
from ccagent.metrics import names
from ccagent.rebuild import rebuild
from ccagent.selection import Selection
from ccagent.store.generation import OF_FACTS
from tests.backfill.ground import (
    Generous,
    Ground,
    cost_of_facts,
    fork,
    session,
    tokens_booked,
    tokens_of_facts,
    tomorrow,
)


def fresh(ground: Ground, folder: Path) -> Ground:
    """A new store on the same tree."""
    other = Ground(folder, str(folder / "fresh.db"))
    shutil.rmtree(other.tree.root)
    other.tree.root.symlink_to(ground.tree.root)
    other.take_in()
    return other


@pytest.fixture
def full(ground: Ground) -> Ground:
    """A ground with three sessions and a fork, all taken in."""
    sessions = [session(number) for number in range(3)]
    ground.tree.write(*sessions, fork(sessions[0], 0, 12))
    ground.take_in()
    return ground


def test_a_rebuild_under_the_same_rules_changes_no_fact(full: Ground) -> None:
    before, rows = full.dump(), full.rows("SELECT key, seq, file FROM fact ORDER BY key")

    report = full.rebuild()

    assert full.dump() == before
    assert full.rows("SELECT key, seq, file FROM fact ORDER BY key") == rows
    assert {name: report["facts"][name] for name in ("added", "changed", "dropped", "kept")} == dict.fromkeys(
        ("added", "changed", "dropped", "kept"), 0
    )
    assert full.faults() == []


def test_other_rules_give_what_a_new_store_would_hold(full: Ground, tmp_path: Path) -> None:
    before = full.dump()

    with tomorrow():
        report = full.rebuild()
        wanted = fresh(full, tmp_path / "fresh").dump()
        found = full.dump()

    assert found == wanted
    assert found != before
    assert report["facts"]["added"] > 0
    assert report["facts"]["changed"] > 0
    assert report["facts"]["dropped"] > 0
    assert report["facts"]["kept"] == 0


def test_totals_follow_the_facts_and_begin_again_at_zero(full: Ground, tmp_path: Path) -> None:
    with tomorrow():
        full.rebuild()
        other = fresh(full, tmp_path / "fresh")

    exported = full.counters()
    assert {name: exported.get(name, 0) for name in OF_FACTS} == dict.fromkeys(OF_FACTS, 0)
    assert tokens_booked(full) == tokens_of_facts(full) == tokens_of_facts(other)
    assert sum(full.labels(names.COST_USD).values()) == cost_of_facts(full)
    for name in OF_FACTS:
        assert full.labels(name) == other.labels(name), name
    assert full.faults(recount=False) == []


def test_ccagents_own_counters_run_on(full: Ground) -> None:
    before = full.counters()

    with tomorrow():
        full.rebuild()

    after = full.counters()
    own = [name for name in before if name.startswith(("ingest.", "quarantine."))]
    assert own
    assert {name: after[name] for name in own} == {name: before[name] for name in own}


def test_what_has_closed_keeps_its_number_and_what_is_new_comes_after(full: Ground) -> None:
    before = full.closed()
    last = full.rows("SELECT seq FROM host")[0][0]

    with tomorrow():
        full.rebuild()

    after = full.closed()
    assert {key: number for key, number in after.items() if key in before} == {
        key: number for key, number in before.items() if key in after
    }
    new = [number for key, (_, number) in after.items() if key not in before]
    assert new
    assert min(new) > last


def test_facts_whose_transcripts_are_gone_stay_what_they_were(full: Ground, tmp_path: Path) -> None:
    before = full.dump()
    gone = sorted(full.tree.root.rglob("session-1*"))
    for path in gone:
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    with tomorrow():
        report = full.rebuild()
        wanted = fresh(full, tmp_path / "fresh").dump()
    found = full.dump()

    kept = before.keys() - wanted.keys()
    lost = {key for key in kept if key not in found}
    assert {json.loads(before[key])[1] for key in lost} == {"compaction"}  # of transcripts that are there
    assert {key: found[key] for key in kept - lost} == {key: before[key] for key in kept - lost}
    assert {key: found[key] for key in wanted} == wanted
    assert report["facts"]["kept"] == len(kept - lost) > 0
    assert full.faults(recount=False) == []


COPIED = "EXISTS (SELECT 1 FROM contributor c WHERE c.key = fact.key)"


@pytest.fixture
def orphaned(ground: Ground) -> Ground:
    """A ground with a fork, whose original has been taken in and is gone."""
    original = session(0, actions=("prompt", "reply", "bash", "reply"))
    ground.tree.write(original, fork(original, 0, len(original.lines)))
    ground.take_in()
    ground.tree.path(original).unlink()
    return ground


def outputs(ground: Ground, where: str = "1 = 1") -> dict[str, int]:
    """Output tokens of requests."""
    return dict(ground.rows(f"SELECT native, token_output FROM fact WHERE type = 4 AND {where}"))


def test_what_a_copy_that_is_gone_said_is_not_forgotten(orphaned: Ground) -> None:
    copied, before = outputs(orphaned, COPIED), outputs(orphaned)

    with tomorrow():
        orphaned.rebuild()

    assert copied
    assert outputs(orphaned) == {
        native: output if native in copied else min(output, 7) for native, output in before.items()
    }
    assert orphaned.faults(recount=False) == []


def test_a_fact_of_which_one_copy_is_gone_learns_what_the_others_say(orphaned: Ground) -> None:
    copied = outputs(orphaned, COPIED)

    with tomorrow(Generous):
        report = orphaned.rebuild()

    assert set(outputs(orphaned).values()) == {100_000}
    assert report["facts"]["merged"] == len(copied) > 0
    assert tokens_booked(orphaned) == tokens_of_facts(orphaned)
    assert orphaned.faults(recount=False) == []


def test_a_transcript_that_was_rewritten_keeps_what_it_gave_before(ground: Ground) -> None:
    first, second = session(0, actions=("prompt", "reply")), session(1, actions=("prompt", "bash", "reply"))
    ground.tree.put("-p/one.jsonl", first.content)
    ground.take_in()
    ground.tree.put("-p/one.jsonl", second.content)
    ground.take_in()
    before = ground.dump()

    for _ in range(2):
        ground.rebuild()

    assert ground.dump() == before
    assert ground.rows("SELECT generation FROM file") == [(1,)]


def test_a_transcript_outside_of_todays_roots_keeps_its_facts(full: Ground, tmp_path: Path) -> None:
    before = full.dump()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    with tomorrow():
        report = rebuild(full.config(sources=(str(elsewhere),)), full.env)

    assert full.dump() == before
    assert report["files"] == 0
    assert report["facts"]["kept"] == len(before)


def test_following_goes_on_where_it_was(full: Ground, tmp_path: Path) -> None:
    with tomorrow():
        full.rebuild()
        more = session(50, actions=("prompt", "reply", "bash"), start=1_780_000_000_000)
        lines = more.content.replace(b"session-50", b"session-0")
        full.tree.append(session(0), lines)
        report = full.take_in()
        wanted = fresh(full, tmp_path / "fresh").dump()

        assert report["bytes"] == len(lines)
        assert full.dump() == wanted
    assert full.counters()[names.TOKENS] > 0
    assert full.faults(recount=False) == []


def test_new_lines_are_taken_in_before(full: Ground, tmp_path: Path) -> None:
    full.tree.write(session(7))

    full.rebuild()

    assert full.dump() == fresh(full, tmp_path / "fresh").dump()
    assert full.counters()["ingest.bytes"] == sum(path.stat().st_size for path in full.tree.root.rglob("*.jsonl"))


def test_what_retention_removed_does_not_come_back(full: Ground) -> None:
    from ccagent.clock import SystemClock
    from ccagent.store.location import parse_database
    from ccagent.store.opening import open_store

    store = open_store(
        parse_database(full.config().database, full.config().paths.state_dir), clock=SystemClock(), host_id=full.host_id
    )
    keys = [bytes(key) for (key,) in store.ask("SELECT key FROM fact WHERE type = 3 ORDER BY key LIMIT 3")]

    def prune(conn: object) -> None:
        for key in keys:
            for sql in ("DELETE FROM fact WHERE key = ?", "DELETE FROM contributor WHERE key = ?"):
                conn.execute(sql, (key,))  # type: ignore[attr-defined]
            conn.execute("INSERT INTO pruned (key) VALUES (?)", (key,))  # type: ignore[attr-defined]

    store.write(prune)
    store.close()
    before = full.dump()

    full.rebuild()

    assert full.dump() == before
    assert len(full.rows("SELECT key FROM pruned")) == 3
    assert sum(full.labels(names.PROMPTS).values()) == len([1 for line in before.values() if '"prompt"' in line]) + 3


def test_what_comes_new_out_of_a_rebuild_is_sent_once(full: Ground) -> None:
    from ccagent.store import outbox

    def leaving(after: int) -> list[bytes]:
        with full.reader() as conn:
            host = conn.execute("SELECT id FROM host").fetchone()
            assert host is not None
            return [fact.key for _, fact in outbox.closed_facts(conn, host[0], after, 10_000)]

    sent = leaving(0)
    with full.reader() as conn:
        row = conn.execute("SELECT id FROM host").fetchone()
        assert row is not None
        cursor = outbox.last_closed(conn, row[0])

    with tomorrow():
        full.rebuild()
        full.rebuild()

    assert sent
    assert set(leaving(cursor)) & set(sent) == set()
    assert len(leaving(0)) == len(set(leaving(0)))


def test_nothing_is_left_of_the_fresh_tables(full: Ground) -> None:
    full.rebuild()

    if full.database.startswith("postgresql"):
        found = full.rows("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'ccagent%'")
        assert found == [("ccagent",)]
    else:
        names_ = {path.name for path in Path(full.database).parent.iterdir()}
        assert not any("rebuild" in name for name in names_)


def test_every_rebuild_is_a_generation_of_its_own(full: Ground) -> None:
    assert [full.rebuild()["generation"] for _ in range(3)] == [2, 3, 4]
    assert [name for (name,) in full.rows("SELECT value FROM meta WHERE name = 'generation'")] == ["4"]


def test_unknown_records_that_have_a_meaning_now_are_dropped(full: Ground) -> None:
    # those without a kind are the records themselves; the others tell that clients write such records
    unknown = f"SELECT COUNT(*) FROM fact WHERE type = {int(EventType.UNKNOWN)} AND stop IS NULL"
    assert full.rows(unknown)[0][0] > 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ccagent.sources.claude.derive.Deriver.unknown", lambda self, kind, record: None, raising=False)
        full.rebuild()

    assert full.rows(unknown)[0][0] == 0


def test_without_room_on_the_disk_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ground = Ground(tmp_path, str(tmp_path / "ccagent.db"))
    ground.tree.write(session(0))
    ground.take_in()
    before = ground.dump()
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(1 << 30, 1 << 30, 1_000))  # type: ignore[attr-defined]

    with pytest.raises(StoreError, match=r"a rebuild needs .* MiB"):
        ground.rebuild()

    assert ground.dump() == before
    assert not Path(f"{ground.database}.rebuild").exists()


def test_a_transcript_that_changes_while_it_is_read_again_keeps_its_facts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its head and end are what they were when it is opened first; then another file stands there."""
    ground = Ground(tmp_path, str(tmp_path / "ccagent.db"))
    ground.tree.write(session(0), session(1))
    ground.take_in()
    before = ground.dump()
    victim = ground.tree.path(session(0))
    from ccagent.rereading import Rereading

    read = Rereading.read

    def rewritten(self: Rereading, budget: int) -> list[Chunk]:
        chunks = read(self, 70_000)
        if victim.exists():
            victim.unlink()
        return chunks

    monkeypatch.setattr(Rereading, "read", rewritten)
    with tomorrow():
        report = ground.rebuild()

    found = ground.dump()
    assert before.keys() - found.keys() <= {key for key in before if key.startswith("compaction:")}
    assert report["files_left_alone"] <= 1
    assert ground.faults(recount=False) == []


def test_a_line_longer_than_a_step_is_read_again_whole(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    made = session(0, actions=("prompt", "reply"))
    made.prompt("x" * 3_000_000)
    made.request()
    ground.tree.write(made)
    ground.take_in()
    before = ground.dump()
    with ground.reader() as conn:
        key = conn.execute("SELECT COUNT(*) FROM fact WHERE size >= 3000000").fetchone()
    assert key == (1,)

    report = ground.rebuild()

    assert report["files_left_alone"] == 0
    assert report["facts"]["kept"] == 0
    assert ground.dump() == before


def test_a_line_that_is_too_long_stays_put_aside(tmp_path: Path) -> None:
    ground = Ground(tmp_path, str(tmp_path / "ccagent.db"))
    made = session(0, actions=("prompt", "reply"))
    made.prompt("x" * 3_000_000)
    made.request()
    ground.tree.write(made)
    flags = {"ingest.max_line_bytes": 1 << 20}
    backfill(ground.config(**flags), ground.env, Selection())
    before = ground.dump(), ground.rows('SELECT "offset", length, reason, seen_at FROM quarantine')

    rebuild(ground.config(**flags), ground.env)

    assert before[1][0][2] == "oversize"
    assert (ground.dump(), ground.rows('SELECT "offset", length, reason, seen_at FROM quarantine')) == before


def test_lines_that_are_no_longer_bad_leave_the_quarantine(full: Ground) -> None:
    assert full.rows("SELECT COUNT(*) FROM quarantine")[0][0] > 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ccagent.sources.claude.derive.Deriver._bad_line", lambda self, raw, parsed: None)
        full.rebuild()

    assert full.rows("SELECT COUNT(*) FROM quarantine") == [(0,)]
