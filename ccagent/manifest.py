"""A manifest: what the transcripts were at one moment, in a form that a second run or another machine can check.

It holds for each file its place below its root, how much of it was taken in, the hash of those bytes, their lines and
the things that they speak of; and the totals of all of them. Files only grow, so a later run finds the same bytes at
their beginning; what is gone is told. It names folders of projects, and no path above the roots.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, BinaryIO, Final

from ccagent import __version__, paths
from ccagent.census import Fate, Progress
from ccagent.comparison import MEASURES, recounted_amounts
from ccagent.errors import ManifestError
from ccagent.follow.roots import Kinds
from ccagent.recount import Recount
from ccagent.recount_lines import Json

if TYPE_CHECKING:
    from ccagent.verify import Verification

MANIFEST_VERSION: Final = 1

HASH_BYTES: Final = 16
"""BLAKE2b-16, as everywhere in the store."""

PRIVATE_MODE: Final = 0o600
"""The names of projects are nobody else's business."""

LARGEST: Final = 256 * 1024 * 1024
"""Bytes of a manifest that is read: a million files."""

GROWING: Final = tuple(name for name in MEASURES if name != "tool_calls_relayed")
"""Totals that more transcripts can only raise. A relayed call becomes a direct one when its own file is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file. `path` is relative to root number `root`; length in bytes; `facts` are the distinct sessions, requests,
    tool calls and compactions that its lines speak of."""

    root: int
    path: str
    length: int
    hash: str
    lines: int
    facts: int


@dataclass(slots=True, kw_only=True)
class Manifest:
    """What was there. `totals` by the names of the verification's totals."""

    created_at: str
    version: str
    files: list[Entry]
    totals: dict[str, int]
    outside: int = 0
    """Files that were taken in from below no root that is followed; they are not in it."""


@dataclass(slots=True, kw_only=True)
class Check:
    """What came of a check: files by what became of them, and every difference."""

    same: int = 0
    grown: int = 0
    gone: list[str] = field(default_factory=list)
    faults: list[Json] = field(default_factory=list)
    """{path, fault} of a file; {name, manifest, recounted or stored} of a total."""


def consult(file: Path, answer: Json, verification: Verification, progress: Progress | None = None) -> Json:
    """The answer of a verification with what the manifest at `file` says: checked, or written where there is none.

    ManifestError where it cannot be read or written.
    """
    roots = verification.manifest_roots
    if not file.exists():
        found = made(verification, roots)
        write(file, found)
        told: Json = {"written": True, "files": len(found.files), "outside": found.outside}
        return answer | {"manifest": {"path": paths.display(file), "created_at": found.created_at} | told}
    manifest = read(file)
    checked = check(manifest, roots, verification.census.max_line, progress, verification.census.count.kinds)
    checked.faults += held(manifest, verification, roots)
    told = {
        "written": False, "files": len(manifest.files), "same": checked.same, "grown": checked.grown,
        "gone": len(checked.gone), "gone_paths": checked.gone[:100], "faults": checked.faults,
    }  # fmt: skip
    answer = answer | {"manifest": {"path": paths.display(file), "created_at": manifest.created_at} | told}
    return answer | {"equal": False, "status": "fault"} if checked.faults else answer


# ---- making and keeping ----------------------------------------------------------------------------------------------


def made(verification: Verification, roots: Sequence[Path]) -> Manifest:
    """The manifest of the files that the verification has recounted, up to where each was taken in."""
    census = verification.census
    count, entries, outside = Recount(kinds=census.count.kinds), [], 0
    for counted in census.files.values():
        if counted.fate is not Fate.RECOUNTED:
            continue
        place = _below(counted.row.path, roots)
        if place is None:
            outside += 1
            continue
        root, path = place
        where = Path(os.fsdecode(counted.row.path))
        try:
            entries.append(_entry(count, where, root, path, counted.row.offset, census.max_line))
        except OSError as error:
            raise ManifestError(f"cannot read {paths.display(where)}: {error.strerror}; verify again") from error
    totals = recounted_amounts(count.tally)
    count.tally.close()
    entries.sort(key=lambda entry: (entry.root, entry.path))
    return Manifest(
        created_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        version=__version__, files=entries, totals=totals, outside=outside,
    )  # fmt: skip


def write(file: Path, manifest: Manifest) -> None:
    """Write a manifest that only its owner may read (0600): whole or not at all. ManifestError says why it cannot be."""
    document = {
        "schema_version": MANIFEST_VERSION,
        "created_at": manifest.created_at,
        "ccagent": manifest.version,
        "totals": manifest.totals,
        "files": [
            {name: getattr(entry, name) for name in ("root", "path", "length", "hash", "lines", "facts")}
            for entry in manifest.files
        ],
    }
    # Not orjson: names of files may hold bytes that are no UTF-8, which JSON escapes and UTF-8 cannot hold.
    data = json.dumps(document, ensure_ascii=True, indent=1).encode() + b"\n"
    temporary: str | None = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # mkstemp makes it private
        with os.fdopen(descriptor, "wb") as out:
            os.fchmod(out.fileno(), PRIVATE_MODE)
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        Path(temporary).replace(file)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise ManifestError(
            f"cannot write the manifest {paths.display(file)}: {error.strerror}; name another place"
        ) from error


def read(file: Path) -> Manifest:
    """The manifest at `file`. ManifestError where it is none, is too new, or cannot be read."""
    try:
        if file.stat().st_size > LARGEST:
            raise ManifestError(f"{paths.display(file)} is too large to be a manifest; name another file")
        document = json.loads(file.read_bytes())
    except OSError as error:
        raise ManifestError(f"cannot read the manifest {paths.display(file)}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _no_manifest(file) from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    if not isinstance(version, int):
        raise _no_manifest(file)
    if version > MANIFEST_VERSION:
        raise ManifestError(
            f"{paths.display(file)} was written by a newer ccagent (manifest {version}, this one reads"
            f" {MANIFEST_VERSION}); upgrade ccagent"
        )
    try:
        return Manifest(
            created_at=_text(document["created_at"]),
            version=_text(document["ccagent"]),
            files=[
                Entry(
                    root=_number(row["root"]), path=_relative(row["path"]), length=_number(row["length"]),
                    hash=_text(row["hash"]), lines=_number(row["lines"]), facts=_number(row["facts"]),
                )
                for row in document["files"]
            ],
            totals={_text(name): _number(amount) for name, amount in document["totals"].items()},
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _no_manifest(file) from error


# ---- checking --------------------------------------------------------------------------------------------------------


def check(
    manifest: Manifest, roots: Sequence[Path], max_line: int, progress: Progress | None = None,
    kinds: Kinds | None = None,
) -> Check:  # fmt: skip
    """Hold the manifest against the files below `roots`, wherever these lie now; nothing else is read."""
    found, count = Check(), Recount(kinds=kinds)
    done, whole = 0, sum(entry.length for entry in manifest.files)
    for entry in manifest.files:
        path = _find(entry, roots)
        if path is None:
            found.gone.append(_shown(entry))
        else:
            _check_one(entry, path, count, found, max_line)
        done += entry.length
        if progress is not None:
            progress(done, whole)
    recounted = recounted_amounts(count.tally)
    count.tally.close()
    if found.faults:
        return found  # the totals could only say the same again
    for name in manifest.totals.keys() | recounted.keys():
        then, now = manifest.totals.get(name, 0), recounted.get(name, 0)
        if now > then if found.gone and name in GROWING else now != then and not found.gone:
            found.faults.append({"name": name, "manifest": then, "recounted": now})
    found.faults.sort(key=lambda fault: str(fault["name"]))
    return found


def held(manifest: Manifest, verification: Verification, roots: Sequence[Path]) -> list[Json]:
    """Where the store holds less than the manifest: every file must be taken in as far, and the facts be as many.

    Where retention has removed facts their number says nothing; their files still do.
    """
    faults: list[Json] = []
    offsets = {counted.row.path: counted.row.offset for counted in verification.census.files.values()}
    for entry in manifest.files:
        path = _find(entry, roots)
        if path is not None and offsets.get(os.fsencode(path), 0) < entry.length:
            taken = offsets.get(os.fsencode(path), 0)
            faults.append({"path": _shown(entry), "fault": f"only {taken} of {entry.length} bytes are in the store"})
    if not verification.pruned:
        stored = verification.stored_totals()
        faults += [
            {"name": name, "manifest": manifest.totals[name], "stored": stored[name]}
            for name in GROWING
            if stored[name] < manifest.totals.get(name, 0)
        ]
    return faults


def _check_one(entry: Entry, path: Path, count: Recount, found: Check, max_line: int) -> None:
    try:
        size = path.stat().st_size
        now = _entry(count, path, entry.root, entry.path, entry.length, max_line) if size >= entry.length else None
    except OSError as error:
        found.faults.append({"path": _shown(entry), "fault": f"cannot be read: {error.strerror}"})
        return
    fault = None
    if now is None:
        fault = f"has {size} bytes, {entry.length} were there"
    elif now.hash != entry.hash:
        fault = f"its first {entry.length} bytes are not those that were there"
    elif (now.lines, now.facts) != (entry.lines, entry.facts):
        fault = f"gives {now.lines} lines and {now.facts} facts, not {entry.lines} and {entry.facts}"
    if fault is not None:
        found.faults.append({"path": _shown(entry), "fault": fault})
    elif size > entry.length:
        found.grown += 1
    else:
        found.same += 1


class _Hashed:
    """A file whose bytes are hashed as they are read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = blake2b(digest_size=HASH_BYTES)

    def readline(self, limit: int, /) -> bytes:
        """The next line, at most `limit` bytes of it."""
        raw = self._file.readline(limit)
        self._hash.update(raw)
        return raw

    def hexdigest(self) -> str:
        """The hash of all that was read."""
        return self._hash.hexdigest()


def _entry(count: Recount, path: Path, root: int, name: str, length: int, max_line: int) -> Entry:
    reading = count.reading(path, with_keys=True)
    with path.open("rb") as file:
        hashed = _Hashed(file)
        count.read(reading, hashed, length, max_line)
    return Entry(
        root=root, path=name, length=length, hash=hashed.hexdigest(), lines=reading.lines, facts=len(reading.keys or ())
    )


def _below(path: bytes, roots: Sequence[Path]) -> tuple[int, str] | None:
    """Number of the root that the file lies below, and its path from there."""
    for number, root in enumerate(roots):
        start = os.fsencode(root).rstrip(b"/") + b"/"
        if path.startswith(start):
            return number, os.fsdecode(path[len(start) :])
    return None


def _find(entry: Entry, roots: Sequence[Path]) -> Path | None:
    """Where the file lies now, or may lie: below its own root, else below another; None where it is gone."""
    own = [roots[entry.root]] if entry.root < len(roots) else []
    for root in (*own, *roots):
        path = root / entry.path
        try:
            if stat.S_ISREG(path.lstat().st_mode):
                return path
        except (FileNotFoundError, NotADirectoryError, ValueError):
            continue
        except OSError:
            return path  # whether it is there cannot be known: who reads it is told why
    return None


def _shown(entry: Entry) -> str:
    return paths.display(entry.path)


def _no_manifest(file: Path) -> ManifestError:
    return ManifestError(f"{paths.display(file)} is no manifest of ccagent; name another file, or remove it")


def _relative(value: object) -> str:
    """A path that stays below its root; ValueError for any other."""
    path = PurePath(_text(value))
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in str(path):
        raise ValueError("the path leads out of its root")
    return str(path)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text was expected")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError("a number was expected")
    return value
