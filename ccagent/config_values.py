"""From what was written to the value it means: one checked conversion a kind of key, whatever the place."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from ccagent import paths
from ccagent.config_kinds import Key, Kind
from ccagent.config_secrets import NAMED, fill, is_spelled_out
from ccagent.errors import ConfigError
from ccagent.follow.roots import CLAUDE, PREFIXES, Root

if TYPE_CHECKING:
    from ccagent.config_file import ConfigFile

_KINDED = re.compile(r"([a-z][a-z0-9_-]+):(.*)", re.DOTALL)
_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})
_NAMED_HERE: Final = "\0"
_PASSWORD = re.compile(rf"//[^/?]*:(?!{_NAMED_HERE})[^/?]*@|[?&]password=(?!{_NAMED_HERE})")
"""A URL with a password that stands in it, once each `${…}` is replaced by _NAMED_HERE."""

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a value was written: for messages, and for what relative paths start from."""

    where: str
    env: Mapping[str, str]
    folder: Path | None = None  # None: as it stands, relative to the working folder
    file: ConfigFile | None = None
    key: str = ""

    def __str__(self) -> str:
        return self.file.where(self.key) if self.file else self.where

    def fail(self, key: Key, problem: str) -> ConfigError:
        """Make the error that names the place and the key."""
        return ConfigError(f"{self}: {key.name} {problem}")


def from_text(key: Key, text: str, place: Place) -> object:
    """Convert the text of an option or variable. Raises ConfigError when it is no value of the key."""
    return _checked(key, _TEXT_READERS[key.kind](key, text.strip(), place), place)


def from_file(key: Key, value: object, place: Place) -> object:
    """Convert a typed value of the file (or a repeated option). Raises ConfigError when it is no value of the key."""
    return _checked(key, _typed(key, value, place), place)


def header_pairs(text: str) -> tuple[dict[str, str], int]:
    """Read `name=value,name=value` with percent-encoded values, as OTEL_EXPORTER_OTLP_HEADERS has them.

    Gives the headers (names in lower case) and the number of pieces that are none; those may hold secrets and are
    never repeated.
    """
    headers: dict[str, str] = {}
    bad = 0
    for piece in text.split(","):
        if not piece.strip():
            continue
        name, equals, value = piece.partition("=")
        name, value = unquote(name.strip()), unquote(value.strip())
        if equals and _HEADER_NAME.fullmatch(name) and _printable(value):
            headers[name.lower()] = value
        else:
            bad += 1
    return headers, bad


def resolve_headers(value: object, place: Place) -> dict[str, str]:
    """Replace each `${…}` of the file's headers by the secret that it names.

    Raises ConfigError, naming file, line and what is missing, for one that cannot be had, and for a secret spelled out.
    """
    assert isinstance(value, dict)
    headers: dict[str, str] = {}
    for name, text in value.items():
        where = place.file.where(place.key, name) if place.file else place.where
        if not _HEADER_NAME.fullmatch(name):
            raise ConfigError(f"{where}: {name!r} is no header name; letters, digits and dashes make one")
        if is_spelled_out(name, text):
            raise ConfigError(
                f"{where}: the header {name!r} holds a secret; put it into a variable and write ${{VARIABLE}}, or into "
                "a file of mode 0600 and write ${file:PATH}"
            )
        resolved = fill(text, place.env, where, f"the header {name!r}")
        if not _printable(resolved):
            raise ConfigError(f"{where}: the header {name!r} holds a line break or another control character")
        headers[name.lower()] = resolved
    return headers


def resolve_text(key: Key, text: str, place: Place) -> str:
    """Replace each `${…}` of a text of the file. Raises ConfigError for one that cannot be had."""
    return fill(text, place.env, str(place), key.name) if "${" in text else text


def _printable(value: str) -> bool:
    return all(char >= " " and char != "\x7f" for char in value)


def _checked(key: Key, value: object, place: Place) -> object:
    if isinstance(value, dict):
        return _checked_table(key, value, place)
    if key.choices and not isinstance(value, tuple) and value not in key.choices:
        raise place.fail(key, f"is one of {_listed(key)}, not {value!r}")
    if key.choices and isinstance(value, tuple) and (unknown := [one for one in value if one not in key.choices]):
        raise place.fail(key, f"holds any of {_listed(key)}, not {unknown[0]!r}")
    if key.minimum is not None and isinstance(value, int | float) and value < key.minimum:
        raise place.fail(key, f"is at least {key.minimum:g}, not {value:g}")
    if key.name == "rollups.timezone" and isinstance(value, str):
        _check_zone(key, value, place)
    return value


def _checked_table(key: Key, table: dict[str, object], place: Place) -> object:
    for name, value in table.items():
        if key.choices and name not in key.choices:
            raise place.fail(key, f"holds any of {_listed(key)}, not {name!r}")
        if key.minimum is not None and isinstance(value, int | float) and value < key.minimum:
            raise place.fail(key, f"holds numbers of at least {key.minimum:g}, not {value:g} for {name!r}")
    return table


def _listed(key: Key) -> str:
    return ", ".join(str(choice) for choice in key.choices)


def _check_zone(key: Key, name: str, place: Place) -> None:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise place.fail(key, f'is an IANA zone such as "Europe/Berlin"; {name!r} is not known here') from error


def _typed(key: Key, value: object, place: Place) -> object:
    kind = key.kind
    if kind is Kind.FLAG and isinstance(value, bool):
        return value
    if kind is Kind.INTEGER and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind is Kind.NUMBER and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if kind in (Kind.TEXT, Kind.PATH) and isinstance(value, str) and value:
        return _TEXT_READERS[kind](key, value, place)
    if kind in (Kind.PATHS, Kind.CHOICES) and isinstance(value, list | tuple):
        if not all(isinstance(item, str) and item for item in value):
            raise place.fail(key, "is a list of texts, none of them empty")
        return tuple(_source(key, item, place) for item in value) if kind is Kind.PATHS else tuple(value)
    if kind is Kind.COUNTS and isinstance(value, dict):
        if not all(isinstance(item, int) and not isinstance(item, bool) for item in value.values()):
            raise place.fail(key, "is a table whose values are integers")
        return dict(value)
    if kind is Kind.AMOUNTS and isinstance(value, dict):
        return {name: _amount(key, name, amount, place) for name, amount in value.items()}
    if kind is Kind.TABLE and isinstance(value, dict):
        if not all(isinstance(item, str) for item in value.values()):
            raise place.fail(key, "is a table whose values are texts")
        return dict(value)
    raise place.fail(key, f"is {kind.value}, not {_kind_of(value)}")


def _amount(key: Key, name: str, value: object, place: Place) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise place.fail(key, f"is a table whose values are numbers; that of {name!r} is {_kind_of(value)}")
    return float(value)


def _kind_of(value: object) -> str:
    names = {bool: "true or false", int: "an integer", float: "a number", list: "a list", dict: "a table"}
    if isinstance(value, str):
        return f"the text {value!r}"
    return names.get(type(value), "a date or time")


def _read_text(key: Key, text: str, place: Place) -> object:
    return _read_database(key, text, place) if key.name == "database" else text


def _read_database(key: Key, text: str, place: Place) -> str:
    """Give the path of the database file, or the URL of a Postgres database with each `${…}` filled in.

    A path in a URL is absolute, with one slash at its beginning or two. A password that stands in the configuration
    file is refused.
    """
    scheme, marks, rest = text.partition("://")
    if not marks:
        return str(_read_path(key, text, place))
    # The text is not repeated: a URL of a server holds a password.
    if scheme in ("postgresql", "postgres"):
        if place.file is not None and _PASSWORD.search(NAMED.sub(_NAMED_HERE, text)):
            raise place.fail(
                key,
                "holds no password; write ${A_VARIABLE}, ${file:PATH} or ${credential:NAME} for it, or use PGPASSFILE",
            )
        # Escaped as a URL wants it: a password may hold any sign.
        return NAMED.sub(lambda match: quote(resolve_text(key, match[0], place), safe=""), text)
    if scheme != "sqlite" or not rest.startswith("/") or not rest.strip("/"):
        raise place.fail(key, "is a path, sqlite:///path or postgresql://…; other databases are not known")
    return "/" + rest.lstrip("/")


def _read_path(key: Key, text: str, place: Place) -> Path:
    if "\0" in text:
        raise place.fail(key, "is a path and holds a NUL byte")
    path = paths.expand(text, place.env)
    return place.folder / path if place.folder else path


def _read_sources(key: Key, text: str, place: Place) -> tuple[Root, ...]:
    """Split a list of folders as PATH is split; a piece that is only a kind belongs to the piece behind it.

    Not seen: a folder whose name holds the separator; it can be named in the file or by the option.
    """
    if place.where.startswith("-"):
        return (_source(key, text, place),)
    found: list[Root] = []
    pending = ""
    for piece in text.split(os.pathsep):
        if piece in PREFIXES and not pending:
            pending = piece + ":"
        elif piece:
            found.append(_source(key, pending + piece, place))
            pending = ""
    if pending:
        found.append(_source(key, pending.removesuffix(":"), place))
    return tuple(found)


def _source(key: Key, text: str, place: Place) -> Root:
    """`claude:DIR` or `codex:DIR`; `DIR` alone is Claude Code's."""
    kind = CLAUDE
    if (match := _KINDED.fullmatch(text)) and "/" not in match[1]:
        kind, text = match[1], match[2]
        if kind not in PREFIXES:
            known = " and ".join(f'"{each}:"' for each in PREFIXES)
            raise place.fail(key, f'knows the kinds {known}, not "{kind}:"; write ./ before a folder')
    if not text:
        raise place.fail(key, "needs a folder")
    return Root(_read_path(key, text, place), kind)


def _read_choices(key: Key, text: str, place: Place) -> tuple[str, ...]:
    return tuple(piece.strip() for piece in text.split(",") if piece.strip())


def _read_integer(key: Key, text: str, place: Place) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise place.fail(key, f"is an integer, not {text!r}")
    return int(text)


def _read_number(key: Key, text: str, place: Place) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise place.fail(key, f"is a number, not {text!r}")
    return number


def _read_flag(key: Key, text: str, place: Place) -> bool:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise place.fail(key, f"is true or false, not {text!r}")


def _read_headers(key: Key, text: str, place: Place) -> dict[str, str]:
    headers, bad = header_pairs(text)
    if bad:
        raise place.fail(key, f"is name=value,name=value with percent-encoded values; {bad} of its pieces are not")
    return headers


def _read_counts(key: Key, text: str, place: Place) -> dict[str, int]:
    pairs = [piece.partition("=") for piece in text.split(",") if piece.strip()]
    if not all(equals for _, equals, _ in pairs):
        raise place.fail(key, f"is name=number,name=number, not {text!r}")
    return {name.strip(): _read_integer(key, number.strip(), place) for name, _, number in pairs}


def _read_amounts(key: Key, text: str, place: Place) -> dict[str, float]:
    pairs = [piece.rpartition("=") for piece in text.split(",") if piece.strip()]
    if not all(equals and name.strip() for name, equals, _ in pairs):
        raise place.fail(key, f"is name=number,name=number, not {text!r}")
    return {name.strip(): _read_number(key, number.strip(), place) for name, _, number in pairs}


_TEXT_READERS: Final[dict[Kind, Callable[[Key, str, Place], object]]] = {
    Kind.TEXT: _read_text,
    Kind.PATH: _read_path,
    Kind.PATHS: _read_sources,
    Kind.CHOICES: _read_choices,
    Kind.INTEGER: _read_integer,
    Kind.NUMBER: _read_number,
    Kind.FLAG: _read_flag,
    Kind.TABLE: _read_headers,
    Kind.COUNTS: _read_counts,
    Kind.AMOUNTS: _read_amounts,
}
