"""Which database a setting names, and what of it eyes may see."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccagent.crash_guard import CrashGuard
from ccagent.errors import ConfigError
from ccagent.store.instance import holder
from ccagent.store.location import parse_database, passwords


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("/data/a.db", "/data/a.db"),
        ("a.db", "a.db"),
        ("sqlite:///data/a.db", "data/a.db"),
        ("sqlite:////data/a.db", "/data/a.db"),
    ],
)
def test_a_path_names_a_file_beside_which_its_lock_lies(text: str, target: str) -> None:
    database = parse_database(text)

    assert (database.kind, database.target, database.sidecar) == ("sqlite", target, target)


@pytest.mark.parametrize(
    ("url", "display"),
    [
        ("postgresql://ann:se:cret@db:5432/facts", "postgresql://ann:***@db:5432/facts"),
        ("postgresql://ann:se/cr?et@db/facts", "postgresql://ann:***"),
        (
            "postgres://ann@db/facts?password=secret&sslmode=require",
            "postgres://ann@db/facts?password=***&sslmode=require",
        ),
        ("postgresql:///facts?host=/run/pg&sslpassword=secret", "postgresql:///facts?host=/run/pg&sslpassword=***"),
        ("postgresql://one:5432,two:5433/facts", "postgresql://one:5432,two:5433/facts"),
    ],
)
def test_no_password_is_shown(url: str, display: str) -> None:
    database = parse_database(url, Path("/state"))

    assert database.target == url
    assert database.display.startswith(display)
    assert "cret" not in f"{database} {database!r} {database.display} {database.sidecar}"
    assert Path(database.sidecar).parent == Path("/state")


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("postgresql://ann:se:cr@et@db:5432/facts", ["se:cr@et"]),
        ("postgresql://ann:se/cr?et@db/facts?sslpassword=other", ["se/cr?et", "other"]),
        ("postgresql://ann@db/facts?password=secret&sslmode=require", ["secret"]),
        ("postgresql://one:5432,two:5433/facts", []),
    ],
)
def test_the_passwords_of_a_url_are_found_as_they_stand_there(url: str, found: list[str]) -> None:
    assert passwords(url) == found


def test_two_databases_have_two_sidecars() -> None:
    one, two = (parse_database(f"postgresql://db/{name}", Path("/state")).sidecar for name in ("a", "b"))

    assert one != two


def test_without_a_folder_for_them_a_served_database_has_no_sidecars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sidecar = parse_database("postgresql://db/facts").sidecar
    guard = CrashGuard(sidecar)

    guard.begin()

    assert list(tmp_path.iterdir()) == []
    assert holder(sidecar) is None
    guard.end()
    guard.close()


def test_another_kind_of_database_is_refused_with_what_can_be_used() -> None:
    with pytest.raises(ConfigError, match=r"mysql.*postgresql://"):
        parse_database("mysql://db/facts")
