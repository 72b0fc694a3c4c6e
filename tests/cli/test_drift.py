"""`ccagent drift`: what it shows, remembers and gives away."""

from __future__ import annotations

import json
import os
import platform
import re
from pathlib import Path

import orjson
import pytest

from ccagent.cli import main
from ccagent.cli.drift_output import drift_lines
from ccagent.drift import Accepted, _named, report
from ccagent.errors import StoreError
from ccagent.store.location import parse_database
from tests.sources.feed import Feed
from tests.transcripts import Line, Session, text

CANARY = "canary-7f3a"
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "json.md"


def session(version: str = "2.1.300", name: str = "s") -> Session:
    made = Session(name, version=version, cwd=f"/home/{CANARY}/work", branch=f"{CANARY}-branch")
    made.prompt(CANARY)
    made.assistant(text(CANARY))
    return made


def news(version: str = "2.1.300", name: str = "s") -> Session:
    """A session with something of each sort of counting."""
    made = session(version, name)
    made.unknown("brand-new")
    made.wait(1_000)
    made.unknown("brand-new")
    made.system("odd_thing", payload={CANARY: CANARY})
    made.tool("Teleport", {"to": CANARY}, details={"status": CANARY})
    made.attachment("brand_new", note=CANARY)
    return made


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "facts.db"
    feed = Feed(path).read(news())
    feed.store.set_meta("zone", "UTC")
    feed.close()
    return path


def drift(database: Path, *options: str) -> int:
    return main(["drift", "--db", str(database), *options])


def answer(database: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, object]:
    capsys.readouterr()
    drift(database, "--json", *options)
    return dict(json.loads(capsys.readouterr().out))


def test_what_is_new_is_told_by_kind_name_and_version(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = answer(database, capsys)

    rows = {f"{row['kind']}/{row['name']}": row for row in document["findings"]}  # type: ignore[attr-defined]
    assert set(rows) == {"record/brand-new", "system/odd_thing", "tool/Teleport", "attachment/brand_new"}
    assert {title: (row["records"], row["sessions"]) for title, row in rows.items()} == {
        "record/brand-new": (2, 1), "system/odd_thing": (1, 1), "tool/Teleport": (None, 1),
        "attachment/brand_new": (None, 1),
    }  # fmt: skip
    assert {tuple(row["client_versions"]) for row in rows.values()} == {("2.1.300",)}
    assert rows["record/brand-new"]["shape"]["sessionId"] == "text 1"
    assert (document["new"], document["accepted"], document["newest_client_version"]) == (4, 0, "2.1.300")


def test_the_exit_code_tells_whether_anything_is_new(tmp_path: Path, database: Path) -> None:
    known = tmp_path / "known.db"
    Feed(known).read(session()).close()

    assert (drift(database), drift(known)) == (10, 0)


def test_without_anything_new_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = tmp_path / "known.db"
    Feed(known).read(session()).close()

    drift(known)

    assert capsys.readouterr().out == "nothing new\n"


def test_an_empty_store_is_no_data_with_a_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty.db"
    Feed(empty).close()

    assert (drift(empty), drift(tmp_path / "absent.db")) == (20, 20)
    assert capsys.readouterr().err.count("ccagent run") == 2


def test_versions_times_and_counts_are_added_up(
    tmp_path: Path, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    feed = Feed(database)
    later = news("2.1.301", "t")
    feed.read(later)
    feed.close()

    (row,) = [row for row in answer(database, capsys)["findings"] if row["kind"] == "record"]  # type: ignore[attr-defined]

    assert (row["records"], row["sessions"], row["client_versions"]) == (4, 2, ["2.1.300", "2.1.301"])


def test_only_what_was_met_since_a_moment_is_told(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(answer(database, capsys, "--since", "2026-01-01")["findings"]) == 4  # type: ignore[arg-type]
    assert answer(database, capsys, "--since", "2026-06-01")["findings"] == []
    assert drift(database, "--since", "2026-06-01") == 0


def test_what_is_accepted_is_not_new_until_it_is_forgotten(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert drift(database, "--accept") == 0
    assert drift(database) == 0
    assert "4 accepted" in capsys.readouterr().out.splitlines()[-1]
    feed = Feed(database)
    another = session("2.1.301", "t")
    another.attachment("newer_still")
    another.attachment("brand_new")
    feed.read(another)
    feed.close()

    assert [row["name"] for row in answer(database, capsys)["findings"]] == ["newer_still"]  # type: ignore[attr-defined]
    assert len(answer(database, capsys, "--all")["findings"]) == 5  # type: ignore[arg-type]
    assert drift(database, "--forget") == 10
    assert answer(database, capsys)["new"] == 5


def test_what_was_accepted_lies_in_a_private_file(database: Path) -> None:
    drift(database, "--accept")

    path = Path(f"{database}.drift.json")
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(json.loads(path.read_text())["accepted"]) == 4


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"accepted": 3}', b"\xff"])
def test_a_file_that_is_none_of_ours_is_named(database: Path, content: bytes) -> None:
    Path(f"{database}.drift.json").write_bytes(content)

    with pytest.raises(StoreError, match="--forget"):
        Accepted(parse_database(str(database))).read()
    assert drift(database) == 1
    assert drift(database, "--forget") == 10


@pytest.mark.parametrize("options", [("--report", "--json"), ("--accept", "--forget")])
def test_options_that_contradict_each_other_are_refused(database: Path, options: tuple[str, ...]) -> None:
    assert drift(database, *options) == 2


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_the_table_fits_the_terminal(
    database: Path, capsys: pytest.CaptureFixture[str], width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    document = answer(database, capsys)
    document["findings"][0]["name"] = "x" * 64  # type: ignore[index]

    table = list(drift_lines(document, width))[:-2]

    assert len(table) == 5
    assert max(map(len, table)) <= width
    assert all("kind" not in line or "name" in line for line in table)


def test_the_report_names_the_versions_and_nothing_of_its_owner(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "release", lambda: f"6.1.0-{CANARY}")
    made = news(name=f"{CANARY}-session")
    made.unknown(f"{CANARY} record type")
    made.tool(f"mcp__{CANARY}", {})
    made.tool(f"{CANARY} tool", {})
    path = tmp_path / CANARY / "facts.db"
    path.parent.mkdir()
    Feed(path).read(made).close()

    assert drift(path, "--report") == 10

    shown = capsys.readouterr().out
    assert shown.startswith(f"ccagent {__import__('ccagent').__version__}, Python {platform.python_version()}, ")
    assert "record brand-new" in shown
    assert "2 records in 1 session" in shown
    assert "mcp no_separator" in shown
    for private in (CANARY, str(tmp_path), os.uname().nodename, "/home", "atlas"):
        assert private not in shown
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}|toolu_|msg_|req_", shown)


def test_the_report_of_nothing_says_so() -> None:
    assert list(report({"newest_client_version": None, "findings": []}))[-1] == "nothing new"


def test_the_page_names_every_field(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = answer(database, capsys)
    (section,) = re.findall(
        r"^## `ccagent drift --json`\n(.*?)(?=^## )", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE
    )
    named = {
        name for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }

    assert named == {*document, *document["findings"][0]} - {"schema_version"}  # type: ignore[index]


def test_the_status_tells_of_the_newest_client_alone(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["status", "--db", str(database)])
    assert "4 new, client version 2.1.300, shown by ccagent drift" in capsys.readouterr().out
    feed = Feed(database)
    feed.read(session("2.1.301", "t"))
    feed.close()

    main(["status", "--db", str(database)])

    assert "drift" not in capsys.readouterr().out


def test_a_payload_that_retention_removed_leaves_the_finding(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    feed = Feed(database)
    feed.store.write(lambda conn: conn.execute("UPDATE fact SET extra = NULL WHERE type = 10"))
    feed.close()

    assert {row["shape"] for row in answer(database, capsys)["findings"]} == {None}  # type: ignore[attr-defined]


def test_a_name_that_is_none_is_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "facts.db"
    made = session()
    made.unknown("brand-new")
    record = orjson.loads(made.lines[-1].raw) | {"type": f"{CANARY} \x1b[31m type"}
    made.lines[-1] = Line(at_ms=made.now, raw=orjson.dumps(record) + b"\n")
    Feed(path).read(made).close()

    drift(path)

    shown = capsys.readouterr().out
    assert "(odd)" in shown
    assert CANARY not in shown


def test_what_has_become_known_since_is_no_longer_new(
    database: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ccagent.facts import drift as known

    monkeypatch.setattr(known, "_LISTS", {**known._LISTS, "tool": frozenset(("Teleport",))})

    assert "Teleport" not in json.dumps(answer(database, capsys))
    main(["status", "--db", str(database)])
    assert "3 new" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("label", "name", "expected"),
    [
        (None, "brand-new", ("record", "brand-new")),
        (None, "system/odd_thing", ("system", "odd_thing")),
        (None, "system/two words", ("system", "(odd)")),
        (None, "response_item/new_item", ("record", "response_item/new_item")),
        (None, "response_item/home/me", ("record", "response_item/(odd)")),
        (None, "home/me", ("record", "(odd)")),
        ("tool", "tool/Teleport", ("tool", "Teleport")),
        ("key", "key/usage.novel", ("key", "usage.novel")),
    ],
)
def test_a_fact_is_shown_under_a_kind_and_a_name(label: str | None, name: str, expected: tuple[str, str]) -> None:
    assert _named(label, name) == expected
