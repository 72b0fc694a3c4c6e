"""What Codex's tools are asked: command lines in every form, polls, files of patches."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.facts.exec_input import COMMANDS, INPUT_BYTES, Asked, asked, patched, polled, unquoted


def text(value: Any) -> bytes:
    """An object within a string, as arguments are written."""
    return json.dumps(json.dumps(value)).encode()


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("exec_command", {"cmd": "ls -la", "workdir": "/x"}, Asked("ls -la", "/x")),
        ("shell_command", {"command": "ls | wc", "workdir": ""}, Asked("ls | wc")),
        ("shell", {"command": ["bash", "-lc", "a && b"]}, Asked("a && b")),
        ("shell", {"command": ["/bin/zsh", "-c", "a; b"], "workdir": "/w"}, Asked("a; b", "/w")),
        ("container.exec", {"cmd": ["sh", "-euc", "a"]}, Asked("a")),
        ("shell", {"command": ["git", "commit", "-m", "two words"]}, Asked("git commit -m 'two words'")),
        ("shell", {"command": ["pwsh", "-NoProfile", "-Command", "npm test"]}, Asked("npm test")),
        ("shell", {"command": ["cmd.exe", "/c", "npm", "test"]}, Asked("npm test")),
        ("shell", {"command": ["bash", "script.sh"]}, Asked("bash script.sh")),
        ("shell", {"command": ["bash", "script.sh", "x"]}, Asked("bash script.sh x")),
        ("shell", {"command": []}, None),
        ("shell", {"command": ["a", 1]}, None),
        ("shell", {"command": ""}, None),
        ("shell", {}, None),
        ("shell", ["ls"], None),
        ("read_file", {"command": "ls"}, None),
    ],
)
def test_the_line_of_a_call(name: str, given: Any, expected: Asked | None) -> None:
    assert asked(name, text(given)) == expected


def test_an_action_is_an_object_and_names_its_folder_otherwise() -> None:
    action = {"type": "exec", "command": ["bash", "-lc", "make"], "working_directory": "/w", "env": {}}

    assert asked("local_shell", json.dumps(action).encode()) == Asked("make", "/w")


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ('text(await tools.exec_command({cmd:"ls"}));', Asked("ls", None, 1)),
        (
            'const r = await tools.exec_command({"cmd":"a \\"b\\"","workdir":"/w"}); text(r.output)',
            Asked('a "b"', "/w", 1),
        ),
        ("await tools.exec_command({ workdir: '/w', timeout: 10, cmd: 'it\\'s' })", Asked("it's", "/w", 1)),
        ("await exec_command({cmd: `one\ntwo`, tty: true,})", Asked("one\ntwo", None, 1)),
        ("a({cmd: 'x'}); exec_command({cmd: 'y'}); exec_command({cmd: 'z'})", Asked("y\nz", None, 2)),
        ("exec_command({cmd:'a',workdir:'/1'});exec_command({cmd:'b',workdir:'/2'})", Asked("a\nb", None, 2)),
        ("exec_command({cmd: `ls ${folder}`})", None),
        ("exec_command({cmd: 'ls ' + folder})", None),
        ("exec_command({cmd: line})", None),
        ("// exec_command({cmd: 'x'})\n/* exec_command({cmd: 'x'}) */", None),
        ("text(\"exec_command({cmd: 'x'})\")", None),
        ("exec_command({cmd: '\\u0061\\x62\\n'})", Asked("ab\n", None, 1)),
        ("exec_command({cmd: '\\ud800'})", Asked("\ufffd", None, 1)),
        ("exec_command({cmd: 'open", None),
    ],
)
def test_the_commands_of_a_script(script: str, expected: Asked | None) -> None:
    assert asked("exec", json.dumps(script).encode()) == expected


def test_a_script_of_many_commands_is_cut() -> None:
    found = asked("exec", json.dumps("exec_command({cmd: 'x'});" * (COMMANDS + 5)).encode())

    assert found is not None
    assert found.scripted == COMMANDS


def test_what_is_too_long_is_not_read() -> None:
    long = {"cmd": "x" * INPUT_BYTES}

    assert asked("exec_command", text(long)) is None
    assert patched(text({"patch": "*** Add File: a.md\n" + "x" * INPUT_BYTES})) == ()


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("write_stdin", {"session_id": 7}, "session:7"),
        ("write_stdin", {"session_id": "a-7"}, "session:a-7"),
        ("wait", {"cell_id": "7"}, "cell:7"),
        ("wait", {"session_id": 7}, None),
        ("write_stdin", {"session_id": [7]}, None),
        ("exec_command", {"session_id": 7}, None),
    ],
)
def test_the_process_that_a_call_asks_for(name: str, given: Any, expected: str | None) -> None:
    assert polled(name, text(given)) == expected


PATCH = (
    "*** Begin Patch\n*** Add File: a b.md\n+x\n*** Update File: /c/d.md\n*** Move to: e.md\n*** Delete File: f.md\n"
)


@pytest.mark.parametrize(
    "given",
    [PATCH, f"apply_patch <<'EOF'\n{PATCH}EOF", {"command": ["apply_patch", PATCH]}, f"tools.apply_patch(`{PATCH}`)"],
)
def test_the_files_of_a_patch(given: Any) -> None:
    expected = (("create", "a b.md"), ("write", "/c/d.md"), ("other", "f.md"))

    assert patched(json.dumps(given).encode()) == expected
    assert patched(text(given)) == expected


def test_an_input_within_a_string_is_the_same() -> None:
    assert unquoted(text({"a": 1})) == unquoted(b'{"a": 1}') == b'{"a": 1}'
    assert unquoted(b'"cut') == b'"cut'


@given(
    st.sampled_from(["exec", "shell", "write_stdin", "wait"]), st.binary(max_size=80) | st.text(max_size=80).map(text)
)
def test_nothing_breaks_it(name: str, given: bytes) -> None:
    asked(name, given)
    polled(name, given)
    patched(b"*** " + given)
    unquoted(given)


@given(st.text(alphabet="exc_omand({}):'\"`\\,$/*\n ", max_size=200))
def test_no_script_breaks_it(script: str) -> None:
    asked("exec", json.dumps("exec_command({cmd: " + script).encode())
