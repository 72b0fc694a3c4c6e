"""The outcome of a verification as text."""

from __future__ import annotations

import pytest

from ccagent.cli.verify_output import verify_lines

FAULT = {"name": "requests", "stored": 1_200, "recounted": 1_201, "verdict": "fault"}
LONG = "a" * 60
REPORT: dict[str, object] = {
    "equal": False,
    "status": "fault",
    "totals": [
        FAULT,
        {"name": "tokens.cache_read", "stored": 987_654_321_012, "recounted": 987_654_321_012, "verdict": "equal"},
        {"name": "requests{claude-opus-4-6}", "stored": 1, "recounted": 1, "verdict": "equal"},
        {"name": f"requests{{{LONG}}}", "stored": 2, "recounted": 1, "verdict": "source gone"},
    ],
    "checks": [
        {"name": "texts of facts", "checked": 12_000, "excluded": 3, "faults": 1, "verdict": "fault",
         "examples": ["0a0b"]},
    ],
    "files": {"stored": 4, "recounted": 3, "gone": 1, "rewritten": 0, "unreadable": 0, "not_taken_in": 2,
              "bytes_taken_in": 2_048, "bytes_left": 10},
    "facts_at_fault": [{"key": "llm:msg_1", "fault": "missing", "session": "s\x1b[2J"}],
    "files_at_fault": [{"path": "/a/b.jsonl", "fault": "3 lines were taken in, 4 are there"}],
}  # fmt: skip


def lines(**changed: object) -> list[str]:
    return list(verify_lines(REPORT | changed))


def test_a_verification_shows_both_sides_and_the_verdict() -> None:
    shown = lines()

    assert shown[1].split() == ["requests", "1,200", "1,201", "fault"]
    assert shown[-1] == "NOT equal: see above"


def test_the_table_fits_eighty_columns() -> None:
    assert max(map(len, lines(facts_at_fault=[], files_at_fault=[]))) <= 80


def test_amounts_by_model_are_shown_where_they_differ() -> None:
    shown = "\n".join(lines())

    assert "claude-opus-4-6" not in shown
    assert f"requests{{{'a' * 20}…" in shown


def test_checks_say_what_they_left_out_and_name_what_broke() -> None:
    shown = lines()

    assert ["texts", "of", "facts", "12,000", "3", "fault"] in [line.split() for line in shown]
    assert "fault     texts of facts: 0a0b" in shown


def test_faults_are_named_and_cannot_command_the_terminal() -> None:
    shown = lines()

    assert "fault     /a/b.jsonl: 3 lines were taken in, 4 are there" in shown
    assert "fault     llm:msg_1: missing (session s\\x1b[2J)" in shown


def test_files_tell_what_became_of_them() -> None:
    assert "files     3 of 4 recounted, 1 gone, 2 not taken in, 2.0 KiB taken in, 10 B left" in lines()


@pytest.mark.parametrize(
    ("status", "words"),
    [("equal", "equal: "), ("sealed", "retention"), ("source gone", "no longer there"), ("fault", "NOT equal")],
)
def test_the_last_line_is_the_verdict(status: str, words: str) -> None:
    assert words in lines(status=status)[-1]


def test_a_manifest_tells_whether_it_was_written_or_held() -> None:
    written = {"written": True, "files": 3, "path": "m.json"}
    held = {"written": False, "created_at": "2026-02-10T00:00:00Z", "same": 1, "grown": 2, "gone": 0,
            "faults": [{"path": "a.jsonl", "fault": "has 3 bytes, 4 were there"},
                       {"name": "requests", "manifest": 5, "stored": 4}]}  # fmt: skip

    assert "manifest  3 files written to m.json" in lines(manifest=written)
    shown = lines(manifest=held)
    assert "manifest  of 2026-02-10T00:00:00Z: files 1 same, 2 grown, 0 gone" in shown
    assert "manifest  a.jsonl: has 3 bytes, 4 were there" in shown
    assert "manifest  requests: 5 then, 4 stored" in shown
