"""One reconciliation: the native side from a file or a receiver, the transcripts, and the comparison as a document."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from ccagent.config import Config
from ccagent.errors import NoDataError
from ccagent.follow.roots import default_roots
from ccagent.paths import home
from ccagent.reconcile.compare import compare
from ccagent.reconcile.native import Native
from ccagent.reconcile.native_input import read_file
from ccagent.reconcile.transcripts import Transcripts, Window

SCHEMA_VERSION: Final = 1

BEHIND_MS: Final = 15_000
"""Events and spans come some seconds behind what they tell of (natively every 5 s). So what ended so shortly before the
end of listening is not held against the telemetry, and what ended so shortly before its beginning is looked for."""

Wait = Callable[[int], None]
"""Called with the port while the receiver listens; its return ends that."""


def of_file(config: Config, env: Mapping[str, str], path: Path) -> dict[str, Any]:
    """Compare a file of OTLP with the transcripts: the sessions that it names whole, others within its time.

    NoDataError where neither side has a request or a tool call; ReconcileError for a file that is none.
    """
    native = Native()
    taken, bad = read_file(native, path)
    return _document(config, env, native, native.side.sessions, native.side.window, {"taken": taken, "bad": bad})


def of_receiver(config: Config, env: Mapping[str, str], host: str, port: int, wait: Wait) -> dict[str, Any]:
    """Listen until `wait` returns, then compare what came with the transcripts of that time."""
    from ccagent.reconcile.listening import receiver

    native = Native()
    began = _now_ms()
    with receiver(native, host, port) as bound:
        wait(bound)
    window = (began, max(began, _now_ms()))
    return _document(config, env, native, set(), window, None)


def _document(
    config: Config,
    env: Mapping[str, str],
    native: Native,
    sessions: set[str],
    window: Window | None,
    payloads: dict[str, int] | None,
) -> dict[str, Any]:
    """The comparison. `payloads` of a file; None where it was listened, so that the window has edges."""
    from ccagent.price_file import load_prices

    wide = window if window is None or payloads is not None else (window[0] - BEHIND_MS, window[1])
    transcripts = Transcripts(load_prices(config), sessions, wide)
    transcripts.read(list(config.sources) or default_roots(env, home(env)))
    if window is not None and payloads is None:
        transcripts.side.leave_out(native.side, window[0], window[1] - BEHIND_MS)
    found, total = compare(transcripts.side, native.side)
    if not found:
        raise NoDataError(
            "nothing to compare: neither the telemetry nor the transcripts of its time hold a request or a tool call;"
            " docs/reconcile.md says how to point Claude Code's telemetry here"
        )
    return {
        "schema_version": SCHEMA_VERSION,
        "since": None if window is None else _rfc3339(window[0]),
        "until": None if window is None else _rfc3339(window[1]),
        "sessions": [{"session": session or None, **tallied.document()} for session, tallied in found.items()],
        "total": total.document(),
        "without_request_id": {"transcript": transcripts.side.unnamed, "native": native.side.unnamed},
        "native_records": native.records,
        "rebuilt_records": native.rebuilt,
        "payloads": payloads,
        "files": transcripts.files,
        "files_unreadable": transcripts.unreadable,
    }


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _rfc3339(moment_ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(moment_ms / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
