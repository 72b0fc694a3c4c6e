"""`ccagent usage` from the command line to a store and back."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from ccagent.cli import main
from ccagent.clock import SystemClock
from ccagent.store.sqlite import SqliteStore
from tests.sources.feed import Feed
from tests.transcripts import Session


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A database that was opened once and has taken in nothing."""
    path = tmp_path / "ccagent.db"
    SqliteStore(path, clock=SystemClock()).close()
    return path


def test_a_database_that_is_not_there_is_no_data_and_is_not_created(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "absent.db"

    code = main(["usage", "--db", str(path), "--json"])

    assert (code, capsys.readouterr().out) == (20, "")
    assert not path.exists()


@pytest.mark.parametrize("by", ["total", "day", "model", "tool"])
def test_an_empty_store_is_no_data(by: str, empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["usage", "--db", f"sqlite://{empty}", "--by", by])

    assert (code, capsys.readouterr().out) == (20, "")


def test_since_must_lie_before_until(empty: Path) -> None:
    assert main(["usage", "--db", str(empty), "--since", "1d", "--until", "2d"]) == 2


def test_an_empty_range_is_a_document_and_no_failure(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["usage", "--db", str(empty), "--since", "2025-01-01T00:00Z", "--json"])

    document = json.loads(capsys.readouterr().out)
    assert (code, document["since"]) == (0, "2025-01-01T00:00:00.000Z")
    assert [row["requests"] for row in document["rows"]] == [0]


def test_a_day_that_is_asked_for_is_a_day_of_the_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database was begun in Kathmandu; this machine is in New York, and its configuration says so."""
    feed = Feed(tmp_path / "ccagent.db")
    feed.store.set_meta("zone", "Asia/Kathmandu")
    session = Session("s1", start=int(dt.datetime(2025, 3, 1, 18, 30, tzinfo=dt.UTC).timestamp() * 1_000))  # 2nd, 00:15
    session.prompt("hello")
    session.request()
    feed.read(session).close()
    monkeypatch.setenv("TZ", "America/New_York")
    monkeypatch.setenv("CCAGENT_ROLLUPS_TIMEZONE", "America/New_York")

    def days(*options: str) -> list[tuple[str, int]]:
        assert main(["usage", "--db", str(tmp_path / "ccagent.db"), "--by", "day", "--json", *options]) == 0
        return [(row["key"], row["requests"]) for row in json.loads(capsys.readouterr().out)["rows"]]

    assert days() == days("--since", "2025-03-02", "--until", "2025-03-03") == [("2025-03-02", 1)]
