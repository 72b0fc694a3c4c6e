"""Where transcripts are looked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ccagent.follow.roots import default_roots, lies_within, resolve_roots

HOME = Path("/home/me")
DEFAULTS = [HOME / ".claude" / "projects", HOME / ".config" / "claude" / "projects"]


def test_the_usual_places_are_named_whether_they_exist_or_not() -> None:
    assert default_roots({}, HOME) == DEFAULTS


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/a", ["/a"]),
        (f"/a{os.pathsep}/b", ["/a", "/b"]),
        ("/a, /b,", ["/a", "/b"]),
        ("~/c", ["/home/me/c"]),
        ("", []),
    ],
)
def test_the_configuration_variable_comes_first(value: str, expected: list[str]) -> None:
    assert default_roots({"CLAUDE_CONFIG_DIR": value}, HOME) == [Path(name, "projects") for name in expected] + DEFAULTS


def test_a_place_named_twice_comes_once() -> None:
    assert default_roots({"CLAUDE_CONFIG_DIR": "/home/me/.claude"}, HOME) == DEFAULTS


def test_roots_within_one_another_and_absent_ones_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "ab").mkdir()
    (tmp_path / "link").symlink_to("a")

    roots = resolve_roots([tmp_path / name for name in ("a/b", "a", "ab", "link", "absent")])

    assert roots == [os.fsencode(os.path.realpath(tmp_path / name)) for name in ("a", "ab")]


def test_a_folder_holds_what_is_below_it_and_not_what_begins_alike() -> None:
    assert [lies_within(path, b"/a") for path in (b"/a", b"/a/b", b"/ab", b"/")] == [True, True, False, False]


def test_the_root_folder_holds_everything() -> None:
    assert lies_within(b"/a", b"/")
