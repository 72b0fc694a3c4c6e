"""What keeps this installation: pipx, uv or pip, told by the place of the interpreter."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Literal

Installer = Literal["pipx", "uv", "pip"]


def installer(prefix: Path) -> Installer:
    """By `sys.prefix`: the first two keep a virtual environment a tool in folders that are called after them."""
    parts = prefix.parts
    if ("pipx", "venvs") in pairwise(parts):
        return "pipx"
    return "uv" if ("uv", "tools") in pairwise(parts) else "pip"


def removal(prefix: Path) -> str:
    """The command that removes the program itself."""
    match installer(prefix):
        case "pipx":
            return "pipx uninstall ccagent"
        case "uv":
            return "uv tool uninstall ccagent"
        case "pip":
            return f"{prefix / 'bin' / 'python'} -m pip uninstall ccagent"
