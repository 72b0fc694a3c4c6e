"""Install a wheel as people do, use it and remove it: `python scripts/check_install.py WHEEL [--with pip,pipx,uv]`.

For each of the installers a home of its own, below a temporary folder: there the program is installed, asked for its
version, set up with `init`, fed invented transcripts, asked, verified, examined, and removed by `uninstall --purge` and
by the command that this names. Nothing of it may be left in that home, and transcripts must be as they were. pipx and
uv come from the package index, into an environment that is thrown away, too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

TRANSCRIPTS = ROOT / "tests" / "fixtures" / "transcripts"

TOOLS = ("pipx>=1.3,<2", "uv>=0.5,<1")
"""pipx links manual pages from 1.3 on."""

DOCTOR = (0, 10)
"""Nothing failed: without a daemon, and with transcripts of old days, something is always to be done."""

INSTALLERS_OWN = (".cache/", ".local/share/pipx/", ".local/share/uv/", ".local/state/pipx/", "venv/")
"""Folders in a home that installers keep for themselves; names in them are looked at, too."""

IMPORT_ALL = """
import importlib, pkgutil, ccagent
names = [one.name for one in pkgutil.walk_packages(ccagent.__path__, "ccagent.") if not one.name.endswith("__main__")]
for name in names:
    importlib.import_module(name)
print(len(names), "modules imported")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """An installation in a home of its own. `python` is the interpreter that it runs with."""

    program: Path
    python: Path
    home: Path
    env: Mapping[str, str]

    def ask(self, *words: str, codes: Sequence[int] = (0,)) -> str:
        """Run the program away from the checkout, without a terminal; its standard output."""
        return run([str(self.program), *words], cwd=self.home, env=self.env, codes=codes)


def run(
    command: Sequence[str], cwd: Path | None = None, env: Mapping[str, str] | None = None, codes: Sequence[int] = (0,),
    seconds: float | None = None,
) -> str:  # fmt: skip
    """Standard output; SystemExit with all that was said where it ends with another code, or not within the time."""
    try:
        done = subprocess.run(
            command, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=seconds,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        said = b"".join(part for part in (error.stdout, error.stderr) if part).decode(errors="replace")
        raise SystemExit(f"{shlex.join(command)} did not end within {seconds:g} s:\n{said}") from None
    if done.returncode not in codes:
        raise SystemExit(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def variables(home: Path, work: Path, *programs: Path) -> dict[str, str]:
    """Only what installing takes, so that nothing of the machine's own settings applies; caches lie outside the home."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
    path = os.pathsep.join([*map(str, programs), str(home / ".local" / "bin"), os.environ["PATH"]])
    return {
        **kept, "HOME": str(home), "PATH": path, "TZ": "UTC", "LC_ALL": "C.UTF-8",
        "PIP_CACHE_DIR": str(work / "pip"), "UV_CACHE_DIR": str(work / "uv"), "UV_PYTHON_DOWNLOADS": "never",
        "PIPX_DEFAULT_PYTHON": sys.executable,
        "CCAGENT_LISTEN": "127.0.0.1:0",  # somebody else's daemon may have the usual port
    }  # fmt: skip


def by_pip(wheel: Path, home: Path, work: Path) -> Installed:
    """A virtual environment with the wheel in it."""
    env = variables(home, work)
    place = home / "venv"
    run([sys.executable, "-m", "venv", str(place)])
    pip = [str(place / "bin" / "pip"), "--disable-pip-version-check"]
    run([*pip, "install", "--quiet", "--constraint", str(ROOT / "constraints.txt"), str(wheel)], env=env)
    run([*pip, "check"], env=env)
    return Installed(program=place / "bin" / "ccagent", python=place / "bin" / "python", home=home, env=env)


def by_pipx(wheel: Path, home: Path, work: Path) -> Installed:
    """pipx, with its usual folders in the home."""
    env = variables(home, work, tools(work))
    run(["pipx", "install", "--pip-args", f"--constraint {ROOT / 'constraints.txt'}", str(wheel)], env=env)
    python = home / ".local" / "share" / "pipx" / "venvs" / "ccagent" / "bin" / "python"
    return Installed(program=home / ".local" / "bin" / "ccagent", python=python, home=home, env=env)


def by_uv(wheel: Path, home: Path, work: Path) -> Installed:
    """`uv tool install`, with its usual folders in the home."""
    env = variables(home, work, tools(work))
    run(["uv", "tool", "install", "--python", sys.executable, "--constraints", str(ROOT / "constraints.txt"), str(wheel)],
        env=env)  # fmt: skip
    python = home / ".local" / "share" / "uv" / "tools" / "ccagent" / "bin" / "python"
    return Installed(program=home / ".local" / "bin" / "ccagent", python=python, home=home, env=env)


INSTALLERS: Mapping[str, Callable[[Path, Path, Path], Installed]] = {"pip": by_pip, "pipx": by_pipx, "uv": by_uv}


def tools(work: Path) -> Path:
    """The folder of programs with pipx and uv in it, made at the first call."""
    place = work / "tools"
    if not place.exists():
        run([sys.executable, "-m", "venv", str(place)])
        run([str(place / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", *TOOLS])
    return place / "bin"


def use(one: Installed, version: str, installer: str) -> None:
    """What somebody does on the first day; SystemExit at the first thing that is not as it must be."""
    before = digests(one.home / ".claude")
    run([str(one.python), "-c", IMPORT_ALL], cwd=one.home, env=one.env)
    require(one.ask("--version").strip() == f"ccagent {version}", "it tells another version")
    one.ask("--help")
    one.ask("config", "default")
    begun = json.loads(one.ask("init", "--yes", "--json"))
    require(begun["config"]["written"] and begun["backfill"]["files"] > 0, "init wrote and took in nothing")
    one.ask("config", "check")
    one.ask("run", "--once")
    (row,) = json.loads(one.ask("usage", "--json"))["rows"]
    require(row["requests"] > 0, "nothing was taken in")
    require(json.loads(one.ask("verify", "--json"))["equal"], "the recount differs")
    for words in (["usage"], ["verify"], ["alerts"], ["alerts", "test"], ["service", "install", "--dry-run"]):
        one.ask(*words)
    for shell in ("bash", "zsh", "fish"):
        require("_CCAGENT_COMPLETE" in one.ask("completion", shell), f"no completion for {shell}")
    report = json.loads(one.ask("doctor", "--json", codes=DOCTOR))
    require(report["installed_by"] == installer, f"the doctor takes {installer} for {report['installed_by']}")
    one.ask("status", codes=(3,))  # no daemon runs
    if installer != "uv" and shutil.which("man"):  # uv leads nobody to manual pages
        place = run(["man", "-w", "ccagent"], env={**one.env, "PATH": path_of(one)}).strip()
        require(place.startswith(str(one.home)), "man does not find the page")
    require(digests(one.home / ".claude") == before, "transcripts were touched")


def path_of(one: Installed) -> str:
    """The PATH of somebody who has the program on it."""
    return os.pathsep.join([str(one.program.parent), one.env["PATH"]])


def leave(one: Installed) -> None:
    """Remove all of it, by the words of `uninstall` itself."""
    last = one.ask("uninstall", "--purge", "--yes").strip().splitlines()[-1]
    removal = shlex.split(last.partition(": ")[2])
    # pip asks, and nobody is there to answer.
    run([*removal, *(["--yes"] if removal[-2:] == ["uninstall", "ccagent"] and "pip" in removal else [])], env=one.env)


def require(condition: object, fault: str) -> None:
    """SystemExit with the fault where the condition does not hold."""
    if not condition:
        raise SystemExit(f"the installed program: {fault}")


def digests(folder: Path) -> dict[str, str]:
    """Every file below a folder with the digest of what it holds."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*") if path.is_file()
    }  # fmt: skip


def left(home: Path, before: Set[str]) -> list[str]:
    """What of ccagent is still in a home: anything called so, and any file that neither `before` names nor is an
    installer's own."""
    found = []
    for path in sorted(home.rglob("*")):
        name = str(path.relative_to(home))
        installers = name.startswith(INSTALLERS_OWN)
        strange = path.is_file() and name not in before and not installers
        # Locks of an installer are called after what they guard, too.
        if strange or ("ccagent" in path.name and not (installers and path.name.startswith("."))):
            found.append(name)
    return found


def check(wheel: Path, work: Path, installers: Sequence[str]) -> None:
    """Install, use and remove by each of the installers; SystemExit at the first fault."""
    version = wheel.name.split("-")[1]
    for name in installers:
        home = work / f"home-{name}"
        home.mkdir()
        one = INSTALLERS[name](wheel.resolve(), home, work)
        shutil.copytree(TRANSCRIPTS, home / ".claude" / "projects")
        before = digests(home)  # what a client of an index leaves in a home is not ccagent's
        use(one, version, name)
        leave(one)
        require(not one.program.exists(), "it is still there after its removal")
        if rest := left(home, before.keys()):
            raise SystemExit(f"{name}: left behind: {', '.join(rest)}")
        print(f"{name}: installed, used and removed without a trace")


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add --with."""
    parser.add_argument("--with", dest="installers", default=",".join(INSTALLERS), help="which of pip,pipx,uv")


def chosen(parser: argparse.ArgumentParser, given: argparse.Namespace) -> list[str]:
    """The installers of --with; ends with wrong usage where one is not known."""
    installers = str(given.installers).split(",")
    if unknown := [name for name in installers if name not in INSTALLERS]:
        parser.error(f"there is no installer {unknown[0]!r}; choose among {', '.join(INSTALLERS)}")
    return installers


def main() -> None:
    """Read the options and do it in a folder that is gone afterwards."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("wheel", type=Path)
    add_option(parser)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ccagent-install-") as folder:
        check(given.wheel, Path(folder), chosen(parser, given))


if __name__ == "__main__":
    main()
