"""What Codex's tools are asked: the command line of a shell call in all its forms, and the files that a patch names."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

INPUT_BYTES: Final = 256 * 1024
"""A longer input is not read."""

COMMANDS: Final = 16
"""Commands of one script that are kept."""

PATCHED: Final = 64
"""Files of one patch that are kept."""

SHELLS: Final = frozenset(
    ("shell", "shell_command", "exec_command", "unified_exec", "local_shell", "container.exec", "exec")
)
"""Tools that run command lines; `exec` of newer clients runs a script that calls `exec_command`."""

POLLS: Final = {"write_stdin": ("session", "session_id"), "wait": ("cell", "cell_id")}
"""Tools that ask for more of a process that went on, and the argument that names it."""

_INTERPRETERS: Final = re.compile(r"(?:.*[\\/])?(?:ba|z|k|da|fi)?sh(?:\.exe)?", re.IGNORECASE)
_INTERPRETED: Final = re.compile(r"-[a-z]*c[a-z]*")
_POWERSHELL: Final = re.compile(r"(?:.*[\\/])?(?:powershell|pwsh|cmd)(?:\.exe)?", re.IGNORECASE)
_POWERSHELL_COMMAND: Final = frozenset(("-command", "-c", "/c", "/d/c"))

_LITERAL: Final = r"\"(?:[^\"\\]|\\.)*(?:\"|\\?\Z)|'(?:[^'\\]|\\.)*(?:'|\\?\Z)|`(?:[^`\\]|\\.)*(?:`|\\?\Z)"
"""One that is never closed goes to the end, so that a broken script is read once."""

_TOKEN: Final = re.compile(rf"{_LITERAL}|//[^\n]*|/\*.*?(?:\*/|\Z)|\bexec_command\s*\(\s*\{{", re.DOTALL)
_MEMBER: Final = re.compile(
    rf"[\s,]*[\"']?(?P<key>\w+)[\"']?\s*:\s*(?:(?P<text>{_LITERAL})|[\w.+-]+)(?=\s*[,}}])", re.DOTALL
)
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(\r?\n)|(.))", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}
_PATCHED: Final = re.compile(r"\*\*\* (Add|Update|Delete) File: ([^\n\r\\\"'`]+)")

CHANGES: Final = {"Add": "create", "Update": "write", "Delete": "other"}
"""What a patch does to a file → the way in which it is touched (a key of facts.evidence.WEIGHTS)."""


class Asked(NamedTuple):
    """A shell call's command line, and the folder that it names for it (None: the session's). `scripted`: how many
    commands a script ran, one a line; 0 where the call is the command."""

    command: str
    folder: str | None = None
    scripted: int = 0


def asked(name: str, given: bytes) -> Asked | None:
    """What a shell call runs by the JSON of its input: a string that holds JSON or a script, or an object.

    Rule: the command is a line, or a list of words: that of `bash -lc …` is its last word, any other is quoted as a
    line. Of a script only calls whose command is a literal count; what it puts together while it runs cannot be seen.
    None for a tool that runs no command, and where there is none.
    """
    if name not in SHELLS or len(given) > INPUT_BYTES:
        return None
    value = _value(given)
    if isinstance(value, str):
        return _scripted(value)
    if not isinstance(value, dict):
        return None
    line = _line(value.get("command", value.get("cmd")))
    folder = next(
        (value[key] for key in ("workdir", "working_directory", "cwd") if isinstance(value.get(key), str)), None
    )
    return Asked(line, folder or None) if line else None


def polled(name: str, given: bytes) -> str | None:
    """The process that a call asks for more of, as `exec_output.ExecOutcome.process` names it."""
    kind = POLLS.get(name)
    if kind is None or len(given) > INPUT_BYTES:
        return None
    value = _value(given)
    number = value.get(kind[1]) if isinstance(value, dict) else None
    return f"{kind[0]}:{number}"[:80] if isinstance(number, str | int) else None


def patched(given: bytes) -> tuple[tuple[str, str], ...]:
    """Way and path of each file that the patch in an input names, as far as it is well-formed."""
    if b"*** " not in given or len(given) > INPUT_BYTES:
        return ()
    value = _value(given)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    found = dict.fromkeys((CHANGES[what], path.strip()) for what, path in _PATCHED.findall(text))
    return tuple(found)[:PATCHED]


def unquoted(given: bytes) -> bytes:
    """The input itself, where it stands within a string."""
    if given[:1] != b'"' or len(given) > INPUT_BYTES:
        return given
    try:
        return str(json.loads(given)).encode("utf-8", "replace")
    except ValueError:
        return given


def _value(given: bytes) -> Any:
    """The input; where it is a string that holds an object, that object."""
    try:
        value = json.loads(given)
        if isinstance(value, str) and value.lstrip()[:1] == "{":
            try:
                return json.loads(value)
            except ValueError:
                return value
    except (ValueError, RecursionError):
        return None
    return value


def _line(command: object) -> str:
    """A command as one line; "" for none."""
    if isinstance(command, str):
        return command
    if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
        return ""
    if len(command) >= 3:
        if _INTERPRETERS.fullmatch(command[0]) and _INTERPRETED.fullmatch(command[1]):
            return str(command[2])
        if _POWERSHELL.fullmatch(command[0]):
            for place, word in enumerate(command[1:-1], 2):
                if word.lower() in _POWERSHELL_COMMAND:
                    return " ".join(command[place:])
    return shlex.join(command)


def _scripted(script: str) -> Asked | None:
    """The commands that a script calls, one a line."""
    found = list(_calls(script))[:COMMANDS]
    if not found:
        return None
    folders = {call.folder for call in found}
    return Asked("\n".join(call.command for call in found), folders.pop() if len(folders) == 1 else None, len(found))


def _calls(script: str) -> Iterator[Asked]:
    position = 0
    while (token := _TOKEN.search(script, position)) is not None:
        position = token.end()
        if not token.group().startswith("exec_command"):
            continue
        members: dict[str, str] = {}
        while (member := _MEMBER.match(script, position)) is not None:
            position = member.end()
            literal = _literal(member["text"] or "")
            if literal is not None:
                members[member["key"]] = literal
        command = members.get("cmd") or members.get("command")
        if command:
            yield Asked(command, members.get("workdir") or None)


def _literal(text: str) -> str | None:
    """The value of a literal; None for none, and where the script fills it in."""
    if not text or (text[0] == "`" and "${" in text):
        return None
    return _ESCAPE.sub(_unescaped, text[1:-1])


def _unescaped(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    if code:
        character = chr(int(code, 16))
        return "\ufffd" if "\ud800" <= character <= "\udfff" else character
    return "" if match[3] else _ESCAPED.get(match[4], match[4])
