"""`ccagent db prune` and `ccagent db restore` as their user meets them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from ccagent.cli import main
from ccagent.store.instance import InstanceLock
from ccagent.store.location import parse_database
from ccagent.store.open import open_reader
from ccagent.store.view import canonical_dump
from tests.daemon.test_json_documents import named
from tests.sources.feed import Feed
from tests.transcripts import Session, Usage

DAY_MS = 86_400_000


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with a session of five hundred days ago and one of yesterday; facts that go are archived."""
    now = time.time_ns() // 1_000_000
    path = tmp_path / "ccagent.db"
    feed = Feed(path, now_ms=now)
    feed.store.set_meta("zone", "UTC")
    for number, days in enumerate((500, 1)):
        session = Session(f"s{number}", seed=number, start=now - days * DAY_MS)
        session.prompt("hello")
        session.edit("/a.py", added=1, removed=1, usage=Usage(output=9))
        feed.read(session)
    feed.tick()
    feed.close()
    monkeypatch.setenv("CCAGENT_RETENTION_ARCHIVE", str(tmp_path / "archive"))
    monkeypatch.setenv("CCAGENT_RETENTION_PAYLOAD_DAYS", "0")
    return path


def sessions(database: Path) -> list[str]:
    with open_reader(database) as reader:
        return sorted({json.loads(line)[3] for line in canonical_dump(reader)})


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    code = main(["db", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_dry_run_says_what_would_go_and_removes_nothing(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, plan = run(capsys, "prune", "--dry-run", "--db", str(database))

    (rule,) = plan["rules"]
    assert (code, plan["dry_run"], rule["rule"], rule["sessions"]) == (0, True, "fact_months", 1)
    assert rule["facts"] > 3 < rule["bytes"]
    assert rule["since"] < rule["until"]
    assert sessions(database) == ["s0", "s1"]


def test_what_is_too_old_goes_and_comes_back(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_reader(database) as reader:
        whole = list(canonical_dump(reader))

    code, done = run(capsys, "prune", "--db", str(database))

    assert (code, done["sessions"], sessions(database)) == (0, 1, ["s1"])
    (archive,) = done["archives"]

    code, back = run(capsys, "restore", archive, "--db", str(database))

    assert (code, back["returned"], back["beyond_retention"]) == (0, done["facts"], done["facts"])
    with open_reader(database) as reader:
        assert list(canonical_dump(reader)) == whole


def test_a_folder_of_archives_goes_into_another_database(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, done = run(capsys, "prune", "--db", str(database))
    other = tmp_path / "other.db"

    code, back = run(capsys, "restore", str(tmp_path / "archive"), "--db", str(other))

    assert (code, back["new"], sessions(other)) == (0, done["facts"], ["s0"])


def test_the_screens_are_for_people(database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["db", "prune", "--dry-run", "--db", str(database)])
    plan = capsys.readouterr().out
    main(["db", "prune", "--db", str(database)])
    done = capsys.readouterr().out
    main(["db", "restore", str(tmp_path / "archive"), "--dry-run", "--db", str(database)])
    back = capsys.readouterr().out

    assert "fact_months" in plan
    assert "1 sessions" in plan
    assert "removed" in done
    assert "archived in" in done
    assert "would be returned as they were" in back
    assert "go again with the next prune" in back


@pytest.mark.parametrize("words", [["prune"], ["restore", "."]])
def test_beside_a_daemon_nothing_is_written(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    run(capsys, "prune", "--db", str(database))
    words = ["restore", str(tmp_path / "archive")] if words[0] == "restore" else words
    with InstanceLock(parse_database(str(database))):
        code = main(["db", *words, "--db", str(database)])
        said = capsys.readouterr().err
        planned = main(["db", "prune", "--dry-run", "--db", str(database)])

    assert (code, planned) == (75, 0)
    assert "daily" in said or "as long as the restore takes" in said


def test_without_a_database_there_is_nothing_to_prune(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "prune", "--db", str(tmp_path / "none.db")]) == 20
    assert list(tmp_path.iterdir()) == []
    assert "there is no database" in capsys.readouterr().err


def test_the_page_names_the_fields_of_the_answers(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, plan = run(capsys, "prune", "--dry-run", "--db", str(database))
    _, done = run(capsys, "prune", "--db", str(database))
    _, back = run(capsys, "restore", *done["archives"], "--db", str(database))

    assert set(plan) | set(done) == named("db prune") | {"schema_version"}
    assert set(plan["rules"][0]) <= named("db prune") | {"rule", "bytes"}
    assert set(back) == named("db restore") | {"schema_version"}
