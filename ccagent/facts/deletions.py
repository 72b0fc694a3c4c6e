"""Files that a shell command deletes by name."""

from __future__ import annotations

import posixpath
import re
from typing import Final, NamedTuple

from ccagent.facts.dangerous import git_verb
from ccagent.facts.shell import Simple, literal, split

DELETIONS: Final = 64
"""Files of one command line that are kept; few name as many."""

PATHS: Final = 8_192
"""Characters of their paths together: what is remembered of a call until its end stays small."""

_ELSEWHERE: Final = frozenset(("ssh", "xargs", "find", "chroot"))
_COMPLAINT: Final = re.compile(r"^(?:rm|unlink): |^fatal: ", re.MULTILINE)
_ABSOLUTE: Final = re.compile(r"/|[A-Za-z]:[/\\]")


class Deletion(NamedTuple):
    """One operand of rm, git rm or unlink. `path` as written, behind a `cd` of the same line; proven: that the line
    ends with 0 shows that the command did."""

    path: str
    proven: bool


def deletions(command: str) -> tuple[Deletion, ...]:
    """The files that a line deletes if it succeeds, each once.

    Rule: operands of rm, git rm (not --cached, not --dry-run) and unlink that are what they say. Globs, variables,
    substitutions, commands within loops and conditions, and what runs elsewhere (ssh, xargs, find) are left out: how
    many files they take cannot be told. A directory cannot be told from a file, so each operand counts as one.
    """
    if "rm" not in command and "unlink" not in command:
        return ()
    commands = split(command)
    found: dict[str, Deletion] = {}
    for index, simple in enumerate(commands):
        operands = _operands(simple)
        if not operands or simple.compound or simple.nested or simple.background or simple.joiner == "||":
            continue
        if not _ELSEWHERE.isdisjoint(simple.wrappers) or (simple.cwd is not None and "$" in simple.cwd):
            continue
        proven = _proven(commands, index)
        for operand in operands:
            if literal(operand):
                path = operand if simple.cwd is None else joined(simple.cwd, operand)
                found.setdefault(path, Deletion(path, proven))
    kept, room = list(found.values())[:DELETIONS], PATHS
    for number, each in enumerate(kept):
        room -= len(each.path)
        if room < 0:
            return tuple(kept[:number])
    return tuple(kept)


def happened(deletion: Deletion, output: str) -> bool:
    """Whether a file is gone after a line that ended with 0: by that, else by the lack of a complaint."""
    return deletion.proven or _COMPLAINT.search(output) is None


def joined(folder: str | None, path: str) -> str:
    """The path as seen from that folder."""
    if folder is None or _ABSOLUTE.match(path) or path.startswith("~"):
        return path
    return posixpath.normpath(posixpath.join(folder.replace("\\", "/") if "\\" in folder else folder, path))


def _operands(simple: Simple) -> list[str]:
    words = simple.words
    if simple.name == "git":
        verb, rest = git_verb(words[1:])
        if verb != "rm" or "--cached" in rest or "--dry-run" in rest or "-n" in rest:
            return []
    elif simple.name in ("rm", "unlink"):
        rest = words[1:]
    else:
        return []
    found, plain = [], False
    for word in rest:
        if word == "--" and not plain:
            plain = True
        elif plain or not word.startswith("-"):
            found.append(word)
    return found


def _proven(commands: tuple[Simple, ...], index: int) -> bool:
    """Whether all that follows is joined by `&&`, or by a pipe behind another command."""
    own = True
    for each in commands[index + 1 :]:
        if each.nested:
            continue
        own = own and each.joiner == "|"
        if own or each.joiner not in ("&&", "|"):
            return False
    return True
