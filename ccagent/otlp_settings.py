"""What the export does: ccagent's configuration and the OpenTelemetry variables, resolved into destinations.

Pure: configuration and environment in, settings and notices out. The rules:

- Naming an endpoint for ccagent (option, CCAGENT_OTLP_ENDPOINT, configuration file) is consent, and counts as personal
  tier 1 where no tier is written. A written tier 0 always wins.
- An endpoint found in OTEL_EXPORTER_OTLP_* may belong to another program. It is used only where a tier of at least 1
  is written; an endpoint named for ccagent goes before it.
- Other OTEL_* values stand in for keys that are set nowhere in ccagent's own configuration. Headers found there are
  not sent to another host than the endpoint found beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ccagent.config import Config
from ccagent.config_keys import SIGNALS
from ccagent.config_values import header_pairs
from ccagent.errors import ConfigError
from ccagent.otlp_endpoint import Endpoint, parse_endpoint
from ccagent.otlp_environment import OtelEnvironment

DEFAULT_SERVICE_NAME: Final = "ccagent"

CLIENT_SERVICE_NAME: Final = "claude-code"
"""The client's own telemetry uses it; two programs under one name cannot be told apart."""

IDENTITY_PREFIXES: Final = ("enduser.", "user.")
"""Resource attributes that name a person leave from tier 2 on."""

NAMED_TIER: Final = 1
"""The personal tier that naming a destination stands for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where and how one signal is sent.

    `url` is complete: with the signal's path over HTTP, scheme://host:port over gRPC. `identity` names the receiver
    for cursors and status: it holds no secret. Headers have lower-case names.
    """

    signal: str
    protocol: str
    url: str
    scheme: str
    host: str
    port: int
    path: str
    headers: Mapping[str, str]
    timeout_seconds: float
    compression: str
    certificate: Path | None
    client_certificate: Path | None
    client_key: Path | None

    @property
    def identity(self) -> str:
        """The receiver as scheme://host:port/path, without headers."""
        return self.url


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpSettings:
    """The whole export. A signal's destination is None where nothing is sent; `named_by` says what named it."""

    traces: Destination | None
    metrics: Destination | None
    personal_tier: int
    named_by: str | None
    interval_seconds: float
    service_name: str
    resource_attributes: Mapping[str, str]
    notices: tuple[str, ...]

    @property
    def enabled(self) -> bool:
        """Whether anything is sent at all."""
        return self.traces is not None or self.metrics is not None

    @property
    def destinations(self) -> tuple[Destination, ...]:
        """The destinations there are."""
        return tuple(one for one in (self.traces, self.metrics) if one is not None)


def resolve(config: Config, env: Mapping[str, str]) -> OtlpSettings:
    """Give the settings of the export.

    Raises ConfigError for an endpoint that is none, for plain text beyond this machine without `insecure`, for half a
    client certificate, and for a written tier of at least 1 without any endpoint.
    """
    otel = OtelEnvironment(env)
    notices: list[str] = []
    tier = _personal_tier(config)
    found = {signal: otel.endpoint(signal) for signal in SIGNALS}
    allowed = _consent(config, otel, tier, notices)
    signals = _signals(config, otel, notices) if allowed else ()
    destinations: dict[str, Destination | None] = dict.fromkeys(SIGNALS)
    for signal in signals:
        destinations[signal] = _destination(config, otel, signal, found[signal], notices)
    if allowed and signals and not any(destinations.values()):
        raise ConfigError(
            f"{config.origins['privacy.tier'].where}: privacy.tier is {tier}, but no endpoint is named; "
            "name one with --otlp-endpoint or otlp.endpoint, or set the tier to 0"
        )
    service_name, attributes = _resource(otel, tier, notices)
    used = next((one for one in destinations.values() if one is not None), None)
    if used is not None:
        notices.extend(otel.general_notices())
    interval = config.otlp.interval_seconds
    if not config.is_set("otlp.interval_seconds"):
        interval = otel.interval_seconds(notices) or interval
    return OtlpSettings(
        traces=destinations["traces"],
        metrics=destinations["metrics"],
        personal_tier=tier,
        named_by=_named_by(config, found) if used else None,
        interval_seconds=interval,
        service_name=service_name,
        resource_attributes=attributes,
        notices=tuple(dict.fromkeys(notices)),
    )


def _personal_tier(config: Config) -> int:
    if config.privacy.tier is not None:
        return config.privacy.tier
    return NAMED_TIER if config.otlp.endpoint else 0


def _consent(config: Config, otel: OtelEnvironment, tier: int, notices: list[str]) -> bool:
    generic = otel.endpoint_variables()
    if otel.disabled:
        if config.otlp.endpoint or tier > 0:
            notices.append("OTEL_SDK_DISABLED is true: nothing is sent")
        return False
    if tier > 0:
        return True
    if config.otlp.endpoint:
        notices.append(f"the endpoint of {config.origins['otlp.endpoint'].where} is not used: privacy.tier is 0")
    for variable in generic:
        notices.append(
            f"{variable} found, not used: it may be another program's; --otlp-endpoint or privacy.tier = 1 allows it"
            if config.privacy.tier is None
            else f"{variable} found, not used: privacy.tier is 0"
        )
    return False


def _signals(config: Config, otel: OtelEnvironment, notices: list[str]) -> tuple[str, ...]:
    if config.is_set("otlp.signals"):
        return config.otlp.signals
    kept = []
    for signal in config.otlp.signals:
        if variable := otel.switched_off(signal):
            notices.append(f"{variable} is none: no {signal} are sent; otlp.signals goes before it")
        else:
            kept.append(signal)
    return tuple(kept)


def _destination(
    config: Config, otel: OtelEnvironment, signal: str, found: tuple[str, str, bool] | None, notices: list[str]
) -> Destination | None:
    """Build one signal's destination; `found` is (variable, URL, whether it is the signal's own)."""
    insecure = config.otlp.insecure
    if not config.is_set("otlp.insecure"):
        insecure = otel.flag(signal, "INSECURE", notices) or False
    if config.otlp.endpoint:
        where, text, own = config.origins["otlp.endpoint"].where, config.otlp.endpoint, False
    elif found is not None:
        where, text, own = found
    else:
        return None
    endpoint = parse_endpoint(text, where, insecure=insecure)
    protocol = config.otlp.protocol or otel.protocol(signal, notices) or endpoint.usual_protocol
    certificate, client_certificate, client_key = _certificates(config, otel, signal)
    timeout = config.otlp.timeout_seconds
    if not config.is_set("otlp.timeout_seconds"):
        timeout = otel.timeout_seconds(signal, notices) or timeout
    compression = config.otlp.compression
    if not config.is_set("otlp.compression"):
        compression = otel.compression(signal, notices) or compression
    target = endpoint.over_grpc() if protocol == "grpc" else endpoint.over_http(signal, own=own)
    return Destination(
        signal=signal,
        protocol=protocol,
        url=target.url,
        scheme=target.scheme,
        host=target.host,
        port=target.port,
        path=target.path,
        headers=_headers(config, otel, signal, endpoint, found, notices),
        timeout_seconds=timeout,
        compression=compression,
        certificate=certificate,
        client_certificate=client_certificate,
        client_key=client_key,
    )


def _headers(
    config: Config,
    otel: OtelEnvironment,
    signal: str,
    endpoint: Endpoint,
    found: tuple[str, str, bool] | None,
    notices: list[str],
) -> dict[str, str]:
    headers: dict[str, str] = {}
    for variable, text in otel.headers(signal):
        if config.is_set("otlp.headers"):
            notices.append(f"{variable} is not used: otlp.headers is set")
            continue
        # Its secret was meant for the host that stands beside it, which need not be the one named for ccagent.
        if config.otlp.endpoint and found and not endpoint.same_host(found[1]):
            notices.append(f"{variable} is not used: it belongs to {found[0]}, which names another host")
            continue
        pairs, bad = header_pairs(text)
        if bad:
            notices.append(f"{variable}: {bad} of its pieces are no name=value and are left out")
        headers.update(pairs)
    headers.update(config.otlp.headers)
    return headers


def _certificates(config: Config, otel: OtelEnvironment, signal: str) -> tuple[Path | None, Path | None, Path | None]:
    certificate = config.otlp.certificate or otel.path(signal, "CERTIFICATE")
    client_certificate = config.otlp.client_certificate or otel.path(signal, "CLIENT_CERTIFICATE")
    client_key = config.otlp.client_key or otel.path(signal, "CLIENT_KEY")
    if (client_certificate is None) != (client_key is None):
        missing = "otlp.client_key" if client_key is None else "otlp.client_certificate"
        raise ConfigError(f"a client certificate and its key belong together; set {missing} too")
    return certificate, client_certificate, client_key


def _resource(otel: OtelEnvironment, tier: int, notices: list[str]) -> tuple[str, dict[str, str]]:
    attributes, bad = otel.resource_attributes()
    if bad:
        notices.append(f"OTEL_RESOURCE_ATTRIBUTES: {bad} of its pieces are no name=value and are left out")
    name = otel.service_name or attributes.get("service.name") or DEFAULT_SERVICE_NAME
    attributes.pop("service.name", None)
    if name == CLIENT_SERVICE_NAME:
        notices.append(f"the service name {CLIENT_SERVICE_NAME} is the client's own; {DEFAULT_SERVICE_NAME} is used")
        name = DEFAULT_SERVICE_NAME
    if tier < 2:
        for identity in [one for one in attributes if one.startswith(IDENTITY_PREFIXES)]:
            del attributes[identity]
            notices.append(f"the resource attribute {identity} names a person and is left out below tier 2")
    return name, attributes


def _named_by(config: Config, found: Mapping[str, tuple[str, str, bool] | None]) -> str | None:
    if config.otlp.endpoint:
        return config.origins["otlp.endpoint"].where
    return next((one[0] for one in found.values() if one is not None), None)
