"""Build and check a release: `python scripts/build_release.py [--out dist] [--require-audit]`.

Of a copy of the checkout (what an earlier build left would get into the wheel): the sdist, and of the sdist the wheel.
Every file of the package must be in both. The wheel is installed into a clean environment, every module is imported,
and the program is run there. Then a bill of materials of that environment, an audit of it where the service can be
reached, and the checksums. Needs `build` and, for the audit, `pip-audit`; both are in the extra "dev".
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ccagent import __version__  # noqa: E402 - the checkout goes before an installed package

PACKAGE = "ccagent"
IN_SDIST = (
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "constraints.txt",
    "pyproject.toml",
    "scripts/sbom.py",
    "docs/cli.md",
)
"""Besides the package: what whoever builds from source needs or looks for."""

AUDIT_SECONDS = 300
"""One question a package; a service that does not answer in time counts as out of reach."""

IMPORT_ALL = """
import importlib, pkgutil, ccagent
names = [one.name for one in pkgutil.walk_packages(ccagent.__path__, "ccagent.") if not one.name.endswith("__main__")]
for name in names:
    importlib.import_module(name)
print(len(names), "modules imported")
"""


def checked_out(root: Path) -> list[str]:
    """Paths below `root` that belong to the repository: known to git, or new and not ignored; all files elsewhere."""
    listing = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listing, capture_output=True, check=False)
    if done.returncode == 0:
        names = [name for name in done.stdout.decode().split("\0") if name]
    else:
        names = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
    return sorted(name for name in names if (root / name).exists() and "__pycache__" not in name)


def package_files(names: Iterable[str]) -> list[str]:
    """Those that an installation needs."""
    return [name for name in names if name.startswith(f"{PACKAGE}/")]


def missing(wanted: Iterable[str], archive: Path) -> list[str]:
    """What an sdist or a wheel lacks."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            held = set(wheel.namelist())
    else:
        with tarfile.open(archive) as sdist:
            held = {name.partition("/")[2] for name in sdist.getnames()}
    return sorted(set(wanted) - held)


def build(source: Path, out: Path) -> tuple[Path, Path]:
    """The sdist, and the wheel that is made of it."""
    run([sys.executable, "-m", "build", "--quiet", "--outdir", str(out), str(source)])
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return sdist, wheel


def install(wheel: Path, place: Path) -> Path:
    """A clean environment with the wheel in it; its folder of programs."""
    run([sys.executable, "-m", "venv", str(place)])
    programs = place / "bin"
    run([str(programs / "pip"), "install", "--quiet", "--disable-pip-version-check", "--constraint",
         str(ROOT / "constraints.txt"), str(wheel)])  # fmt: skip
    run([str(programs / "pip"), "--disable-pip-version-check", "check"])
    return programs


def try_out(programs: Path, work: Path) -> None:
    """Run the installed program on invented transcripts, away from the checkout and from the user's own files."""
    home, tree = work / "home", work / "tree"
    home.mkdir()
    shutil.copytree(ROOT / "tests" / "fixtures" / "transcripts", tree)
    env = {"HOME": str(home), "PATH": os.environ["PATH"], "CCAGENT_DATABASE_URL": str(work / "facts.db")}
    run([str(programs / "python"), "-c", IMPORT_ALL], cwd=home, env=env)
    said = run([str(programs / "ccagent"), "--version"], cwd=home, env=env)
    if said.strip() != f"ccagent {__version__}":
        raise SystemExit(f"the installed program says {said.strip()!r}, not version {__version__}")
    for words in (
        ["--help"], ["config", "default"], ["config", "check"], ["run", "--once", "--source", str(tree)], ["usage"],
        ["verify", "--source", str(tree)], ["alerts"], ["alerts", "test"],
    ):  # fmt: skip
        run([str(programs / "ccagent"), *words], cwd=home, env=env)
    rows = json.loads(run([str(programs / "ccagent"), "usage", "--json"], cwd=home, env=env))["rows"]
    if not rows[0]["requests"]:
        raise SystemExit("the installed program has taken in nothing")


def audit(bill: Path, work: Path) -> str:
    """What is known against the versions in the bill; SystemExit where something is. "" when all were looked up, else
    why not: a service that knows none of them answers without a complaint too."""
    listed = [(one["name"], one["version"]) for one in json.loads(bill.read_text())["components"]]
    pins = work / "pins.txt"
    pins.write_text("".join(f"{name}=={version}\n" for name, version in listed))
    options = [
        "--requirement",
        str(pins),
        "--no-deps",
        "--disable-pip",
        "--format",
        "json",
        "--progress-spinner",
        "off",
    ]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", *options],
            capture_output=True,
            text=True,
            timeout=AUDIT_SECONDS,
            check=False,
        )
        found = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return f"the service did not answer within {AUDIT_SECONDS} s"
    except ValueError:
        return (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
    known = [f"{one['name']} {one['version']}: {flaw['id']}" for one in found for flaw in one.get("vulns", ())]
    if known:
        raise SystemExit("known vulnerabilities:\n  " + "\n  ".join(known))
    unknown = sum("skip_reason" in one for one in found) + len(listed) - len(found)
    return f"the service knows nothing of {unknown} of {len(listed)} packages" if unknown else ""


def run(command: Sequence[str], cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Standard output; SystemExit with all it said where it fails."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def release(out: Path, work: Path, *, require_audit: bool) -> None:
    """Build, check, install, run, describe, audit and sum up; SystemExit at the first thing that is wrong."""
    names = checked_out(ROOT)
    source = work / "source"
    for name in names:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name, follow_symlinks=False)
    sdist, wheel = build(source, work / "dist")
    wanted = package_files(names)
    for archive, files in ((sdist, [*wanted, *IN_SDIST]), (wheel, wanted)):
        if lacks := missing(files, archive):
            raise SystemExit(f"{archive.name} lacks {', '.join(lacks)}")
        print(f"{archive.name}: {archive.stat().st_size:,} bytes, all {len(files)} files are in it")
    programs = install(wheel, work / "clean")
    try_out(programs, work)
    print("installed into a clean environment and run")
    bill = work / "dist" / f"{PACKAGE}-{__version__}.cdx.json"
    run([str(programs / "python"), str(ROOT / "scripts" / "sbom.py"), str(bill)])
    print(f"{bill.name}: {len(json.loads(bill.read_text())['components'])} components")
    trouble = audit(bill, work)
    print(f"not audited: {trouble}" if trouble else "audited: nothing is known against any component")
    if trouble and require_audit:
        raise SystemExit(1)
    out.mkdir(parents=True, exist_ok=True)
    sums = []
    for path in sorted((sdist, wheel, bill)):
        shutil.copy2(path, out / path.name)
        sums.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    (out / "SHA256SUMS").write_text("".join(sums))
    print(f"in {out}: {', '.join(sorted(path.name for path in (sdist, wheel, bill)))}, SHA256SUMS")


def main() -> None:
    """Read the options and do it in a folder that is gone afterwards."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where the files go")
    parser.add_argument("--require-audit", action="store_true", help="fail where not every package could be audited")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ccagent-release-") as folder:
        release(given.out, Path(folder), require_audit=given.require_audit)


if __name__ == "__main__":
    main()
