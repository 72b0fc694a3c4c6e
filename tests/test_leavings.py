"""`ccagent uninstall`: what a real daemon leaves is listed and goes; what is not ccagent's, and transcripts, stay."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ccagent.clock import SystemClock
from ccagent.installation import installer, removal
from ccagent.leavings import Sort, plan, remove
from ccagent.paths import resolve
from ccagent.store.location import parse_database
from ccagent.store.sqlite import SqliteStore
from tests.daemon.rig import Ground, grounds, small_session

STRANGE = ("notes.txt", "ccagent.db.mine", "ccagent.dbx", "ccagent-20250101T000000Z.db.gpg")
"""Names of somebody else's files in our folders."""

ENDS = (
    ".corrupt-20260101T000000.000Z",
    ".v3-20260101T000000.000Z.bak",
    ".v3-20260101T000000.000Z.bak.partial",
    ".suspect",
)
"""Files of ccagent's that a short life does not bring about."""


@pytest.fixture(scope="module")
def home_after_use(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with all that ccagent writes at its usual places: a configuration, what a daemon leaves that was killed,
    backups, an accepted drift."""
    with grounds(tmp_path_factory.mktemp("used") / "ground") as ground:
        ground.database = usual(ground.home)
        session = small_session("one")
        session.row({"type": "brand-new", "sessionId": session.session_id})
        ground.tree.write(session)
        assert ground.verb("init").returncode == 0
        daemon = ground.start()
        daemon.until_caught_up()
        assert ground.db("backup").returncode == 0
        assert ground.verb("drift", "--accept").returncode in (0, 10)
        daemon.kill()
        (ground.database.parent / "host_id").write_text("x\n")
        (ground.home / ".config" / "ccagent" / "env").write_text("SECRET=1\n")
        for end in ENDS:
            shutil.copy(ground.database, f"{ground.database}{end}")
        yield ground.home


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """A ground whose database lies where it does by default."""
    with grounds(tmp_path / "ground") as found:
        found.database = usual(found.home)
        yield found


@pytest.fixture
def used(ground: Ground, home_after_use: Path) -> Ground:
    """The same after use."""
    shutil.copytree(home_after_use, ground.home, dirs_exist_ok=True)
    ground.tree.write(small_session("one"))
    return ground


def usual(home: Path) -> Path:
    return home / ".local" / "share" / "ccagent" / "ccagent.db"


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def uninstall(ground: Ground, *options: str, code: int = 0) -> str:
    done = ground.verb("uninstall", *options)
    assert done.returncode == code, done.stderr
    return done.stdout if not code else done.stderr


def test_purge_leaves_nothing_of_a_real_daemon_behind(used: Ground) -> None:
    before = files(used.home)

    said = uninstall(used, "--purge", "--yes")

    assert len(before) > 10
    assert [name for name in before if f"remove  {used.home / name} " not in said] == [], "each is listed"
    assert list(used.home.rglob("*ccagent*")) == [], "neither a file nor a folder"
    assert files(used.root), "transcripts are nobody's to remove"


def test_without_purge_facts_and_configuration_stay_and_it_says_so(used: Ground) -> None:
    requests = used.requests()

    said = uninstall(used, "--yes")

    left = files(used.home)
    assert ".config/ccagent/config.toml" in left
    assert ".local/share/ccagent/ccagent.db" in left
    assert any("/backups/ccagent-" in name for name in left)
    assert [name for name in left if name.endswith((".lock", ".status.json", ".partial"))] == []
    assert [name for name in left if f"keep    {used.home / name} " not in said] == []
    assert used.requests() == requests > 0


@pytest.mark.skipif(sys.platform != "linux", reason="units belong to systemd")
def test_the_service_goes_first_and_a_unit_of_somebody_elses_stays(ground: Ground) -> None:
    units = ground.home / ".config" / "systemd" / "user"
    (units / "default.target.wants").mkdir(parents=True)
    for name in ("ccagent.service", "other.service"):
        (units / name).write_text("[Service]\n")
    (units / "default.target.wants" / "ccagent.service").symlink_to(units / "ccagent.service")

    shown = uninstall(ground, "--dry-run")
    assert f"service remove {units / 'ccagent.service'}" in shown
    assert (units / "ccagent.service").exists()
    said = uninstall(ground, "--yes")

    assert f"service remove {units / 'ccagent.service'}" in said
    assert files(ground.home / ".config" / "systemd") == {"user/other.service"}


def test_it_may_be_called_again_and_the_next_start_begins_anew(used: Ground) -> None:
    uninstall(used, "--purge", "--yes")

    assert "remove  " not in uninstall(used, "--purge", "--yes")
    assert used.once().returncode == 0
    assert used.requests() == 2


def test_a_dry_run_touches_nothing(used: Ground) -> None:
    before = files(used.home)

    said = uninstall(used, "--purge", "--dry-run")

    assert files(used.home) == before
    assert said.count("remove  ") == len(before)


def test_away_from_a_terminal_nothing_is_removed_without_a_word(used: Ground) -> None:
    before = files(used.home)

    assert "--yes" in uninstall(used, "--purge", code=2)
    assert files(used.home) == before


def test_while_a_daemon_runs_nothing_is_removed(ground: Ground) -> None:
    ground.tree.write(small_session("one"))
    daemon = ground.start()
    daemon.until_caught_up()

    assert f"process {daemon.process.pid}" in uninstall(ground, "--purge", "--yes", code=75)
    assert ground.database.exists()
    assert daemon.terminate() == 0


def test_files_of_others_in_our_folders_stay_with_their_folders(used: Ground) -> None:
    folder = used.database.parent
    for name in STRANGE:
        (folder / name).write_text("mine")
    (folder / "backups" / STRANGE[-1]).write_text("mine")
    (folder / "ccagent.db.lock.d").mkdir()

    uninstall(used, "--purge", "--yes")

    assert files(folder) == {*STRANGE, f"backups/{STRANGE[-1]}"}
    assert not (used.home / ".config" / "ccagent").exists()


def test_a_link_goes_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    places = resolve({"HOME": str(tmp_path)})
    target = tmp_path / "elsewhere.toml"
    target.write_text("mine")
    places.config_file.parent.mkdir(parents=True)
    places.config_file.symlink_to(target)
    work = plan(places, parse_database(str(places.database)), purge=True)

    gone = remove(work)

    assert [leaving.sort for leaving in work.removed] == [Sort.CONFIG]
    assert target.read_text() == "mine"
    assert gone == [places.config_file.parent]


def test_a_database_that_was_named_goes_and_its_folder_stays(tmp_path: Path) -> None:
    places = resolve({"HOME": str(tmp_path)})
    named = tmp_path / "disk" / "facts.db"
    (named.parent / "backups").mkdir(parents=True)
    for name in ("facts.db", "facts.db-wal", "facts.db.lock", "other.db", "backups/facts-20260101T000000Z.db"):
        (named.parent / name).write_text("x")
    named.unlink()
    SqliteStore(named, clock=SystemClock()).close()

    remove(plan(places, parse_database(str(named)), purge=True))

    assert files(named.parent) == {"other.db"}
    assert [path.name for path in named.parent.iterdir()] == ["other.db"], "the folder of the backups was ours"


@pytest.mark.parametrize("tables", [0, 1])
def test_a_file_of_somebody_elses_that_was_named_stays(tmp_path: Path, tables: int) -> None:
    """As where --db or the configuration names the wrong file, which every other verb refuses."""
    places = resolve({"HOME": str(tmp_path)})
    named = tmp_path / "disk" / "notes.db"
    named.parent.mkdir()
    named.write_text("x" * 10_000 if not tables else "")
    if tables:
        with closing(sqlite3.connect(named)) as conn:
            conn.execute("CREATE TABLE file (name TEXT)")
    for end in ("-wal", ".lock"):
        (named.parent / f"{named.name}{end}").write_text("x")

    remove(plan(places, parse_database(str(named)), purge=True))

    assert files(named.parent) == {"notes.db", "notes.db-wal"}


def test_files_of_a_served_database_are_known_by_their_names(tmp_path: Path) -> None:
    places = resolve({"HOME": str(tmp_path)})
    database = parse_database("postgresql://me@server/facts", places.state_dir)
    places.state_dir.mkdir(parents=True)
    for end in (".lock", ".status.json", ".drift.json"):
        Path(database.sidecar + end).write_text("x")
    (places.state_dir / "postgres-mine.lock").write_text("x")

    kept = plan(places, database, purge=False)
    remove(plan(places, database, purge=True))

    assert [leaving.path.name.partition(".")[2] for leaving in kept.kept] == ["drift.json"]
    assert files(places.state_dir) == {"postgres-mine.lock"}


@pytest.mark.parametrize(
    ("prefix", "by", "command"),
    [
        ("/home/me/.local/share/pipx/venvs/ccagent", "pipx", "pipx uninstall ccagent"),
        ("/home/me/.local/share/uv/tools/ccagent", "uv", "uv tool uninstall ccagent"),
        ("/srv/venv", "pip", "/srv/venv/bin/python -m pip uninstall ccagent"),
    ],
)
def test_the_program_is_removed_by_what_installed_it(prefix: str, by: str, command: str) -> None:
    assert (installer(Path(prefix)), removal(Path(prefix))) == (by, command)


def test_a_file_that_was_named_as_configuration_and_is_none_stays(ground: Ground) -> None:
    notes = ground.home / "notes.txt"
    notes.write_text("buy milk\n")

    done = ground.verb("uninstall", "--purge", "--yes", "--config", str(notes))

    assert (done.returncode, notes.read_text()) == (0, "buy milk\n")
