"""Whether the daemon runs, is the installed version, and is well by its own word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ccagent import __version__
from ccagent.doctor.finding import Finding, counted, duration, fail, ok, warn
from ccagent.doctor.ground import Ground

MANY_RESTARTS: Final = 3
"""One or two are a reboot of something; more is a fault that comes back."""

_VERSION: Final = re.compile(r"\d+(?:\.\d+){1,3}[a-z0-9.+-]{0,20}")


def daemon(ground: Ground) -> Iterator[Finding]:
    """Whether it runs, and how many problems it tells of."""
    if ground.pid is None and ground.died_ms is not None:
        ago = duration((ground.now_ms - ground.died_ms) / 1_000)
        yield warn(
            "daemon", f"it does not run: it was killed, or the machine lost its power, about {ago} ago",
            "start it again (`ccagent service restart`, or `ccagent run`): it goes on where it stood, nothing is lost",
        )  # fmt: skip
    elif ground.pid is None:
        yield warn("daemon", "it does not run", "`ccagent run` starts it; nothing is lost, the transcripts wait")
    elif ground.live is None:
        said = (
            f"process {ground.pid or 'unknown'} holds the database and tells nothing: a verb that writes, a start, or"
        )
        yield ok("daemon", f"{said} a daemon that cannot write its status")
    elif problems := len(ground.live.get("problems") or ()):
        yield warn("daemon", f"it runs and tells of {counted(problems, 'problem')}", "`ccagent status` shows them")
    else:
        seconds = max(0, ground.now_ms - int(ground.live.get("started_ms") or ground.now_ms)) / 1_000
        yield ok("daemon", f"it runs as process {ground.pid}, for {duration(seconds)}")


def service(ground: Ground) -> Iterator[Finding]:
    """How the service stands, by its manager's word."""
    from ccagent.errors import ServiceError
    from ccagent.install.managing import choose

    try:
        standing = choose(ground.env).standing()
    except ServiceError:
        yield ok("service", "this platform has no service manager that ccagent knows")
        return
    if not standing.installed:
        yield ok("service", "not installed; `ccagent service install` makes it run from login on")
    elif not standing.running:
        todo = "`ccagent service logs` tells why, `ccagent service restart` starts it"
        if ground.pid is not None:
            todo = f"a ccagent that was started otherwise holds the database: stop it, then {todo.partition(', ')[2]}"
        yield fail("service", f"installed ({standing.manager}), and it does not run", todo)
    elif (standing.restarts or 0) >= MANY_RESTARTS:
        todo = "`ccagent service logs` tells why"
        yield warn("service", f"{standing.manager} runs it, and restarted it {standing.restarts} times", todo)
    else:
        yield ok("service", f"{standing.manager} runs it")


def version(ground: Ground) -> Iterator[Finding]:
    """Whether the running daemon is the version that is installed."""
    if ground.live is None:
        yield ok("version", f"{__version__} is installed")
        return
    told = str(ground.live.get("version") or "")
    running = told if _VERSION.fullmatch(told) else "an older version"
    if told != __version__:
        yield warn(
            "version", f"{running} runs, {__version__} is installed",
            "restart the daemon to use what is installed: `ccagent service restart`, or end `ccagent run` and start it",
        )  # fmt: skip
    elif not ground.live.get("reload_ok", True):
        todo = "`ccagent config check` says what is wrong; the daemon goes on with what it had"
        yield warn("version", f"{told} runs; its last reload of the configuration failed", todo)
    else:
        yield ok("version", f"{told} runs and is installed")
