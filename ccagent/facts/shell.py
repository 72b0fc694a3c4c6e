"""What a shell command line runs: its simple commands, without quotes, redirections and wrappers.

A tolerant reader of the lines that agents write, not a shell: nothing is expanded, and what it does not understand
costs that part, never the line. An expansion stays as its text (`$HOME`, `${x}`), a substitution becomes `$()` in the
word that holds it, and the commands within are found like any others, before the one that they stand in.
"""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache
from typing import Final, NamedTuple

from ccagent.facts.wrappers import STARTERS, unwrap

COMMAND_CHARACTERS: Final = 64 * 1024
"""Of a longer command line only so much is read."""

SIMPLE_COMMANDS: Final = 200
"""A line of more is read no further."""

DEPTH: Final = 8
"""Levels of subshells, substitutions and `bash -c` that are followed."""

STDIN_CHARACTERS: Final = 16 * 1024
"""Of a here-document no more is kept."""

SUBSTITUTED: Final = "$()"
"""Stands in a word for the output of a command."""

NOT_LITERAL: Final = re.compile(r"[$*?\[{`]|^~|^-$")
"""Words that the shell would expand, or that name no file."""


class Simple(NamedTuple):
    """One simple command. `words` is never empty."""

    words: tuple[str, ...]
    """argv without assignments and wrappers; the command itself as it was written (`./gradlew`, `/usr/bin/git`)."""
    env: tuple[str, ...] = ()
    """Names that are assigned for it."""
    wrappers: tuple[str, ...] = ()
    """What it was started by, the outermost first: sudo, timeout, env, bash, xargs, find, ssh …"""
    joiner: str = ""
    """Operator between it and the command before it: && || ; | & newline; "" for the first, "$(" for the first of a
    substitution."""
    cwd: str | None = None
    """Where a `cd` before it went; None: where the line started. Holds a `$` where that is not literal."""
    limit_seconds: float | None = None
    """Of timeout(1)."""
    nested: bool = False
    """Within a substitution: neither its exit code nor its output is the line's."""
    compound: bool = False
    """Within if, for, while, until or case: it may not have run, or more than once."""
    outputs: tuple[str, ...] = ()
    """Files that its standard output is redirected to."""
    stdin: str | None = None
    """Its here-document or here-string, as far as it is kept."""
    background: bool = False
    """Followed by `&`: the line does not wait for it."""

    @property
    def name(self) -> str:
        """The command's own name, without its folder."""
        return self.words[0].rpartition("/")[2]


_SPECIAL: Final = re.compile(r"[\n\\'\"`$&|;<>()#{}!]")
_PLAIN: Final = re.compile(r"[^\s\\'\"`$&|;<>()]+", re.ASCII)
_PLAIN_WORDS: Final = re.compile(r"(?:[^\s\\'\"`$&|;<>()#][^\s\\'\"`$&|;<>()]*+(?=[ \t\n;]|\Z)[ \t]*+)++", re.ASCII)
"""A run of words without quotes, expansions and redirections: most of what is written."""
_USUAL_REDIRECT: Final = re.compile(r"2>(?:&1|/dev/null)[ \t]*(?=[|;&\n)]|\Z)")
_BLANK: Final = re.compile(r"(?:[ \t\r\f\v]|\\\r?\n)+")
_DOUBLE: Final = re.compile(r'[^"\\`$]+')
_REDIRECT: Final = re.compile(r"&>>?|<<<|<<-?|<&|<>|>>|>\||>&|<|>")
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_OPERATOR: Final = re.compile(r"&&|\|\||;;&|;;|;&|;|\|&|\||&")
_JOINERS: Final = {";;": ";", ";;&": ";", ";&": ";", "|&": "|"}
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\[[^\]]*\])?\+?=")
_OPENERS: Final = frozenset(("if", "while", "until"))
_MIDDLE: Final = frozenset(("then", "elif", "else", "do", "!", "{"))
_CLOSERS: Final = frozenset(("fi", "done", "esac"))
_HEADS: Final = frozenset(("for", "select", "case", "function"))
_KEYWORDS: Final = _OPENERS | _MIDDLE | _CLOSERS | _HEADS | {"}"}


@lru_cache(maxsize=64)
def split(command: str) -> tuple[Simple, ...]:
    """The simple commands of a line in the order of the line; () for none. Never raises."""
    if len(command) > COMMAND_CHARACTERS:
        command = command[:COMMAND_CHARACTERS]
    reader = _Reader(command)
    if _SPECIAL.search(command) is None:
        words = command.split()
        if words:
            reader.emit(words, "")
    else:
        try:
            reader.read(0, "")
        except (RecursionError, IndexError):  # whatever was found up to here
            pass
    return tuple(reader.found)


def literal(word: str) -> bool:
    """Whether a word is what it says, as far as can be seen: nothing that the shell would expand."""
    return bool(word) and NOT_LITERAL.search(word) is None


class _Reader:
    """Reads one text; the texts of `bash -c` and the like are read by readers of their own."""

    def __init__(self, text: str, depth: int = 0) -> None:
        self.text = text
        self.depth = depth
        self.found: list[Simple] = []
        self.cwd: str | None = None
        self.nested = False
        self.blocks = 0
        self.bodies: dict[int, int] = {}
        """Here-documents: position of the newline before the first body → where the last one ends."""
        self.outputs: list[str] = []
        self.stdin: str | None = None
        self.background = False

    # ---- lists of commands ----------------------------------------------------------------------------------------

    def read(self, pos: int, joiner: str, closer: str = "") -> int:
        """Commands from `pos` up to the closing bracket or the end; the position behind it."""
        text, end = self.text, len(self.text)
        words: list[str] = []
        kept = self.outputs, self.stdin
        self.outputs, self.stdin = [], None
        testing = False  # within [[ … ]]
        brackets = "[[" in text
        while pos < end:
            if not brackets:
                run = _PLAIN_WORDS.match(text, pos)
                if run is not None:
                    words += run.group().split()
                    pos = run.end()
                    if pos >= end:
                        break
            char = text[pos]
            if char == "2":
                usual = _USUAL_REDIRECT.match(text, pos)
                if usual is not None:
                    pos = usual.end()
                    continue
            if char in " \t\r\f\v\\":
                blank = _BLANK.match(text, pos)
                if blank is not None:
                    pos = blank.end()
                    continue
            if testing and char in "&|<>()":
                pos += 1
                continue
            if char == "\n":
                joiner = self._finish(words, joiner, "\n")
                words, testing = [], False
                pos = self.bodies.get(pos, pos + 1)
            elif char in ";&|" and not text.startswith("&>", pos):
                found = _OPERATOR.match(text, pos)
                assert found is not None
                joiner = self._finish(words, joiner, _JOINERS.get(found.group(), found.group()))
                words, pos = [], found.end()
            elif char in "<>&":
                pos = self._redirect(pos)
            elif char == "#":
                newline = text.find("\n", pos)
                pos = end if newline < 0 else newline
            elif char == "(":
                pos, words, joiner = self._bracket(pos, words, joiner)
            elif char == ")":
                pos += 1
                if closer == ")":
                    break
                self.blocks += "case" in words  # the pattern of a case
                words = []
            else:
                start = pos
                pos, word = self._word(pos)
                pos += pos == start  # whatever it is
                if pos < end and text[pos] in "<>" and word.isdecimal():
                    pos = self._redirect(pos, word)
                    continue
                words.append(word)
                testing = word == "[[" or (testing and word != "]]")
            if len(self.found) >= SIMPLE_COMMANDS:
                pos = end
        self._finish(words, joiner, "")
        self.outputs, self.stdin = kept
        return pos

    def _bracket(self, pos: int, words: list[str], joiner: str) -> tuple[int, list[str], str]:
        """A subshell, an arithmetic command, a function's brackets or an array."""
        text = self.text
        if not words or words[-1] in _MIDDLE or words[-1] in _OPENERS or words[-1] == "time":
            if text.startswith("((", pos):
                close = text.find("))", pos)
                return (len(text) if close < 0 else close + 2), words, joiner
            if words:
                joiner = self._finish(words, joiner, joiner)
            if self.depth >= DEPTH:
                return len(text), [], joiner
            self.depth += 1
            cwd = self.cwd
            pos = self.read(pos + 1, joiner, ")")
            self.cwd = cwd
            self.depth -= 1
            return pos, [], joiner
        close = text.find(")", pos)
        pos = len(text) if close < 0 else close + 1
        if words[-1].endswith("="):
            return pos, words, joiner
        return pos, [], joiner  # name() { … }

    def _finish(self, words: list[str], joiner: str, following: str) -> str:
        """The command is over; the joiner of the next one."""
        if words or self.stdin is not None or self.outputs:
            self.background = following == "&"
            emitted = self.emit(words, joiner) if words else False
            self.outputs, self.stdin = [], None
            if not emitted and not words:
                return following
            return following if following else joiner
        return following if self.found else joiner

    # ---- redirections ---------------------------------------------------------------------------------------------

    def _redirect(self, pos: int, descriptor: str = "") -> int:
        text = self.text
        found = _REDIRECT.match(text, pos)
        if found is None:
            return pos + 1
        sign, pos = found.group(), found.end()
        if text.startswith("(", pos) and sign in "<>":  # process substitution
            return self._inner(pos + 1)
        blank = _BLANK.match(text, pos)
        if blank is not None:
            pos = blank.end()
        start = pos
        if pos < len(text) and text[pos] not in "\n;&|<>()":
            pos, target = self._word(pos)
        else:
            return self._inner(pos + 2) if text.startswith("<(", pos) else pos
        if sign in ("<<", "<<-"):
            self._document(target, pos, tabs=sign == "<<-", quoted=text[start] in "'\"\\")
        elif sign == "<<<":
            self.stdin = target[:STDIN_CHARACTERS]
        elif ">" in sign and descriptor in ("", "1") and not (sign == ">&" and (target.isdecimal() or target == "-")):
            self.outputs.append(target)
        return pos

    def _document(self, delimiter: str, pos: int, *, tabs: bool, quoted: bool) -> None:
        """Keep a here-document and remember where the line goes on after it."""
        text = self.text
        newline = text.find("\n", pos)
        if newline < 0:
            return
        start = self.bodies.get(newline, newline + 1)
        pattern = rf"^{'	*' if tabs else ''}{re.escape(delimiter)}[ \t\r]*$"
        close = re.compile(pattern, re.MULTILINE).search(text, start)
        stop = close.start() if close is not None else len(text)
        self.bodies[newline] = min(close.end() + 1, len(text)) if close is not None else len(text)
        self.stdin = text[start : min(stop, start + STDIN_CHARACTERS)]

    # ---- words ----------------------------------------------------------------------------------------------------

    def _word(self, pos: int) -> tuple[int, str]:
        """One word from `pos`, with its quotes removed; the position behind it, always further."""
        text, end = self.text, len(self.text)
        found = _PLAIN.match(text, pos)
        if found is not None:
            pos = found.end()
            if pos >= end or text[pos] in " \n\t;":
                return pos, found.group()
            parts = [found.group()]
        else:
            parts = []
        while pos < end:
            char = text[pos]
            if char == "'":
                close = text.find("'", pos + 1)
                close = end if close < 0 else close
                parts.append(text[pos + 1 : close])
                pos = close + 1
            elif char == '"':
                pos, part = self._double(pos + 1)
                parts.append(part)
            elif char == "\\":
                following = text[pos + 1 : pos + 2]
                if following != "\n":
                    parts.append(following)
                pos += 2
            elif char == "$":
                pos, part = self._dollar(pos)
                parts.append(part)
            elif char == "`":
                pos = self._backtick(pos)
                parts.append(SUBSTITUTED)
            else:
                found = _PLAIN.match(text, pos)
                if found is None:
                    break
                parts.append(found.group())
                pos = found.end()
        return min(pos, end), "".join(parts)

    def _double(self, pos: int) -> tuple[int, str]:
        """Text in double quotes, from behind the first one."""
        text, end = self.text, len(self.text)
        found = _DOUBLE.match(text, pos)
        if found is not None and text.startswith('"', found.end()):
            return found.end() + 1, found.group()
        parts: list[str] = []
        while pos < end:
            char = text[pos]
            if char == '"':
                return pos + 1, "".join(parts)
            if char == "\\":
                following = text[pos + 1 : pos + 2]
                parts.append(following if following in '"\\$`' else "" if following == "\n" else char + following)
                pos += 2
            elif char == "$":
                pos, part = self._dollar(pos, quoted=True)
                parts.append(part)
            elif char == "`":
                pos = self._backtick(pos)
                parts.append(SUBSTITUTED)
            else:
                found = _DOUBLE.match(text, pos)
                assert found is not None
                parts.append(found.group())
                pos = found.end()
        return end, "".join(parts)

    def _dollar(self, pos: int, *, quoted: bool = False) -> tuple[int, str]:
        text = self.text
        if text.startswith("$((", pos):
            close = text.find("))", pos)
            return (len(text) if close < 0 else close + 2), "$(())"
        if text.startswith("$(", pos):
            return self._inner(pos + 2), SUBSTITUTED
        if text.startswith("${", pos):
            close = text.find("}", pos)
            close = len(text) if close < 0 else close + 1
            return close, text[pos:close]
        if not quoted and text.startswith("$'", pos):
            found = re.compile(r"(?:[^'\\]|\\.)*", re.DOTALL).match(text, pos + 2)
            assert found is not None
            return found.end() + 1, _ESCAPE.sub(r"\1", found.group())
        return pos + 1, "$"

    def _inner(self, pos: int) -> int:
        """Commands of a substitution, from behind its bracket; the position behind it."""
        if self.depth >= DEPTH:
            return len(self.text)
        nested, cwd = self.nested, self.cwd
        self.nested = True
        self.depth += 1
        pos = self.read(pos, "$(", ")")
        self.depth -= 1
        self.nested, self.cwd = nested, cwd
        return pos

    def _backtick(self, pos: int) -> int:
        close = pos + 1
        while True:
            close = self.text.find("`", close)
            if close < 0:
                return len(self.text)
            if self.text[close - 1] != "\\":
                break
            close += 1
        self._descend(self.text[pos + 1 : close].replace("\\`", "`"), "$(", (), (), nested=True)
        return close + 1

    def _descend(
        self,
        text: str,
        joiner: str,
        wrappers: tuple[str, ...],
        env: tuple[str, ...],
        limit: float | None = None,
        *,
        nested: bool = False,
    ) -> None:
        """Commands of a text that another shell reads."""
        if self.depth >= DEPTH:
            return
        inner = _Reader(text, self.depth + 1)
        inner.cwd, inner.nested, inner.blocks = self.cwd, self.nested or nested, self.blocks
        hidden = self.background
        inner.read(0, joiner)
        for each in inner.found[: SIMPLE_COMMANDS - len(self.found)]:
            within = each.limit_seconds if each.limit_seconds is not None else limit
            self.found.append(
                each._replace(
                    wrappers=wrappers + each.wrappers,
                    env=env + each.env,
                    limit_seconds=within,
                    background=each.background or hidden,
                )
            )

    # ---- simple commands ------------------------------------------------------------------------------------------

    def emit(self, words: list[str], joiner: str) -> bool:
        """Add the command of these words; whether there is one."""
        if words[0] in _KEYWORDS:
            words = self._behind_keywords(words)
            if not words:
                return False
        env: tuple[str, ...] = ()
        while "=" in words[0] and _ASSIGNMENT.match(words[0]):
            env += (words[0].partition("=")[0],)
            words = words[1:]
            if not words:
                return False
        if words[0].rpartition("/")[2] not in STARTERS:
            self._found(tuple(words), env, (), joiner, None)
            if words[0] == "cd" or words[0] == "pushd":
                self._move(words)
            return True
        bare = unwrap(words)
        env += bare.env
        script = self.stdin if bare.reads_stdin else bare.script
        if script is None or bare.starts:
            self._found(tuple(bare.words), env, bare.wrappers, joiner, bare.limit_seconds)
            joiner = "&&"
        if script is not None:
            self._descend(script, joiner, (*bare.wrappers, bare.name), env, bare.limit_seconds)
        return True

    def _found(
        self, words: tuple[str, ...], env: tuple[str, ...], wrappers: tuple[str, ...], joiner: str, limit: float | None
    ) -> None:
        self.found.append(
            Simple(
                words, env, wrappers, joiner, self.cwd, limit, self.nested, self.blocks > 0, tuple(self.outputs),
                self.stdin, self.background,
            )
        )  # fmt: skip

    def _behind_keywords(self, words: list[str]) -> list[str]:
        """These words without the shell's own in front; [] where no command follows in them."""
        start = 0
        while start < len(words) and words[start] in _KEYWORDS:
            word = words[start]
            if word in _OPENERS:
                self.blocks += 1
            elif word in _CLOSERS:
                self.blocks -= 1
            elif word in _HEADS:
                self.blocks += word != "function"
                return []
            start += 1
        return words[start:]

    def _move(self, words: list[str]) -> None:
        to = next((word for word in words[1:] if not word.startswith("-") or word == "-"), "~")
        if to == "-":
            to = "$OLDPWD"
        before = self.cwd
        if before is None or to.startswith(("/", "~", "$")):
            self.cwd = to
        else:
            self.cwd = posixpath.normpath(posixpath.join(before, to))
