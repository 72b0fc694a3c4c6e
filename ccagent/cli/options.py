"""Options that several verbs share, and the configuration that they lead to."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ccagent.config import Config, load
from ccagent.config_keys import KEY_BY_NAME, PROTOCOLS

Verb = TypeVar("Verb", bound=Callable[..., Any])

FLAG_KEYS = {
    "source": "sources",
    "db": "database",
    "listen": "listen",
    "otlp_endpoint": "otlp.endpoint",
    "otlp_protocol": "otlp.protocol",
}
"""Option (as click hands it over) → configuration key."""


class Amount(click.FloatRange):
    """A number of a range; neither "nan" nor "inf", which are in every range of click's or fall out of all arithmetic."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Give the number; wrong usage where it is none."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is no amount.", param, ctx)
        return number


def config_option(verb: Verb) -> Verb:
    """Add --config."""
    return click.option(
        "--config",
        "config_path",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Configuration file (CCAGENT_CONFIG).",
    )(verb)


def db_option(verb: Verb) -> Verb:
    """Add --db."""
    return click.option("--db", metavar="URL", help=_help("database"))(verb)


def source_option(verb: Verb) -> Verb:
    """Add --source, which may be repeated."""
    return click.option("--source", metavar="[claude:|codex:]DIR", multiple=True, help=_help("sources"))(verb)


def listen_option(verb: Verb) -> Verb:
    """Add --listen."""
    return click.option("--listen", metavar="HOST:PORT", help=_help("listen"))(verb)


def otlp_options(verb: Verb) -> Verb:
    """Add --otlp-endpoint and --otlp-protocol."""
    verb = click.option("--otlp-protocol", metavar="|".join(PROTOCOLS), help=_help("otlp.protocol"))(verb)
    return click.option("--otlp-endpoint", metavar="URL", help=_help("otlp.endpoint"))(verb)


def json_option(verb: Verb) -> Verb:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")(verb)


def load_config(config_path: Path | None, **options: object) -> Config:
    """Give the configuration under these options, named as click hands them over; warn of what was not understood."""
    db = options.get("db")
    if isinstance(db, str) and "://" in db:
        from ccagent.title import hide_passwords

        hide_passwords(db)
    config = load({FLAG_KEYS[name]: value for name, value in options.items()}, os.environ, config_path)
    for notice in config.notices:
        click.echo(f"ccagent: {notice}", err=True)
    return config


def _help(name: str) -> str:
    key = KEY_BY_NAME[name]
    default = key.unset or str(key.default)
    return f"{key.purpose} [{key.variable}; default: {default}]"
