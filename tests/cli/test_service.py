"""`ccagent service` on the command line, on a machine whose manager is not asked or says no."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from ccagent.cli import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "json.md"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with the program, and no service manager on the PATH."""
    folder = tmp_path / "home"
    program = tmp_path / "bin" / "ccagent"
    program.parent.mkdir()
    folder.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setattr(sys, "platform", "linux")
    return folder


def test_a_dry_run_shows_the_unit_and_touches_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["service", "install", "--dry-run"])

    said = capsys.readouterr().out
    assert code == 0
    assert f"write  {home}/.config/systemd/user/ccagent.service\n" in said
    assert "       | RestartPreventExitStatus=78\n" in said
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("verb", ["install", "restart", "logs"])
def test_without_a_manager_one_line_says_so(home: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    code = main(["service", verb])

    assert code == 1
    assert capsys.readouterr().err.startswith("ccagent: there is no systemd here")
    assert list(home.iterdir()) == []


def test_a_wrong_configuration_installs_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = home / "ccagent.toml"
    file.write_text("nonsense = 1\n")

    code = main(["service", "install", "--dry-run", "--config", str(file)])

    assert code == 78
    assert capsys.readouterr().out == ""


def test_another_configuration_file_is_named_to_the_service(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = home / "ccagent.toml"
    file.write_text("")

    main(["service", "install", "--dry-run", "--config", str(file)])

    assert f'       | Environment="CCAGENT_CONFIG={file}"\n' in capsys.readouterr().out


def test_variables_that_the_service_will_not_see_are_named(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=secret")

    main(["service", "install", "--dry-run"])

    said = capsys.readouterr()
    assert "OTEL_EXPORTER_OTLP_HEADERS" in said.err
    assert "secret" not in said.err + said.out


def test_the_status_ends_with_3_and_has_the_documented_fields(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["service", "status", "--json"])

    document = json.loads(capsys.readouterr().out)
    section = PAGE.read_text(encoding="utf-8").partition("## `ccagent service status --json`")[2].partition("\n## ")[0]
    fields = {
        name for row in re.findall(r"^\| (`.+?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert code == 3
    assert set(document) == fields | {"schema_version"}


def test_uninstalling_what_is_not_there_is_no_error(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["service", "uninstall"])

    assert code == 0
    assert capsys.readouterr().out.splitlines()[-1] == "nothing is installed"
