"""Each OpenTelemetry variable that ccagent declares does what is said of it, behind ccagent's own keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ccagent.config import load
from ccagent.config_keys import KEY_BY_NAME
from ccagent.export.otlp.sender import make_sender
from ccagent.export.otlp.spans import encode_attributes
from ccagent.otlp_destination import Destination
from ccagent.otlp_environment import Limits
from ccagent.otlp_settings import OtlpSettings, resolve
from ccagent.otlp_variables import VARIABLES
from ccagent.outgoing import resource_of

SIGNALS = ("TRACES", "METRICS", "LOGS")
HERE = {"HOME": "/home/ada", "CCAGENT_PRIVACY_TIER": "1"}
AT = HERE | {"CCAGENT_OTLP_ENDPOINT": "http://localhost:4318"}

OF_DESTINATIONS: dict[str, tuple[str, str, Any, dict[str, str]]] = {
    "PROTOCOL": ("protocol", "grpc", "grpc", {"CCAGENT_OTLP_PROTOCOL": "http/protobuf"}),
    "HEADERS": ("headers", "a=x%20b,c=d", {"a": "x b", "c": "d"}, {"CCAGENT_OTLP_HEADERS": "x=y"}),
    "TIMEOUT": ("timeout_seconds", "2500", 2.5, {"CCAGENT_OTLP_TIMEOUT_SECONDS": "10"}),
    "COMPRESSION": ("compression", "gzip", "gzip", {"CCAGENT_OTLP_COMPRESSION": "none"}),
    "CERTIFICATE": ("certificate", "/ca.pem", Path("/ca.pem"), {"CCAGENT_OTLP_CERTIFICATE": "/own.pem"}),
    "INSECURE": ("insecure", "true", True, {"CCAGENT_OTLP_INSECURE": "false"}),
}
"""Suffix → field of the destination, text, what it becomes, and ccagent's own variable that goes before it."""

TESTED: set[str] = {f"OTEL_EXPORTER_OTLP_{suffix}" for suffix in OF_DESTINATIONS}
TESTED |= {f"OTEL_EXPORTER_OTLP_{signal}_{suffix}" for suffix in OF_DESTINATIONS for signal in SIGNALS}


def settle(env: dict[str, str]) -> OtlpSettings:
    return resolve(load({}, env), env)


def by_signal(env: dict[str, str]) -> dict[str, Destination]:
    return {one.signal.upper(): one for one in settle(env).destinations}


def each_of(*names: str) -> pytest.MarkDecorator:
    """Parametrize by variables, and remember that they are tested."""
    TESTED.update(names)
    return pytest.mark.parametrize("name", names)


@pytest.mark.parametrize("suffix", OF_DESTINATIONS)
def test_the_shared_form_holds_for_all_signals(suffix: str) -> None:
    field, text, value, _ = OF_DESTINATIONS[suffix]

    found = by_signal(AT | {f"OTEL_EXPORTER_OTLP_{suffix}": text})

    assert {signal: getattr(one, field) for signal, one in found.items()} == dict.fromkeys(SIGNALS, value)


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("suffix", OF_DESTINATIONS)
def test_a_signals_own_form_holds_for_it_alone_and_goes_before_the_shared_one(suffix: str, signal: str) -> None:
    field, text, value, _ = OF_DESTINATIONS[suffix]
    others = {"PROTOCOL": "http/protobuf", "HEADERS": "a=z", "TIMEOUT": "7", "COMPRESSION": "none",
              "CERTIFICATE": "/shared.pem", "INSECURE": "false"}  # fmt: skip
    env = AT | {f"OTEL_EXPORTER_OTLP_{suffix}": others[suffix], f"OTEL_EXPORTER_OTLP_{signal}_{suffix}": text}

    found = {name: getattr(one, field) for name, one in by_signal(env).items()}

    assert found.pop(signal) == value
    assert value not in found.values()


@pytest.mark.parametrize("suffix", OF_DESTINATIONS)
def test_ccagents_own_value_goes_before_both_forms(suffix: str) -> None:
    field, text, value, own = OF_DESTINATIONS[suffix]
    env = AT | {f"OTEL_EXPORTER_OTLP_{suffix}": text, f"OTEL_EXPORTER_OTLP_TRACES_{suffix}": text}

    found = by_signal(env | own)

    assert value not in [getattr(one, field) for one in found.values()]


@each_of("OTEL_EXPORTER_OTLP_ENDPOINT", *(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT" for signal in SIGNALS))
def test_an_endpoint_is_used_where_a_tier_is_written_behind_ccagents_own(name: str) -> None:
    signals = [signal for signal in SIGNALS if signal in name] or list(SIGNALS)
    env = HERE | {name: "http://localhost:4318/x"}

    found = by_signal(env)
    behind = by_signal(env | AT)

    path = "/x" if len(signals) == 1 else "/x/v1/{}"
    assert {signal: one.url for signal, one in found.items()} == {
        signal: "http://localhost:4318" + path.format(signal.lower()) for signal in signals
    }
    assert not any("/x" in one.url for one in behind.values())


CERTIFICATES = ("CLIENT_KEY", "CLIENT_CERTIFICATE")


@each_of(*(f"OTEL_EXPORTER_OTLP_{own}{suffix}" for suffix in CERTIFICATES for own in ("", *(f"{s}_" for s in SIGNALS))))
def test_a_client_certificate_and_its_key_are_files(name: str) -> None:
    field = "client_key" if name.endswith("KEY") else "client_certificate"
    pair = (
        name.removesuffix("KEY") + "CERTIFICATE" if field == "client_key" else name.removesuffix("CERTIFICATE") + "KEY"
    )
    signals = [signal for signal in SIGNALS if f"_{signal}_" in name] or list(SIGNALS)
    env = AT | {name: "/one.pem", pair: "/two.pem"}

    found = by_signal(env)
    own = by_signal(env | {"CCAGENT_OTLP_CLIENT_KEY": "/own", "CCAGENT_OTLP_CLIENT_CERTIFICATE": "/own"})

    assert [signal for signal, one in found.items() if getattr(one, field) == Path("/one.pem")] == signals
    assert {getattr(one, field) for one in own.values()} == {Path("/own")}


@each_of(*(f"OTEL_{signal}_EXPORTER" for signal in SIGNALS))
def test_an_exporter_of_none_sends_no_such_signal_behind_the_key(name: str) -> None:
    signal = name.split("_")[1]

    assert list(by_signal(AT | {name: "none"})) == [one for one in SIGNALS if one != signal]
    assert list(by_signal(AT | {name: "otlp"})) == list(SIGNALS)
    assert list(by_signal(AT | {name: "none", "CCAGENT_OTLP_SIGNALS": signal.lower()})) == [signal]
    assert any(name in notice for notice in settle(AT | {name: "console"}).notices)


@each_of("OTEL_METRIC_EXPORT_INTERVAL")
def test_the_interval_is_in_milliseconds_behind_the_key(name: str) -> None:
    assert by_signal(AT | {name: "5000"})["METRICS"].interval_seconds == 5.0
    assert by_signal(AT | {name: "1"})["METRICS"].interval_seconds == 1.0
    assert by_signal(AT | {name: "5000", "CCAGENT_OTLP_INTERVAL_SECONDS": "9"})["METRICS"].interval_seconds == 9.0


@each_of("OTEL_SDK_DISABLED")
def test_a_disabled_sdk_sends_nothing_anywhere(name: str) -> None:
    assert not settle(AT | {name: "true"}).enabled
    assert settle(AT | {name: "no"}).enabled


@each_of("OTEL_SERVICE_NAME")
def test_the_service_name_goes_before_that_of_the_attributes(name: str) -> None:
    env = AT | {"OTEL_RESOURCE_ATTRIBUTES": "service.name=theirs"}

    assert settle(env).service_name == "theirs"
    assert settle(env | {name: "mine"}).service_name == "mine"
    assert settle(AT | {name: "claude-code"}).service_name == "ccagent"


@each_of("OTEL_EXPORTER_OTLP_HEADERS")
def test_a_header_that_cannot_be_sent_is_told_and_left_out(name: str) -> None:
    settings = settle(AT | {name: "good=one,x-team=caf%C3%A9,x+y=secret"})

    assert {tuple(one.headers.items()) for one in settings.destinations} == {(("good", "one"),)}
    assert all(make_sender(one) for one in settings.destinations)
    assert [notice for notice in settings.notices if name in notice] == [
        f"{name}: the header 'x-team' has a name or value that cannot be sent and is left out",
        f"{name}: the header 'x+y' has a name or value that cannot be sent and is left out",
    ]


@each_of("OTEL_RESOURCE_ATTRIBUTES")
def test_bytes_that_are_no_utf_8_are_replaced(name: str) -> None:
    settings = settle(AT | {name: "team=caf\udce9,k\udce9=v", "OTEL_SERVICE_NAME": "caf\udce9"})

    assert settings.service_name == "caf\ufffd"
    assert settings.resource_attributes == {"team": "caf\ufffd", "k\ufffd": "v"}
    sent = encode_attributes(resource_of(settings, "one"))
    assert "caf\ufffd" in {pair.value.string_value for pair in sent if pair.key == "service.name"}


@each_of("OTEL_RESOURCE_ATTRIBUTES")
def test_resource_attributes_are_percent_decoded(name: str) -> None:
    assert settle(AT | {name: "team=a%20b,deployment.environment.name=lab"}).resource_attributes == {
        "team": "a b",
        "deployment.environment.name": "lab",
    }


@each_of(
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT",
)  # fmt: skip
def test_a_length_limit_holds_for_its_items(name: str) -> None:
    limits = settle(AT | {name: "32"}).limits

    assert {signal: bound.characters for signal, bound in limits.items()} == dict.fromkeys(_kinds(name), 32)
    assert settle(AT | {name: "many"}).limits == {}


@each_of("OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT")
def test_a_count_limit_holds_for_its_items(name: str) -> None:
    assert settle(AT | {name: "4"}).limits == dict.fromkeys(_kinds(name), Limits(attributes=4))
    assert any(name in notice for notice in settle(AT | {name: "-1"}).notices)


def test_an_items_own_limit_goes_before_that_of_all_attributes() -> None:
    env = AT | {"OTEL_ATTRIBUTE_COUNT_LIMIT": "9", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "4"}

    assert {signal: bound.attributes for signal, bound in settle(env).limits.items()} == {"traces": 4, "logs": 9}


@each_of("OTEL_LOG_LEVEL")
def test_the_log_level_stands_in_for_the_key(name: str) -> None:
    assert load({}, HERE | {name: "WARN"}).log.level == "warning"
    assert load({}, HERE | {name: "verbose"}).log.level == "info"
    assert load({}, HERE | {name: "warn", "CCAGENT_LOG_LEVEL": "debug"}).log.level == "debug"


@each_of(
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
    "OTEL_CONFIG_FILE",
)  # fmt: skip
def test_what_is_not_followed_is_said(name: str) -> None:
    values = {"TEMPORALITY_PREFERENCE": "delta", "HISTOGRAM_AGGREGATION": "base2_exponential_bucket_histogram"}
    text = next((value for end, value in values.items() if name.endswith(end)), "/otel.yaml")

    assert [name for notice in settle(AT | {name: text}).notices if name in notice] == [name]
    assert settle(AT).notices == ()


def _kinds(name: str) -> list[str]:
    if "SPAN" in name:
        return ["traces"]
    return ["logs"] if "LOGRECORD" in name else ["traces", "logs"]


def test_every_declared_variable_is_tested_and_names_a_key_that_there_is() -> None:
    declared = {name for variable in VARIABLES for name in variable.names}

    assert declared == TESTED
    assert [variable.key for variable in VARIABLES if variable.key and variable.key not in KEY_BY_NAME] == []


def test_every_standard_variable_of_a_key_is_declared() -> None:
    declared = {name for variable in VARIABLES for name in variable.names}

    assert {name for key in KEY_BY_NAME.values() for name in key.standard} <= declared
