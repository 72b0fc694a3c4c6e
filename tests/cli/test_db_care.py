"""`ccagent db check|backup|vacuum|migrate|rebuild-rollups`: what they print, write and end with."""

from __future__ import annotations

import json
import os
import re
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from ccagent.cli import main
from ccagent.demo.writer import past_week
from ccagent.store.instance import InstanceLock
from ccagent.store.location import parse_database
from ccagent.store.schema import SCHEMA_VERSION
from tests.sources.feed import START_MS, Feed, files_of
from tests.store.releases import Release

PAGE = Path(__file__).resolve().parents[2] / "docs" / "json.md"
VERBS = ("check", "backup", "vacuum", "migrate", "rebuild-rollups")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A closed database with an invented week."""
    path = tmp_path / "data" / "ccagent.db"
    feed = Feed(path)
    for name, data in files_of(*past_week(START_MS, 6)).items():  # type: ignore[arg-type]
        feed.take((name, data))
    feed.store.set_meta("zone", "UTC")
    feed.close()
    return path


@pytest.fixture
def say(database: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Calls a verb: its exit code, what it printed, and what it complained of."""

    def called(*words: str) -> tuple[int, str, str]:
        code = main(["db", *words, "--db", str(database)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return called


def rows(database: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(apsw.Connection(str(database))) as conn:
        return conn.execute(sql).fetchall()


def ruin(database: Path) -> None:
    (root,) = rows(database, "SELECT rootpage FROM sqlite_schema WHERE name = 'fact_time'")[0]
    with database.open("r+b") as file:
        file.seek((root - 1) * 4_096)
        file.write(b"\x55" * 4_096)


@pytest.mark.parametrize("options", [(), ("--full",)])
def test_a_sound_database_is_said_to_be_sound(say: Any, options: tuple[str, ...]) -> None:
    code, out, _ = say("check", *options)

    assert code == 0
    assert out.splitlines()[-1].endswith("is sound")


def test_a_damaged_one_ends_with_1_says_what_to_do_and_makes_the_next_start_look(say: Any, database: Path) -> None:
    ruin(database)

    code, out, _ = say("check")

    assert code == 1
    assert "damaged" in out
    assert "Stop ccagent and start it again" in out
    assert Path(f"{database}.suspect").exists()


def test_another_programs_database_is_not_made_suspect(say: Any, database: Path) -> None:
    database.unlink()
    with closing(apsw.Connection(str(database))) as conn:
        conn.execute("CREATE TABLE t (a)")
        with conn:
            conn.executemany("INSERT INTO t VALUES (?)", [(os.urandom(900),) for _ in range(50)])
    with database.open("r+b") as file:
        file.seek(4_096)
        file.write(b"\x55" * 4_096)

    assert say("check")[0] == 1
    assert not Path(f"{database}.suspect").exists()


def test_a_file_that_is_no_database_of_ours_is_not_to_be_mended(say: Any, database: Path) -> None:
    database.write_text("buy milk\n" * 1_000)

    code, out, _ = say("check")

    assert code == 1
    assert out.splitlines()[-1] == f"{database} is no database of ccagent's; name another with --db"


def test_a_database_that_another_program_keeps_for_itself_is_said_to_be(say: Any, database: Path) -> None:
    with closing(apsw.Connection(str(database))) as other:
        other.execute("PRAGMA locking_mode = exclusive")
        other.execute("UPDATE meta SET value = value")

        code, out, err = say("check")

    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "another program holds it for itself" in err


def test_a_backup_is_made_beside_the_database_and_the_one_before_goes(
    say: Any, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter((START_MS, START_MS + 5_000, START_MS + 10_000))
    monkeypatch.setattr("ccagent.clock.SystemClock.now_ms", lambda self: next(moments))
    folder = database.parent / "backups"

    assert [say("backup")[0], say("backup")[0]] == [0, 0]
    assert [path.name for path in folder.iterdir()] == ["ccagent-20260210T090005Z.db"]
    assert say("backup", "--keep", "2")[0] == 0

    assert sorted(path.name for path in folder.iterdir()) == [
        "ccagent-20260210T090005Z.db", "ccagent-20260210T090010Z.db",
    ]  # fmt: skip
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert rows(path, "SELECT COUNT(*) FROM fact") == rows(database, "SELECT COUNT(*) FROM fact")


def test_a_backup_elsewhere_removes_nothing(say: Any, database: Path, tmp_path: Path) -> None:
    say("backup")
    target = tmp_path / "mine.db"

    assert say("backup", str(target))[0] == 0
    assert target.exists()
    assert len(list((database.parent / "backups").iterdir())) == 1
    code, _, err = say("backup", str(target))
    assert code == 1
    assert "exists already" in err


def test_a_backup_into_a_folder_that_is_not_there_says_what_to_do(say: Any, database: Path, tmp_path: Path) -> None:
    code, _, err = say("backup", str(tmp_path / "nowhere" / "mine.db"))

    assert code == 1
    assert f"has no place in {tmp_path / 'nowhere'} (No such file or directory); make the folder" in err
    assert not (tmp_path / "nowhere").exists()


def test_a_disk_without_room_is_told_before_anything_is_written(
    say: Any, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccagent.upkeep.BACKUP_ROOM", 1e12)

    code, _, err = say("backup")

    assert code == 1
    assert "MiB free" in err
    assert list((database.parent / "backups").iterdir()) == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@host:5/facts", "postgresql://me@host:5/facts"),
        ("postgresql://me:se%40cret@host/facts?sslmode=require", "'postgresql://me@host/facts?sslmode=require'"),
        ("postgresql://host/facts?password=secret&user=me", "'postgresql://host/facts?user=me'"),
        ("postgresql://host/facts?user=me&password=secret", "'postgresql://host/facts?user=me'"),
        ("postgresql://host/facts?password=secret", "postgresql://host/facts"),
        ("postgresql://host/facts?a=1&password=secret&b=2", "'postgresql://host/facts?a=1&b=2'"),
    ],
)
def test_a_served_database_is_left_to_its_servers_tools_and_no_password_is_shown(
    url: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["db", "backup", "--db", url])

    err = capsys.readouterr().err
    assert code == 2
    assert f"pg_dump --format=custom --schema=ccagent --file=ccagent.dump {shown} " in err
    assert "secret" not in err
    assert "cret" not in err.replace("secret", "")


def test_vacuum_gives_the_room_of_removed_rows_back(say: Any, database: Path) -> None:
    with closing(apsw.Connection(str(database))) as conn:
        conn.execute("DELETE FROM fact")
    before = database.stat().st_size

    code, out, _ = say("vacuum", "--json")

    document = json.loads(out)
    assert code == 0
    assert document["bytes_before"] == before
    assert document["bytes_after"] == database.stat().st_size < before
    assert say("check")[0] == 0


def test_an_older_database_is_brought_up_to_date(say: Any, database: Path) -> None:
    database.unlink()
    Release(1).write_database(database)

    code, out, _ = say("migrate", "--json")

    document = json.loads(out)
    assert (code, document["from"], document["to"]) == (0, 1, SCHEMA_VERSION)
    assert Path(document["backup"]).exists()
    assert say("migrate")[1] == f"schema {SCHEMA_VERSION}: nothing to do\n"


def test_rollups_are_summed_anew_in_another_zone_which_is_kept(say: Any, database: Path) -> None:
    days = "SELECT COUNT(*), SUM(count), MIN(bucket) % 86400000 FROM rollup WHERE period = 2"
    assert say("rebuild-rollups")[0] == 0
    before = rows(database, days)
    assert before[0][0] > 0

    code, out, _ = say("rebuild-rollups", "--tz", "Asia/Kathmandu", "--json")

    after = rows(database, days)
    assert code == 0
    assert json.loads(out)["zone"] == "Asia/Kathmandu"
    assert after[0][1] == before[0][1]
    assert after[0][2] != before[0][2]
    assert rows(database, "SELECT value FROM meta WHERE name = 'zone'") == [("Asia/Kathmandu",)]
    assert rows(database, "SELECT COUNT(*) FROM dirty") == [(0,)]
    code, _, err = say("rebuild-rollups", "--tz", "Atlantis")
    assert code == 2
    assert "no time zone" in err


@pytest.mark.parametrize("verb", ["vacuum", "migrate", "rebuild-rollups"])
def test_what_needs_the_database_alone_ends_with_75_beside_a_daemon(say: Any, database: Path, verb: str) -> None:
    with InstanceLock(parse_database(str(database))):
        assert say(verb)[0] == 75


@pytest.mark.parametrize("verb", ["check", "backup"])
def test_the_others_run_beside_one(say: Any, database: Path, verb: str) -> None:
    with InstanceLock(parse_database(str(database))):
        assert say(verb)[0] == 0


@pytest.mark.parametrize("verb", VERBS)
def test_without_a_database_there_is_no_data_and_none_is_made(say: Any, database: Path, verb: str) -> None:
    database.unlink()

    assert say(verb)[0] == 20
    assert list(database.parent.iterdir()) == []


@pytest.mark.parametrize("verb", VERBS)
def test_the_page_and_the_answer_name_the_same_fields(say: Any, verb: str) -> None:
    (section,) = re.findall(rf"## `ccagent db {verb} --json`\n(.*?)(?=\n## |\Z)", PAGE.read_text(), re.DOTALL)
    named = {
        field for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for field in re.findall(r"`(\w+)`", row)
    }

    assert set(json.loads(say(verb, "--json")[1])) - {"schema_version"} == named
