"""The check of an installation finds what it is there to find; the installers themselves run in `.ci/run`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scripts import check_install
from scripts.check_install import Installed, digests, leave, left, run


def test_what_stays_in_a_home_is_named_and_what_belongs_to_others_is_not(tmp_path: Path) -> None:
    mine = (
        ".rustup/settings.toml",
        ".local/share/pipx/venvs/.ccagent.lock",
        ".local/share/uv/tools/.lock",
        ".cache/pip/x",
    )
    for name in mine:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    before = digests(tmp_path)
    assert left(tmp_path, before.keys()) == []

    for name in (".config/ccagent", ".local/share/pipx/venvs/ccagent"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / ".profile").write_text("export PATH")

    assert left(tmp_path, before.keys()) == [".config/ccagent", ".local/share/pipx/venvs/ccagent", ".profile"]


def test_a_command_that_fails_ends_it_with_all_that_was_said() -> None:
    with pytest.raises(SystemExit, match="ended with 3:\nso\nthus"):
        run([sys.executable, "-c", "import sys; print('so'); print('thus', file=sys.stderr); sys.exit(3)"])
    assert run([sys.executable, "-c", "raise SystemExit(3)"], codes=(3,)) == ""


def test_a_command_that_hangs_ends_it_with_what_was_said_before() -> None:
    program = "import time; print('so far', flush=True); time.sleep(60)"

    with pytest.raises(SystemExit, match="did not end within 2 s:\nso far"):
        run([sys.executable, "-c", program], seconds=2)


def test_it_leaves_by_the_words_of_the_program(tmp_path: Path) -> None:
    program, trace = tmp_path / "ccagent", tmp_path / "removed"
    program.write_text(f"#!/bin/sh\necho removed\necho 'the program itself: touch {trace}'\n")
    program.chmod(0o755)

    leave(Installed(program=program, python=Path(sys.executable), home=tmp_path, env={"PATH": "/usr/bin:/bin"}))

    assert trace.exists()


def test_an_unknown_installer_is_wrong_usage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["check_install.py", str(tmp_path / "x.whl"), "--with", "pip,brew"])

    with pytest.raises(SystemExit) as ended:
        check_install.main()

    assert ended.value.code == 2
