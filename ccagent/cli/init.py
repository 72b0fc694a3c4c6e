"""`ccagent init`: what is there, a configuration to begin with, and the history if it is wanted."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ccagent.cli.options import config_option, db_option, json_option, load_config, source_option
from ccagent.cli.output import Progress, money, print_json, size
from ccagent.config_keys import CONFIG_VARIABLE
from ccagent.paths import display, expand, resolve, stands

if TYPE_CHECKING:
    from ccagent.config import Config
    from ccagent.inventory import Found

SHOWN = 10
"""Paths that may not be read, in the text."""


@click.command(name="init")
@click.option("-y", "--yes", is_flag=True, help="Take in the history without asking.")
@click.option("--dry-run", is_flag=True, help="Only show; write nothing.")
@source_option
@db_option
@config_option
@json_option
def command(
    yes: bool, dry_run: bool, source: tuple[str, ...], db: str | None, config_path: Path | None, as_json: bool
) -> None:
    """Look for transcripts, write a commented configuration where there is none, and offer to take in the history.

    --source (of folders that are there) and --db are written into a new configuration, so that the next call follows
    the same. Existing files are left as they are, so it may be called again at any time. Away from a terminal nothing
    is asked and no history is taken in, unless --yes says so.
    """
    from ccagent import inventory

    named = os.environ.get(CONFIG_VARIABLE)
    file = config_path or (expand(named, os.environ) if named else resolve(os.environ).config_file)
    # A file that is not there yet may be named all the same.
    config = load_config(file if stands(file) else Path(os.devnull), source=source, db=db)
    found = inventory.take(config, os.environ)
    chosen = inventory.choices(config)
    if not as_json:
        _show(found)
    written = not dry_run and inventory.write_config(file, chosen)
    document: dict[str, Any] = {
        "schema_version": inventory.SCHEMA_VERSION,
        "config": {"path": display(file), "written": written, "exists": stands(file)},
        "roots": [one.document() for one in found],
    }
    if not as_json:
        _show_file(file, written, chosen, dry_run)
    document |= _history(config, found, yes=yes, dry_run=dry_run, quiet=as_json)
    if as_json:
        print_json(document)
    else:
        click.echo(_next(document))


def _show(found: list[Found]) -> None:
    from ccagent.doctor.finding import counted

    there = [one for one in found if one.exists and one.files]
    for one in there:
        projects = f"{counted(one.projects, 'project')}, " if one.projects else ""
        told = f"{projects}{counted(one.sessions, 'session')}, {counted(one.files, 'file')}, {size(one.bytes)}"
        click.echo(f"found     {display(os.fspath(one.root))} ({one.root.kind}): {told}")
    if not there:
        places = (f"{display(os.fspath(one.root))}{'' if one.exists else ' (not there)'}" for one in found)
        click.echo(f"found     no transcripts in {', '.join(places)}")
    refused = [path for one in found for path in one.unreadable]
    for path in refused[:SHOWN]:
        click.echo(f"refused   {display(path)}: it may not be read")
    if len(refused) > SHOWN:
        click.echo(f"refused   and {len(refused) - SHOWN:,} more; --json names them all")


def _show_file(file: Path, written: bool, chosen: dict[str, object], dry_run: bool) -> None:
    keys = f"{' and '.join(chosen)} set, every other key" if chosen else "every key"
    if written:
        click.echo(f"wrote     {display(file)}: {keys} with its default, commented")
    elif not stands(file) and dry_run:
        click.echo(f"to write  {display(file)}: {keys} with its default, commented")
    elif chosen:
        click.echo(f"kept      {display(file)} as it is, without the {' and '.join(chosen)} of this call")
    else:
        click.echo(f"kept      {display(file)} as it is")


def _history(config: Config, found: list[Found], *, yes: bool, dry_run: bool, quiet: bool) -> dict[str, Any]:
    """What is left to take in, and what was taken in: `daemon`, `left`, `backfill`, `last_30_days`."""
    from ccagent.backfill import backfill, preview
    from ccagent.inventory import recent
    from ccagent.selection import Selection
    from ccagent.store.instance import holder
    from ccagent.store.location import parse_database

    runs = holder(parse_database(config.database, config.paths.state_dir).sidecar) is not None
    left = preview(config, os.environ, Selection())
    told: dict[str, Any] = {"daemon": runs, "left": {"files": left["files"], "bytes": left["bytes"]}, "backfill": None}
    told["last_30_days"] = None
    if runs or dry_run or not left["files"]:
        return told
    wanted = yes
    if not yes and not quiet and sys.stdin.isatty() and sys.stdout.isatty():
        wanted = click.confirm(f"Take in {left['files']:,} files ({size(left['bytes'])}) now?", default=True)
    if wanted:
        with Progress() as progress:
            told["backfill"] = report = backfill(config, os.environ, Selection(), progress=progress)
        told["left"] = {"files": report["left"]["files"], "bytes": report["left"]["bytes"]}
        told["last_30_days"] = recent(config, time.time_ns() // 1_000_000)
    return told


def _next(document: dict[str, Any]) -> str:
    """What was done with the history, and the next step."""
    from ccagent.doctor.finding import counted

    done, left = document["backfill"], document["left"]
    follow = "`ccagent service install` follows what comes from login on, `ccagent run` in this terminal"
    if document["daemon"]:
        return "next      a daemon runs already, and takes in by itself what there is; `ccagent status` shows it"
    if done is not None:
        taken = f"took in   {counted(done['files'], 'file')}, {size(done['bytes'])} in {done['seconds']:.1f} s\n"
        last = document["last_30_days"]
        if last is None:
            taken += "30 days   no usage: what was taken in is older\n"
        else:
            cost = "no priced usage" if last["cost_microusd"] is None else money(last["cost_microusd"])
            taken += f"30 days   {cost} API-equivalent, {counted(last['models'], 'model')}, {last['unpriced_requests']:,} unpriced\n"
        return f"{taken}next      `ccagent usage` shows them; {follow}"
    if left["files"]:
        return (
            f"next      `ccagent run` takes in {counted(left['files'], 'file')} ({size(left['bytes'])}) and follows what comes;"
            " `ccagent init --yes` takes them in once"
        )
    if any(root["unreadable"] for root in document["roots"]) and not any(root["files"] for root in document["roots"]):
        return "next      make what is refused readable for the user that ccagent runs as, and call this again"
    if not any(root["files"] for root in document["roots"]):
        return (
            "next      start a session of Claude Code or Codex, it is found by itself; if you have some elsewhere, name their"
            " folder with --source (one that is there is written into a new configuration); `ccagent demo` shows an invented week"
        )
    return f"next      all of it is taken in; {follow}"
