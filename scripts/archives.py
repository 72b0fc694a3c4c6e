"""What an sdist and a wheel of ccagent hold: every file that belongs there, and none that does not."""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

PACKAGE = "ccagent"

MAN = "ccagent/packaging/man/"
"""Lies in the wheel once, as data: below the prefix of an installation `man` finds it, and pipx leads there."""

NOT_SHIPPED = (".ci/", ".gitignore")
"""Of the repository: its automation."""

LINK = "packaging"
"""In the repository a link into the package; an sdist holds what it leads to in its own place alone."""

METADATA = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt")
SDIST_METADATA = (
    "PKG-INFO",
    "setup.cfg",
    *(
        f"{PACKAGE}.egg-info/{name}"
        for name in (
            "PKG-INFO",
            "SOURCES.txt",
            "dependency_links.txt",
            "entry_points.txt",
            "requires.txt",
            "top_level.txt",
        )
    ),
)


def checked_out(root: Path) -> list[str]:
    """Paths below `root` that belong to the repository: known to git, or new and not ignored; all files elsewhere."""
    listing = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listing, capture_output=True, check=False)
    if done.returncode == 0:
        names = [name for name in done.stdout.decode().split("\0") if name]
    else:
        names = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
    return sorted(name for name in names if (root / name).exists() and "__pycache__" not in name)


def in_wheel(names: Iterable[str], version: str) -> set[str]:
    """What a wheel of a repository with these files holds."""
    stem = f"{PACKAGE}-{version}"
    found = {f"{stem}.dist-info/{name}" for name in METADATA}
    for name in names:
        if name.startswith(MAN):
            found.add(f"{stem}.data/data/share/man/man1/{name.removeprefix(MAN)}")
        elif name.startswith(f"{PACKAGE}/"):
            found.add(name)
    return found


def in_sdist(names: Iterable[str]) -> set[str]:
    """What an sdist of a repository with these files holds, below its one folder."""
    return {*SDIST_METADATA, *(name for name in names if not name.startswith(NOT_SHIPPED) and name != LINK)}


def contents(archive: Path) -> dict[str, str]:
    """Every file of a wheel or an sdist (there below its one folder) with the digest of what it holds."""
    held: dict[str, str] = {}
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for name in wheel.namelist():
                held[name] = hashlib.sha256(wheel.read(name)).hexdigest()
        return held
    with tarfile.open(archive) as sdist:
        for member in sdist.getmembers():
            if (file := sdist.extractfile(member)) is not None:
                held[member.name.partition("/")[2]] = hashlib.sha256(file.read()).hexdigest()
    return held


def faults(wanted: Iterable[str], held: Iterable[str]) -> list[str]:
    """What an archive lacks and what it holds besides, a line each."""
    wanted, held = set(wanted), set(held)
    return [f"lacks {name}" for name in sorted(wanted - held)] + [f"holds {name}" for name in sorted(held - wanted)]


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Names of the files that two archives do not hold alike."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
