"""`ccagent session`: one session with its turns, sub-agents, files and cost."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ccagent.cli.links_section import links_document, links_section
from ccagent.cli.options import config_option, db_option, json_option, load_config
from ccagent.cli.output import clean, print_json
from ccagent.cli.session_output import print_sections, sections, session_document
from ccagent.cli.session_tree import tree_document, tree_section
from ccagent.errors import NoDataError, UsageError
from ccagent.paths import display


@click.command(name="session")
@click.argument("session_id", metavar="ID")
@click.option("--turns", is_flag=True, help="Every turn, with the parts of its time.")
@click.option("--timeline", is_flag=True, help="Every fact, by time.")
@click.option("--tree", is_flag=True, help="Requests, calls and sub-agents below their turns, with the trace ids.")
@click.option("--links", is_flag=True, help="What it worked on, with the evidence of each link.")
@json_option
@db_option
@config_option
def command(
    session_id: str,
    turns: bool,
    timeline: bool,
    tree: bool,
    links: bool,
    as_json: bool,
    db: str | None,
    config_path: Path | None,
) -> None:
    """Show one session; the beginning of its ID suffices. Ends with 20 where there is no such session."""
    config = load_config(config_path, db=db)
    from ccagent.store.link_queries import session_links
    from ccagent.store.open import open_reader
    from ccagent.store.session import session_view
    from ccagent.store.session_facts import sessions_like

    with open_reader(config.database) as reader:
        found = sessions_like(reader, session_id)
        if not found:
            raise NoDataError(
                f"{display(config.database)} holds no session {session_id!r}; `ccagent usage --by session` lists them"
            )
        if len(found) > 1 and found[0] != session_id:
            raise UsageError(f"{session_id!r} begins several ids: {', '.join(map(clean, found))}; give more of it")
        view = session_view(reader, found[0], time.time_ns() // 1_000_000)
        worked_on = session_links(reader, found[0]) if links else None
        roots = None
        if tree:
            from ccagent.export.otlp.tree import session_tree

            roots = session_tree(reader, found[0])
    if as_json:
        document = session_document(view, timeline=timeline)
        if roots is not None:
            document["tree"] = tree_document(roots)
        print_json(document if worked_on is None else document | {"links": links_document(worked_on)})
    else:
        found_tree = () if roots is None else (tree_section(roots, everything=turns),)
        found_links = () if worked_on is None else (links_section(worked_on),)
        print_sections([*sections(view, turns=turns, timeline=timeline), *found_tree, *found_links])
