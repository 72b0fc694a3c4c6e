"""The configuration file as text: TOML in, values by dotted key out, and where in the file each one stands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from ccagent.config_alert_keys import CHANNELS, RULES
from ccagent.config_export_keys import DESTINATION_KEYS
from ccagent.config_keys import KEY_BY_NAME, KEYS
from ccagent.errors import ConfigError
from ccagent.paths import display

MAX_FILE_BYTES: Final = 1024 * 1024
"""A configuration is a few hundred lines; more is a wrong file (a database, a log) given by mistake."""

NEAREST_CUTOFF: Final = 0.6
"""difflib's own default: one or two letters off in a word of average length."""

DESTINATIONS: Final = "otlp.destinations"
"""Below it each table is a destination of its own."""

UNNAMED: Final = "otlp"
"""How the destination of [otlp] itself is called: by cursors, metrics and `status`."""

MAX_DESTINATIONS: Final = 10
"""With the unnamed one: each has threads and cursors of its own, and a budget of labels bounds their metrics."""

_DESTINATION_NAME = re.compile(r"[a-z0-9_-]{1,32}")
_POSITION = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|(end of document))\)$")
_SECTIONS: Final = frozenset(key.section for key in KEYS if key.section)


class ConfigFile:
    """One parsed file: `values` by dotted key, `where` gives "path:line:column" of a key.

    `destinations` names the tables below [otlp.destinations]; their values stand under the whole of their dotted keys.
    `rules` and `channels` are what stands at [alerts.rules] and [alerts.channels], None where nothing does.
    """

    __slots__ = ("_lines", "channels", "destinations", "path", "rules", "values")

    def __init__(self, path: Path, text: str) -> None:
        """Parse the text. Raises ConfigError with line and column for bad TOML and for unknown keys."""
        self.path = path
        # Not splitlines(): it cuts inside strings, at separators that TOML does not know as line ends.
        self._lines = [line + "\n" for line in text.removesuffix("\n").split("\n")]
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(self._syntax_message(error)) from error
        except (ValueError, RecursionError) as error:
            # The parser lets out what Python says of a number of thousands of digits, or of brackets within brackets.
            what = (
                "it is nested too deep" if isinstance(error, RecursionError) else "a number in it has too many digits"
            )
            raise ConfigError(
                f"{display(path)}: {what}; `ccagent config default` prints what may stand there"
            ) from error
        self.values: dict[str, object] = {}
        self.destinations: list[str] = []
        self.rules: object = None
        self.channels: object = None
        self._flatten(document, "")

    def where(self, name: str, *below: str) -> str:
        """Give "path:line:column" of a dotted key (`below`: names inside its value), as precisely as it can be told."""
        line = self.line(name, *below)
        if line is None:
            return display(self.path)
        leaf = re.escape(below[-1] if below else name.rpartition(".")[2])
        found = re.search(rf"""(?<![\w-])["']?{leaf}["']?\s*[=.\]]""", self._lines[line - 1])
        return f"{display(self.path)}:{line}:{found.start() + 1 if found else 1}"

    def line(self, name: str, *below: str) -> int | None:
        """Give the line (from 1) at which a dotted key is set; None when it is not in the file.

        The shortest run of lines that parses and holds the key ends with its statement: so TOML's own parser tells
        the place, however the key is written.
        """
        parts = [*name.split("."), *below]
        complete = 0
        for count in range(1, len(self._lines) + 1):
            try:
                document: object = tomllib.loads("".join(self._lines[:count]))
            except tomllib.TOMLDecodeError:
                continue
            if _holds(document, parts):
                return self._first_statement(complete, count)
            complete = count
        return None

    def _first_statement(self, after: int, until: int) -> int:
        for number in range(after + 1, until + 1):
            text = self._lines[number - 1].strip()
            if text and not text.startswith("#"):
                return number
        return until

    def _flatten(self, table: Mapping[str, Any], prefix: str) -> None:
        for name, value in table.items():
            dotted = prefix + name
            if dotted in KEY_BY_NAME:
                self.values[dotted] = value
            elif dotted == DESTINATIONS and isinstance(value, dict):
                self._name_destinations(value)
            elif dotted == RULES:
                self.rules = value
            elif dotted == CHANNELS:
                self.channels = value
            elif dotted in _SECTIONS and isinstance(value, dict):
                self._flatten(value, dotted + ".")
            elif dotted in _SECTIONS:
                raise ConfigError(f"{self.where(dotted)}: {dotted} is a table; write [{dotted}] on a line of its own")
            else:
                raise ConfigError(f"{self.where(dotted)}: unknown key {dotted!r}{_hint(dotted)}")

    def _name_destinations(self, tables: Mapping[str, Any]) -> None:
        for name, table in tables.items():
            dotted = f"{DESTINATIONS}.{name}"
            if not _DESTINATION_NAME.fullmatch(name) or name == UNNAMED:
                raise ConfigError(
                    f"{self.where(DESTINATIONS, name)}: {name!r} is no name of a destination; 1 to 32 of a-z, 0-9, _ and -, "
                    f"and not {UNNAMED!r}, which is [otlp] itself"
                )
            if not isinstance(table, dict):
                raise ConfigError(f"{self.where(dotted)}: {dotted} is a table; write [{dotted}] on a line of its own")
            for leaf, value in table.items():
                if leaf not in DESTINATION_KEYS:
                    match = nearest(leaf, DESTINATION_KEYS)
                    hint = f"; did you mean {match!r}?" if match else f"; it holds {', '.join(DESTINATION_KEYS)}"
                    raise ConfigError(f"{self.where(dotted, leaf)}: unknown key {leaf!r} in [{dotted}]{hint}")
                self.values[f"{dotted}.{leaf}"] = value
            self.destinations.append(name)
        if len(self.destinations) >= MAX_DESTINATIONS:
            raise ConfigError(
                f"{self.where(DESTINATIONS)}: {len(self.destinations)} named destinations; at most {MAX_DESTINATIONS - 1}"
            )

    def _syntax_message(self, error: tomllib.TOMLDecodeError) -> str:
        message = str(error)
        found = _POSITION.search(message)
        what = message[: found.start()] if found else message
        if found and found[1]:
            return f"{display(self.path)}:{found[1]}:{found[2]}: this is no TOML: {what}"
        return f"{display(self.path)}:{max(len(self._lines), 1)}:1: this is no TOML: {what} at the end of the file"


def read(path: Path) -> ConfigFile:
    """Read and parse a configuration file.

    Raises ConfigError when it cannot be read, is too large, is no UTF-8, is no TOML or holds an unknown key.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigError(f"{display(path)}: there is no such file; `ccagent config default` prints one") from error
    except OSError as error:
        raise ConfigError(f"{display(path)}: cannot be read: {error.strerror}; check its permissions") from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{display(path)}: larger than {MAX_FILE_BYTES} bytes; is this the configuration file?")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{display(path)}:{line}:1: not UTF-8; save the file as UTF-8") from error
    return ConfigFile(path, text.replace("\r\n", "\n"))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Give the known name most like this one, None when none is close."""
    import difflib

    close = difflib.get_close_matches(name, list(known), n=1, cutoff=NEAREST_CUTOFF)
    return close[0] if close else None


def _hint(dotted: str) -> str:
    known = [*KEY_BY_NAME, *_SECTIONS]
    if match := nearest(dotted, known):
        return f"; did you mean {match!r}?"
    # A key put into the wrong table is the commonest slip that likeness of the whole name does not find.
    leaf = dotted.rpartition(".")[2]
    same = [name for name in KEY_BY_NAME if name.rpartition(".")[2] == leaf]
    if len(same) == 1:
        return f"; did you mean {same[0]!r}?"
    return "; `ccagent config default` prints every key there is"


def _holds(document: object, parts: list[str]) -> bool:
    for part in parts:
        if isinstance(document, list) and part.isdecimal() and int(part) < len(document):
            document = document[int(part)]
            continue
        if not isinstance(document, dict) or part not in document:
            return False
        document = document[part]
    return True
