"""Build and check a release: `python scripts/build_release.py [--out dist] [--with pip,pipx,uv] [--require-audit]`.

Of a copy of the checkout (what an earlier build left would get into the wheel): the sdist, and of the sdist the wheel.
Both hold what belongs there and nothing else; their metadata and the README in them are read as an index does; the
checkout gives the same wheel. The wheel is installed, used and removed as people do (scripts/check_install.py), and tried
with the oldest packages that it allows (scripts/check_lowest.py). Then a bill of materials of an installation, held
against CycloneDX's own schema, an audit of it where the service can be reached, and the checksums. Needs `build` and, for
the audit, `pip-audit`: both are in the extra "dev". What else it asks (twine, cyclonedx-python-lib) goes into an
environment that is thrown away.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ccagent import __version__  # noqa: E402 - the checkout goes before an installed package
from scripts import archives, check_install, check_lowest  # noqa: E402 - same
from scripts.check_install import run  # noqa: E402 - same

CHECKERS = ("cyclonedx-python-lib[json-validation]>=8,<12", "twine>=5,<8")
"""The schema's own authors, and what an index asks of an upload."""

VALIDATE = """
import pathlib, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(pathlib.Path(sys.argv[1]).read_text())
sys.exit(f"the bill of materials breaks its schema: {error}" if error else 0)
"""

AUDIT_SECONDS = 300
"""One question a package; a service that does not answer in time counts as out of reach."""


def build(source: Path, out: Path) -> tuple[Path, Path]:
    """The sdist, and the wheel that is made of it."""
    run([sys.executable, "-m", "build", "--quiet", "--outdir", str(out), str(source)])
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return sdist, wheel


def check_archives(names: list[str], source: Path, sdist: Path, wheel: Path, work: Path) -> None:
    """Hold both against the files of the repository, and the wheel against one that is made without the sdist."""
    held = {archive: archives.contents(archive) for archive in (sdist, wheel)}
    for archive, wanted in ((sdist, archives.in_sdist(names)), (wheel, archives.in_wheel(names, __version__))):
        if wrong := archives.faults(wanted, held[archive]):
            raise SystemExit(f"{archive.name}:\n  " + "\n  ".join(wrong))
        print(f"{archive.name}: {archive.stat().st_size:,} bytes, {len(wanted)} files and no other")
    run([sys.executable, "-m", "build", "--quiet", "--wheel", "--outdir", str(work / "direct"), str(source)])
    (direct,) = (work / "direct").glob("*.whl")
    if other := archives.differing(held[wheel], archives.contents(direct)):
        raise SystemExit("the sdist and the checkout give wheels that differ in " + ", ".join(other))
    print("the sdist and the checkout give the same wheel")


def checkers(work: Path) -> Path:
    """The folder of programs with what else is asked; an environment of its own, made at the first call."""
    place = work / "checkers"
    if not place.exists():
        run([sys.executable, "-m", "venv", str(place)])
        run([str(place / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", *CHECKERS])
    return place / "bin"


def describe(wheel: Path, bill: Path, work: Path) -> None:
    """Write the bill of materials of a clean installation, and hold it against the schema."""
    place = work / "described"
    run([sys.executable, "-m", "venv", "--without-pip", str(place)])
    python = str(place / "bin" / "python")
    run([sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python, "install", "--quiet",
         "--constraint", str(ROOT / "constraints.txt"), str(wheel)])  # fmt: skip
    run([python, str(ROOT / "scripts" / "sbom.py"), str(bill)])
    run([str(checkers(work) / "python"), "-c", VALIDATE, str(bill)])
    print(f"{bill.name}: {len(json.loads(bill.read_text())['components'])} components, as its schema has it")


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
    except (ValueError, KeyError, TypeError):
        return (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
    known = [f"{one['name']} {one['version']}: {flaw['id']}" for one in found for flaw in one.get("vulns", ())]
    if known:
        raise SystemExit("known vulnerabilities:\n  " + "\n  ".join(known))
    if done.returncode != 0:  # it ends with 1 where it found something, or could not go on
        return f"pip-audit ended with {done.returncode}: {(done.stderr.strip().splitlines() or ['without a word'])[-1]}"
    unknown = sum("skip_reason" in one for one in found) + len(listed) - len(found)
    return f"the service knows nothing of {unknown} of {len(listed)} packages" if unknown else ""


def release(out: Path, work: Path, *, installers: list[str], require_audit: bool) -> None:
    """Build, check, install, run, describe, audit and sum up; SystemExit at the first thing that is wrong."""
    names = archives.checked_out(ROOT)
    source = work / "source"
    for name in names:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name, follow_symlinks=False)
    sdist, wheel = build(source, work / "dist")
    check_archives(names, source, sdist, wheel, work)
    run([str(checkers(work) / "twine"), "check", "--strict", str(sdist), str(wheel)])
    print("an index takes their metadata, and shows the README")
    check_install.check(wheel, work, installers)
    check_lowest.check(wheel, work)
    bill = work / "dist" / f"{archives.PACKAGE}-{__version__}.cdx.json"
    describe(wheel, bill, work)
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
    check_install.add_option(parser)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ccagent-release-") as folder:
        installers = check_install.chosen(parser, given)
        release(given.out, Path(folder), installers=installers, require_audit=given.require_audit)


if __name__ == "__main__":
    main()
