"""A home, and programs on the PATH that write down how they are called: for managers that this machine has not."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ccagent.config import load
from ccagent.install.place import Place, survey
from ccagent.install.steps import Hands


@dataclass
class Ground:
    """One user's home and PATH. `said` are the lines that were shown."""

    folder: Path
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.home = self.folder / "home"
        self.bin = self.folder / "bin"
        self.home.mkdir()
        self.bin.mkdir()
        self.calls_file = self.folder / "calls"
        self.program = self.put("ccagent", "")
        self.env = {"HOME": str(self.home), "PATH": f"{self.bin}{os.pathsep}/usr/bin{os.pathsep}/bin"}

    def put(self, name: str, body: str) -> Path:
        """A program on the PATH: it notes its call, then runs `body` (Python, with `arguments`)."""
        path = self.bin / name
        path.write_text(
            f"#!{sys.executable} -S\nimport sys\narguments = sys.argv[1:]\n"
            f"open({str(self.calls_file)!r}, 'a').write({name!r} + ' ' + ' '.join(arguments) + '\\n')\n{body}\n"
        )
        path.chmod(0o755)
        return path

    def calls(self) -> list[str]:
        """How the programs were called since this was last asked."""
        if not self.calls_file.exists():
            return []
        lines = self.calls_file.read_text().splitlines()
        self.calls_file.unlink()
        return lines

    def place(self, **variables: str) -> Place:
        env = {**self.env, **variables}
        return survey(load({}, env), env, self.home, [str(self.program)])

    def hands(self, *, dry_run: bool = False) -> Hands:
        return Hands(self.env, self.said.append, dry_run)

    def files(self) -> set[str]:
        """Every file below the home."""
        return {str(path.relative_to(self.home)) for path in self.home.rglob("*") if not path.is_dir()}


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)
