"""The verification of a store against the transcripts that still exist: what is no fault."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from ccagent.census import Census
from tests.transcripts import Usage, spliced, text
from tests.verifying import Ground, busy

FIXTURES = Path(__file__).parent / "fixtures" / "transcripts"


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    ground = Ground(tmp_path)
    ground.tree.write(busy("one"), busy("two", cwd="/home/demo/bolt"))
    return ground


@pytest.mark.parametrize("version", sorted(path.name for path in FIXTURES.iterdir()))
def test_the_golden_transcripts_in_the_store_equal_their_recount(version: str, tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    shutil.copytree(FIXTURES / version / "projects", ground.tree.root, dirs_exist_ok=True)
    ground.take_in(quiet=True)

    answer = ground.verify(full=True)

    assert (answer.rows(), answer.broken(), answer.named()) == ({}, set(), [])
    assert (answer.status, answer["equal"]) == ("equal", True)
    assert answer["files"]["bytes_taken_in"] > 0


@pytest.mark.corpus
def test_real_transcripts_in_the_store_equal_their_recount(corpus: Path, tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    ground.tree.root = corpus / "projects"
    ground.take_in()

    answer = ground.verify(full=True)

    assert (answer.status, answer.rows(), answer.broken()) == ("equal", {}, set())


def test_a_compaction_that_no_record_tells_of_is_no_difference(ground: Ground) -> None:
    session = busy("three")
    session.request(usage=Usage(input=3, output=5, cache_read=150_000))
    session.record("user", {"message": {"role": "user", "content": "In short."}, "isCompactSummary": True})
    session.request(usage=Usage(input=3, output=5, cache_read=20_000))
    ground.tree.write(session)
    ground.take_in()

    answer = ground.verify(full=True)

    assert ground.asked("SELECT tokens_before FROM telemetry_events WHERE trigger = 'inferred'") == [(150_003,)]
    assert (answer.status, answer.rows(), answer.broken()) == ("equal", {}, set())


def test_texts_with_nuls_are_counted_as_the_store_keeps_them(ground: Ground) -> None:
    session = busy("three")
    data = session.content.replace(b'"three"', b'"thr\\u0000ee"').replace(b'"name":"', b'"name":"\\u0000')
    assert data.count(b"\\u0000") > 10
    ground.tree.put(session.path, data)
    ground.take_in()

    answer = ground.verify(full=True)

    assert (answer.status, answer.rows(), answer.named()) == ("equal", {}, [])


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59.999Z", "0001-01-01T00:00:00Z"])
def test_the_first_and_the_last_day_of_the_calendar_are_days(ground: Ground, moment: str) -> None:
    session = busy("three")
    ground.tree.put(
        session.path, re.sub(rb'"timestamp":"[^"]+"', b'"timestamp":"%s"' % moment.encode(), session.content)
    )
    ground.take_in()

    assert ground.verify(full=True).status == "equal"


def test_an_empty_store_without_transcripts_is_equal(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    ground.take_in()

    assert ground.verify(full=True).status == "equal"


def test_the_long_checks_are_made_on_request_alone(ground: Ground) -> None:
    ground.take_in()

    assert ground.verify()["checks"] == []
    assert len(ground.verify(full=True)["checks"]) > 20


def test_a_store_whose_rollups_lag_behind_is_equal_and_says_what_it_left_out(ground: Ground) -> None:
    ground.take_in(rollups=False)

    answer = ground.verify(full=True)

    left_out = {row["name"]: row["excluded"] for row in answer["checks"]}
    assert answer.status == "equal"
    assert left_out["rollups by hour"] > 0
    assert left_out["rollups by session"] == 2


def test_a_transcript_that_the_store_does_not_know_is_unread_and_no_fault(ground: Ground) -> None:
    ground.take_in()
    new = ground.tree.put("-home-demo-new/new.jsonl", b"{}\n")

    answer = ground.verify()

    assert answer.status == "equal"
    assert answer["files"]["not_taken_in"] == 1
    assert answer["files"]["bytes_left"] == new.stat().st_size
    assert answer["files"]["bytes_taken_in"] + answer["files"]["bytes_left"] == answer["files"]["bytes"]


def test_lines_behind_the_stored_offset_are_not_counted(ground: Ground) -> None:
    session = busy("three")
    ground.tree.write(session)
    ground.take_in()
    session.request(usage=Usage(output=1_000_000))
    ground.tree.path(session).write_bytes(session.content + b'{"type":"assis')

    answer = ground.verify(full=True)

    assert answer.status == "equal"
    assert answer["files"]["bytes_left"] > 0


def test_what_is_taken_in_during_the_recount_is_recounted_too(ground: Ground) -> None:
    session = busy("three")
    ground.tree.write(session)
    ground.take_in()
    before = ground.verify()["totals"][0]["stored"]
    grown = []

    def grow(done: int, whole: int) -> None:
        if done == whole and not grown:
            grown.append(done)
            session.request(usage=Usage(output=77))
            ground.tree.write(session, busy("four"))
            ground.take_in()

    answer = ground.verify(full=True, progress=grow)

    assert answer.status == "equal"
    assert answer["totals"][0]["stored"] > before + 1


def test_progress_ends_at_the_whole(ground: Ground) -> None:
    ground.take_in()
    seen: list[tuple[int, int]] = []

    answer = ground.verify(progress=lambda done, whole: seen.append((done, whole)))

    assert seen[-1] == (answer["files"]["bytes_taken_in"],) * 2
    assert seen == sorted(seen)


def test_bad_lines_and_broken_pieces_are_conserved(ground: Ground) -> None:
    session = busy("three")
    one, other = session.lines[1].raw, session.lines[2].raw
    session.raw(spliced(one, other))
    session.raw(b'{"type":"user","mess\n')
    session.raw(b"\0" * 64 + b"\n")
    ground.tree.write(session)
    ground.take_in()

    answer = ground.verify(full=True)

    amounts = {row["name"]: row["recounted"] for row in answer["totals"]}
    assert (answer.status, amounts["lines_bad"], amounts["broken pieces"]) == ("equal", 3, 2)


# ---- transcripts that are gone -----------------------------------------------------------------------------------


def test_a_file_that_is_gone_excuses_its_own_facts(ground: Ground) -> None:
    ground.take_in()
    shutil.rmtree(ground.tree.root / "-home-demo-bolt")

    answer = ground.verify(full=True)

    stored, recounted, verdict = answer.rows()["requests"]
    assert (answer.status, answer["equal"], verdict) == ("source gone", True, "source gone")
    assert stored == 2 * recounted
    assert answer["causes"]["gone"] > 0
    assert answer["files"]["gone"] == 2


def test_a_file_that_is_gone_excuses_no_other_file(ground: Ground) -> None:
    ground.take_in()
    shutil.rmtree(ground.tree.root / "-home-demo-bolt")
    ground.damage(
        "UPDATE fact SET token_output = token_output + 1 WHERE type = 4 AND context IN (SELECT c.id FROM context c"
        " JOIN name n ON n.id = c.session WHERE n.value = 'one') AND token_output = 40"
    )

    answer = ground.verify()

    assert answer.status == "fault"
    assert [fault for _, fault in answer.named()] == ["different"]


def test_a_copy_that_is_gone_excuses_what_it_alone_said(ground: Ground) -> None:
    """A fork begins as a copy under a session of its own; whoever is smaller owns the shared facts."""
    original = busy("three")
    fork = original.content.replace(b'"three"', b'"a fork"').replace(b'"output_tokens":40', b'"output_tokens":44')
    ground.tree.write(original)
    path = ground.tree.put("-home-demo-atlas/fork.jsonl", fork)
    ground.take_in()
    assert ground.verify(full=True).status == "equal"
    path.unlink()

    answer = ground.verify(full=True)

    assert (answer.status, answer.named(), answer.broken()) == ("source gone", [], set())
    assert answer.rows()["tokens.output"][0] - answer.rows()["tokens.output"][1] == 4


def test_copies_that_nobody_wrote_down_are_excused_where_the_schema_is_older(ground: Ground) -> None:
    original = busy("three")
    fork = original.content.replace(b'"three"', b'"a fork"')
    ground.tree.write(original)
    path = ground.tree.put("-home-demo-atlas/fork.jsonl", fork)
    ground.take_in()
    ground.damage("DELETE FROM contributor")
    files = {bytes(name).rpartition(b"/")[2]: number for number, name in ground.asked("SELECT id, path FROM file")}
    ground.damage(f"UPDATE fact SET file = {files[b'three.jsonl']} WHERE file = {files[b'fork.jsonl']}")
    path.unlink()
    assert ground.verify(full=True).status == "fault"
    ground.damage("INSERT INTO meta (name, value) SELECT 'contributors_since', seq FROM host")

    assert ground.verify(full=True)["causes"].get("different") is None


def test_a_file_rewritten_since_is_not_recounted(ground: Ground) -> None:
    ground.take_in()
    path = ground.tree.path(busy("one"))
    path.write_bytes(path.read_bytes().replace(b"hello", b"olleh"))

    answer = ground.verify(full=True)

    assert answer.status == "source gone"
    assert answer["files"]["rewritten"] == 1


def test_a_file_read_anew_excuses_what_its_first_content_left(ground: Ground) -> None:
    ground.take_in()
    other = busy("one")
    other.lines = other.lines[:3]
    other.prompt("another course")
    ground.tree.write(other)
    ground.take_in()

    answer = ground.verify(full=True)

    assert (answer.status, answer.named()) == ("source gone", [])
    assert answer["files"]["rewritten"] == 1


def test_a_file_that_is_no_file_is_counted_and_never_raised(ground: Ground) -> None:
    ground.take_in()
    path = ground.tree.path(busy("one"))
    path.unlink()
    path.mkdir()

    answer = ground.verify()

    assert (answer.status, answer["files"]["unreadable"]) == ("source gone", 1)


# ---- facts that retention removed --------------------------------------------------------------------------------


def prune(ground: Ground, condition: str) -> None:
    ground.damage(f"INSERT INTO pruned (key) SELECT key FROM fact WHERE {condition}")
    ground.damage("DELETE FROM fact WHERE key IN (SELECT key FROM pruned)")
    ground.damage("DELETE FROM contributor WHERE key IN (SELECT key FROM pruned)")


def test_what_retention_removed_is_sealed(ground: Ground) -> None:
    ground.take_in()
    before = ground.verify()["totals"][0]["stored"]
    prune(ground, "type = 4 AND token_output = 40")

    answer = ground.verify()

    assert (answer.status, answer["equal"]) == ("sealed", True)
    assert answer.rows()["requests"] == (before - 2, before, "sealed")
    assert answer.rows()["booked tokens.output"][2] == "sealed"
    assert answer["causes"] == {"sealed": 2}


def test_a_seal_excuses_only_the_keys_that_are_kept(ground: Ground) -> None:
    ground.take_in()
    prune(ground, "type = 4 AND token_output = 40")
    ground.damage("DELETE FROM fact WHERE type = 4 AND token_output = 9")

    answer = ground.verify()

    assert answer.status == "fault"
    assert {fault for _, fault in answer.named()} == {"missing"}


def test_rollups_before_the_seal_are_left_out(ground: Ground) -> None:
    ground.take_in()
    (last,) = ground.asked("SELECT MAX(occurred_at) FROM fact")[0]
    prune(ground, "1 = 1")
    ground.damage("INSERT INTO meta (name, value) VALUES ('sealed_before', ?)", (str(last + 1),))

    answer = ground.verify(full=True)

    assert (answer.status, answer.broken()) == ("sealed", set())
    assert {row["name"]: row["excluded"] for row in answer["checks"]}["rollups by hour"] > 0
    assert answer["sealed_before"].startswith("2026-02-10T")


# ---- the recount itself ------------------------------------------------------------------------------------------


def test_a_census_goes_on_where_it_stopped(ground: Ground) -> None:
    """Offsets that move on between two looks cost only the bytes between them."""
    from ccagent.store import audit
    from ccagent.store.open import open_reader

    session = busy("three")
    ground.tree.write(session)
    ground.take_in()
    census = Census(1 << 20)
    with open_reader(ground.database) as reader:
        census.take(audit.files(reader, 1))
        read = census.count.bytes_read
        session.assistant(text("more"))
        ground.tree.write(session)
        ground.take_in()
        census.take(audit.files(reader, 1))

    assert census.count.bytes_read == read + len(session.lines[-1].raw)
    assert census.count.totals()["sessions"] == 3


# ---- with what else moves facts ----------------------------------------------------------------------------------


def pruned_for_real(ground: Ground, now_ms: int) -> int:
    """Let retention itself run at that moment; how many facts it removed."""
    from zoneinfo import ZoneInfo

    from ccagent.store.open import open_reader
    from ccagent.store.retention import Pruning
    from ccagent.store.retention_rules import Rules
    from ccagent.store.rollups import refresh
    from tests.verifying import ZONE

    store = ground.open()
    try:
        ground.clock.jump(now_ms)
        while store.close_due([row.file_id for row in store.files() if row.file_id], ()):
            pass

        def renew() -> None:
            while store.write(lambda conn: refresh(conn, ZoneInfo(ZONE))):
                pass

        rules = Rules(payload_days=10, fact_months=1, max_bytes=0)
        run = Pruning(store, lambda: open_reader(ground.database), rules, ZoneInfo(ZONE), renew, now_ms)
        return run.run().facts
    finally:
        store.close()


def test_retention_leaves_a_store_that_is_sealed_and_sound(ground: Ground) -> None:
    old = busy("old", cwd="/home/demo/old")
    old.raw(b'{"type":"user","mess\n')
    ground.tree.write(old)
    ground.take_in(quiet=True)
    later = busy("late")
    later.now = 0
    moved = later.content.replace(b'"2026-02-10T', b'"2026-04-20T')
    ground.tree.put("-home-demo-late/late.jsonl", moved)
    ground.take_in()

    removed = pruned_for_real(ground, 1_776_700_000_000)
    answer = ground.verify(full=True)

    assert removed > 0
    assert (answer.status, answer.named(), answer.broken(), answer["files_at_fault"]) == ("sealed", [], set(), [])
    assert answer["causes"].keys() == {"sealed"}
    assert {row["name"]: row["checked"] for row in answer["checks"]}["rollups by hour"] > 0


def test_notes_of_bad_lines_are_missed_but_for_those_that_retention_removed(ground: Ground) -> None:
    """It removes them with their transcript; this one comes back."""
    sessions = [busy("bad"), busy("worse")]
    for session in sessions:
        session.raw(b'{"type":"user","mess\n')
    ground.tree.write(*sessions)
    ground.take_in(quiet=True)
    for session in sessions:
        ground.tree.path(session).unlink()
    ground.take_in()
    pruned_for_real(ground, 1_776_700_000_000)
    ground.tree.write(*sessions)

    answer = ground.verify()
    ground.damage("UPDATE total SET value = 1 WHERE metric = 'retention.removed' AND labels LIKE '%line%'")

    assert (answer.status, answer.rows()["lines_bad"]) == ("sealed", (0, 2, "sealed"))
    assert ground.verify().rows()["lines_bad"] == (0, 2, "fault")


def test_a_rebuild_leaves_a_store_that_is_sound(ground: Ground) -> None:
    """Its counters begin again at zero; what they counted in all is what the facts amount to."""
    from ccagent.rebuild import rebuild

    ground.tree.write(busy("gone", cwd="/home/demo/gone"))
    ground.take_in(quiet=True)
    shutil.rmtree(ground.tree.root / "-home-demo-gone")
    ground.take_in()
    # As if an older rule had missed some output: facts and counters agree, the transcripts say more.
    ground.damage("UPDATE fact SET token_output = 39 WHERE type = 4 AND token_output = 40")
    ground.damage("UPDATE total SET value = value - 1 WHERE metric = 'tokens' AND labels LIKE '%opus-4-6\"%output%'")
    assert ground.verify().status == "fault"

    rebuild(ground.config(), ground.env)
    ground.take_in()
    answer = ground.verify(full=True)

    assert (answer.status, answer.named(), answer.broken()) == ("source gone", [], set())
    booked = {row["name"]: row["verdict"] for row in answer["totals"] if row["name"].startswith("booked")}
    assert booked["booked tokens.input"] == "equal"
