"""`ccagent alerts add`, `edit`, `enable`, `disable` and `rm`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ccagent.cli.alerts_options import read_document, rule_options, said
from ccagent.cli.options import config_option, db_option, json_option, load_config
from ccagent.cli.output import print_json
from ccagent.errors import UsageError

if TYPE_CHECKING:
    from ccagent.alert_changes import Change
    from ccagent.config import Config

DRY_RUN_MS = 90 * 86_400_000
"""How far back `--dry-run` looks for what the rule would have done."""

_FROM = click.option(
    "--from",
    "source",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Its document, TOML or JSON; - reads standard input.",
)
_DRY_RUN = click.option(
    "--dry-run", is_flag=True, help="Show the rule and what it would have done; nothing is written."
)


@click.command(name="add")
@click.argument("rule", metavar="RULE", required=False)
@_FROM
@rule_options
@_DRY_RUN
@db_option
@config_option
@json_option
def add(
    rule: str | None,
    source: Path | None,
    dry_run: bool,
    db: str | None,
    config_path: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Add a rule: its id, and what it asks, as --when "session_cost daily > 20" or key by key.

    Options go before what a file says. A running daemon takes it up at its next evaluation.
    """
    config = load_config(config_path, db=db)
    from ccagent.alert_changes import add as added
    from ccagent.alert_changes import daemon_hint, refusing
    from ccagent.alerts.editing import merged
    from ccagent.alerts.options import changes

    document = read_document(source) if source is not None else {}
    with refusing():
        single, when = changes(said(options))
        document = merged(document, single, when=when)
    if rule is not None:
        document = {**document, "id": rule}
    if "id" not in document or "metric" not in document:
        raise UsageError(
            'a rule has an id and a condition: ccagent alerts add costly-day --when "session_cost daily > 20"'
        )
    change = added(config, document, now_ms=_now(), dry_run=dry_run)
    _tell(config, change, as_json, "would be added" if dry_run else "added")
    hint = None if dry_run else daemon_hint(config)
    if hint is not None:
        click.echo(f"ccagent: {hint}", err=True)


@click.command(name="edit")
@click.argument("rule", metavar="RULE")
@_FROM
@rule_options
@click.option("--unset", "without", metavar="KEY", multiple=True, help="Take this key away; may be repeated.")
@click.option("--reset", is_flag=True, help="As ccagent's own rule of this id is.")
@_DRY_RUN
@db_option
@config_option
@json_option
def edit(
    rule: str,
    source: Path | None,
    without: tuple[str, ...],
    reset: bool,
    dry_run: bool,
    db: str | None,
    config_path: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Change some of a rule. What fires of it ends; a rule of the configuration file is changed there."""
    config = load_config(config_path, db=db)
    from ccagent.alert_changes import edit as edited
    from ccagent.alert_changes import refusing
    from ccagent.alerts.editing import CONDITION
    from ccagent.alerts.options import changes

    document = read_document(source) if source is not None else {}
    with refusing():
        single, when = changes(said(options))
    if not (document or single or when or without or reset):
        raise UsageError(f"say what is to change, such as: ccagent alerts edit {rule} --threshold 10")
    if when is None and document:
        when = {key: value for key, value in document.items() if key in CONDITION}
    single = {key: value for key, value in document.items() if key not in CONDITION} | single
    change = edited(
        config, rule, single, when=when, without=without, reset=reset, now_ms=_now(), dry_run=dry_run
    )  # fmt: skip
    _tell(config, change, as_json, "would be changed" if dry_run else "changed")


@click.command(name="enable")
@click.argument("rules", metavar="RULE…", nargs=-1, required=True)
@db_option
@config_option
@json_option
def enable(rules: tuple[str, ...], db: str | None, config_path: Path | None, as_json: bool) -> None:
    """Switch rules on; "budget-*" means every rule that fits."""
    _switch(rules, True, db, config_path, as_json)


@click.command(name="disable")
@click.argument("rules", metavar="RULE…", nargs=-1, required=True)
@db_option
@config_option
@json_option
def disable(rules: tuple[str, ...], db: str | None, config_path: Path | None, as_json: bool) -> None:
    """Switch rules off; what fires of them ends."""
    _switch(rules, False, db, config_path, as_json)


@click.command(name="rm")
@click.argument("rules", metavar="RULE…", nargs=-1, required=True)
@db_option
@config_option
@json_option
def remove(rules: tuple[str, ...], db: str | None, config_path: Path | None, as_json: bool) -> None:
    """Remove rules; their history stays. ccagent's own are switched off instead (disable)."""
    config = load_config(config_path, db=db)
    from ccagent.alert_changes import remove as removed

    done = removed(config, rules, now_ms=_now())
    _said(done, as_json, "removed")


def _switch(rules: tuple[str, ...], on: bool, db: str | None, config_path: Path | None, as_json: bool) -> None:
    config = load_config(config_path, db=db)
    from ccagent.alert_changes import daemon_hint, switch

    done = switch(config, rules, on=on, now_ms=_now())
    _said(done, as_json, "on" if on else "off")
    hint = daemon_hint(config) if on else None
    if hint is not None:
        click.echo(f"ccagent: {hint}", err=True)


def _said(done: list[Change], as_json: bool, word: str) -> None:
    if as_json:
        print_json({"schema_version": 1, "rules": [change.document() for change in done]})
        return
    for change in done:
        click.echo(f"{change.id} is {word}" + (f", but waits: {change.note}" if change.note else ""))


def _tell(config: Config, change: Change, as_json: bool, word: str) -> None:
    report = None
    if change.dry_run and change.after is not None:
        from ccagent.alert_backtest import tried

        report = tried(config, change.after, since_ms=_now() - DRY_RUN_MS, until_ms=_now())
    if as_json:
        print_json({**change.document(), "backtest": report})
        return
    from ccagent.cli.alerts_output import print_change

    print_change(change, word, report)


def _now() -> int:
    return time.time_ns() // 1_000_000
