"""What `ccagent status --otel` shows: tier, destinations and how they are, label budgets, native telemetry beside it.

It needs no daemon: what only a daemon knows (states, recent counts) is absent without one, and the rest is read from
the configuration and the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ccagent.config import Config
from ccagent.errors import CcagentError
from ccagent.otlp_settings import tier_in_force
from ccagent.outgoing import settle
from ccagent.paths import display, stands
from ccagent.service.exporting import set_up
from ccagent.service.live import read_status
from ccagent.status import SCHEMA_VERSION, rfc3339_of, this_moment
from ccagent.store.instance import holder
from ccagent.store.location import parse_database

if TYPE_CHECKING:
    from ccagent.facts.model import EventType
    from ccagent.native_telemetry import Choice
    from ccagent.store.connection import Connection
    from ccagent.store.exported import Progress

SET_UP: Final = ("endpoint", "protocol", "compression", "headers", "tls", "timeout_seconds", "max_age_days")
"""What is told of how a destination is set up."""

DAY_MS: Final = 24 * 3_600 * 1_000

NOT_RUNNING: Final = "stopped"
"""The state of a destination while no daemon runs."""

STARTING: Final = "starting"
"""The state before the first step."""

_ADVICE: Final = (
    (("401", "403", "unauthenticated", "permission_denied"), "check the credentials in its headers"),
    (
        ("404", "405", "unimplemented"),
        "check the endpoint's path; where the receiver does not take this signal, leave it out of `signals`",
    ),
    (("certificate", "ssl"), "check the certificates: `certificate` names the authority that signed the receiver's"),
    (("redirected", "no otlp", "not an otlp"), "check the endpoint: something else than a receiver answers"),
    (("name or service", "resolution", "getaddrinfo"), "check the host name in the endpoint"),
    (("429", "503", "resource_exhausted"), "the receiver is busy; nothing is lost, it is tried again"),
    (("no answer", "unavailable", "refused", "deadline", "timed out"), "see that the receiver runs and can be reached"),
)
"""Words of a problem, in small letters, and what to do about it; the first that fits."""


def collect(config: Config, env: Mapping[str, str]) -> dict[str, Any]:
    """The document. Raises ConfigError where the daemon would refuse the configuration, too."""
    database = parse_database(config.database, config.paths.state_dir)
    pid = holder(database.sidecar)
    live = read_status(database.sidecar) if pid is not None else None
    settings, choice = settle(config, env)
    now = this_moment()
    problems: list[str] = []
    # The daemon's own word where it runs: its environment and options may be others.
    running = (
        (live or {}).get("exports", {}) if live is not None else {one.key: set_up(one) for one in settings.destinations}
    )
    files = (live or {}).get("project_files", {})
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "running": pid is not None,
        "enabled": bool(running),
        "tier": {
            **((live or {}).get("tier") or tier_in_force(config, settings)),
            "acknowledged_at": None,
            "project_files": [{"file": display(file), "tier": tier} for file, tier in sorted(files.items())],
        },
        "service_name": settings.service_name,
        "destinations": [_destination(key, told, live is not None, now) for key, told in running.items()],
        "labels": [],
        "native_telemetry": _native(choice),
    }
    try:
        _add_stored(document, config, running, now)
    except CcagentError as error:
        problems.append(str(error))
    notices = [*config.notices, *settings.notices, *choice.notices, *(live or {}).get("notices", ())]
    if said := (live or {}).get("problems", {}).get("projects"):
        problems.append(said)
    document["notices"] = list(dict.fromkeys(notices))
    document["problems"] = problems
    return document


def advice(state: str | None, problem: str) -> str | None:
    """What to do about a destination's problem, None where nothing is to be done."""
    if not problem:
        return None
    if state == "active":
        return "nothing now: it refused a part, which is counted and not sent again; its words say why"
    words = problem.lower()
    for signs, what in _ADVICE:
        if any(sign in words for sign in signs):
            return what
    return "see the receiver's log"


def _destination(key: str, told: Mapping[str, Any], running: bool, now: int) -> dict[str, Any]:
    """How a destination is set up, and how it is as far as the daemon tells."""
    name, _, signal = key.rpartition("/")
    state = told.get("state") or (STARTING if running else NOT_RUNNING)
    problem = str(told.get("problem") or "")
    next_try = told.get("next_try_ms")
    return {
        "name": name,
        "signal": signal,
        **{field: told.get(field) for field in SET_UP},
        "state": state,
        "problem": problem or None,
        "advice": advice(state, problem),
        "retry_in_seconds": max(0.0, round((next_try - now) / 1_000, 1)) if next_try and state != "active" else None,
        "transitions": [
            {"at": rfc3339_of(one["at_ms"]), "from": one["from"], "to": one["to"], "reason": one["reason"]}
            for one in told.get("transitions", ())
        ],
        "last_hour": told.get("last_hour"),
        "last_day": told.get("last_day"),
        "backlog": told.get("backlog"),
        "backlog_age_seconds": None,
        "sent": None,
        "rejected": None,
        "set_aside": None,
    }


def _native(choice: Choice) -> dict[str, Any]:
    """Whether Claude Code's own telemetry runs beside ccagent's."""
    return {
        "on": choice.native is not None,
        "where": choice.native.where if choice.native is not None else None,
        "claude_code_metrics": choice.on,
    }


def _add_stored(document: dict[str, Any], config: Config, running: Mapping[str, Mapping[str, Any]], now: int) -> None:
    """Add what the database tells: acknowledgement, backlogs, the use of label budgets."""
    from ccagent.metrics.labels import Budget
    from ccagent.store.consent import acknowledged
    from ccagent.store.hosts import local_host_id, read_host
    from ccagent.store.open import open_reader
    from ccagent.store.totals import load_admitted

    database = parse_database(config.database, config.paths.state_dir)
    if database.kind == "sqlite" and not stands(database.target):
        return
    with open_reader(database) as reader:
        document["tier"]["acknowledged_at"] = rfc3339_of(acknowledged(reader))
        name = None if database.kind == "sqlite" else config.host_id or local_host_id(config.paths.data_dir)
        host = read_host(reader, name)
        if host is None:
            return
        for shown in document["destinations"]:
            age = running[f"{shown['name']}/{shown['signal']}"].get("max_age_days")
            found = _progress(reader, host.id, shown["name"], shown["signal"], age, now)
            if found is not None:
                _add_progress(shown, found, now)
        use = Budget(load_admitted(reader, host.id), config.metrics.label_budgets).use()
        document["labels"] = [
            {"metric": metric, "label": label, "used": used, "budget": budget}
            for (metric, label), (used, budget) in sorted(use.items())
        ]


def _progress(
    reader: Connection, host: int, name: str, signal: str, max_age_days: float | None, now: int
) -> Progress | None:
    from ccagent.export.otlp.closed import SPAN_TYPES
    from ccagent.store.exported import progress

    if signal == "metrics":
        return None
    types: tuple[EventType, ...] = SPAN_TYPES
    age = None if max_age_days is None else round(max_age_days * DAY_MS)
    if signal == "logs":
        from ccagent.export.otlp.log_facts import LOG_TYPES
        from ccagent.export.otlp.logs import MAX_AGE_MS

        types = LOG_TYPES
        age = MAX_AGE_MS if age is None else min(age, MAX_AGE_MS)
    return progress(reader, host, name, signal, types, 0 if age is None else now - age)


def _add_progress(shown: dict[str, Any], found: Progress, now: int) -> None:
    shown["backlog"] = found.waiting
    if found.oldest_ms is not None:
        shown["backlog_age_seconds"] = max(0, round((now - found.oldest_ms) / 1_000))
    shown["sent"], shown["rejected"], shown["set_aside"] = found.sent, found.rejected, found.set_aside
