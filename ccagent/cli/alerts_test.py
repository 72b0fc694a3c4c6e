"""`ccagent alerts test`: rules on invented amounts, for a terminal and for a team's CI."""

from __future__ import annotations

from pathlib import Path

import click

from ccagent.cli.options import config_option, db_option, json_option, load_config
from ccagent.cli.output import clean, print_json

FAILED = 1


@click.command(name="test")
@click.argument("files", metavar="[FILE…]", nargs=-1, type=click.Path(path_type=Path))
@click.option("--rule", metavar="RULE", help="Only cases of this rule.")
@db_option
@config_option
@json_option
@click.pass_context
def test(
    ctx: click.Context,
    files: tuple[Path, ...],
    rule: str | None,
    db: str | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Try rules on invented amounts; ends with 1 where one does not do what its case says.

    A file (TOML or JSON) has the amounts, the rule and what is expected; docs/alerts.md describes it. Without a file the
    cases of ccagent's own rules are run. No database and no daemon is needed.
    """
    config = load_config(config_path, db=db)
    from ccagent.alert_cases import run_files

    document = run_files(config, files, rule_id=rule)
    if as_json:
        print_json(document)
    else:
        for case in document["cases"]:
            click.echo(f"{'ok  ' if case['passed'] else 'FAIL'} {clean(case['rule'])}: {clean(case['name'])}")
            for fault in case["faults"]:
                click.echo(f"     {clean(fault)}")
        click.echo(f"{document['passed']} passed, {document['failed']} failed")
    ctx.exit(FAILED if document["failed"] else 0)
