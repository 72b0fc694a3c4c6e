"""`ccagent alerts backtest`: what rules would have done on this machine's past."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ccagent.cli.options import config_option, db_option, json_option, load_config
from ccagent.cli.output import Progress, print_json
from ccagent.cli.span import parse_moment, zone_of
from ccagent.errors import UsageError

SINCE = "90d"


@click.command(name="backtest")
@click.argument("rules", metavar="[RULE…]", nargs=-1)
@click.option(
    "--since", metavar="WHEN", default=SINCE, show_default=True, help="From this moment on: 2025-01-31, 30d, 24h."
)
@click.option("--until", metavar="WHEN", help="Up to this moment; now, if none is named or it is to come.")
@click.option("--all", "everything", is_flag=True, help="All rules, those that are off, too.")
@click.option(
    "--threshold", metavar="NUMBER", help="With this threshold (or factor of a baseline) instead; needs --what-if."
)
@click.option("--what-if", is_flag=True, help="Say that --threshold is meant as a question: nothing is changed.")
@db_option
@config_option
@json_option
def backtest(
    rules: tuple[str, ...],
    since: str,
    until: str | None,
    everything: bool,
    threshold: str | None,
    what_if: bool,
    db: str | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Show when rules would have fired, hour by hour over the past, with a chart of what they read.

    Nothing is told to anybody and nothing is written; it works beside a daemon and without one.
    """
    if bool(rules) is everything:
        raise UsageError("name rules, or give --all")
    if (threshold is not None) is not what_if:
        raise UsageError("--threshold and --what-if go together: the rule itself is changed by `ccagent alerts edit`")
    config = load_config(config_path, db=db)
    zone = zone_of(config.rollups.timezone)
    now = time.time_ns() // 1_000_000
    since_ms = parse_moment(since, now, zone, "--since")
    until_ms = parse_moment(until, now, zone, "--until") if until else now
    if since_ms >= min(until_ms, now):
        raise UsageError(f"--since {since} does not lie before {'now' if since_ms >= now else f'--until {until}'}")
    from ccagent import alert_backtest
    from ccagent.alert_changes import refusing
    from ccagent.alerts.expression import read_number

    with refusing():
        number = None if threshold is None else read_number(threshold)
    with Progress() as progress:
        document = alert_backtest.backtest(
            config, rules, everything=everything, since_ms=since_ms, until_ms=min(until_ms, now), threshold=number,
            told=lambda rule, part: progress.count(round(100 * part), 100, f"% of {rule}"),
        )  # fmt: skip
    if as_json:
        print_json(document)
        return
    from ccagent.cli.alerts_report import print_backtest

    print_backtest(document)
