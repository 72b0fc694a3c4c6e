"""Delivery for drawn trees: calls of git and gh with what they print, of few hashes, branches and pull requests."""

from __future__ import annotations

import random

from tests.transcripts import Json, Session, Usage, tool_use

DELIVERIES = (
    "commit",
    "quiet commit",
    "push",
    "pull request",
    "acted",
    "linked",
    "branched",
    "recorded",
    "waiting git",
)

_HASHES = ("1111111", "1111111abc", "2222222", "2222222def4444444444444444444444444444444")


def deliver(session: Session, action: str, chance: random.Random) -> None:
    """Write what the action says; hashes and numbers repeat on purpose."""
    sha, number, branch = chance.choice(_HASHES), chance.randrange(1, 3), chance.choice(("topic", "main"))
    url = f"https://github.com/demo/atlas/pull/{number}"
    pushed = f"To github.com:demo/atlas.git\n   3333333..{sha}  {branch} -> {branch}\n"
    line = f"[{branch} {sha}] Words\n {chance.randrange(1, 4)} files changed, {chance.randrange(1, 9)} insertions(+)\n"
    match action:
        case "commit":
            amend = chance.choice(("", " --amend"))
            _run(session, f"git commit{amend} -m x && git push", line + pushed * chance.randrange(2))
        case "quiet commit":
            _run(session, "git commit -qm x; git log -1 --oneline", chance.choice((f"{sha} Words\n", "")))
        case "push":
            _run(session, "git push", pushed, failed=chance.random() < 0.3)
        case "pull request":
            _run(
                session, "gh pr create --fill", chance.choice((url, url + "/files", "no")), failed=chance.random() < 0.2
            )
        case "acted":
            _run(session, f"gh pr {chance.choice(('close', 'reopen', 'merge'))} {chance.choice(('', number))}", "")
        case "linked":
            session.row({"type": "pr-link", "sessionId": session.session_id, "prUrl": url, "timestamp": None})
        case "branched":
            _run(session, f"git checkout -b {branch}", f"Switched to a new branch '{branch}'\n")
        case "recorded":
            said: Json = {"commit": {"sha": sha, "kind": "committed"}, "pr": {"url": url, "action": "created"}}
            _run(session, "git commit -qm x && gh pr create", url, recorded=said)
        case _:
            session.assistant(
                tool_use(session.ids.tool(), "Bash", {"command": "git commit -m x"}), usage=Usage(input=1)
            )


def _run(session: Session, command: str, output: str, *, failed: bool = False, recorded: Json | None = None) -> None:
    details: Json = {"stdout": output} if recorded is None else {"stdout": output, "gitOperation": recorded}
    session.tool("Bash", {"command": command}, output, details=details, is_error=failed, usage=Usage(input=1))
