"""What a release is checked for before anybody installs it."""

from __future__ import annotations

import json
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from scripts import build_release
from scripts.build_release import ROOT, audit, checked_out, missing, package_files


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "some-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ccagent/__init__.py", "")
    return path


@pytest.fixture
def sdist(tmp_path: Path) -> Path:
    path = tmp_path / "some-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(ROOT / "README.md", arcname="some-1.0/README.md")
    return path


def test_a_file_that_a_wheel_lacks_is_named(wheel: Path) -> None:
    assert missing(["ccagent/__init__.py"], wheel) == []
    assert missing(["ccagent/__init__.py", "ccagent/facts/prices.json"], wheel) == ["ccagent/facts/prices.json"]


def test_a_file_that_an_sdist_lacks_is_named(sdist: Path) -> None:
    assert missing(["README.md"], sdist) == []
    assert missing(["README.md", "LICENSE"], sdist) == ["LICENSE"]


def test_what_an_installation_needs_are_code_prices_windows_and_cases() -> None:
    files = package_files(checked_out(ROOT))

    assert {"ccagent/cli/__init__.py", "ccagent/py.typed", "ccagent/facts/prices.json"} <= set(files)
    assert "ccagent/facts/windows.json" in files
    assert [name for name in files if name.startswith("ccagent/cases/")]
    assert not [name for name in files if "__pycache__" in name]


def test_outside_of_git_every_file_counts(tmp_path: Path) -> None:
    (tmp_path / "ccagent" / "__pycache__").mkdir(parents=True)
    for name in ("ccagent/a.py", "ccagent/__pycache__/a.pyc", "README.md"):
        (tmp_path / name).write_text("")

    assert checked_out(tmp_path) == ["README.md", "ccagent/a.py"]


@pytest.fixture
def bill(tmp_path: Path) -> Path:
    path = tmp_path / "bill.json"
    path.write_text(json.dumps({"components": [{"name": "one", "version": "1"}, {"name": "two", "version": "2"}]}))
    return path


def answering(monkeypatch: pytest.MonkeyPatch, stdout: str, stderr: str = "") -> None:
    """Let the audit get this answer: its service is not asked."""

    def answer(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, stdout, stderr)

    monkeypatch.setattr(build_release.subprocess, "run", answer)


def test_an_audit_that_knows_every_package_and_nothing_against_any_is_silent(
    bill: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"name": "one", "version": "1", "vulns": []}, {"name": "two", "version": "2", "vulns": []}]
    answering(monkeypatch, json.dumps({"dependencies": rows}))

    assert audit(bill, tmp_path) == ""


def test_packages_that_the_service_does_not_know_are_no_good_news(
    bill: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"name": "one", "version": "1", "vulns": []}, {"name": "two", "skip_reason": "not found"}]
    answering(monkeypatch, json.dumps({"dependencies": rows}))

    assert audit(bill, tmp_path) == "the service knows nothing of 1 of 2 packages"


def test_a_service_out_of_reach_is_told_with_its_last_words(
    bill: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, "", "Traceback\nConnectionError: no such host\n")

    assert audit(bill, tmp_path) == "ConnectionError: no such host"


def test_a_known_vulnerability_ends_the_release(bill: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(
        monkeypatch, json.dumps({"dependencies": [{"name": "two", "version": "2", "vulns": [{"id": "PYSEC-2026-1"}]}]})
    )

    with pytest.raises(SystemExit, match="two 2: PYSEC-2026-1"):
        audit(bill, tmp_path)
