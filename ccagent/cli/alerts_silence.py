"""`ccagent alerts silence`: tell nobody for a while."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ccagent.cli.options import config_option, db_option, json_option, load_config
from ccagent.cli.output import clean, print_json
from ccagent.cli.span import zone_of
from ccagent.errors import UsageError


@click.command(name="silence")
@click.argument("rule", metavar="RULE|PATTERN", required=False)
@click.option("--for", "length", metavar="TIME", help="For so long: 30m, 2h, 3d.")
@click.option("--subject", metavar="PATTERN", help="Only of these projects, features or sessions.")
@click.option("--comment", metavar="TEXT", default="", help="Why.")
@click.option("--list", "listing", is_flag=True, help="Show the silences there are.")
@click.option(
    "--end", "ended", metavar="ID", type=int, multiple=True, help="End a silence before its time; may be repeated."
)
@db_option
@config_option
@json_option
def silence(
    rule: str | None,
    length: str | None,
    subject: str | None,
    comment: str,
    listing: bool,
    ended: tuple[int, ...],
    db: str | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Tell nobody of a rule's alerts for a while; they are evaluated and kept as always. "*" means every rule."""
    if sum((rule is not None, listing, bool(ended))) != 1:
        raise UsageError("name a rule (with --for), or give --list, or --end ID")
    config = load_config(config_path, db=db)
    zone = zone_of(config.rollups.timezone)
    now = time.time_ns() // 1_000_000
    from ccagent.cli.alerts_output import moment, print_silences

    if listing:
        from ccagent.alert_reading import silences

        document = silences(config, now)
        if as_json:
            print_json(document)
        else:
            print_silences(document, zone)
        return
    from ccagent import alert_changes

    if ended:
        count = alert_changes.end_silences(config, ended)
        if as_json:
            print_json({"schema_version": 1, "ended": count})
        else:
            click.echo(f"ended {count} silence{'' if count == 1 else 's'}")
        return
    if rule is None or length is None:
        raise UsageError("say for how long: --for 2h")
    from ccagent.alerts import durations

    with alert_changes.refusing():
        until = now + durations.parse(length, "--for")
    if until == now:
        raise UsageError("--for is more than nothing; --end ends a silence")
    done = alert_changes.silence(config, rule, until_ms=until, subject=subject, comment=comment, now_ms=now)
    if as_json:
        print_json(done)
        return
    of = ", ".join(done["rules"]) or "every rule"
    click.echo(f"silence {done['id']}: {clean(of)} until {moment(done['until'], zone)}")
