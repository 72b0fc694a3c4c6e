"""Many destinations: their tables, what they take over from [otlp] (nothing), and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccagent.config import load
from ccagent.config_file import MAX_DESTINATIONS
from ccagent.errors import ConfigError
from ccagent.otlp_settings import OtlpSettings, resolve

CLOUD = '[otlp.destinations.cloud]\nendpoint = "https://cloud.example/otlp"\n'


def settle(folder: Path, text: str, **variables: str) -> OtlpSettings:
    """The settings of a configuration file."""
    file = folder / "config.toml"
    file.write_text(text)
    env = {"HOME": str(folder)} | variables
    return resolve(load({}, env, file), env)


def refusal(folder: Path, text: str, **variables: str) -> str:
    """The words with which a configuration file is refused."""
    with pytest.raises(ConfigError) as caught:
        settle(folder, text, **variables)
    return str(caught.value)


def test_each_destination_has_a_sender_for_each_of_its_signals(tmp_path: Path) -> None:
    text = '[otlp]\nendpoint = "localhost:4317"\nsignals = ["traces"]\n' + CLOUD + 'signals = ["metrics", "logs"]\n'

    settings = settle(tmp_path, text)

    assert {one.key: one.url for one in settings.destinations} == {
        "otlp/traces": "http://localhost:4317",
        "cloud/metrics": "https://cloud.example:443/otlp/v1/metrics",
        "cloud/logs": "https://cloud.example:443/otlp/v1/logs",
    }


def test_naming_a_destination_in_a_table_is_consent_to_tier_1(tmp_path: Path) -> None:
    settings = settle(tmp_path, CLOUD)

    assert settings.personal_tier == 1
    assert {one.name for one in settings.destinations} == {"cloud"}


def test_a_written_tier_0_keeps_named_destinations_silent(tmp_path: Path) -> None:
    settings = settle(tmp_path, "[privacy]\ntier = 0\n" + CLOUD)

    assert not settings.enabled
    assert any("not used: privacy.tier is 0" in notice for notice in settings.notices)


def test_nothing_is_taken_over_from_the_unnamed_destination_or_from_variables(tmp_path: Path) -> None:
    text = (
        '[otlp]\nendpoint = "https://other.example"\nheaders = { authorization = "Bearer ${TOKEN}" }\n'
        'timeout_seconds = 3\ncompression = "gzip"\n' + CLOUD
    )
    variables = {
        "TOKEN": "for-the-other-one", "OTEL_EXPORTER_OTLP_HEADERS": "x=1", "OTEL_EXPORTER_OTLP_TIMEOUT": "5",
        "CCAGENT_OTLP_PROTOCOL": "grpc", "OTEL_TRACES_EXPORTER": "none",
    }  # fmt: skip

    (cloud,) = [one for one in settle(tmp_path, text, **variables).of("traces") if one.name == "cloud"]

    assert cloud.headers == {}
    assert (cloud.timeout_seconds, cloud.compression, cloud.protocol) == (10.0, "none", "http/protobuf")


def test_a_table_takes_every_key_of_the_unnamed_destination(tmp_path: Path) -> None:
    text = CLOUD + (
        'protocol = "grpc"\nheaders = { x-team = "blue" }\ntimeout_seconds = 2\ncompression = "gzip"\n'
        'certificate = "ca.pem"\nclient_certificate = "c.pem"\nclient_key = "k.pem"\ninterval_seconds = 7\n'
        'signals = ["traces"]\nmax_age_days = 3\nnative_names = true\nnative_events = true\ninsecure = true\n'
    )

    (one,) = settle(tmp_path, text).destinations

    assert (one.protocol, one.url) == ("grpc", "https://cloud.example:443")
    assert one.headers == {"x-team": "blue"}
    assert one.certificate == tmp_path / "ca.pem"
    assert (one.client_certificate, one.client_key) == (tmp_path / "c.pem", tmp_path / "k.pem")
    assert (one.timeout_seconds, one.interval_seconds, one.max_age_days) == (2.0, 7.0, 3.0)
    assert (one.native_names, one.native_events, one.insecure) == (True, True, True)


def test_a_signal_may_have_an_endpoint_of_its_own(tmp_path: Path) -> None:
    text = CLOUD + 'traces_endpoint = "https://traces.example/deep/path"\nsignals = ["traces", "metrics"]\n'

    settings = settle(tmp_path, text)

    assert [one.url for one in settings.destinations] == [
        "https://traces.example:443/deep/path",
        "https://cloud.example:443/otlp/v1/metrics",
    ]


def test_a_destination_with_an_endpoint_for_one_signal_gets_that_one(tmp_path: Path) -> None:
    settings = settle(tmp_path, '[otlp.destinations.t]\ntraces_endpoint = "https://traces.example/x"\n')

    assert [one.key for one in settings.destinations] == ["t/traces"]


def test_an_own_endpoint_of_a_signal_does_not_let_another_programs_in(tmp_path: Path) -> None:
    text = '[otlp]\ntraces_endpoint = "http://localhost:4318/x"\n'

    settings = settle(tmp_path, text, OTEL_EXPORTER_OTLP_ENDPOINT="http://localhost:1")
    allowed = settle(tmp_path, text + "[privacy]\ntier = 1\n", OTEL_EXPORTER_OTLP_ENDPOINT="http://localhost:1")

    assert [one.key for one in settings.destinations] == ["otlp/traces"]
    assert any("found, not used" in notice for notice in settings.notices)
    assert [one.key for one in allowed.destinations] == ["otlp/traces", "otlp/metrics", "otlp/logs"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[otlp.destinations.Cloud]\nendpoint = "localhost:1"', "'Cloud' is no name of a destination"),
        ('[otlp.destinations.otlp]\nendpoint = "localhost:1"', "which is [otlp] itself"),
        (f'[otlp.destinations.{"x" * 33}]\nendpoint = "localhost:1"', "is no name of a destination"),
        ('[otlp.destinations.a]\nendpiont = "localhost:1"', "unknown key 'endpiont' in [otlp.destinations.a]; did you mean"),
        ("[otlp.destinations.a]\nself_traces = true", "unknown key 'self_traces'"),
        ("[otlp.destinations]\na = 1", "otlp.destinations.a is a table"),
        ("[otlp.destinations.a]\nprotocol = 'grpc'", "[otlp.destinations.a] has no endpoint"),
        ("[otlp.destinations.a]\nendpoint = 'http://far.example'", "otlp.destinations.a.insecure = true"),
        ("[otlp.destinations.a]\nendpoint = 'http://'", "otlp.destinations.a.endpoint: this is no endpoint"),
        ("[otlp.destinations.a]\nendpoint = 'localhost:1'\nclient_key = 'k'", "set otlp.destinations.a.client_certificate"),
        ("[otlp.destinations.a]\nendpoint = 'localhost:1'\nsignals = ['smoke']", "otlp.destinations.a.signals holds any"),
        ("[otlp.destinations.a]\nendpoint = 'localhost:1'\ntimeout_seconds = 0", "is at least 0.1"),
    ],
)  # fmt: skip
def test_what_is_no_destination_is_refused(tmp_path: Path, text: str, told: str) -> None:
    assert told in refusal(tmp_path, text)


def test_there_are_so_many_destinations_and_no_more(tmp_path: Path) -> None:
    tables = [f'[otlp.destinations.d{number}]\nendpoint = "localhost:4317"\n' for number in range(MAX_DESTINATIONS)]

    assert len(settle(tmp_path, "".join(tables[1:])).of("traces")) == MAX_DESTINATIONS - 1
    assert "at most 9" in refusal(tmp_path, "".join(tables))


def test_a_refusal_names_the_line(tmp_path: Path) -> None:
    told = refusal(tmp_path, CLOUD + 'headers = { authorization = "Bearer ${MISSING}" }\n')

    assert "/config.toml:3:13: the header 'authorization' needs the variable MISSING, which is not set" in told


def test_settings_and_their_text_show_no_secret(tmp_path: Path) -> None:
    text = CLOUD + 'headers = { authorization = "Bearer ${TOKEN}" }\n'

    settings = settle(tmp_path, text, TOKEN="kanarienvogel")

    assert settings.destinations[0].headers == {"authorization": "Bearer kanarienvogel"}
    assert "kanarienvogel" not in repr(settings)


# ---- the owner's name --------------------------------------------------------------------------------------------------

NAMED = '[privacy]\ntier = 2\nidentity = "ada"\n' + CLOUD


def test_the_owners_name_is_known_at_tier_2_only(tmp_path: Path) -> None:
    assert settle(tmp_path, NAMED).identity == "ada"
    lower = settle(tmp_path, NAMED.replace("tier = 2", "tier = 1"))
    assert lower.identity is None
    assert any("from tier 2 on" in notice for notice in lower.notices)


@pytest.mark.parametrize("name", ["", "a" * 65, "a\\nb", " a"])
def test_what_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    assert "privacy.identity" in refusal(tmp_path, NAMED.replace('"ada"', f'"{name}"'))


def test_a_name_in_a_file_that_git_tracks_is_refused_with_a_warning(tmp_path: Path) -> None:
    import subprocess

    settle(tmp_path, NAMED)
    run = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@x"]
    subprocess.run([*run, "init", "-q"], check=True)
    untracked = settle(tmp_path, NAMED)
    subprocess.run([*run, "add", "config.toml"], check=True)

    tracked = settle(tmp_path, NAMED)
    by_variable = settle(tmp_path, NAMED, CCAGENT_PRIVACY_IDENTITY="ada")

    assert untracked.identity == "ada"
    assert tracked.identity is None
    assert any("tracked by git" in notice for notice in tracked.notices)
    assert by_variable.identity == "ada"


def test_a_link_to_a_file_that_git_tracks_counts_as_tracked(tmp_path: Path) -> None:
    import subprocess

    from ccagent.tracked import tracked_by_git

    repository = tmp_path / "dotfiles"
    repository.mkdir()
    (repository / "config.toml").write_text("")
    subprocess.run(["git", "-C", str(repository), "init", "-q"], check=True)
    subprocess.run(["git", "-C", str(repository), "add", "config.toml"], check=True)
    (tmp_path / "config.toml").symlink_to(repository / "config.toml")

    assert tracked_by_git(tmp_path / "config.toml")
    assert not tracked_by_git(tmp_path / "other.toml")
