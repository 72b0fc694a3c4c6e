"""Where files lie, what is private, and that a path can be printed anywhere."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ccagent import paths
from ccagent.errors import ConfigError

ROOT = Path(__file__).parents[1]


def test_without_variables_everything_lies_below_the_home_folder() -> None:
    places = paths.resolve({"HOME": "/home/ada"})

    assert places.config_file == Path("/home/ada/.config/ccagent/config.toml")
    assert places.database == Path("/home/ada/.local/share/ccagent/ccagent.db")
    assert places.state_dir == Path("/home/ada/.local/state/ccagent")
    assert places.cache_dir == Path("/home/ada/.cache/ccagent")


def test_xdg_variables_move_each_folder_alone() -> None:
    places = paths.resolve({"HOME": "/home/ada", "XDG_DATA_HOME": "/data", "XDG_STATE_HOME": "/state"})

    assert places.database == Path("/data/ccagent/ccagent.db")
    assert places.state_dir == Path("/state/ccagent")
    assert places.config_file == Path("/home/ada/.config/ccagent/config.toml")


@pytest.mark.parametrize("value", ["", "relative/folder"])
def test_an_xdg_variable_that_is_not_absolute_is_passed_over(value: str) -> None:
    places = paths.resolve({"HOME": "/home/ada", "XDG_DATA_HOME": value})

    assert places.data_dir == Path("/home/ada/.local/share/ccagent")


@pytest.mark.parametrize(("text", "path"), [("~", "/h"), ("~/x", "/h/x"), ("~x", "~x"), ("/~/x", "/~/x")])
def test_only_a_leading_tilde_stands_for_home(text: str, path: str) -> None:
    assert paths.expand(text, {"HOME": "/h"}) == Path(path)


def test_created_folders_are_for_their_owner_only(tmp_path: Path) -> None:
    made = paths.create_private(tmp_path / "one" / "two")

    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (made, made.parent)] == [0o700, 0o700]


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    paths.create_private(tmp_path)

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_folder_below_a_file_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match=r"cannot create the folder .*file/below"):
        paths.create_private(tmp_path / "file" / "below")


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b"/a/\xff", "/a/\\xff"),
        ("/a/\udcff", "/a/\\xff"),
        ("/a/\x1b[31m", "/a/\\x1b[31m"),
        ("/a\nb", "/a\\nb"),
        ("/ä/日本", "/ä/日本"),
    ],
)
def test_any_path_can_be_shown_on_one_line(path: str | bytes, shown: str) -> None:
    assert paths.display(path) == shown


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming a user whom nobody knows needs root")
def test_a_user_without_a_home_is_told_what_to_set() -> None:
    """As in a container that is run as a number."""
    words = "import os; from ccagent import paths; import platformdirs.unix; os.setuid(54_321); paths.resolve({})"

    done = subprocess.run([sys.executable, "-c", words], env={}, capture_output=True, text=True, check=False, cwd=ROOT)

    assert "ConfigError: no home folder is known; set HOME" in done.stderr
