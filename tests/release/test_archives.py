"""What a release is checked for before anybody installs it."""

from __future__ import annotations

import json
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from scripts import archives, build_release
from scripts.archives import checked_out, contents, differing, faults, in_sdist, in_wheel
from scripts.build_release import ROOT, audit

NAMES = (
    ".ci/run",
    "README.md",
    "ccagent/__init__.py",
    "ccagent/packaging/man/ccagent.1",
    "packaging",
    "tests/test_x.py",
)


def test_a_wheel_holds_the_package_its_page_and_nothing_of_the_repository_besides() -> None:
    wanted = in_wheel(NAMES, "1.0")

    assert {name for name in wanted if "dist-info" not in name} == {
        "ccagent/__init__.py", "ccagent-1.0.data/data/share/man/man1/ccagent.1",
    }  # fmt: skip
    assert "ccagent-1.0.dist-info/licenses/LICENSE" in wanted


def test_an_sdist_holds_the_repository_without_its_automation() -> None:
    assert in_sdist(NAMES) - set(archives.SDIST_METADATA) == {
        "README.md", "ccagent/__init__.py", "ccagent/packaging/man/ccagent.1", "tests/test_x.py",
    }  # fmt: skip


def test_what_an_archive_lacks_and_what_it_holds_besides_is_named() -> None:
    assert faults(["a", "b"], ["b", "a"]) == []
    assert faults(["a", "b"], ["b", "c"]) == ["lacks a", "holds c"]


def test_wheel_and_sdist_are_read_alike_and_differences_are_named(tmp_path: Path) -> None:
    wheel, sdist = tmp_path / "some-1.0-py3-none-any.whl", tmp_path / "some-1.0.tar.gz"
    file = tmp_path / "file"
    file.write_text("same")
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("a/one.py", "same")
        archive.writestr("a/two.py", "another")
    with tarfile.open(sdist, "w:gz") as archive:
        archive.add(file, arcname="some-1.0/a/one.py")
        archive.add(file, arcname="some-1.0/a/two.py")

    assert contents(wheel).keys() == contents(sdist).keys() == {"a/one.py", "a/two.py"}
    assert differing(contents(wheel), contents(sdist)) == ["a/two.py"]
    assert differing(contents(wheel), {}) == ["a/one.py", "a/two.py"]


def test_what_an_installation_needs_are_code_prices_windows_and_cases() -> None:
    files = in_wheel(checked_out(ROOT), "0")

    assert {"ccagent/cli/__init__.py", "ccagent/py.typed", "ccagent/facts/prices.json"} <= files
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


def answering(monkeypatch: pytest.MonkeyPatch, stdout: str, stderr: str = "", code: int = 0) -> None:
    """Let the audit get this answer: its service is not asked."""

    def answer(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, code, stdout, stderr)

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
    answering(monkeypatch, "", "Traceback\nConnectionError: no such host\n", code=1)

    assert audit(bill, tmp_path) == "ConnectionError: no such host"


def test_an_audit_that_ends_in_the_middle_is_no_good_news(
    bill: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"name": name, "version": "1", "vulns": []} for name in ("one", "two")]
    answering(monkeypatch, json.dumps({"dependencies": rows}), "ServiceError: halfway\n", code=1)

    assert audit(bill, tmp_path) == "pip-audit ended with 1: ServiceError: halfway"


def test_a_known_vulnerability_ends_the_release(bill: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(
        monkeypatch,
        json.dumps({"dependencies": [{"name": "two", "version": "2", "vulns": [{"id": "PYSEC-2026-1"}]}]}),
        code=1,
    )

    with pytest.raises(SystemExit, match="two 2: PYSEC-2026-1"):
        audit(bill, tmp_path)
