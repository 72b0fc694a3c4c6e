"""`ccagent config`: what applies, whether it is right, and where things lie."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ccagent.cli import main
from ccagent.config_keys import KEYS


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def test_show_prints_one_document_with_every_key(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text('listen = "off"')

    code = main(["config", "show", "--json", "--origin", "--config", str(file)])

    document = json.loads(capsys.readouterr().out)
    assert (code, document["schema_version"]) == (0, 1)
    assert list(document["values"]) == [key.name for key in KEYS]
    assert document["origins"]["listen"] == f"file {file}:1:1"


def test_the_printed_default_file_passes_the_check(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["config", "default"])
    file.write_text(capsys.readouterr().out)

    code = main(["config", "check", "--config", str(file)])

    assert (code, capsys.readouterr().out) == (0, f"{file}: all is well\nnothing leaves this machine\n")


def test_check_says_where_data_would_go(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text('[otlp]\nendpoint = "localhost:4318"')

    main(["config", "check", "--config", str(file)])

    assert capsys.readouterr().out.splitlines()[1:] == [
        "traces go to http://localhost:4318/v1/traces by http/protobuf",
        "metrics go to http://localhost:4318/v1/metrics by http/protobuf",
        "logs go to http://localhost:4318/v1/logs by http/protobuf",
    ]


def test_check_says_that_a_found_endpoint_is_not_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317")

    code = main(["config", "check"])

    shown = capsys.readouterr()
    assert code == 0
    assert "OTEL_EXPORTER_OTLP_ENDPOINT found, not used" in shown.err
    assert "nothing leaves this machine" in shown.out


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("lisen = 1", "config.toml:1:1: unknown key 'lisen'; did you mean 'listen'?"),
        ("[otlp\n", "config.toml:1:6: this is no TOML"),
        ("[privacy]\ntier = 1", "no endpoint is named"),
        ('[otlp]\nendpoint = "http://far.example"', "far.example is not this machine"),
        ('[otlp]\nendpoint = "https://far.example"\ncertificate = "absent.pem"', "absent.pem: there is no such file"),
    ],
)
def test_check_ends_with_78_on_any_fault(file: Path, text: str, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(text)

    code = main(["config", "check", "--config", str(file)])

    shown = capsys.readouterr()
    assert (code, shown.out) == (78, "")
    assert place in shown.err


def test_path_prints_every_place(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    monkeypatch.setenv("CCAGENT_CONFIG", "/etc/my.toml")

    main(["config", "path"])

    rows = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert rows["config"] == "/etc/my.toml"
    assert rows["database"] == "/data/ccagent/ccagent.db"
    assert set(rows) == {"config", "env", "database", "state", "cache"}


@pytest.mark.parametrize(
    ("named", "shown"),
    [
        ("/srv/facts.db", "/srv/facts.db"),
        ("sqlite:////srv/facts.db", "/srv/facts.db"),
        ("facts.db", "{folder}/facts.db"),
        ("postgresql://me:${WORD}@server/facts", "postgresql://me:***@server/facts"),
    ],
)
def test_path_names_the_database_that_is_set_and_no_password(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], named: str, shown: str
) -> None:
    monkeypatch.setenv("WORD", "secret")
    file.write_text(f'database = "{named}"\n')

    assert main(["config", "path", "--config", str(file)]) == 0

    assert f"database  {shown.format(folder=file.parent)}\n" in capsys.readouterr().out


def test_path_tells_the_usual_places_where_the_file_is_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("nonsense = 1\n")

    assert main(["config", "path", "--config", str(file)]) == 0

    shown = capsys.readouterr()
    assert f"config    {file}\n" in shown.out
    assert "nonsense" in shown.err


DESTINATIONS = """
[otlp]
endpoint = "localhost:4318"
signals = ["traces"]
[otlp.destinations.cloud]
endpoint = "https://${HOST_OF_CLOUD}/otlp"
headers = { authorization = "Bearer ${TOKEN}" }
signals = ["logs"]
"""


def test_named_destinations_are_shown_and_checked_without_their_secrets(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOST_OF_CLOUD", "cloud.example")
    monkeypatch.setenv("TOKEN", "kanarienvogel")
    file.write_text(DESTINATIONS)

    codes = [main(["config", *words, "--config", str(file)]) for words in (["check"], ["show", "--origin"])]

    shown = capsys.readouterr().out
    assert codes == [0, 0]
    assert "logs go to cloud at https://cloud.example:443/otlp/v1/logs by http/protobuf" in shown
    assert f'otlp.destinations.cloud.signals = ["logs"]  # file {file}:8:1' in shown
    assert 'otlp.destinations.cloud.headers = { "authorization" = "Bear****" }' in shown
    assert "kanarienvogel" not in shown
