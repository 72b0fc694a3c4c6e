"""Runs the demo: an invented week and a live session in a temporary tree, followed by a daemon of its own.

Nothing of the user's is touched: database, configuration and state lie in the temporary folder, the daemon inherits
no CCAGENT_* and no OTEL_* variable, and nothing is exported.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final

from ccagent.config_keys import OFF
from ccagent.demo.transcript import Session
from ccagent.demo.writer import live_session, past_week
from ccagent.errors import CcagentError, NotRunningError

LOOPBACK: Final = "127.0.0.1"

START_SECONDS: Final = 30.0
"""A daemon that does not answer by then has failed; it normally takes less than two."""

STOP_SECONDS: Final = 10.0
"""Five times what a daemon may take to stop."""

POLL_SECONDS: Final = 0.2

ALERT: Final = "demo-week"
WEEK_USD: Final = 20.0
"""A good half of what the invented week costs, so that its alert fires whatever the hour of the demo."""
ALERTS_SECONDS: Final = 10.0
"""Rules are evaluated a few seconds after the first catch-up; then the demo has gone on to other things."""

CONFIG: Final = f"""\
[alerts]
interval_seconds = 1

[alerts.rules.{ALERT}]
name = "The demo's week"
metric = "session_cost"
window = "7d"
operator = ">"
threshold = {WEEK_USD}
reason = "Shows what an alert looks like; rules of your own stand in the configuration, or come by `ccagent alerts add`."
"""
"""The configuration of the demo's daemon."""

OWN_PREFIXES: Final = ("CCAGENT_", "OTEL_", "XDG_", "CLAUDE_")
"""Variables that would lead the demo's daemon to the user's own things."""

Talk = Callable[[str], None]


def run_demo(listen: str | None = None, keep: bool = False, seconds: float | None = None, seed: int = 1) -> int:
    """Show the demo until Ctrl-C, or for `seconds` from the begin of its live session; 0, or the daemon's exit code.

    `listen` is HOST:PORT of the demo's listener or "off", None takes a free port of the loopback. `keep` leaves the
    temporary folder where it is.
    """
    home = Path(tempfile.mkdtemp(prefix="ccagent-demo-"))
    tree, database = home / "projects", home / "demo.db"
    (home / "config.toml").write_text(CONFIG, encoding="utf-8")
    talk = _talk
    # Ended by a service manager or a script, it must not leave its folder and its daemon behind.
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        count = write_sessions(tree, past_week(_now_ms(), seed))
        talk(f"{count} invented transcripts of the past week are in {tree}")
        return _show(home, tree, database, with_port(listen or f"{LOOPBACK}:0"), seconds, seed, talk)
    except KeyboardInterrupt:
        return 0
    finally:
        signal.signal(signal.SIGTERM, before)
        if keep:
            talk(f"kept in {home}; look again with: ccagent usage --db {database}, ccagent alerts --db {database}")
        else:
            shutil.rmtree(home, ignore_errors=True)


def _show(home: Path, tree: Path, database: Path, listen: str, seconds: float | None, seed: int, talk: Talk) -> int:
    environment = own_environment(os.environ, home)
    with _daemon(home, tree, database, listen, environment) as daemon:
        wait_until_caught_up(daemon, database, home / "daemon.log")
        _usage(database, environment, "day")
        if listen != OFF:
            talk(f"metrics:  http://{listen}/metrics")
        talk(f"database: {database}")
        talk(f"alerts:   ccagent alerts --db {database}")
        talk("A live session begins; its lines come one by one.")
        deadline = None if seconds is None else time.monotonic() + seconds
        over = play(tree, live_session(_now_ms(), seed), None if seconds is None else _now_ms() + round(seconds * 1000))
        _usage(database, environment, "model")
        wait_until_firing(daemon, database)
        _verb(database, environment, "alerts", "list", "--check")
        if over:
            talk("The live session is over." + (" Ctrl-C ends the demo." if seconds is None else ""))
        while daemon.poll() is None and (deadline is None or time.monotonic() < deadline):
            time.sleep(POLL_SECONDS)
        code = daemon.poll()
    return code or 0


def write_sessions(tree: Path, sessions: list[Session]) -> int:
    """Write every session and sub-agent file below `tree`; returns the number of files."""
    count = 0
    for session in sessions:
        for part in (session, *session.agents):
            path = tree / part.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(part.content)
            os.utime(path, (part.now / 1000, part.now / 1000))
            count += 1
    return count


def play(
    tree: Path, session: Session, until_ms: int | None = None, pause: Callable[[float], None] = time.sleep
) -> bool:
    """Append each line of `session` and its sub-agents when its time has come; False if `until_ms` came before."""
    lines = sorted(
        ((line.at_ms, order, part.path, line.raw) for order, part in enumerate((session, *session.agents))
         for line in part.lines),
        key=lambda line: line[:2],
    )  # fmt: skip
    for at_ms, _, name, raw in lines:
        left = (at_ms if until_ms is None else min(at_ms, until_ms)) - _now_ms()
        if left > 0:
            pause(left / 1000)
        if until_ms is not None and at_ms > until_ms:
            return False
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(raw)
    return True


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def own_environment(environment: Mapping[str, str], home: Path) -> dict[str, str]:
    """`environment` without what would lead to the user's configuration, database or collector."""
    kept = {name: value for name, value in environment.items() if not name.startswith(OWN_PREFIXES)}
    folders = {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CONFIG", "DATA", "STATE", "CACHE")}
    return kept | folders | {"HOME": str(home)}


def with_port(listen: str) -> str:
    """HOST:PORT with a free port in the place of 0: who looks for the page has to know it."""
    host, _, port = listen.rpartition(":")
    return f"{host}:{free_port()}" if port == "0" else listen


def free_port() -> int:
    """A port of the loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _daemon(
    home: Path, tree: Path, database: Path, listen: str, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    command = [
        sys.executable, "-m", "ccagent", "run", "--source", str(tree), "--db", str(database), "--listen", listen,
        "--config", str(home / "config.toml"),
    ]  # fmt: skip
    with (home / "daemon.log").open("wb") as log:
        daemon = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield daemon
        finally:
            # A Ctrl-C reaches the daemon, too; then it is on its way out already.
            if daemon.poll() is None:
                daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def wait_until_caught_up(daemon: subprocess.Popen[bytes], database: Path, log: Path) -> None:
    """Return when the daemon has taken in what there is. NotRunningError, with its last words, when it ends."""
    from ccagent.service.live import read_status

    deadline = time.monotonic() + START_SECONDS
    while daemon.poll() is None and time.monotonic() < deadline:
        # Not asked of the page: there is none where the listener is off.
        if (read_status(str(database)) or {}).get("caught_up"):
            return
        time.sleep(POLL_SECONDS)
    state = "has not taken in the week" if daemon.poll() is None else f"ended with {daemon.returncode}"
    words = log.read_bytes()[-1_000:].decode("utf-8", "replace").strip()
    raise NotRunningError(f"the demo's daemon {state}; its last words: {words or 'none'}")


def wait_until_firing(daemon: subprocess.Popen[bytes], database: Path) -> None:
    """Return when the demo's alert fires; also where it does not within ALERTS_SECONDS, since the demo has more to show."""
    from ccagent.store.alert_summary import summary
    from ccagent.store.open import open_reader

    deadline = time.monotonic() + ALERTS_SECONDS
    while daemon.poll() is None and time.monotonic() < deadline:
        with suppress(CcagentError), open_reader(database) as reader:
            if any(one.rule == ALERT for one in summary(reader).firing):
                return
        time.sleep(POLL_SECONDS)


def _usage(database: Path, environment: dict[str, str], by: str) -> None:
    _verb(database, environment, "usage", "--by", by)


def _verb(database: Path, environment: dict[str, str], *words: str) -> None:
    sys.stdout.flush()
    subprocess.run([sys.executable, "-m", "ccagent", *words, "--db", str(database)], env=environment, check=False)


def _talk(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
