"""Short writes beside the store's own writer, on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccagent.errors import NoDataError, StoreError
from ccagent.store.brief import brief_write
from ccagent.store.connection import Connection, scalar
from ccagent.store.location import parse_database
from ccagent.store.writer import set_meta
from tests.sources.feed import Feed, database_of

pytestmark = pytest.mark.usefixtures("either_store")


def test_it_writes_beside_an_open_store_and_the_store_goes_on(tmp_path: Path) -> None:
    feed = Feed(tmp_path / "one.db")
    database = parse_database(database_of(tmp_path / "one.db"))

    with brief_write(database) as conn:
        set_meta(conn, "brief", "one")

    assert feed.store.meta("brief") == "one"
    feed.store.set_meta("brief", "two")
    with brief_write(database) as conn:
        assert scalar(conn, "SELECT value FROM meta WHERE name = 'brief'") == "two"
    feed.store.close()


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    feed = Feed(tmp_path / "one.db")
    database = parse_database(database_of(tmp_path / "one.db"))

    def fail(conn: Connection) -> None:
        set_meta(conn, "brief", "one")
        raise KeyError("brief")

    with pytest.raises(KeyError), brief_write(database) as conn:
        fail(conn)

    assert feed.store.meta("brief") is None
    feed.store.close()


@pytest.mark.sqlite
def test_without_a_database_nothing_is_made(tmp_path: Path) -> None:
    place = tmp_path / "none.db"

    with pytest.raises(NoDataError, match="ccagent run"), brief_write(parse_database(str(place))):
        pass

    assert list(tmp_path.iterdir()) == []


@pytest.mark.sqlite
def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    place = tmp_path / "text.db"
    place.write_text("no database, but long enough to be looked at " * 40)

    with pytest.raises(StoreError, match=str(place)), brief_write(parse_database(str(place))):
        pass
