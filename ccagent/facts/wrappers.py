"""Commands that only start another one: sudo, timeout, env, xargs, `bash -c` and the like, taken off its front."""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class Wrapper(NamedTuple):
    """How to read past one: options that take a value in the next word, and words before the command it starts."""

    valued: frozenset[str] = frozenset()
    operands: int = 0
    assigns: bool = False  # NAME=value before the command


class Bare(NamedTuple):
    """A command without what started it; `env` holds names."""

    words: list[str]
    env: tuple[str, ...] = ()
    wrappers: tuple[str, ...] = ()
    limit_seconds: float | None = None
    script: str | None = None
    """A command line that it hands to another shell."""
    starts: bool = False
    """It is a command of its own that starts the script besides (find, ssh)."""
    reads_stdin: bool = False
    """A shell that reads its commands from standard input."""

    @property
    def name(self) -> str:
        return self.words[0].rpartition("/")[2]


SCRIPTS: Final = frozenset(("bash", "sh", "zsh", "dash", "ksh", "eval"))
"""Shells whose `-c` text (eval: whose words) is a command line."""

_SUDO: Final = Wrapper(frozenset(("-u", "-g", "-h", "-p", "-C", "-T", "-U", "-r", "-t", "--user", "--group")), 0, True)
WRAPPERS: Final[dict[str, Wrapper]] = {
    "sudo": _SUDO,
    "doas": _SUDO,
    "env": Wrapper(frozenset(("-u", "--unset", "-C", "--chdir")), 0, True),
    "time": Wrapper(frozenset(("-f", "-o", "--format", "--output"))),
    "gtime": Wrapper(frozenset(("-f", "-o", "--format", "--output"))),
    "timeout": Wrapper(frozenset(("-k", "-s", "--kill-after", "--signal")), 1),
    "gtimeout": Wrapper(frozenset(("-k", "-s", "--kill-after", "--signal")), 1),
    "nice": Wrapper(frozenset(("-n", "--adjustment"))),
    "ionice": Wrapper(frozenset(("-c", "-n", "--class", "--classdata"))),
    "nohup": Wrapper(),
    "setsid": Wrapper(),
    "stdbuf": Wrapper(frozenset(("-i", "-o", "-e", "--input", "--output", "--error"))),
    "unbuffer": Wrapper(),
    "caffeinate": Wrapper(frozenset(("-t", "-w"))),
    "command": Wrapper(),
    "builtin": Wrapper(),
    "exec": Wrapper(frozenset(("-a",))),
    "xargs": Wrapper(
        frozenset(("-n", "-P", "-I", "-L", "-d", "-s", "-E", "-a", "--max-args", "--max-procs", "--delimiter"))
    ),
    "xvfb-run": Wrapper(frozenset(("-s", "-n", "-e", "-f", "-w"))),
    "chronic": Wrapper(),
    "flock": Wrapper(frozenset(("-w", "-E", "--timeout", "--wait")), 1),
    "chroot": Wrapper(frozenset(), 1),
}
"""Read as argv by themselves; the command that they start is what counts."""

_SSH_VALUED: Final = frozenset("-B -b -c -D -E -e -F -I -i -J -L -l -m -O -o -p -Q -R -S -W -w".split())
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_SHORT_C: Final = re.compile(r"-[a-zA-Z]*c[a-zA-Z]*")
NESTED: Final = 16
"""Wrappers around wrappers that are looked through; people write two or three."""

STARTERS: Final = frozenset(WRAPPERS) | SCRIPTS | {"ssh", "find"}
"""Names of commands that `unwrap` looks into."""


def unwrap(words: list[str]) -> Bare:
    """The command that these words run in the end. `words` is not empty."""
    wrappers: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    limit: float | None = None
    while words and len(wrappers) < NESTED:
        name = words[0].rpartition("/")[2]
        wrapper = WRAPPERS.get(name)
        if wrapper is None:
            break
        if name in ("command", "exec") and (len(words) < 2 or words[1] in ("-v", "-V")):
            break  # asks for a command, or only redirects
        rest, assigned, operands = _behind(wrapper, words)
        if not rest:
            break  # `sudo -v`, `env`: itself is the command
        if wrapper.operands and name.endswith("timeout"):
            limit = _seconds(operands[0]) if operands else None
        words, env, wrappers = rest, env + tuple(each.partition("=")[0] for each in assigned), (*wrappers, name)
    bare = Bare(words, env, wrappers, limit)
    name = bare.name
    if name in SCRIPTS:
        script = _script(name, words)
        return bare._replace(script=script, reads_stdin=script is None and all(w.startswith("-") for w in words[1:]))
    if name == "ssh":
        return bare._replace(script=_remote(words), starts=True)
    if name == "find":
        return bare._replace(script=_executed(words), starts=True)
    return bare


def _behind(wrapper: Wrapper, words: list[str]) -> tuple[list[str], tuple[str, ...], list[str]]:
    """Words of the command that it starts, names that it assigns, and its own operands."""
    index = 1
    operands: list[str] = []
    assigned: tuple[str, ...] = ()
    while index < len(words):
        word = words[index]
        if word == "--":
            index += 1
            if len(operands) >= wrapper.operands:
                break
        elif word in wrapper.valued:
            index += 2
        elif word.startswith("-") and len(word) > 1:
            index += 1
        elif wrapper.assigns and _ASSIGNMENT.match(word):
            assigned += (word,)
            index += 1
        elif len(operands) < wrapper.operands:
            operands.append(word)
            index += 1
        else:
            break
    return words[index:], assigned, operands


def _seconds(text: str) -> float | None:
    found = _DURATION.fullmatch(text)
    return float(found.group(1)) * _SECONDS[found.group(2)] if found else None


def _script(name: str, words: list[str]) -> str | None:
    """The text that this shell reads, where it stands in the words."""
    if name == "eval":
        return " ".join(words[1:])
    for index, word in enumerate(words[1:-1], 1):
        if _SHORT_C.fullmatch(word):
            return words[index + 1]
        if not word.startswith("-"):
            break
    return None


def _remote(words: list[str]) -> str | None:
    """What ssh runs on the other side."""
    index = 1
    while index < len(words) and words[index].startswith("-"):
        index += 2 if words[index] in _SSH_VALUED else 1
    rest = words[index + 1 :]
    return " ".join(rest) if rest else None


def _executed(words: list[str]) -> str | None:
    """What find runs for each file."""
    for index, word in enumerate(words):
        if word in ("-exec", "-execdir", "-ok", "-okdir"):
            rest = words[index + 1 :]
            for stop, each in enumerate(rest):
                if each in (";", "+"):
                    rest = rest[:stop]
                    break
            return " ".join(_quoted(each) for each in rest) or None
    return None


def _quoted(word: str) -> str:
    return word if re.fullmatch(r"[\w./:=@%+,-]+", word) else "'" + word.replace("'", "'\\''") + "'"
