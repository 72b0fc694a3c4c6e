"""`ccagent status --otel`: what the daemon tells goes before what the asking shell has, and what to do is said."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from ccagent.cli.otel_output import otel_lines, print_otel
from ccagent.config import load
from ccagent.otel_status import advice, collect
from ccagent.service.live import Live, StatusFile
from ccagent.store.instance import InstanceLock
from ccagent.store.location import parse_database

AWAY = {
    "endpoint": "http://127.0.0.1:9", "protocol": "grpc", "compression": "none", "headers": {"authorization": "Bear****"},
    "tls": {}, "timeout_seconds": 10.0, "max_age_days": 30.0, "state": "circuit_open", "problem": "no answer from 127.0.0.1",
    "backlog": 12, "last_hour": {"succeeded": 1, "failed": 5, "dropped": 0},
    "last_day": {"succeeded": 100, "failed": 5, "dropped": 2},
    "transitions": [{"at_ms": 0, "from": "degraded", "to": "circuit_open", "reason": "no answer"}],
}  # fmt: skip


def document(folder: Path, live: Live | None = None, text: str = "", **variables: str) -> dict[str, Any]:
    """The answer over a folder without a database; with `live` as if a daemon ran there."""
    file, database = folder / "config.toml", str(folder / "one.db")
    file.write_text(text)
    env = {"HOME": str(folder)} | variables
    config = load({"database": database}, env, file)
    if live is None:
        return collect(config, env)
    with InstanceLock(parse_database(database)):
        StatusFile(database).write(live)
        return collect(config, env)


def test_the_daemons_own_settings_are_told_whatever_the_asking_shell_has(tmp_path: Path) -> None:
    live = Live(exports={"cloud/traces": AWAY | {"next_try_ms": int(time.time() * 1_000) + 60_000}},
                tier={"personal": 2, "set_by": "--otlp-endpoint", "identity": "ada"})  # fmt: skip

    found = document(tmp_path, live, CCAGENT_OTLP_ENDPOINT="http://127.0.0.1:4318")

    (one,) = found["destinations"]
    assert (one["name"], one["signal"], one["state"], one["endpoint"]) == (
        "cloud", "traces", "circuit_open", "http://127.0.0.1:9",
    )  # fmt: skip
    assert 50 < one["retry_in_seconds"] <= 60
    assert one["transitions"] == [
        {"at": "1970-01-01T00:00:00Z", "from": "degraded", "to": "circuit_open", "reason": "no answer"}
    ]
    assert found["tier"]["personal"] == 2


def test_without_a_daemon_the_configuration_is_told(tmp_path: Path) -> None:
    found = document(tmp_path, text='[privacy]\ntier = 1\n[otlp]\nendpoint = "localhost:4318"\nsignals = ["logs"]\n')

    assert (found["running"], found["enabled"]) == (False, True)
    assert [(one["signal"], one["state"]) for one in found["destinations"]] == [("logs", "stopped")]
    assert found["tier"]["set_by"].endswith("config.toml")


def test_nothing_named_says_that_nothing_leaves(tmp_path: Path) -> None:
    found = document(tmp_path)

    assert (found["enabled"], found["destinations"], found["tier"]["personal"]) == (False, [], 0)
    assert "export       disabled: nothing leaves this machine" in list(otel_lines(found))


def test_the_lines_say_how_it_is_and_what_to_do(tmp_path: Path) -> None:
    found = document(tmp_path, Live(exports={"otlp/traces": AWAY}))

    lines = list(otel_lines(found))

    assert "otlp         traces: circuit_open, grpc to http://127.0.0.1:9" in lines
    assert "             headers: authorization Bear****" in lines
    assert "             what to do: see that the receiver runs and can be reached" in lines
    assert "             waiting: 12" in lines
    assert any("last hour: 1 succeeded, 5 failed, 0 dropped" in line for line in lines)
    assert any("degraded → circuit_open: no answer" in line for line in lines)


def test_what_to_do_is_told_to_its_end_on_a_narrow_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")

    print_otel(document(tmp_path, Live(exports={"otlp/traces": AWAY})))

    shown = capsys.readouterr().out
    assert "what to do: see that the receiver runs and can be reached" in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 50


@pytest.mark.parametrize(
    ("problem", "what"),
    [
        ("401 Unauthorized: no", "check the credentials"),
        ("PERMISSION_DENIED: no", "check the credentials"),
        ("404 Not Found: page", "check the endpoint's path"),
        ("UNIMPLEMENTED: unknown service", "check the endpoint's path"),
        ("no answer from x: SSLCertVerificationError: certificate verify failed", "check the certificates"),
        ("302: redirected elsewhere, which is not followed; is a login page in between?", "something else"),
        ("no answer from x: gaierror: Name or service not known", "check the host name"),
        ("503 Service Unavailable: later", "the receiver is busy"),
        ("no answer from x: ConnectionRefusedError", "see that the receiver runs"),
        ("UNAVAILABLE: failed to connect", "see that the receiver runs"),
        ("418: teapot", "see the receiver's log"),
    ],
)
def test_what_to_do_follows_from_what_is_wrong(problem: str, what: str) -> None:
    assert what in str(advice("degraded", problem))


def test_there_is_nothing_to_do_where_nothing_is_wrong() -> None:
    assert advice("active", "") is None
    assert str(advice("active", "2 spans were refused")).startswith("nothing now")
