"""The quality runs of a command line, and what its exit code says of each."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ccagent.facts.quality.launchers import launched
from ccagent.facts.quality.runners import TASK_RUNNERS, Found, known, tool
from ccagent.facts.shell import Simple, split

RUNS: Final = 12
"""Runs of one command line that are kept."""


class Run(NamedTuple):
    """One run within a command line."""

    kind: str
    framework: str
    passes: bool
    """That the line ends with 0 proves that this run did: all that follows is joined by `&&`, or hides nothing."""
    fails: bool
    """That the line ends with another code proves that this run did: nothing else on its way may fail."""
    filter: str
    """What its output goes through: "" nothing, `tail` what keeps the end, `head` the start, `other` any part."""
    lines: int
    """Lines that `head` or `tail` lets pass; fewer in an output show that it is whole. 0: not known."""
    shown: bool
    """Its output is the call's: not redirected to a file, not within a substitution."""
    alone: bool
    """Nothing else of the line prints."""
    starts: bool
    """It began, if the line came to its end with 0: it does not stand behind `||` or within an `if`."""
    after: int
    """Number of the run that must have passed before this one began (`lint && test`); -1 for none."""


_QUIET: Final = frozenset(
    (
        "cd export set source . mkdir pushd popd true unset sleep umask ulimit shopt alias trap local declare"
        " eval : touch cp mv rm exit return wait"
    ).split()
)
"""Commands that print nothing when all is well."""

_HARMLESS: Final = frozenset(
    (
        "cd export set source . mkdir pushd popd true unset sleep echo printf : umask tail head tee cat ulimit shopt"
        " trap date pwd"
    ).split()
)
"""Commands that hardly fail: a code other than 0 is not theirs, if a run stands beside them."""

_ENDINGS: Final = (";", "\n", "&")
_MASKS: Final = frozenset(("|", "||", ";", "\n", "&"))


def runs(command: str) -> tuple[Run, ...]:
    """The quality runs of a command line, in its order; () for none."""
    commands = split(command)
    found = [(index, simple, pairs) for index, simple in enumerate(commands) if (pairs := _recognise(simple))]
    if not found:
        return ()
    line = [simple for simple in commands if not simple.nested]
    strict = any(simple.words[0] == "set" and any(_errexit(word) for word in simple.words[1:]) for simple in line)
    pipefail = any(simple.words[0] == "set" and "pipefail" in simple.words for simple in line)
    result: list[Run] = []
    for index, simple, pairs in found:
        for kind, framework in pairs:
            result.append(_run(commands, index, simple, kind, framework, strict, pipefail, result))
    return tuple(result[:RUNS])


def _errexit(word: str) -> bool:
    return word == "errexit" or (word.startswith("-") and not word.startswith("--") and "e" in word)


def _recognise(simple: Simple) -> Found:
    if not known(simple.words[0]) or "xargs" in simple.wrappers:
        return ()
    return tool(launched(simple.words))


def _run(
    commands: tuple[Simple, ...],
    index: int,
    simple: Simple,
    kind: str,
    framework: str,
    strict: bool,
    pipefail: bool,
    before: list[Run],
) -> Run:
    ends = _ENDINGS if not strict else ("&",)
    following = [each for each in commands[index + 1 :] if not each.nested]
    starts = not (simple.nested or simple.compound or simple.background or simple.joiner in ("||", "$("))
    passes = fails = starts
    last = True  # no further command of the line may have failed
    own = True  # still within the run's own pipe
    for each in following:
        own = own and each.joiner == "|"
        if (each.joiner == "|" and (pipefail or not own)) or each.joiner in (
            "&&",
            *(() if not strict else (";", "\n")),
        ):
            last = last and each.name in _HARMLESS
        else:
            passes = fails = False
            break
    fails = fails and last and _clear(commands, index, ends)
    others = [each for position, each in enumerate(commands) if position != index and not each.nested]
    printing = [each for each in others if each.name not in _QUIET and not each.outputs and each.joiner != "|"]
    after = -1
    if simple.joiner == "&&" and before:
        after = _previous(commands, index, len(before))
    return Run(
        kind, framework, passes, fails, *_filter(following), not (simple.nested or simple.outputs or simple.background),
        not printing, starts, after,
    )  # fmt: skip


_LINES: Final = re.compile(r"(?:-n?|--lines=?)(\d{1,5})")
_KEEPING: Final = {"tail": "tail", "tee": "", "cat": "", "head": "head"}


def _filter(following: list[Simple]) -> tuple[str, int]:
    """What stands behind the run in its pipe, and how many lines it lets pass."""
    kept, lines = "", 0
    for simple in following:
        if simple.joiner != "|":
            break
        here = _KEEPING.get(simple.name, "other")
        if here:
            kept, lines = ("other" if kept else here), _lines(simple.words)
    return kept, 0 if kept == "other" else lines


def _lines(words: tuple[str, ...]) -> int:
    """N of `head -N`, `head -n N`; 10 without; 0 where it counts otherwise."""
    arguments = "".join(word for word in words[1:3] if word.startswith("-") or word.isdecimal())
    found = _LINES.fullmatch(arguments)
    return int(found.group(1)) if found else 0 if arguments else 10


def _clear(commands: tuple[Simple, ...], index: int, ends: tuple[str, ...]) -> bool:
    """Whether nothing before the run, in its chain of `&&`, may have ended the line in its stead."""
    position = index
    while position > 0:
        joiner = commands[position].joiner
        if joiner in ends or joiner == "":
            return True
        position -= 1
        if commands[position].nested or joiner == "|":
            continue
        if commands[position].name not in _HARMLESS:
            return False
    return True


def _previous(commands: tuple[Simple, ...], index: int, count: int) -> int:
    """The last run before it, where only `&&` and pipes without a mask stand between."""
    position = index
    while position > 0 and commands[position].joiner in ("&&", "$("):
        position -= 1
        if not commands[position].nested and _recognise(commands[position]):
            return count - 1
    return -1


def by_task(framework: str) -> bool:
    """Whether that framework runs tasks, so that any tool may have written the output."""
    return framework in TASK_RUNNERS or framework == "script"
