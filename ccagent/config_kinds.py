"""What a configuration key is: its kind, and what is declared of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

ENV_PREFIX: Final = "CCAGENT_"


class Kind(StrEnum):
    """What values a key takes, in words."""

    TEXT = "a text"
    PATH = "a path"
    PATHS = "a list of paths"
    CHOICES = "a list"
    INTEGER = "an integer"
    NUMBER = "a number"
    FLAG = "true or false"
    TABLE = "a table of texts"
    COUNTS = "a table of integers"
    AMOUNTS = "a table of numbers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One configuration key.

    `name` is dotted: what stands before the dot is the TOML table. `default` None means absent; `unset` then says
    what happens. `standard` names OpenTelemetry variables that stand in when the key is set nowhere; `each` keys
    may also stand in the table of a named destination.
    """

    name: str
    kind: Kind
    purpose: str
    default: object = None
    unset: str = ""
    example: str = ""  # TOML value shown in the default file where there is no default
    choices: tuple[object, ...] = ()
    minimum: float | None = None
    variable_name: str = ""
    option: str = ""
    standard: tuple[str, ...] = ()
    each: bool = False

    @property
    def section(self) -> str:
        """The TOML table, "" for the top level."""
        return self.name.rpartition(".")[0]

    @property
    def leaf(self) -> str:
        """The name within its table."""
        return self.name.rpartition(".")[2]

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return self.variable_name or ENV_PREFIX + self.name.replace(".", "_").upper()
