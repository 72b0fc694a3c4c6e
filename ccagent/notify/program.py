"""Running a program to tell people: arguments as they are, never through a shell, and ended with all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import Final

from ccagent.notify.channel import SENT, Verdict, retry

PASSED_ON: Final = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "TZ", "TMPDIR", "DISPLAY",
    "WAYLAND_DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME",
)  # fmt: skip
"""Variables that a program gets of ccagent's own environment: what it needs to run and to reach the desktop. Others may hold
secrets of other receivers."""

ARGUMENT_CHARACTERS: Final = 4_096
"""Of one argument or variable: far below what systems take, far above what a message holds."""


class Program:
    """Runs one program at a time; `close` ends it, for good."""

    def __init__(self, environment: Mapping[str, str], timeout_seconds: float) -> None:
        self._environment = {name: environment[name] for name in PASSED_ON if name in environment}
        self._timeout = timeout_seconds
        self._running: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._lock = threading.Lock()
        """Held while one is started: whoever closes meanwhile waits until there is something to end."""

    def run(self, command: Sequence[str], *, stdin: bytes = b"", variables: Mapping[str, str] | None = None) -> Verdict:
        """Sent when it ends with 0 in time, else to be tried again. What it prints is not kept: it may hold anything."""
        words = [sound(word) for word in command]
        environment = self._environment | {name: sound(text) for name, text in (variables or {}).items()}
        try:
            with self._lock:
                if self._closed:
                    return retry(f"{words[0]} was not run: ccagent ends")
                # A session of its own, so that it can be ended together with what it starts.
                process = self._running = subprocess.Popen(
                    words, env=environment, cwd="/", stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
                )  # fmt: skip
        except FileNotFoundError:
            return retry(f"there is no program {words[0]}; install it, or correct the channel")
        except (OSError, ValueError) as error:
            return retry(f"{words[0]} cannot be run: {getattr(error, 'strerror', None) or error}")
        try:
            process.communicate(stdin, timeout=self._timeout)
        except subprocess.TimeoutExpired:
            end(process)
            return retry(f"{words[0]} did not end within {self._timeout:g} s, and was ended")
        except OSError as error:
            end(process)
            return retry(f"{words[0]}: {error.strerror}")
        finally:
            self._running = None
        code = process.returncode
        if code == 0:
            return SENT
        return retry(f"{words[0]} ended with {code}" if code > 0 else f"{words[0]} was ended by signal {-code}")

    def close(self) -> None:
        """End what runs; nothing is run after that."""
        with self._lock:
            self._closed = True
            process = self._running
        if process is not None:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a program with its process group, and take its exit code."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()
    process.wait()
    if process.stdin is not None:
        try:
            process.stdin.close()
        except OSError:
            return


def sound(text: str) -> str:
    """Text that an operating system takes as an argument: without NUL, and of bounded length."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:ARGUMENT_CHARACTERS]
