"""Shell calls as the store shows them: dangerous patterns, quality runs, deleted files."""

from __future__ import annotations

import pytest

from tests.sources.feed import Feed
from tests.transcripts import Session, tool_use

pytestmark = pytest.mark.usefixtures("either_store")

PASSED = "12 passed, 2 skipped in 0.31s"
FAILED = "1 failed, 4 passed in 0.31s"


@pytest.fixture
def session() -> Session:
    session = Session("s")
    session.prompt("do it")
    return session


def _ran(session: Session, command: str, output: str, *, failed: bool = False, took_ms: int = 800) -> str:
    return session.tool("Bash", {"command": command}, output, is_error=failed, took_ms=took_ms)


def test_a_run_of_tests_has_kind_framework_counts_and_duration(session: Session) -> None:
    tool = _ran(session, "uv run pytest -q", PASSED, took_ms=1_500)

    run = Feed().read(session).event(f"quality:{tool}")

    assert (run["quality_kind"], run["framework"], run["status"], run["exit_code"]) == ("test", "pytest", "ok", 0)
    assert (run["passed"], run["failed"], run["skipped"]) == (12, 0, 2)
    assert (run["duration_ms"], run["lines_added"], run["lines_removed"]) == (1_500, None, None)
    assert run["closed_seq"] is not None


def test_a_failed_run_is_an_error_with_its_code(session: Session) -> None:
    tool = _ran(session, "npm test", f"Exit code 1\n{FAILED}", failed=True)

    run = Feed().read(session).event(f"quality:{tool}")

    assert (run["framework"], run["status"], run["exit_code"], run["failed"]) == ("npm", "error", 1, 1)


def test_a_hidden_outcome_is_open(session: Session) -> None:
    tool = _ran(session, "pytest | grep Warning", "Warning: x")

    run = Feed().read(session).event(f"quality:{tool}")

    assert (run["status"], run["exit_code"], run["passed"], run["failed"]) == ("open", None, None, None)
    assert run["closed_seq"] is not None


def test_a_pipe_leaves_the_summary_to_decide(session: Session) -> None:
    tool = _ran(session, "pytest 2>&1 | tail -3", FAILED)

    run = Feed().read(session).event(f"quality:{tool}")

    assert (run["status"], run["exit_code"], run["failed"]) == ("error", None, 1)


def test_runs_of_one_line_are_numbered_and_share_no_duration(session: Session) -> None:
    tool = _ran(session, "ruff check . && pytest", f"All checks passed!\n{PASSED}")

    runs = Feed().read(session).events("quality.run")

    assert [run["source_key"] for run in runs] == [f"quality:{tool}#1", f"quality:{tool}#2"]
    assert [(run["quality_kind"], run["status"], run["reported_ms"]) for run in runs] == [
        ("lint", "ok", None),
        ("test", "ok", None),
    ]


def test_what_never_began_is_no_run(session: Session) -> None:
    tool = _ran(session, "ruff check . && pytest", "Exit code 1\nFound 3 errors.", failed=True)

    (run,) = Feed().read(session).events("quality.run")

    assert (run["source_key"], run["status"], run["failed"]) == (f"quality:{tool}#1", "error", 3)


def test_a_rejected_call_has_a_rejected_run(session: Session) -> None:
    session.rejected("Bash", {"command": "npm run deploy"})

    (run,) = Feed().read(session).events("quality.run")

    assert (run["quality_kind"], run["status"], run["failure_class"]) == ("deploy", "rejected", "rejected")


def test_a_run_in_the_background_is_open(session: Session) -> None:
    said = "Command running in background with ID: x"
    session.tool("Bash", {"command": "make test", "run_in_background": True}, said)
    _ran(session, "make lint", said)

    assert [run["status"] for run in Feed().read(session).events("quality.run")] == ["open", "open"]


def test_a_call_without_a_result_has_no_run(session: Session) -> None:
    session.assistant(tool_use(session.ids.tool(), "Bash", {"command": "pytest"}))

    assert Feed().read(session).events("quality.run") == []


def test_the_end_of_a_very_long_output_is_read(session: Session) -> None:
    noise = 'a line \\ "quoted"\n' * 120_000
    tool = _ran(session, "pytest; true", noise + PASSED)

    assert Feed().read(session).event(f"quality:{tool}")["passed"] == 12


def test_output_in_blocks_is_read(session: Session) -> None:
    tool = session.tool("Bash", {"command": "pytest | tail"}, [{"type": "text", "text": PASSED}])

    assert Feed().read(session).event(f"quality:{tool}")["status"] == "ok"


def test_a_dangerous_call_names_its_patterns(session: Session) -> None:
    tool = _ran(session, "sudo rm -rf /srv/x && git push -f", "")
    harmless = _ran(session, "git commit -m 'no rm -rf'", "")

    feed = Feed().read(session)

    assert feed.event(f"tool:{tool}")["danger"] == "git_force_push+rm_rf+sudo"
    assert feed.event(f"tool:{harmless}")["danger"] is None


def test_a_dangerous_call_that_was_refused_is_one_too(session: Session) -> None:
    session.rejected("Bash", {"command": "git reset --hard"})

    (call,) = Feed().read(session).events("tool.call")

    assert (call["danger"], call["status"]) == ("git_reset_hard", "rejected")


def test_deleted_files_are_file_updates_but_no_writes(session: Session) -> None:
    session.edit("/repo/a.py", added=1, removed=0)
    tool = _ran(session, "cd sub && rm a.txt b.txt", "")

    feed = Feed().read(session)

    deleted = [row for row in feed.events("file.update") if row["detail"] == "delete"]
    assert [row["source_key"] for row in deleted] == [f"file:{tool}#rm1", f"file:{tool}#rm2"]
    assert all(row["file_path"].endswith(("/sub/a.txt", "/sub/b.txt")) for row in deleted)
    assert feed.total("file.writes") == 1


def test_a_failed_or_doubtful_deletion_deletes_nothing(session: Session) -> None:
    _ran(session, "rm a", "Exit code 1\nrm: cannot remove 'a': No such file or directory", failed=True)
    _ran(session, "rm a; ls", "rm: cannot remove 'a': No such file or directory")
    _ran(session, "rm *.txt", "")
    session.rejected("Bash", {"command": "rm a"})

    assert Feed().read(session).events("file.update") == []


def test_the_command_itself_is_never_kept(session: Session) -> None:
    secret = "correct-horse-battery"
    _ran(session, f"TOKEN={secret} rm -rf build && pytest -k {secret} | tail", f"{secret}\n{PASSED}")

    assert secret not in "\n".join(Feed().read(session).dump())


def test_the_result_may_come_in_a_later_piece(session: Session) -> None:
    _ran(session, "ruff check . && pytest && rm x.txt", f"All checks passed!\n{PASSED}")
    whole = Feed().read(session)
    pieces = Feed()
    for line in session.lines:
        pieces.take((session.path, line.raw if line.raw.endswith(b"\n") else line.raw + b"\n"))

    assert pieces.dump() == whole.dump()
