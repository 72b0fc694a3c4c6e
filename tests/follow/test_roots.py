"""Where transcripts are looked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ccagent.follow.roots import CODEX, PREFIXES, Kinds, Root, default_roots, lies_within, resolve_roots
from ccagent.sources.known import SOURCES

HOME = Path("/home/me")
CLAUDE = [Root(HOME / ".claude" / "projects"), Root(HOME / ".config" / "claude" / "projects")]
ROLLOUTS = [Root(HOME / ".codex" / name, CODEX) for name in ("sessions", "archived_sessions")]
DEFAULTS = CLAUDE + ROLLOUTS


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
    assert default_roots({"CLAUDE_CONFIG_DIR": value}, HOME) == [
        *(Root(Path(name, "projects")) for name in expected),
        *DEFAULTS,
    ]


def test_a_place_named_twice_comes_once() -> None:
    assert default_roots({"CLAUDE_CONFIG_DIR": "/home/me/.claude"}, HOME) == DEFAULTS


def test_roots_within_one_another_and_absent_ones_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "ab").mkdir()
    (tmp_path / "link").symlink_to("a")

    roots = resolve_roots([tmp_path / name for name in ("a/b", "a", "ab", "link", "absent")])

    assert roots == [os.fsencode(os.path.realpath(tmp_path / name)) for name in ("a", "ab")]


def test_a_root_that_cannot_be_looked_at_is_not_taken_for_an_absent_one(tmp_path: Path) -> None:
    ring = tmp_path / "ring"
    ring.symlink_to(ring)  # as a folder above it that may not be entered, but for everybody

    assert resolve_roots([ring / "projects", tmp_path / "absent"]) == [os.fsencode(ring / "projects")]


def test_a_folder_holds_what_is_below_it_and_not_what_begins_alike() -> None:
    assert [lies_within(path, b"/a") for path in (b"/a", b"/a/b", b"/ab", b"/")] == [True, True, False, False]


def test_the_root_folder_holds_everything() -> None:
    assert lies_within(b"/a", b"/")


def test_the_home_of_codex_comes_before_its_usual_place() -> None:
    named = [Root(Path("/c", name), CODEX) for name in ("sessions", "archived_sessions")]

    assert default_roots({"CODEX_HOME": "/c"}, HOME) == [*CLAUDE, *named, *ROLLOUTS]
    assert default_roots({"CODEX_HOME": "~/.codex"}, HOME) == DEFAULTS


def test_every_kind_of_root_has_its_source() -> None:
    assert PREFIXES.keys() == SOURCES.keys()


def test_a_file_is_of_the_innermost_root_that_it_lies_in(tmp_path: Path) -> None:
    kinds = Kinds([tmp_path, Root(tmp_path / "in", CODEX)])
    place = os.fsencode(os.path.realpath(tmp_path))

    assert kinds.kind_of(place + b"/a.jsonl") == "claude"
    assert kinds.kind_of(place + b"/in/rollout-1.jsonl") == "codex"
    assert kinds.kind_of(b"/elsewhere/a.jsonl") is None
    assert [kinds.takes(place + name) for name in (b"/a.jsonl", b"/in/a.jsonl", b"/in/rollout-1.jsonl")] == [
        True, False, True,
    ]  # fmt: skip


def test_a_root_that_is_a_link_and_moves_on_is_known_by_both_ends(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    link = tmp_path / "link"
    link.symlink_to("one")
    kinds = Kinds([Root(link, CODEX)])

    link.unlink()
    link.symlink_to("two")
    kinds.refresh()

    real = os.fsencode(os.path.realpath(tmp_path))
    assert [kinds.kind_of(real + name) for name in (b"/one/x", b"/two/x", b"/x")] == ["codex", "codex", None]
