"""What `ccagent status` shows: the daemon's live values while it runs, and what the database knows without it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ccagent import __version__
from ccagent.config import Config
from ccagent.config_file import UNNAMED
from ccagent.errors import CcagentError
from ccagent.paths import stands
from ccagent.service.live import last_seen_ms, read_status
from ccagent.store.instance import holder
from ccagent.store.location import Database, parse_database
from ccagent.store.size import stored_bytes

if TYPE_CHECKING:
    from ccagent.store.alert_summary import Summary
    from ccagent.store.retained import Retained

SCHEMA_VERSION: Final = 1

SHARE_LIMIT: Final = 0.12
"""What a database with default settings stays below, of the bytes of its transcripts."""


def collect(config: Config, env: Mapping[str, str]) -> dict[str, Any]:
    """The status document. It needs no daemon; what only a daemon knows is absent without one."""
    database = parse_database(config.database, config.paths.state_dir)
    pid = holder(database.sidecar)
    written = read_status(database.sidecar)
    live = written if written is not None and pid is not None and written.get("pid") == pid else None
    problems = [*(live or {}).get("problems", {}).values(), *(live or {}).get("notices", ())]
    document: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "running": pid is not None, "pid": pid or None}
    document["database"] = {"path": database.display, "bytes": None}
    if live is not None:
        document |= _live(live)
        problems += _skew(live)
    elif pid is None and written is not None and (found := last_seen_ms(database.sidecar)) is not None:
        document["last_seen"] = _last_seen(written, found)
    try:
        problems += _add_stored(document, database, (live or {}).get("next_prune_ms"))
    except CcagentError as error:
        problems.append(str(error))
    if "alerts" in document:
        document["alerts"]["unreadable"] = list((live or {}).get("unreadable_rules", ()))
    document["export"] = _export(config, env, live, problems)
    document["problems"] = list(dict.fromkeys(problems))
    return document


def _skew(live: Mapping[str, Any]) -> list[str]:
    """What is to be said where the daemon is of another version than whoever asks, as after an upgrade."""
    version = live.get("version", __version__)
    if version == __version__:
        return []
    return [f"the daemon is ccagent {version}, this is {__version__}; restart it, and it goes on where it stands"]


def _last_seen(written: Mapping[str, Any], moment_ms: int) -> dict[str, Any]:
    """What a daemon has left that ended without a word: one that ends in order removes its live values."""
    return {
        "at": rfc3339_of(moment_ms),
        "pid": written.get("pid"),
        "version": written.get("version"),
        "unread_bytes": written.get("unread_bytes"),
        "problems": list(written.get("problems", {}).values()),
    }


def _live(live: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "listen": live["listen"],
        "watch": {"mode": live["watch_mode"], "reason": live["watch_reason"] or None},
        "caught_up": live["caught_up"],
        "files": live["files"],
        "total_bytes": live["total_bytes"],
        "unread_bytes": live["unread_bytes"],
        "bytes_per_second": round(live["bytes_per_second"]) if live["unread_bytes"] else None,
        "pending_bytes": live["pending_bytes"],
        "lost_bytes": live["lost_bytes"],
        "unreadable": live["unreadable"],
        "unreadable_folders": live.get("refused", 0),
        "roots": live["roots"],
        "sources": live["sources"],
        "rollups": {"updated_at": rfc3339_of(live["rollups_at"])},
    }


def _add_stored(document: dict[str, Any], database: Database, next_prune: int | None) -> list[str]:
    """Add what the database tells; what is to be known of its past."""
    from ccagent.drift import summary
    from ccagent.store import alert_summary
    from ccagent.store.aside import told
    from ccagent.store.hosts import read_host
    from ccagent.store.open import open_reader
    from ccagent.store.provenance import outdated
    from ccagent.store.queries import stored_zone, today
    from ccagent.store.retained import retained

    if database.kind == "sqlite" and not stands(database.target):
        return []
    with open_reader(database) as reader:
        past = list(told(reader))
        host = read_host(reader) if database.kind == "sqlite" else None  # of a shared one the daemon tells
        if host is not None and (notice := outdated(reader, host.id)) is not None:
            past = [*past, notice]
        zone = stored_zone(reader)
        row = today(reader, zone, this_moment())
        document["database"]["bytes"] = size = stored_bytes(reader, database)
        document |= _retention(retained(reader), size, next_prune)
        document["drift"] = summary(reader, database)
        document["alerts"] = _alerts(alert_summary.summary(reader), past)
    document |= {
        "zone": zone.key,
        "today": {
            "requests": row.requests, "tokens": sum(row.tokens.values()), "cost_microusd": row.cost_microusd,
            "unpriced_requests": row.unpriced_requests,
        },
    }  # fmt: skip
    return past


def _alerts(found: Summary, problems: list[str]) -> dict[str, Any]:
    """What fires; a delivery that does not get through is a problem."""
    if found.stuck:
        problems.append(f"{found.stuck} alert messages could not be told yet; `ccagent alerts history` shows them")
    return {
        "active": found.active,
        "count": found.firing_count,
        "firing": [
            {
                "rule": one.rule, "subject": one.subject, "severity": one.severity, "since": rfc3339_of(one.since),
                "value": one.value, "threshold": one.threshold,
            }
            for one in found.firing
        ],
    }  # fmt: skip


def _retention(kept: Retained, size: int, next_prune: int | None) -> dict[str, Any]:
    """How large the database is beside the transcripts; since when facts are kept, when some went and will go."""
    return {
        "size": {
            "transcripts_bytes": kept.transcript_bytes,
            "database_share": round(size / kept.transcript_bytes, 4) if kept.transcript_bytes else None,
            "share_limit": SHARE_LIMIT,
        },
        "retention": {
            "oldest_fact": rfc3339_of(kept.oldest),
            "sealed_before": rfc3339_of(kept.sealed_before),
            "last_prune": rfc3339_of(kept.pruned_at),
            "next_prune": rfc3339_of(next_prune),
        },
    }


def _export(
    config: Config, env: Mapping[str, str], live: Mapping[str, Any] | None, problems: list[str]
) -> dict[str, Any] | None:
    from ccagent.otlp_settings import resolve

    try:
        settings = resolve(config, env)
    except CcagentError as error:
        problems.append(str(error))
        return None
    problems.extend(settings.notices)
    states = (live or {}).get("exports", {})
    problems.extend(f"{key}: {one['problem']}" for key, one in states.items() if one.get("problem"))
    if not settings.enabled and not states:
        return {"state": "off: nothing leaves this machine"}
    return {
        "tier": (live or {}).get("tier", {}).get("personal", settings.personal_tier),
        **(_told(states) or {f"{_short(one.key)}_to": f"{one.protocol} {one.url}" for one in settings.destinations}),
        **{_short(key): {"state": one.get("state"), "backlog": one.get("backlog")} for key, one in states.items()},
    }


def _told(states: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Where the daemon sends to: its own options and variables may be others than those of whoever asks."""
    return {
        f"{_short(key)}_to": f"{one['protocol']} {one['endpoint']}" for key, one in states.items() if "endpoint" in one
    }


def _short(key: str) -> str:
    """`traces` of the unnamed destination, `cloud/traces` of a named one."""
    return key.removeprefix(f"{UNNAMED}/")


def this_moment() -> int:
    """Now, in ms UTC."""
    return int(datetime.now(UTC).timestamp() * 1_000)


def rfc3339_of(moment_ms: int | None) -> str | None:
    """A moment in ms UTC to the second, None for None."""
    if moment_ms is None:
        return None
    return datetime.fromtimestamp(moment_ms / 1_000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
