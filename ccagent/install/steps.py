"""What installing does to the machine, one step at a time: each is shown, and with `dry_run` only shown."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ccagent.errors import ServiceError
from ccagent.paths import create_private, display

COMMAND_SECONDS: Final = 60.0
"""What a service manager may take for an answer; one that waits for a start that waits itself does not come back."""

RUNTIME: Final = Path("/run/user")
"""Where systemd keeps the runtime folders of users, by their numbers."""

FILE_MODE: Final = 0o644
"""Units hold no secret, and a service manager may run as another user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command said; `code` is None where it did not end in time."""

    code: int | None
    text: str

    @property
    def well(self) -> bool:
        """Whether it succeeded."""
        return self.code == 0

    @property
    def last_line(self) -> str:
        """The end of what it said, for an error's message."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        return lines[-1] if lines else f"exit code {self.code}"


@dataclass(slots=True)
class Hands:
    """Carries steps out in this environment. `say` gets a line for each; `changed` tells whether any file is another."""

    env: Mapping[str, str]
    say: Callable[[str], None]
    dry_run: bool = False
    changed: bool = field(default=False, init=False)

    def folder(self, path: Path) -> None:
        """Make a private folder where there is none."""
        if path.is_dir():
            return
        self.say(f"make   {display(path)}")
        if not self.dry_run:
            create_private(path)

    def write(self, path: Path, text: str) -> None:
        """Write a file whole (temporary name, rename); one that says the same already is left alone."""
        try:
            same = path.read_text(encoding="utf-8") == text
        except (OSError, ValueError):
            same = False
        self.say(f"{'keep ' if same else 'write'}  {display(path)}")
        if same:
            return
        self.changed = True
        if self.dry_run:
            for line in text.splitlines():
                self.say(f"       | {line}".rstrip())
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                os.fchmod(file.fileno(), FILE_MODE)
            Path(name).replace(path)
        except OSError as error:
            raise ServiceError(f"cannot write {display(path)}: {error.strerror}") from error

    def remove(self, path: Path) -> None:
        """Remove a file, or a folder that is empty; what is not there is not mentioned."""
        is_folder = path.is_dir() and not path.is_symlink()
        if not (is_folder or path.is_symlink() or path.exists()):
            return
        if is_folder and not self.dry_run and any(path.iterdir()):
            self.say(f"leave  {display(path)}: it holds files that ccagent did not write")
            return
        self.changed = True
        self.say(f"remove {display(path)}")
        if self.dry_run:
            return
        try:
            path.rmdir() if is_folder else path.unlink()
        except OSError as error:
            raise ServiceError(f"cannot remove {display(path)}: {error.strerror}") from error

    def tidy(self, path: Path) -> None:
        """Remove a folder of others' where nothing is in it any more; one that is used is not mentioned."""
        if not self.dry_run and path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
            self.remove(path)

    def run(self, *command: str, hint: str = "") -> None:
        """Run a command that has to succeed. ServiceError with its last line and `hint` where it does not."""
        answer = self.attempt(*command)
        if answer.code is None:
            self.say(f"       no answer within {COMMAND_SECONDS:.0f} s; it goes on by itself")
        elif not answer.well:
            advice = f"; {hint}" if hint else ""
            raise ServiceError(f"`{shlex.join(command)}` failed: {answer.last_line}{advice}")

    def attempt(self, *command: str) -> Answer:
        """Run a command that may fail; in a dry run it is shown and taken to succeed."""
        self.say(f"run    {shlex.join(command)}")
        if self.dry_run:
            return Answer(code=0, text="")
        return ask(self.env, *command)


def reaching(env: Mapping[str, str]) -> dict[str, str]:
    """The environment with the user's runtime folder named, where a session (of su, sudo, cron) does not name it: there
    lies the socket of the user's service manager."""
    folder = RUNTIME / str(os.getuid())
    if env.get("XDG_RUNTIME_DIR") or not (folder / "systemd").is_dir():
        return dict(env)
    return {**env, "XDG_RUNTIME_DIR": str(folder)}


def ask(env: Mapping[str, str], *command: str) -> Answer:
    """Run a command that changes nothing, or that was shown already. It is never waited for without end."""
    try:
        done = subprocess.run(
            command, env=reaching(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", timeout=COMMAND_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Answer(code=None, text="")
    except OSError as error:
        return Answer(code=127, text=f"{command[0]}: {error.strerror}")
    return Answer(code=done.returncode, text=done.stdout)


def hand_over(env: Mapping[str, str], command: Sequence[str]) -> int:
    """Run a command at the terminal of whoever asks, until it ends or is interrupted; its exit code."""
    try:
        return subprocess.run(command, env=dict(env), check=False).returncode
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        raise ServiceError(f"{command[0]}: {error.strerror}") from error
