"""Lines of a Claude Code transcript as records; how broken ones are recovered: ccagent/sources/lines.py."""

from __future__ import annotations

from typing import Final

from ccagent.sources import lines
from ccagent.sources.claude.records import Record
from ccagent.sources.lines import Parsed, decode, lenient, text_of

__all__ = ("Parsed", "decode", "lenient", "parse", "recover", "text_of")

parse: Final = lines.reader(Record)
"""The one record of a sound line, else what could be recovered. The line has no newline and is not blank."""


def recover(line: bytes) -> Parsed[Record]:
    """Every whole object from the start of the line, field by field."""
    return lines.recover(Record, line)
