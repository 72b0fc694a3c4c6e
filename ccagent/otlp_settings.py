"""What the export does: ccagent's configuration and the OpenTelemetry variables, resolved into destinations.

Configuration and environment in, settings and notices out. The rules:

- Naming an endpoint for ccagent (option, CCAGENT_OTLP_ENDPOINT, configuration file) is consent, and counts as personal
  tier 1 where no tier is written. A written tier 0 always wins.
- An endpoint found in OTEL_EXPORTER_OTLP_* may belong to another program. It is used only where a tier of at least 1
  is written; an endpoint named for ccagent goes before it.
- Other OTEL_* values stand in for keys that are set nowhere in ccagent's own configuration. Headers found there are
  not sent to another host than the endpoint found beside them. They speak of the unnamed destination alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar, cast

from ccagent.config import Config, DestinationConfig, OriginKind
from ccagent.config_export_keys import SIGNALS
from ccagent.config_file import DESTINATIONS, UNNAMED
from ccagent.config_values import header_pairs
from ccagent.errors import ConfigError
from ccagent.export.project_files import NAME_LIMIT, is_name
from ccagent.otlp_destination import Compression, Destination, Protocol, Signal, sendable
from ccagent.otlp_endpoint import Endpoint, parse_endpoint
from ccagent.otlp_environment import Limits, OtelEnvironment

DEFAULT_SERVICE_NAME: Final = "ccagent"

CLIENT_SERVICE_NAME: Final = "claude-code"
"""The client's own telemetry uses it; two programs under one name cannot be told apart."""

IDENTITY_PREFIXES: Final = ("enduser.", "user.", "process.owner")
"""Resource attributes that name a person. A request carries work of projects that allow it and of others that do not,
so none of them stands on the resource."""

IDENTITY: Final = "enduser.id"

NAMED_TIER: Final = 1
"""The personal tier that naming a destination stands for."""

IDENTITY_TIER: Final = 2

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpSettings:
    """The whole export. `destinations` has one for each receiver and signal; `named_by` says what named the first.

    `identity` is what the owner wants to be called, None below tier 2. `limits` bound attributes of one item.
    """

    destinations: tuple[Destination, ...]
    personal_tier: int
    named_by: str | None
    identity: str | None
    service_name: str
    resource_attributes: Mapping[str, str]
    self_traces: bool
    limits: Mapping[Signal, Limits]
    notices: tuple[str, ...] = field(compare=False)

    @property
    def enabled(self) -> bool:
        """Whether anything is sent at all."""
        return bool(self.destinations)

    def of(self, signal: str) -> tuple[Destination, ...]:
        """The destinations that get a signal."""
        return tuple(one for one in self.destinations if one.signal == signal)

    @property
    def item_targets(self) -> tuple[tuple[str, str], ...]:
        """Name and signal of the destinations that get facts one by one, as spans or log records."""
        return tuple((one.name, one.signal) for one in (*self.of("traces"), *self.of("logs")))


def resolve(config: Config, env: Mapping[str, str]) -> OtlpSettings:
    """Give the settings of the export.

    Raises ConfigError for an endpoint that is none, for plain text beyond this machine without `insecure`, for half a
    client certificate, and for a written tier of at least 1 without any endpoint.
    """
    otel = OtelEnvironment(env)
    notices: list[str] = []
    tier = _personal_tier(config)
    named = [one for name, part in config.destinations.items() for one in _named(config, name, part)]
    destinations: list[Destination] = []
    if _consent(config, otel, tier, notices):
        signals = _signals(config, otel, notices)
        destinations = [
            one for signal in signals if (one := _unnamed(config, otel, signal, notices)) is not None
        ] + named
        if signals and not destinations:
            raise ConfigError(
                f"{config.origins['privacy.tier'].where}: privacy.tier is {tier}, but no endpoint is named; "
                "name one with --otlp-endpoint or otlp.endpoint, or set the tier to 0"
            )
    service_name, attributes = _resource(otel, notices)
    identity = _identity(config, attributes, tier, notices)
    if destinations:
        notices.extend(otel.general_notices())
    return OtlpSettings(
        destinations=tuple(destinations),
        personal_tier=tier,
        named_by=_named_by(config, otel) if destinations else None,
        identity=identity,
        service_name=service_name,
        resource_attributes=attributes,
        self_traces=config.otlp.self_traces,
        limits={signal: limits for signal in SIGNALS if (limits := otel.limits(signal, notices))},
        notices=tuple(dict.fromkeys(notices)),
    )


def tier_in_force(config: Config, settings: OtlpSettings) -> dict[str, object]:
    """The personal tier, what it was set by, and the owner's name, for `status`."""
    written = config.privacy.tier is not None
    return {
        "personal": settings.personal_tier,
        "set_by": config.origins["privacy.tier"].where if written else settings.named_by,
        "identity": settings.identity,
    }


def _named_endpoints(config: Config) -> list[str]:
    """The dotted keys of the endpoints that were named for ccagent."""
    keys = [f"otlp.{key}" for key in config.otlp.endpoint_keys]
    for name, part in config.destinations.items():
        keys += [f"{DESTINATIONS}.{name}.{key}" for key in part.endpoint_keys]
    return keys


def _personal_tier(config: Config) -> int:
    if config.privacy.tier is not None:
        return config.privacy.tier
    return NAMED_TIER if _named_endpoints(config) else 0


def _consent(config: Config, otel: OtelEnvironment, tier: int, notices: list[str]) -> bool:
    named = _named_endpoints(config)
    if otel.disabled:
        if named or tier > 0:
            notices.append("OTEL_SDK_DISABLED is true: nothing is sent")
        return False
    generic = [] if config.privacy.tier or (config.otlp.endpoint and tier) else otel.endpoint_variables()
    for variable in generic:
        notices.append(
            f"{variable} found, not used: it may be another program's; --otlp-endpoint or privacy.tier = 1 allows it"
            if config.privacy.tier is None
            else f"{variable} found, not used: privacy.tier is 0"
        )
    if tier > 0:
        return True
    places = dict.fromkeys(config.origins[key].where for key in named)
    notices.extend(f"the endpoint of {place} is not used: privacy.tier is 0" for place in places)
    return False


def _signals(config: Config, otel: OtelEnvironment, notices: list[str]) -> tuple[str, ...]:
    if "signals" in config.otlp.set_keys:
        return config.otlp.signals
    kept = []
    for signal in config.otlp.signals:
        if variable := otel.switched_off(signal, notices):
            notices.append(f"{variable} is none: no {signal} are sent; otlp.signals goes before it")
        else:
            kept.append(signal)
    return tuple(kept)


def _own_endpoint(part: DestinationConfig, signal: str) -> tuple[str, str, bool] | None:
    """(name of the key, URL, whether it is the signal's own) of what ccagent's configuration says."""
    own = getattr(part, f"{signal}_endpoint")
    if own:
        return f"{signal}_endpoint", own, True
    return ("endpoint", part.endpoint, False) if part.endpoint else None


def _named(config: Config, name: str, part: DestinationConfig) -> list[Destination]:
    """A named destination, once for each of its signals."""
    section = f"{DESTINATIONS}.{name}"
    if not part.endpoint_keys:
        raise ConfigError(f'[{section}] has no endpoint; write endpoint = "http://127.0.0.1:4317" below it')
    found = []
    for signal in part.signals:
        named = _own_endpoint(part, signal)
        if named is None:
            continue
        key, text, own = named
        where = f"{config.origins[f'{section}.{key}'].where}: {section}.{key}"
        endpoint = parse_endpoint(text, where, insecure=part.insecure, section=section)
        _check_pair(part.client_certificate, part.client_key, section)
        found.append(
            _destination(
                part, name, signal, endpoint, own=own, protocol=part.protocol or endpoint.usual_protocol,
                headers=part.headers, timeout=part.timeout_seconds, compression=part.compression,
                insecure=part.insecure, interval=part.interval_seconds,
                certificates=(part.certificate, part.client_certificate, part.client_key),
            )
        )  # fmt: skip
    return found


def _unnamed(config: Config, otel: OtelEnvironment, signal: str, notices: list[str]) -> Destination | None:
    """One signal of the destination of [otlp], with what the environment says where the configuration is silent."""
    part = config.otlp
    named = _own_endpoint(part, signal)
    found = otel.endpoint(signal)
    if named is not None:
        key, text, own = named
        where = config.origins[f"otlp.{key}"].where
    elif found is not None and config.privacy.tier:
        where, text, own = found
    else:
        return None

    insecure = _pick(part, "insecure", part.insecure, otel.flag(signal, "INSECURE", notices))
    endpoint = parse_endpoint(text, where, insecure=insecure)
    certificates = (
        part.certificate or otel.path(signal, "CERTIFICATE"),
        part.client_certificate or otel.path(signal, "CLIENT_CERTIFICATE"),
        part.client_key or otel.path(signal, "CLIENT_KEY"),
    )
    _check_pair(certificates[1], certificates[2], "otlp")
    return _destination(
        part, UNNAMED, signal, endpoint, own=own,
        protocol=part.protocol or otel.protocol(signal, notices) or endpoint.usual_protocol,
        headers=_headers(config, otel, signal, endpoint, found if named else None, notices),
        timeout=_pick(part, "timeout_seconds", part.timeout_seconds, otel.timeout_seconds(signal, notices)),
        compression=_pick(part, "compression", part.compression, otel.compression(signal, notices)),
        insecure=insecure, certificates=certificates,
        interval=_pick(part, "interval_seconds", part.interval_seconds, otel.interval_seconds(notices)),
    )  # fmt: skip


def _pick(part: DestinationConfig, key: str, own: _Value, other: _Value | None) -> _Value:
    """The configuration's own value where it is set anywhere, else the environment's, else the default."""
    return own if key in part.set_keys or other is None else other


def _destination(
    part: DestinationConfig,
    name: str,
    signal: str,
    endpoint: Endpoint,
    *,
    own: bool,
    protocol: str,
    headers: Mapping[str, str],
    timeout: float,
    compression: str,
    insecure: bool,
    interval: float,
    certificates: tuple[Path | None, Path | None, Path | None],
) -> Destination:
    target = endpoint.over_grpc() if protocol == "grpc" else endpoint.over_http(signal, own=own)
    certificate, client_certificate, client_key = certificates
    return Destination(
        name=name,
        urls={cast(Signal, signal): target.url},
        protocol=cast(Protocol, protocol),
        headers=headers,
        timeout_seconds=timeout,
        compression=cast(Compression, compression),
        certificate=certificate,
        client_certificate=client_certificate,
        client_key=client_key,
        insecure=insecure,
        interval_seconds=interval,
        max_age_days=part.max_age_days,
        native_names=part.native_names,
        native_events=part.native_events,
    )


def _check_pair(client_certificate: Path | None, client_key: Path | None, section: str) -> None:
    if (client_certificate is None) != (client_key is None):
        missing = f"{section}.client_key" if client_key is None else f"{section}.client_certificate"
        raise ConfigError(f"a client certificate and its key belong together; set {missing} too")


def _headers(
    config: Config,
    otel: OtelEnvironment,
    signal: str,
    endpoint: Endpoint,
    beside: tuple[str, str, bool] | None,
    notices: list[str],
) -> dict[str, str]:
    """The headers of a signal; `beside` is the environment's own endpoint where another one is used."""
    headers: dict[str, str] = {}
    for variable, text in otel.headers(signal):
        if "headers" in config.otlp.set_keys:
            notices.append(f"{variable} is not used: otlp.headers is set")
            continue
        # Its secret was meant for the host that stands beside it, which need not be the one named for ccagent.
        if beside and not endpoint.same_host(beside[1]):
            notices.append(f"{variable} is not used: it belongs to {beside[0]}, which names another host")
            continue
        pairs, bad = header_pairs(text)
        if bad:
            notices.append(f"{variable}: {bad} of its pieces are no name=value and are left out")
        notices.extend(
            f"{variable}: the header {name!r} has a name or value that cannot be sent and is left out"
            for name, value in pairs.items()
            if not sendable(name, value)
        )
        headers.update((name, value) for name, value in pairs.items() if sendable(name, value))
    headers.update(config.otlp.headers)
    return headers


def _resource(otel: OtelEnvironment, notices: list[str]) -> tuple[str, dict[str, str]]:
    attributes, bad = otel.resource_attributes()
    if bad:
        notices.append(f"OTEL_RESOURCE_ATTRIBUTES: {bad} of its pieces are no name=value and are left out")
    name = otel.service_name or attributes.get("service.name") or DEFAULT_SERVICE_NAME
    attributes.pop("service.name", None)
    if name == CLIENT_SERVICE_NAME:
        notices.append(f"the service name {CLIENT_SERVICE_NAME} is the client's own; {DEFAULT_SERVICE_NAME} is used")
        name = DEFAULT_SERVICE_NAME
    return name, attributes


def _identity(config: Config, attributes: dict[str, str], tier: int, notices: list[str]) -> str | None:
    """What the owner is called at tier 2; whatever names a person is taken out of `attributes`."""
    taken = {one: attributes.pop(one) for one in list(attributes) if one.startswith(IDENTITY_PREFIXES)}
    own = config.privacy.identity
    if own is not None and not is_name(own):
        where = config.origins["privacy.identity"].where
        raise ConfigError(f"{where}: privacy.identity is a text of at most {NAME_LIMIT} printable characters")
    if tier < IDENTITY_TIER:
        notices.extend(f"the resource attribute {one} names a person and is left out below tier 2" for one in taken)
        if own is not None:
            notices.append(f"privacy.identity is used from tier 2 on; privacy.tier is {tier}")
        return None
    if own is None and is_name(taken.get(IDENTITY)):
        own = taken.pop(IDENTITY)
    notices.extend(
        f"the resource attribute {one} names a person and is left out; privacy.identity names you" for one in taken
    )
    if own is not None and config.origins["privacy.identity"].kind is OriginKind.FILE and config.file is not None:
        from ccagent.tracked import tracked_by_git

        if tracked_by_git(config.file):
            notices.append(
                f"{config.origins['privacy.identity'].where} is tracked by git: privacy.identity is refused there; "
                "set CCAGENT_PRIVACY_IDENTITY, or take the file out of the repository"
            )
            return None
    return own


def _named_by(config: Config, otel: OtelEnvironment) -> str | None:
    if named := _named_endpoints(config):
        return config.origins[named[0]].where
    return next((found[0] for signal in SIGNALS if (found := otel.endpoint(signal)) is not None), None)
