"""Files that a command line deletes by name."""

from __future__ import annotations

import pytest

from ccagent.facts.deletions import DELETIONS, Deletion, deletions, happened, joined


@pytest.mark.parametrize(
    ("command", "paths"),
    [
        ("rm a.txt", ["a.txt"]),
        ("rm -f a.txt b.txt", ["a.txt", "b.txt"]),
        ("rm -- -odd", ["-odd"]),
        ("rm -rf dist", ["dist"]),
        ("git rm src/a.py", ["src/a.py"]),
        ("git -C x rm -f a.py", ["a.py"]),
        ("unlink link", ["link"]),
        ("cd sub && rm a.txt", ["sub/a.txt"]),
        ("cd sub && rm /tmp/a.txt", ["/tmp/a.txt"]),
        ("rm a a", ["a"]),
        ("sudo rm a", ["a"]),
        ("bash -c 'rm a'", ["a"]),
        ("rm *.py", []),
        ("rm $f", []),
        ("rm 'it is.txt'", ["it is.txt"]),
        ("rm ~/x", []),
        ("git rm --cached a", []),
        ("git rm -n a", []),
        ("cd $X && rm a", []),
        ("false || rm a", []),
        ("for f in a b; do rm x; done", []),
        ("if true; then rm x; fi", []),
        ("ls | xargs rm x", []),
        ("ssh host rm x", []),
        ("echo rm x", []),
        ("rm x &", []),
    ],
)
def test_operands_that_are_what_they_say_are_deleted(command: str, paths: list[str]) -> None:
    assert [deletion.path for deletion in deletions(command)] == paths


@pytest.mark.parametrize(
    ("command", "proven"),
    [
        ("rm a", True),
        ("rm a && echo b | tail", True),
        ("rm a; ls", False),
        ("rm a | cat", False),
        ("rm a || true", False),
    ],
)
def test_a_code_proves_only_what_nothing_hides(command: str, proven: bool) -> None:
    (deletion,) = deletions(command)

    assert deletion.proven is proven


def test_a_complaint_speaks_against_what_is_not_proven() -> None:
    complaint = "rm: cannot remove 'a': No such file or directory"

    assert happened(Deletion("a", False), "fine")
    assert not happened(Deletion("a", False), complaint)
    assert happened(Deletion("a", True), complaint)


def test_a_line_keeps_a_bounded_number() -> None:
    assert len(deletions("rm " + " ".join(f"f{number}" for number in range(500)))) == DELETIONS


@pytest.mark.parametrize(
    ("folder", "path", "expected"),
    [
        ("/repo", "a.py", "/repo/a.py"),
        ("/repo", "../b/a.py", "/b/a.py"),
        ("/repo", "/x/a.py", "/x/a.py"),
        ("C:\\repo", "a.py", "C:/repo/a.py"),
        ("/repo", "C:/x/a.py", "C:/x/a.py"),
        (None, "a.py", "a.py"),
    ],
)
def test_a_path_is_seen_from_where_the_line_ran(folder: str | None, path: str, expected: str) -> None:
    assert joined(folder, path) == expected
