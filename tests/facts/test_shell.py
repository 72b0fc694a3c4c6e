"""The splitter of command lines: what runs, in which order, and how it is joined."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.facts import shell
from ccagent.facts.shell import Simple, literal, split


def _words(command: str) -> list[tuple[str, str]]:
    """(joiner, words) of each command."""
    return [(simple.joiner, " ".join(simple.words)) for simple in split(command)]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("", []),
        ("   \n\t", []),
        ("# only a comment", []),
        ("A=1 B=2", []),
        ("ls -la", [("", "ls -la")]),
        ("ls  -la # why", [("", "ls -la")]),
        ("echo a#b", [("", "echo a#b")]),
        ("a && b || c; d | e & f", [("", "a"), ("&&", "b"), ("||", "c"), (";", "d"), ("|", "e"), ("&", "f")]),
        ("a\nb", [("", "a"), ("\n", "b")]),
        ("a |& b", [("", "a"), ("|", "b")]),
        ("a \\\n  b", [("", "a b")]),
        ("say 'a; b' \"c && d\" e\\;f", [("", "say a; b c && d e;f")]),
        ("say 'it'\\''s'", [("", "say it's")]),
        ('say "a \\"b\\" \\$x"', [("", 'say a "b" $x')]),
        ("say $'a\\tb'", [("", "say atb")]),
        ("run >out 2>&1 </dev/null", [("", "run")]),
        ("run &> all & next", [("", "run"), ("&", "next")]),
        ("run 2>/dev/null | tail -3", [("", "run"), ("|", "tail -3")]),
        ("say 2 files", [("", "say 2 files")]),
        ("(a; b) | c", [("", "a"), (";", "b"), ("|", "c")]),
        ("{ a; b; } && c", [("", "a"), (";", "b"), ("&&", "c")]),
        ("! a", [("", "a")]),
        ("if a; then b; else c; fi; d", [("", "a"), (";", "b"), (";", "c"), (";", "d")]),
        ("for f in x y; do a $f; done", [(";", "a $f")]),
        ("while read l; do a; done < in", [("", "read l"), (";", "a")]),
        ("case $x in y) a;; *) b;; esac", [("", "a"), (";", "b")]),
        ("go() { a; }; go", [("", "a"), (";", "go")]),
        ("x=(1 2 3); a", [(";", "a")]),
        ("((x = 1 + 2)); a", [("", "a")]),
        ("[[ $a == b && -f c ]] && d", [("", "[[ $a == b -f c ]]"), ("&&", "d")]),
        ("say $(a; b) c", [("$(", "a"), (";", "b"), ("", "say $() c")]),
        ('say "on $(a)"', [("$(", "a"), ("", "say on $()")]),
        ("say `a`", [("$(", "a"), ("", "say $()")]),
        ("say $((1 + 2)) ${x:-y}", [("", "say $(()) ${x:-y}")]),
        ("diff <(a) <(b)", [("$(", "a"), ("$(", "b"), ("", "diff")]),
        ("cat <<EOF | a\nrm -rf x; it's\nEOF\nb", [("", "cat"), ("|", "a"), ("\n", "b")]),
        ("cat <<-'E'\n\tx && y\n\tE\nb", [("", "cat"), ("\n", "b")]),
        ("cat <<A <<B\n1\nA\n2\nB\nb", [("", "cat"), ("\n", "b")]),
        ("say -m \"$(cat <<'EOF'\nit's; b\nEOF\n)\" && c", [("$(", "cat"), ("", "say -m $()"), ("&&", "c")]),
        ("a <<< 'b; c'", [("", "a")]),
        ("bash -c 'a && b'; c", [("", "a"), ("&&", "b"), (";", "c")]),
        ("sh -lc 'a' | b", [("", "a"), ("|", "b")]),
        ('eval "a b"', [("", "a b")]),
        ("bash <<E\na\nE", [("", "a")]),
        ("bash script.sh a", [("", "bash script.sh a")]),
        ("find . -name x -exec rm -rf {} \\;", [("", "find . -name x -exec rm -rf {} ;"), ("&&", "rm -rf {}")]),
        ("ssh -p 2 host 'a; b'", [("", "ssh -p 2 host a; b"), ("&&", "a"), (";", "b")]),
        ("command -v a", [("", "command -v a")]),
        ("say 'never closed", [("", "say never closed")]),
        ('say "never closed', [("", "say never closed")]),
        ("say $(never closed", [("$(", "never closed"), ("", "say $()")]),
        (") a", [("", "a")]),
        ("| a", [("", "a")]),
    ],
)
def test_commands_are_found_as_the_shell_would_read_them(command: str, expected: list[tuple[str, str]]) -> None:
    assert _words(command) == expected


@pytest.mark.parametrize(
    ("command", "words", "env", "wrappers", "limit"),
    [
        ("A=1 B=2 run x", "run x", ("A", "B"), (), None),
        ("env -i A=1 run", "run", ("A",), ("env",), None),
        ("sudo -u me -E A=1 run", "run", ("A",), ("sudo",), None),
        ("timeout 30 run", "run", (), ("timeout",), 30.0),
        ("timeout -k 5 --signal=INT 2m run", "run", (), ("timeout",), 120.0),
        ("nohup nice -n 5 time -p run", "run", (), ("nohup", "nice", "time"), None),
        ("A=1 timeout 1.5h bash -c 'B=2 run'", "run", ("A", "B"), ("timeout", "bash"), 5_400.0),
        ("stdbuf -oL run", "run", (), ("stdbuf",), None),
        ("xargs -0 -n 1 -I {} rm {}", "rm {}", (), ("xargs",), None),
        ("exec run", "run", (), ("exec",), None),
        ("/usr/bin/env python3 x.py", "python3 x.py", (), ("env",), None),
        ("sudo -v", "sudo -v", (), (), None),
        ("timeout soon run", "run", (), ("timeout",), None),
    ],
)
def test_wrappers_and_assignments_are_taken_off(
    command: str, words: str, env: tuple[str, ...], wrappers: tuple[str, ...], limit: float | None
) -> None:
    (simple,) = split(command)

    assert (" ".join(simple.words), simple.env, simple.wrappers, simple.limit_seconds) == (words, env, wrappers, limit)


def test_a_cd_moves_what_follows_but_not_what_stands_outside_its_subshell() -> None:
    found = {simple.words[0]: simple.cwd for simple in split("a; cd x && b && cd ../y && c && (cd /z; d); e; cd $H; f")}

    assert found["a"] is None
    assert [found[name] for name in "bcdef"] == ["x", "y", "/z", "y", "$H"]


def test_what_is_hidden_or_uncertain_is_marked() -> None:
    found = {simple.words[0]: simple for simple in split("a $(b); if c; then d; fi; e > out 2> err & f <<< in")}

    assert [name for name, simple in found.items() if simple.nested] == ["b"]
    assert [name for name, simple in found.items() if simple.compound] == ["c", "d"]
    assert [name for name, simple in found.items() if simple.background] == ["e"]
    assert found["e"].outputs == ("out",)
    assert found["f"].stdin == "in"


def test_a_here_document_is_kept_for_its_command() -> None:
    (simple,) = split("psql db <<EOF\nDROP TABLE x;\nEOF\n")

    assert simple.stdin == "DROP TABLE x;\n"


@pytest.mark.parametrize(
    ("word", "is_literal"),
    [("a.txt", True), ("a/b-c", True), ("file~", True), ("", False), ("*.py", False), ("$x", False), ("a?", False),
     ("{a,b}", False), ("~/x", False), ("-", False), ("a[0]", False), ("$()", False)],
)  # fmt: skip
def test_words_that_the_shell_would_expand_are_not_literal(word: str, is_literal: bool) -> None:
    assert literal(word) is is_literal


def test_a_long_line_is_read_to_its_bound() -> None:
    assert len(split("a;" * 1_000)) == shell.SIMPLE_COMMANDS
    assert len(split("x" * 200_000)[0].words[0]) == shell.COMMAND_CHARACTERS


def test_deep_nesting_ends() -> None:
    assert split("$(" * 5_000)
    assert split("bash -c '" * 50 + "a")
    assert isinstance(split("(" * 5_000 + "a"), tuple)


_PIECES = st.sampled_from(
    ["a", "b c", " ", "\n", "'", '"', "\\", "`", "$(", ")", "(", "${x}", "$", ";", "&&", "||", "|", "&", ">", "<", "<<E\n",
     "E\n", "2>&1", "#", "if", "then", "fi", "do", "done", "case x in", ";;", "[[", "]]", "{", "}", "bash -c ", "cd x",
     "timeout 3", "sudo", "find . -exec", "A=1", "((", "))", "<(", "\t", "\x00", "é"]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=60).map("".join) | st.text(max_size=200))
def test_any_text_is_split_without_fault(command: str) -> None:
    """Never raises, keeps its bounds, and says the same again."""
    found = split.__wrapped__(command)

    assert found == split(command)
    assert all(isinstance(simple, Simple) and simple.words for simple in found)
    assert len(found) <= shell.SIMPLE_COMMANDS + 1


@given(st.lists(st.text("abcdefgh./-", min_size=1, max_size=8), min_size=1, max_size=8))
def test_plain_words_are_the_words(words: list[str]) -> None:
    (simple,) = split("run " + " ".join(words))

    assert simple.words == ("run", *words)
