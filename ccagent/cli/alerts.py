"""`ccagent alerts`: rules that tell when something is out of the ordinary, what fires, and how to try a rule on the past."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ccagent.cli.alerts_backtest import backtest
from ccagent.cli.alerts_change import add, disable, edit, enable, remove
from ccagent.cli.alerts_silence import silence
from ccagent.cli.alerts_test import test
from ccagent.cli.options import config_option, db_option, json_option, load_config
from ccagent.cli.output import print_json
from ccagent.cli.span import parse_moment, zone_of
from ccagent.errors import UsageError

HISTORY_LIMIT = 50
"""Transitions that are shown unless more are asked for."""

LARGEST_LIMIT = 2**63 - 1
"""Of a database's integers."""


@click.group(name="alerts", invoke_without_command=True)
@click.option("--check", "checking", is_flag=True, help="End with 10 where something fires.")
@db_option
@config_option
@json_option
@click.pass_context
def command(ctx: click.Context, checking: bool, db: str | None, config_path: Path | None, as_json: bool) -> None:
    """Alert rules: what fires, and how to make, change, silence and try them. Without a verb: list.

    Rules are evaluated by the daemon. `test` and `backtest` need none: the first tries a rule on an invented course of
    amounts, the second on what this machine has seen.
    """
    if ctx.invoked_subcommand is None:
        _list(ctx, checking, db, config_path, as_json)
    elif checking or as_json or db is not None or config_path is not None:
        raise UsageError(f"options of `ccagent alerts {ctx.invoked_subcommand}` stand behind it")


@command.command(name="list")
@click.option("--check", "checking", is_flag=True, help="End with 10 where something fires.")
@db_option
@config_option
@json_option
@click.pass_context
def list_rules(ctx: click.Context, checking: bool, db: str | None, config_path: Path | None, as_json: bool) -> None:
    """Show all rules: what they ask, whether they fire, where they come from."""
    _list(ctx, checking, db, config_path, as_json)


@command.command()
@click.argument("rule", metavar="RULE")
@db_option
@config_option
@json_option
def show(rule: str, db: str | None, config_path: Path | None, as_json: bool) -> None:
    """Show one rule whole: why it is there, where it stands, when it fired, how it is changed."""
    config = load_config(config_path, db=db)
    from ccagent import alert_reading

    document = alert_reading.shown(config, rule, _now())
    if as_json:
        print_json(document)
        return
    from ccagent.cli.alerts_output import print_rule

    print_rule(document, zone_of(config.rollups.timezone))


@command.command()
@click.option("--since", metavar="WHEN", help="From this moment on: 2025-01-31, 7d, 24h, today.")
@click.option("--rule", metavar="RULE", help="Of this rule alone.")
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(min=1),
    default=HISTORY_LIMIT,
    show_default=True,
    help="At most so many.",
)
@db_option
@config_option
@json_option
def history(
    since: str | None, rule: str | None, limit: int, db: str | None, config_path: Path | None, as_json: bool
) -> None:
    """Show what fired and ended, the newest first, and whether it was told."""
    config = load_config(config_path, db=db)
    zone = zone_of(config.rollups.timezone)
    from ccagent import alert_reading

    since_ms = parse_moment(since, _now(), zone, "--since") if since else None
    document = alert_reading.history(config, since_ms=since_ms, rule_id=rule, limit=min(limit, LARGEST_LIMIT))
    if as_json:
        print_json(document)
        return
    from ccagent.cli.alerts_output import print_history

    print_history(document, zone)


def _list(ctx: click.Context, checking: bool, db: str | None, config_path: Path | None, as_json: bool) -> None:
    config = load_config(config_path, db=db)
    from ccagent import alert_reading

    document = alert_reading.collect(config, _now())
    if as_json:
        print_json(document)
    else:
        from ccagent.cli.alerts_output import print_rules

        print_rules(document, zone_of(config.rollups.timezone), firing_only=checking)
    ctx.exit(alert_reading.FIRING if checking and document["firing"] else 0)


def _now() -> int:
    return time.time_ns() // 1_000_000


for verb in (add, edit, enable, disable, remove, silence, test, backtest):
    command.add_command(verb)
