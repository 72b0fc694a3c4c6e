"""Slash commands that the clients bring along. Whatever else is typed after a slash is somebody's own name."""

from __future__ import annotations

from typing import Final

BUILT_IN: Final = frozenset(
    f"/{name}"
    for name in (
        "add-dir agents allowed-tools approvals background bashes batch branch btw bug cd checkpoint chrome clear color"
        " compact config context continue copy cost debug desktop diff doctor effort exit export extra-usage fast"
        " feedback fork goal help hooks ide init insights install-github-app install-slack-app keybindings login logout"
        " loop mcp memory mention migrate-installer mobile model new output-style passes permissions plan plugin"
        " plugins pr-comments privacy-settings quit rate-limit-options release-notes reload-plugins remote-control"
        " remote-env rename reset resume review rewind sandbox schedule security-review settings simplify skills stats"
        " status statusline stickers tag tasks teleport terminal-setup theme todos undo upgrade usage vim voice"
    ).split()
)
"""Commands of Claude Code and Codex in any version, as the clients name them (state of 2026-11)."""


def built_in(name: str | None) -> bool:
    """Whether a command's name, with its slash, says nothing about who typed it.

    Rule: it stands in `BUILT_IN`. Reason: a command of one's own may be named after a customer or a project; a new
    command of the client is taken for one until the list knows it.
    """
    return name in BUILT_IN
