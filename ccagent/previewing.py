"""The next request of each destination and signal, as it would leave now. Nothing is sent and nothing is written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ccagent import __version__
from ccagent.config import Config
from ccagent.errors import ConfigError, UsageError
from ccagent.otlp_json import otlp_json
from ccagent.outgoing import encoding_of, own_host, resource_of, settle
from ccagent.store.connection import Connection
from ccagent.store.hosts import Host

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from ccagent.export.otlp.encoding import Policies
    from ccagent.otlp_destination import Destination
    from ccagent.otlp_settings import OtlpSettings
    from ccagent.store.location import Database

SCHEMA_VERSION: Final = 1

STRETCHES: Final = 1_000
"""Stretches of closed facts looked through for the first that is to be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """One request that would be sent next; `request` None where nothing waits.

    `header_names` are those that go with it; their values are secrets and stay out. `withheld` counts facts on the way
    to it whose project allows no export, `passed_over` those that are history or too old. `size` in bytes before
    compression.
    """

    target: Destination
    header_names: tuple[str, ...]
    request: Message | None
    items: int = 0
    withheld: int = 0
    passed_over: int = 0

    @property
    def size(self) -> int:
        """Bytes of the request before compression."""
        return 0 if self.request is None else self.request.ByteSize()

    def document(self) -> dict[str, Any]:
        """The JSON of the command (docs/json.md); the request as OTLP's own JSON form."""
        return {
            "destination": self.target.name, "signal": self.target.signal, "protocol": self.target.protocol,
            "url": self.target.url, "headers": list(self.header_names), "items": self.items, "bytes": self.size,
            "withheld": self.withheld, "passed_over": self.passed_over, "request": otlp_json(self.request),
        }  # fmt: skip


def previews(
    config: Config, env: Mapping[str, str], *, signal: str | None = None, destination: str | None = None
) -> list[Preview]:
    """The next requests, by destination and signal. ConfigError where nothing is sent at all, UsageError for a
    destination or signal that none of them is, NoDataError without a store."""
    from ccagent.store.location import parse_database
    from ccagent.store.open import open_reader

    settings, compat = settle(config, env)
    targets = _targets(settings, signal, destination)
    database = parse_database(config.database, config.paths.state_dir)
    with open_reader(database) as conn:
        host = own_host(conn, config, shared=database.kind != "sqlite")
        resource = resource_of(settings, host.instance_id)
        found = []
        for target in targets:
            if target.signal == "metrics":
                found.append(_metrics(conn, config, settings, database, target, host, resource, compat=compat.on))
            else:
                found.append(_items(conn, settings, target, host, resource))
        return found


def _targets(settings: OtlpSettings, signal: str | None, name: str | None) -> list[Destination]:
    if not settings.destinations:
        raise ConfigError(
            "nothing is sent: no destination is named, or none is allowed; see `ccagent status --otel` for why"
        )
    chosen = [
        target for target in settings.destinations if signal in (None, target.signal) and name in (None, target.name)
    ]
    if not chosen:
        known = ", ".join(target.key for target in settings.destinations)
        raise UsageError(f"no destination has that name and signal; there is {known}")
    return chosen


def policies(conn: Connection, settings: OtlpSettings) -> Policies:
    """What folders allow, as the daemon judges it at this moment."""
    from ccagent.export.privacy import TierResolver
    from ccagent.store.consent import project_key

    tiers = TierResolver(
        settings.personal_tier, lambda: time.time_ns() // 1_000_000, key=project_key(conn), identity=settings.identity
    )
    return tiers.policy


def _items(
    conn: Connection, settings: OtlpSettings, target: Destination, host: Host, resource: Mapping[str, str]
) -> Preview:
    from ccagent.export.otlp.picking import Picker
    from ccagent.store.outbox import Cursor, read_cursor

    encoding = encoding_of(target, settings)
    now_ms = time.time_ns() // 1_000_000
    cursor = read_cursor(conn, target.name, target.signal, host.id)
    if cursor is None:  # a destination that was never named is named now, at the earliest
        cursor = Cursor(
            destination=target.name,
            signal=target.signal,
            host=host.id,
            named_at=now_ms,
            closed_seq=0,
            sent=0,
            rejected=0,
        )
    picker = Picker(encoding, policies(conn, settings), host.id)
    after, withheld, passed_over = cursor.closed_seq, 0, 0
    headers = tuple(sorted(target.headers))
    for _ in range(STRETCHES):
        picked = picker.pick(conn, cursor, after, now_ms)
        withheld += picked.batch.withheld
        passed_over += picked.past.history + picked.past.expired
        if picked.batch.items:
            return Preview(
                target=target, header_names=headers, withheld=withheld, passed_over=passed_over,
                items=len(picked.batch.items), request=encoding.request(picked.batch.items, resource, __version__),
            )  # fmt: skip
        if picked.batch.end >= picked.top:
            break
        after = picked.batch.end
    return Preview(target=target, header_names=headers, request=None, withheld=withheld, passed_over=passed_over)


def _metrics(
    conn: Connection,
    config: Config,
    settings: OtlpSettings,
    database: Database,
    target: Destination,
    host: Host,
    resource: Mapping[str, str],
    *,
    compat: bool,
) -> Preview:
    """The totals as they stand. Gauges of the daemon's own state are those of a daemon that has just started."""
    from ccagent.export.otlp.metrics import encode_metrics
    from ccagent.service.gauges import make_snapshot
    from ccagent.service.leaving import leaving
    from ccagent.service.live import Live

    now_ms = time.time_ns() // 1_000_000
    taken = make_snapshot(
        conn, Live(), database, host.host_id, now_ms, project_label=config.metrics.project_label, exportable_only=True,
        compat=compat,
    )  # fmt: skip
    taken = leaving(conn, policies(conn, settings)).renamed(taken, now_ms)
    points = sum(len(family.points) for family in taken.families)
    request = encode_metrics(taken, resource, now_ms * 1_000_000, __version__) if points else None
    return Preview(target=target, header_names=tuple(sorted(target.headers)), request=request, items=points)
