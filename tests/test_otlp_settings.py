"""The export's settings: consent, precedence, protocols and endpoints."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccagent.config import load
from ccagent.errors import ConfigError
from ccagent.otlp_settings import Destination, OtlpSettings, resolve

HOME = {"HOME": "/home/ada"}
OTHER = "OTEL_EXPORTER_OTLP_ENDPOINT"


def settle(env: dict[str, str] | None = None, **named: object) -> OtlpSettings:
    """Settings under OTEL_* or CCAGENT_* variables; keyword `endpoint` is the option."""
    everything = HOME | (env or {})
    return resolve(load({f"otlp.{name}": value for name, value in named.items()}, everything), everything)


def only(settings: OtlpSettings, signal: str) -> Destination:
    (found,) = settings.of(signal)
    return found


def traces(settings: OtlpSettings) -> Destination:
    return only(settings, "traces")


def test_nothing_named_sends_nothing_and_says_nothing() -> None:
    settings = settle()

    assert not settings.enabled
    assert settings.personal_tier == 0
    assert settings.notices == ()


@pytest.mark.parametrize("variable", [OTHER, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
def test_an_endpoint_that_may_be_another_programs_is_found_and_not_used(variable: str) -> None:
    settings = settle({variable: "http://localhost:4318"})

    assert not settings.enabled
    assert settings.personal_tier == 0
    assert [f"{variable} found, not used" in notice for notice in settings.notices] == [True]


def test_a_written_tier_allows_the_endpoint_of_the_environment() -> None:
    settings = settle({OTHER: "http://localhost:4318", "CCAGENT_PRIVACY_TIER": "1"})

    assert [one.url for one in settings.destinations] == [
        "http://localhost:4318/v1/traces",
        "http://localhost:4318/v1/metrics",
        "http://localhost:4318/v1/logs",
    ]
    assert settings.named_by == OTHER


@pytest.mark.parametrize("by", ["flag", "variable", "file"])
def test_naming_a_destination_for_ccagent_is_consent_to_tier_1(by: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[otlp]\nendpoint = "localhost:4317"' if by == "file" else "")
    env = HOME | ({"CCAGENT_OTLP_ENDPOINT": "localhost:4317"} if by == "variable" else {})
    flags = {"otlp.endpoint": "localhost:4317"} if by == "flag" else {}

    settings = resolve(load(flags, env, file), env)

    assert settings.personal_tier == 1
    assert traces(settings).url == "http://localhost:4317"


@pytest.mark.parametrize("tier", [1, 2])
def test_a_written_tier_stands_beside_a_named_destination(tier: int) -> None:
    assert settle({"CCAGENT_PRIVACY_TIER": str(tier)}, endpoint="localhost:4317").personal_tier == tier


def test_a_written_tier_0_wins_over_a_named_destination() -> None:
    settings = settle({"CCAGENT_PRIVACY_TIER": "0", OTHER: "http://localhost:1"}, endpoint="localhost:4317")

    assert not settings.enabled
    assert settings.personal_tier == 0
    assert len(settings.notices) == 2


def test_a_written_tier_without_any_endpoint_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no endpoint is named.*--otlp-endpoint"):
        settle({"CCAGENT_PRIVACY_TIER": "1"})


def test_a_disabled_sdk_sends_nothing() -> None:
    settings = settle({"OTEL_SDK_DISABLED": "TRUE"}, endpoint="localhost:4317")

    assert not settings.enabled
    assert settings.notices == ("OTEL_SDK_DISABLED is true: nothing is sent",)


def test_an_endpoint_named_for_ccagent_goes_before_every_one_of_the_environment() -> None:
    env = {OTHER: "http://localhost:1", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:2/x"}

    settings = settle(env, endpoint="http://localhost:3")

    assert {one.url for one in settings.destinations} == {"http://localhost:3"}


@pytest.mark.parametrize(
    ("endpoint", "env", "protocol"),
    [
        ("localhost:4317", {}, "grpc"),
        ("localhost:4318", {}, "http/protobuf"),
        ("https://gateway.example/otlp", {}, "http/protobuf"),
        ("https://collector.example", {}, "grpc"),
        ("http://localhost:9999/", {}, "grpc"),
        ("localhost:4318", {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "grpc"),
        ("localhost:4317", {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "http/protobuf"),
        ("localhost:4317", {"OTEL_EXPORTER_OTLP_PROTOCOL": "carrier pigeon"}, "grpc"),
        ("localhost:4317", {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}, "http/protobuf"),
        ("localhost:4317", {"CCAGENT_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "grpc"),
    ],
)
def test_the_protocol_is_the_chosen_one_else_what_the_endpoint_suggests(
    endpoint: str, env: dict[str, str], protocol: str
) -> None:
    assert traces(settle(env, endpoint=endpoint)).protocol == protocol


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("localhost:4318", "http://localhost:4318/v1/traces"),
        ("https://gateway.example/otlp/", "https://gateway.example:443/otlp/v1/traces"),
        ("http://127.0.0.1:4318/v1/traces", "http://127.0.0.1:4318/v1/traces"),
        ("http://127.0.0.1:4318/v1/metrics", "http://127.0.0.1:4318/v1/traces"),
        ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
        ("collector.example:4317", "https://collector.example:4317"),
        ("http://localhost", "http://localhost:4317"),
        ("https://collector.example", "https://collector.example:443"),
    ],
)
def test_a_shared_endpoint_is_made_complete(endpoint: str, url: str) -> None:
    assert traces(settle(endpoint=endpoint)).url == url


def test_an_endpoint_of_the_signals_own_is_taken_as_it_is() -> None:
    env = {
        "CCAGENT_PRIVACY_TIER": "1",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4318/custom",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }

    settings = settle(env)

    assert traces(settings).url == "http://localhost:4318/custom"
    assert settings.of("metrics") == ()


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://",
        "ftp://x",
        "http://h:port",
        "http://h:99999",
        "http://h:0",
        "https://h/?q=1",
        "ho st:1",
        "https://[::1",
    ],
)
def test_what_is_no_endpoint_is_refused_with_the_place(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="--otlp-endpoint: this is no endpoint"):
        settle(endpoint=endpoint)


def test_credentials_in_an_endpoint_are_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        settle(endpoint="https://ada:hunter2@collector.example")

    assert "hunter2" not in str(caught.value)


def test_plain_text_beyond_this_machine_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"otlp\.insecure = true"):
        settle(endpoint="http://collector.example:4317")


@pytest.mark.parametrize("variable", ["CCAGENT_OTLP_INSECURE", "OTEL_EXPORTER_OTLP_INSECURE"])
def test_plain_text_beyond_this_machine_can_be_allowed(variable: str) -> None:
    settings = settle({variable: "true"}, endpoint="collector.example:4317")

    assert traces(settings).url == "http://collector.example:4317"


def test_headers_of_the_environment_reach_a_destination_named_for_ccagent() -> None:
    env = {"OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Basic%20YQ%3D%3D", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "x=1"}

    settings = settle(env, endpoint="localhost:4317")

    assert traces(settings).headers == {"authorization": "Basic YQ==", "x": "1"}
    assert only(settings, "metrics").headers == {"authorization": "Basic YQ=="}


def test_headers_meant_for_another_host_are_not_sent_to_the_named_one() -> None:
    env = {OTHER: "https://vendor.example", "OTEL_EXPORTER_OTLP_HEADERS": "authorization=token"}

    settings = settle(env, endpoint="localhost:4317")

    assert traces(settings).headers == {}
    assert any("names another host" in notice for notice in settings.notices)


def test_own_headers_replace_those_of_the_environment() -> None:
    env = {"OTEL_EXPORTER_OTLP_HEADERS": "a=1", "CCAGENT_OTLP_HEADERS": "b=2"}

    assert traces(settle(env, endpoint="localhost:4317")).headers == {"b": "2"}


@pytest.mark.parametrize(
    ("text", "seconds"), [("5", 5.0), ("0.5", 0.5), ("10000", 10.0), ("600", 600.0), ("x", 10.0), ("-1", 10.0)]
)
def test_a_timeout_of_the_environment_above_600_is_in_milliseconds(text: str, seconds: float) -> None:
    settings = settle({"OTEL_EXPORTER_OTLP_TIMEOUT": text}, endpoint="localhost:4317")

    assert traces(settings).timeout_seconds == seconds


def test_own_values_go_before_those_of_the_environment() -> None:
    env = {
        "CCAGENT_OTLP_TIMEOUT_SECONDS": "10",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "3",
        "CCAGENT_OTLP_COMPRESSION": "none",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "CCAGENT_OTLP_INTERVAL_SECONDS": "60",
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
    }

    settings = settle(env, endpoint="localhost:4317")

    assert (traces(settings).timeout_seconds, traces(settings).compression) == (10.0, "none")
    assert only(settings, "metrics").interval_seconds == 60.0


def test_values_of_the_environment_stand_in_for_keys_that_are_not_set() -> None:
    env = {
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_METRIC_EXPORT_INTERVAL": "5000",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": "/ca.pem",
        "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE": "/metrics.pem",
    }

    settings = settle(env, endpoint="localhost:4317")

    assert only(settings, "metrics").interval_seconds == 5.0
    assert (traces(settings).compression, traces(settings).certificate) == ("gzip", Path("/ca.pem"))
    assert only(settings, "metrics").certificate == Path("/metrics.pem")


def test_half_a_client_certificate_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"set otlp\.client_key too"):
        settle({"CCAGENT_OTLP_CLIENT_CERTIFICATE": "/c.pem"}, endpoint="localhost:4317")


def test_a_signal_can_be_switched_off_by_its_variable_and_on_again_by_the_key() -> None:
    env = {"OTEL_METRICS_EXPORTER": "none"}

    off = settle(env, endpoint="localhost:4317")
    on = settle(env | {"CCAGENT_OTLP_SIGNALS": "traces,metrics"}, endpoint="localhost:4317")

    assert [one.signal for one in off.destinations] == ["traces", "logs"]
    assert [one.signal for one in on.destinations] == ["traces", "metrics"]


def test_the_resource_is_described_by_the_environment() -> None:
    env = {"OTEL_SERVICE_NAME": "mine", "OTEL_RESOURCE_ATTRIBUTES": "service.name=other,team=a%20b,broken"}

    settings = settle(env, endpoint="localhost:4317")

    assert settings.service_name == "mine"
    assert settings.resource_attributes == {"team": "a b"}


@pytest.mark.parametrize("path", ["", "/", "/otlp", "/otlp/", "/otlp//", "/v1/traces/"])
def test_a_signals_own_endpoint_is_taken_to_the_last_slash(path: str) -> None:
    env = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://localhost:4318{path}", "CCAGENT_PRIVACY_TIER": "1"}

    (found,) = settle(env).of("traces")

    assert found.url == f"http://localhost:4318{path or '/'}"


def test_the_clients_own_service_name_is_never_taken() -> None:
    assert settle({"OTEL_RESOURCE_ATTRIBUTES": "service.name=claude-code"}).service_name == "ccagent"


@pytest.mark.parametrize(("tier", "identity"), [("1", None), ("2", "ada")])
def test_who_somebody_is_never_stands_on_the_resource_and_leaves_from_tier_2_on(
    tier: str, identity: str | None
) -> None:
    env = {"OTEL_RESOURCE_ATTRIBUTES": "enduser.id=ada,user.email=a@b,team=x", "CCAGENT_PRIVACY_TIER": tier}

    settings = settle(env, endpoint="localhost:4317")

    assert settings.resource_attributes == {"team": "x"}
    assert settings.identity == identity
    assert any("user.email" in notice for notice in settings.notices)


def test_delta_temporality_is_answered_with_a_notice() -> None:
    settings = settle({"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"}, endpoint="localhost:4317")

    assert any("always cumulative" in notice for notice in settings.notices)
