"""Further chapters of the scenario: what limits hold, secrets from the manager, upgrades, other sessions, removing all.

Each gives its part of the report.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.systemd.inside import (
    HOME,
    SESSION,
    UID,
    UNIT,
    UNITS,
    active,
    as_ada,
    configure,
    logged,
    override,
    own,
    put_package,
    requests,
    show,
    standing,
    until,
    write,
)

Report = dict[str, Any]

NEWER = "99.0.0"
BOB = 4243
SECRET = "a-word-that-only-the-manager-knows"

CONTROLS = {"memory": ("memory.max", "memory.high"), "pids": ("pids.max",), "cpu": ("cpu.max", "cpu.weight")}
LIMITS = "MemoryMax,MemoryHigh,TasksMax,CPUQuotaPerSecUSec,CPUWeight,IOWeight,ControlGroup"


def files() -> list[str]:
    """Everything in the user's home but the transcripts."""
    found = (path.relative_to(HOME) for path in HOME.rglob("*"))
    return sorted(str(path) for path in found if path.parts[0] != ".claude")


def limits_of(unit: str, *manager: str) -> Report:
    """The limits of a unit: as its manager took them (`told`), and as the kernel holds them (`held`), where it does."""
    done = subprocess.run([*manager, "show", unit, f"--property={LIMITS}"], text=True, capture_output=True, check=False)
    return _limits(done.stdout)


def _limits(shown: str) -> Report:
    told = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    folder = Path("/sys/fs/cgroup") / told.pop("ControlGroup").lstrip("/")
    held = {
        name: (folder / name).read_text().strip()
        for names in CONTROLS.values()
        for name in names
        if (folder / name).exists()
    }
    given = Path("/sys/fs/cgroup/cgroup.controllers").read_text().split()
    return {"told": told, "held": held, "missing": sorted(set(CONTROLS) - set(given))}


def limits() -> Report:
    """What the unit may use at the most."""
    return {"limits": _limits(as_ada("systemctl", "--user", "show", UNIT, f"--property={LIMITS}").stdout)}


def credential() -> Report:
    """A header of a destination comes from the service manager, and stands nowhere else."""
    key = HOME / "keys" / "collector"
    key.parent.mkdir()
    key.write_text(f"{SECRET}\n")
    key.chmod(0o600)
    own(key.parent)
    with receiving() as (port, heard):
        configure(
            f'[otlp]\nendpoint = "http://127.0.0.1:{port}"\nprotocol = "http/protobuf"\n'
            'headers = { x-api-key = "${credential:collector}" }\n'
        )
        override("80-key.conf", f"[Service]\nLoadCredential=collector:{key}\n")
        started = as_ada("ccagent", "service", "restart")
        until(lambda: heard or not active(), "something is sent with the secret")
        told = [
            as_ada("systemctl", "--user", "show", UNIT).stdout, as_ada("ccagent", "status", "--otel").stdout, logged()
        ]  # fmt: skip
        shell = as_ada("ccagent", "config", "check")
    configure(None)
    override("80-key.conf", None)
    key.unlink()
    key.parent.rmdir()
    again = as_ada("ccagent", "service", "restart")
    return {
        "credential": {
            "started": started.returncode, "text": started.stdout, "heard": sorted(heard),
            "shown": any(SECRET in text for text in told), "shell": shell.returncode, "shell_text": shell.stdout,
            "again": again.returncode, "log": "" if heard else told[-1],
        }
    }  # fmt: skip


@contextmanager
def receiving() -> Iterator[tuple[int, set[str]]]:
    """A receiver of OTLP over HTTP: its port, and the keys that it was sent."""
    heard: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", "0")))
            heard.add(str(self.headers.get("x-api-key")))
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the journal is somebody else's."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1], heard
    finally:
        server.shutdown()
        server.server_close()


def newer(package: Path) -> None:
    """Make a later version of the package, with a schema of its own."""
    _replace(package / "__init__.py", r'__version__: Final = "[^"]+"', f'__version__: Final = "{NEWER}"')
    schema = package / "store/schema.py"
    found = re.search(r"^SCHEMA_VERSION: Final = (\d+)$", schema.read_text(), re.MULTILINE)
    assert found is not None
    version = int(found[1])
    _replace(schema, found[0], f"SCHEMA_VERSION: Final = {version + 1}")
    step = f'{version}: Migration(to={version + 1}, statements=lambda conn: ("CREATE TABLE newer (x INTEGER)",)),'
    _replace(package / "store/migrations/steps.py", r"\n\}\n$", f"\n    {step}\n}}\n")


def _replace(path: Path, pattern: str, words: str) -> None:
    text, number = re.subn(pattern, lambda found: words, path.read_text())
    assert number == 1, path
    path.write_text(text)


def upgrade() -> Report:
    """The package is replaced under the running daemon; a restart brings the database along."""
    told = {"before": asked()}
    put_package(newer)
    told["between"] = asked()
    alive = active()
    restarted = as_ada("ccagent", "service", "restart")
    until(lambda: standing()["running"] and standing().get("caught_up"), "the newer one follows")
    told["after"] = asked()
    write("fifth")
    until(lambda: requests() == 5, "the fifth session is counted")
    return {
        "upgrade": {
            **told, "alive": alive, "code": restarted.returncode, "text": restarted.stdout, "requests": requests(),
            "migrated": "database.migrated" in logged(), **show("NRestarts"),
        }
    }  # fmt: skip


def asked() -> Report:
    """What status and doctor say of versions."""
    doctor = json.loads(as_ada("ccagent", "doctor", "--json").stdout)
    found = [check for check in doctor["checks"] if check.get("check") == "version"]
    skew = [problem for problem in standing()["problems"] if "restart it" in problem]
    return {"status": skew, "doctor": found}


def downgrade() -> Report:
    """An older package does not touch what a newer one has written: it fails once, and is not started over and over."""
    put_package()
    refused = as_ada("ccagent", "service", "restart")
    found = show("ActiveState", "SubState", "ExecMainStatus", "NRestarts", "Result")
    log = logged()
    put_package(newer)
    again = as_ada("ccagent", "service", "restart")
    until(active, "the newer one runs again")
    return {
        "downgrade": {
            "code": refused.returncode, "text": refused.stdout, **found, "log": "newer ccagent" in log,
            "again": again.returncode, "requests": requests(),
        }
    }  # fmt: skip


def elsewhere() -> Report:
    """Sessions that do not lead to the manager: one of the same user without its variables, one of a user who has none."""
    bare = {key: value for key, value in SESSION.items() if key not in ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")}
    status = as_ada("ccagent", "service", "status", env=bare)
    bob = as_ada("ccagent", "service", "install", env={**bare, "HOME": "/home/bob", "USER": "bob"}, uid=BOB)
    left = [str(path) for path in Path("/home/bob").rglob("*ccagent*")]
    return {
        "bare": {"code": status.returncode, "text": status.stdout},
        "nobody": {"code": bob.returncode, "text": bob.stdout, "left": left},
    }


def purge() -> Report:
    """Installed once more, then all of it is removed in one go."""
    installed = as_ada("ccagent", "service", "install")
    until(lambda: standing().get("caught_up"), "it follows")
    removed = as_ada("ccagent", "uninstall", "--purge", "--yes")
    failed = as_ada("systemctl", "--user", "list-units", "--failed", "--plain", "--no-legend")
    return {
        "purge": {
            "installed": installed.returncode, "code": removed.returncode, "text": removed.stdout, "files": files(),
            "failed": failed.stdout, "links": [str(path) for path in UNITS.rglob("*") if path.is_symlink()],
            "processes": processes(), **show("LoadState", "ActiveState"),
        }
    }  # fmt: skip


def processes() -> list[str]:
    """Command lines of the user's processes that name ccagent."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.stat().st_uid == UID:
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found += [line] if "ccagent" in line else []
        except (OSError, ValueError):
            continue  # it has ended
    return found


CHAPTERS: tuple[Callable[[], Report], ...] = (limits, credential, upgrade, downgrade, elsewhere)
