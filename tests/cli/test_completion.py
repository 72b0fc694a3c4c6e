"""Completion: run by real shells where they are, quick enough for a key press, syntactically sound elsewhere."""

from __future__ import annotations

import os
import pty
import select
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
        env=surroundings(program), check=True,
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


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish")
def test_fish_completes_verbs_sub_verbs_options_and_choices(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = program.parent.parent / "ccagent.fish"
    file.write_text(script("fish", capsys))

    def offered(line: str) -> list[str]:
        return list(described(line))

    def described(line: str) -> dict[str, str]:
        done = subprocess.run(
            ["fish", "--no-config", "-c", 'source $argv[1]; complete -C "$argv[2]"', str(file), line],
            capture_output=True, text=True, timeout=60, check=True, env=surroundings(program),
        )  # fmt: skip
        assert done.stderr == ""
        return {
            word: words for word, _, words in (found.partition("\t") for found in done.stdout.splitlines() if found)
        }

    assert set(offered("ccagent ")) == set(VERBS)
    assert offered("ccagent un") == ["uninstall"]
    assert offered("ccagent db ch") == ["check"]
    assert offered("ccagent uninstall --pu") == ["--purge"]
    assert offered("ccagent completion z") == ["zsh"]
    assert described("ccagent tap")["tap"] == "Show spans and log records as they leave, live.", "commas and all"


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh")
@pytest.mark.parametrize("load", ["fpath=({0} $fpath); autoload -U compinit; compinit -u -d {0}/dump",
                                  "autoload -U compinit; compinit -u -d {0}/dump; source {0}/_ccagent"],
                         ids=["a file on its path", "read by its profile"])  # fmt: skip
def test_zsh_completes_at_its_prompt_whatever_was_completed_before(
    program: Path, capsys: pytest.CaptureFixture[str], load: str
) -> None:
    functions = program.parent.parent / "functions"
    functions.mkdir()
    (functions / "_ccagent").write_text(script("zsh", capsys))

    with Prompt(["zsh", "-d", "-f", "-i"], surroundings(program)) as prompt:
        prompt.type(
            f"fpath=({functions} $fpath); autoload -U compinit; compinit -u -d {functions}/dump; print rea''dy\n"
        )
        prompt.until("ready")
        for typed, completed in (
            ("ccagent un\t", "ccagent uninstall "),
            ("ccagent db ch\t", "ccagent db check "),
            ("ccagent uninstall --pu\t", "ccagent uninstall --purge "),
            ("ccagent completion z\t", "ccagent completion zsh "),
        ):
            prompt.type(typed)
            prompt.until(completed)
            prompt.type("\x15")  # takes the line away


class Prompt:
    """A shell at a terminal of its own: what is typed, and what it shows."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True
        )
        os.close(slave)
        self._shown = ""

    def __enter__(self) -> Prompt:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(60)
        os.close(self._master)

    def type(self, text: str) -> None:
        """Type it; what was shown before counts no more."""
        self._shown = ""
        os.write(self._master, text.encode())

    def until(self, text: str) -> None:
        """Wait until it is shown; fails with what is shown instead where nothing comes any more."""
        while text not in self._shown:
            ready, _, _ = select.select([self._master], [], [], 60.0)
            assert ready, f"{text!r} was not shown, but {self._shown!r}"
            self._shown += os.read(self._master, 4_096).decode(errors="replace")


def surroundings(program: Path) -> dict[str, str]:
    """What a shell needs to find the program, in a home of its own."""
    return {"PATH": f"{program.parent}:{os.environ['PATH']}", "HOME": str(program.parent.parent), "TERM": "dumb"}


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
