"""Completion: run by a real bash, quick enough for a key press, and syntactically sound for the other shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ccagent.cli import VERBS, main

ROOT = Path(__file__).resolve().parents[2]

ASK = """
source "$1"
COMP_WORDS=("${@:2}"); COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
_ccagent_completion ccagent
printf '%s\\n' "${COMPREPLY[@]}"
"""

HEAVY = ("rich", "grpc", "psycopg", "opentelemetry", "apsw", "msgspec", "ccagent.config", "ccagent.store")


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder with this tree's `ccagent` on it."""
    file = tmp_path / "bin" / "ccagent"
    file.parent.mkdir()
    file.write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
                    "from ccagent.cli import main\nsys.exit(main())\n")  # fmt: skip
    file.chmod(0o755)
    return file


def completed(program: Path, text: str, *words: str) -> list[str]:
    """What bash offers for the last of the words."""
    file = program.parent.parent / "completion.bash"
    file.write_text(text)
    bash = shutil.which("bash")
    assert bash is not None
    done = subprocess.run(
        [bash, "--norc", "-c", ASK, "bash", str(file), "ccagent", *words], capture_output=True, text=True, timeout=60,
        env={"PATH": f"{program.parent}:{os.environ['PATH']}", "HOME": str(program.parent.parent)}, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_verbs_sub_verbs_options_and_choices(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = script("bash", capsys)

    assert completed(program, text, "") == list(VERBS)
    assert completed(program, text, "u") == ["usage", "uninstall"]
    assert completed(program, text, "db", "ch") == ["check"]
    assert "--purge" in completed(program, text, "uninstall", "--")
    assert completed(program, text, "completion", "z") == ["zsh"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_that_is_here_takes_its_script(shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = script(shell, capsys)
    assert f"_CCAGENT_COMPLETE={shell}_complete" in text
    found = shutil.which(shell)
    if found is None:
        return  # what can be said of a shell that is not here was said above
    file = tmp_path / "script"
    file.write_text(text)

    done = subprocess.run([found, "-n", str(file)], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", ["ccagent ", "ccagent us"])
def test_completing_a_verb_imports_none(words: str) -> None:
    probe = (
        "import atexit, sys\nfrom ccagent.cli import main\n"
        f"atexit.register(lambda: print([n for n in {HEAVY!r} if n in sys.modules], file=sys.stderr))\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT,
        env={**os.environ, "_CCAGENT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "1"},
    )  # fmt: skip

    assert "plain,usage" in done.stdout
    assert done.stderr.strip() == "[]"


def test_an_unknown_shell_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"]) == 2
    assert "bash" in capsys.readouterr().err
