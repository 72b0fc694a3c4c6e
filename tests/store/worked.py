"""For tests of links: sessions that leave evidence of what they worked on."""

from __future__ import annotations

import random
from typing import Any

from ccagent.store.link_view import links_select
from ccagent.store.links import link_dump
from tests.sources.feed import START_MS, Feed
from tests.transcripts import Session, Usage

REPOSITORY = "/home/demo/atlas"
BRANCHES = ("main", "alex/ent-109-login-form", "soph/login-form", "feat/search", "")
DOCUMENTS = ("login-form", "search", "billing")
ACTIONS = ("read", "write", "edit", "grep", "shell", "slash", "commit", "switch", "link", "ticket", "agent", "fork")


def worked(name: str = "one", *, branch: str = "alex/ent-109-login-form", start: int = START_MS) -> Session:
    """A session in a worktree that was told to carry out a plan, and wrote to it."""
    session = Session(name, cwd=f"{REPOSITORY}/.worktrees/1", branch=branch, start=start)
    session.slash("/plan:execute", "docs/project_plans/login-form.md phase 2")
    session.tool(
        "Read", {"file_path": f"{session.cwd}/docs/project_plans/login-form.md"}, usage=Usage(input=7, output=5)
    )
    session.edit(f"{session.cwd}/docs/project_plans/login-form.md", added=1, removed=0)
    session.bash("git commit -m 'ENT-110: the form'")
    session.request("done", usage=Usage(input=10, output=101))
    return session


def passing(name: str = "idle", *, start: int = START_MS) -> Session:
    """A session on a trunk that touched nothing with a name."""
    session = Session(name, cwd=REPOSITORY, branch="main", start=start)
    session.prompt("hello")
    session.request("hi", usage=Usage(input=3, output=13))
    return session


def act(session: Session, action: str, chance: random.Random) -> None:
    """Do one thing that may be evidence."""
    path = f"{session.cwd}/docs/plans/{chance.choice(DOCUMENTS)}.md"
    match action:
        case "read":
            session.tool("Read", {"file_path": path})
        case "write":
            session.tool("Write", {"file_path": path, "content": "x"})
        case "edit":
            session.edit(path, added=1, removed=0)
        case "grep":
            session.tool("Grep", {"pattern": "x", "path": path})
        case "shell":
            session.bash(f"cat {path} && gh pr view {chance.randrange(1, 4)}")
        case "slash":
            session.slash("/go", f"{path} phase {chance.randrange(1, 4)}")
        case "commit":
            sha = f"{chance.randrange(16**7):07x}"
            session.tool("Bash", {"command": "git commit -m x"}, f"[main {sha}] x\n 1 file changed, 1 insertion(+)")
        case "switch":
            session.branch = chance.choice(BRANCHES)
            session.prompt("on another branch")
        case "link":
            session.pull_request(chance.randrange(1, 4))
        case "ticket":
            session.bash(f"git log --grep ENT-{chance.randrange(1, 4)}")
        case "agent":
            tool = session.launch()
            child = session.agent()
            child.prompt("look")
            child.tool("Read", {"file_path": path})
            session.landed(tool, child)


def copied(session: Session, name: str) -> Session:
    """A fork: the same lines under another id, and one more."""
    fork = Session(name, cwd=session.cwd, branch=session.branch, start=session.now, seed=name)
    for line in session.lines:
        fork.raw(line.raw.replace(session.session_id.encode(), name.encode()))
    fork.prompt("and now?")
    return fork


def links(feed: Feed) -> list[str]:
    """All links of sessions, as every database has them."""
    return list(link_dump(feed.store.conn))


def entity_links(feed: Feed, session: str) -> list[dict[str, Any]]:
    """Rows of analytics_entity_links of a session, by kind and place."""
    select = links_select(feed.store.conn.dialect.name)
    names = (
        "source_type", "source_id", "target_type", "target_id", "link_type", "origin", "confidence", "strategy",
        "inferred", "ambiguity", "share", "place", "depth", "evidence", "first_at", "last_at",
    )  # fmt: skip
    rows = feed.store.conn.execute(
        f"SELECT * FROM ({select}) l WHERE source_id = ? ORDER BY target_type, place", (session,)
    )
    return [dict(zip(names, row, strict=True)) for row in rows]
