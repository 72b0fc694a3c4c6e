"""Placeholders: the store's SQL is written with SQLite's, `?` and `?3`; Postgres wants `$1` and `$3`."""

from __future__ import annotations

import re
from typing import Final

_TOKEN: Final = re.compile(
    r"""
      (?<![\w$]) [eE] ' (?: [^'\\] | \\. | '' )* '              # E'…', where a backslash escapes
    | ' (?: [^'] | '' )* '                                      # a string
    | " (?: [^"] | "" )* "                                      # an identifier
    | (?<![\w$]) \$ (?P<tag> [A-Za-z_]\w* | ) \$ .*? \$(?P=tag)\$   # $$…$$ and $tag$…$tag$
    | -- [^\n]*
    | (?P<comment> /\* )                                        # Postgres' may hold others: see _end_of_comment
    | \? (?P<number> \d* )
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT: Final = re.compile(r"/\*|\*/")


def translate(sql: str) -> str:
    """The statement with Postgres' placeholders. What stands in strings, identifiers and comments stays as it is.

    A bare `?` takes the number after the largest so far, as in SQLite. Operators with a question mark (of jsonb, of
    ranges) cannot be told from placeholders: use the functions behind them.
    """
    parts: list[str] = []
    largest = done = 0
    while match := _TOKEN.search(sql, done):
        end = match.end()
        if match["comment"]:
            end = _end_of_comment(sql, end)
        parts.append(sql[done : match.start()])
        if match["number"] is None:
            parts.append(sql[match.start() : end])
        else:
            number = int(match["number"] or largest + 1)
            largest = max(largest, number)
            parts.append(f"${number}")
        done = end
    return "".join(parts) + sql[done:]


def _end_of_comment(sql: str, start: int) -> int:
    """Where the comment ends whose opening ends at `start`."""
    depth = 1
    for match in _COMMENT.finditer(sql, start):
        depth += 1 if match[0] == "/*" else -1
        if not depth:
            return match.end()
    return len(sql)
