"""What `ccagent drift` tells: what transcripts hold that this version does not know, and what they hold no longer.

Everything is by name; of a record there is its shape and nothing else (ccagent/facts/drift.py), so that the report can
be shown to anybody. What was accepted is remembered in a small file beside the database; without the file all is new.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ccagent import __version__
from ccagent.config import Config
from ccagent.errors import NoDataError, StoreError
from ccagent.facts.drift import Drift, client_version, known_by_now, named, version_order
from ccagent.paths import create_private
from ccagent.store.location import Database, parse_database

if TYPE_CHECKING:
    from ccagent.store.connection import Connection
    from ccagent.store.drift import Seen

SCHEMA_VERSION: Final = 1
NEW: Final = 10
"""Exit code where something is new that was not accepted: as for an alert."""

_SYSTEM: Final = f"{Drift.SYSTEM.value}/"
_PLACES: Final = frozenset(("assistant", "event_msg", "response_item", "bare"))
"""What stands before the name where the type of a part of a record is unknown."""

_RELEASE: Final = re.compile(r"\d+(?:\.\d+)?")


@dataclass(slots=True, kw_only=True)
class Finding:
    """Something new, over all client versions. `records` only where each record is a fact; times ms UTC."""

    kind: str
    name: str
    versions: set[str] = field(default_factory=set)
    first: int | None = None
    last: int | None = None
    records: int | None = None
    sessions: int = 0
    shape: Any = None
    accepted: bool = False

    @property
    def title(self) -> str:
        """What it is accepted by."""
        return f"{self.kind}/{self.name}"

    def document(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "name": self.name,
            "client_versions": sorted(self.versions, key=lambda version: (version_order(version), version)),
            "first_seen": _rfc3339(self.first),
            "last_seen": _rfc3339(self.last),
            "records": self.records,
            "sessions": self.sessions,
            "shape": self.shape,
            "accepted": self.accepted,
        }


class Accepted:
    """Titles that somebody has seen and does not want to hear of again: `<database>.drift.json`, 0600."""

    def __init__(self, database: Database) -> None:
        self.path = Path(database.sidecar + ".drift.json")

    def read(self) -> frozenset[str]:
        """What was accepted; nothing without a file. StoreError where it is none of ours."""
        try:
            document = json.loads(self.path.read_bytes())
            return frozenset(str(title) for title in document["accepted"])
        except FileNotFoundError:
            return frozenset()
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StoreError(f"cannot read {self.path}: {error}; `ccagent drift --forget` removes it") from error

    def add(self, titles: Collection[str]) -> None:
        """Accept these, too."""
        self._write(sorted(self.read() | set(titles)))

    def forget(self) -> None:
        """Nothing is accepted any more."""
        self.path.unlink(missing_ok=True)

    def _write(self, titles: list[str]) -> None:
        from tempfile import mkstemp

        text = json.dumps({"schema_version": SCHEMA_VERSION, "accepted": titles}, indent=1) + "\n"
        create_private(self.path.parent)
        name = None
        try:
            descriptor, name = mkstemp(prefix=self.path.name, dir=self.path.parent)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.path)
        except OSError as error:
            if name is not None:
                Path(name).unlink(missing_ok=True)
            raise StoreError(f"cannot write {self.path}: {error.strerror}") from error


def collect(config: Config, *, since_ms: int | None = None, everything: bool = False) -> dict[str, Any]:
    """The drift document: what was met since then (None: ever), without what was accepted unless `everything`.

    NoDataError where the store holds no facts.
    """
    from ccagent.store.drift import is_empty, newest_version
    from ccagent.store.open import open_reader

    database = parse_database(config.database, config.paths.state_dir)
    accepted = Accepted(database).read()
    with open_reader(database) as reader:
        if is_empty(reader):
            raise NoDataError(f"{database.display} holds no facts yet; `ccagent run --once` takes in what there is")
        newest = newest_version(reader)
        found = [each for each in findings(reader, accepted) if since_ms is None or (each.last or 0) >= since_ms]
    shown = [each for each in found if everything or not each.accepted]
    return {
        "schema_version": SCHEMA_VERSION,
        "since": _rfc3339(since_ms),
        "newest_client_version": None if newest is None else client_version(newest),
        "new": sum(not each.accepted for each in found),
        "accepted": sum(each.accepted for each in found),
        "findings": [each.document() for each in shown],
    }


def accept(config: Config, titles: Collection[str]) -> None:
    """Accept these titles (`kind/name`)."""
    Accepted(parse_database(config.database, config.paths.state_dir)).add(titles)


def forget(config: Config) -> None:
    """Take back all that was accepted."""
    Accepted(parse_database(config.database, config.paths.state_dir)).forget()


def summary(reader: Connection, database: Database) -> dict[str, Any] | None:
    """For the status: how much is new in the newest client version; None where nothing is."""
    from ccagent.store.drift import newest_version, seen

    newest = newest_version(reader)
    met = {_key(each) for each in seen(reader) if each.version == newest}
    titles = {f"{kind}/{name}" for kind, name in met if not known_by_now(kind, name)}
    titles = titles - Accepted(database).read() if titles else titles
    if newest is None or not titles:
        return None
    return {"new": len(titles), "client_version": client_version(newest), "shown_by": "ccagent drift"}


def findings(reader: Connection, accepted: Collection[str] = ()) -> list[Finding]:
    """All that is new, the latest first."""
    from ccagent.store import drift as stored

    found: dict[tuple[str, str], Finding] = {}
    for each in stored.seen(reader):
        kind, name = _key(each)
        if known_by_now(kind, name):
            continue
        one = found.setdefault((kind, name), Finding(kind=kind, name=name))
        one.versions.add(client_version(each.version))
        one.first = min((at for at in (one.first, each.first) if at is not None), default=None)
        one.last = max((at for at in (one.last, each.last) if at is not None), default=None)
        if each.label is None:
            one.records = (one.records or 0) + each.facts
    for (label, name), number in stored.sessions(reader).items():
        if (key := _named(label, name)) in found:
            found[key].sessions = max(found[key].sessions, number)
    for title, extra in stored.shapes(reader).items():
        kind, _, name = title.partition("/")
        if (kind, name) in found:
            found[kind, name].shape = _shape(extra)
    for one in found.values():
        one.accepted = one.title in accepted
    return sorted(found.values(), key=lambda one: (-(one.last or 0), one.kind, one.name))


def _key(each: Seen) -> tuple[str, str]:
    return _named(each.label, each.name)


def _named(label: str | None, name: str) -> tuple[str, str]:
    """Kind and name of a fact; those of records, which have no label, as what tells their shape is named."""
    if label is not None:
        return label, name.partition("/")[2]
    if name.startswith(_SYSTEM):
        return Drift.SYSTEM.value, named(name.removeprefix(_SYSTEM))
    place, separator, rest = name.partition("/")
    if separator and place in _PLACES:
        return Drift.RECORD.value, f"{place}/{named(rest)}"
    return Drift.RECORD.value, named(name)


def _shape(extra: str) -> Any:
    try:
        value = json.loads(extra)
    except ValueError:
        return None
    return value.get("shape") if isinstance(value, dict) else None


# ---- the text for a bug report -------------------------------------------------------------------------------------


def report(document: Mapping[str, Any]) -> Iterator[str]:
    """Lines ready for a bug report: versions, then each finding with its shape. No name of yours, no path, no text."""
    import platform

    release = _RELEASE.match(platform.release())
    system = f"{platform.system()} {release.group() if release else ''}".strip()
    yield f"ccagent {__version__}, Python {platform.python_version()}, {system} ({platform.machine()})"
    yield f"newest client version: {document['newest_client_version'] or 'unknown'}"
    rows: Iterable[Mapping[str, Any]] = document["findings"]
    for row in rows:
        yield ""
        yield f"{row['kind']} {row['name']}"
        yield f"  client versions: {', '.join(row['client_versions'])}"
        yield f"  {met(row)}, first on {_day(row['first_seen'])}, last on {_day(row['last_seen'])}"
        if row["shape"] is not None:
            yield f"  shape: {json.dumps(row['shape'])}"
    if not document["findings"]:
        yield "nothing new"


def met(row: Mapping[str, Any]) -> str:
    """How often something was met, as far as that is known."""
    sessions = _plural(row["sessions"], "session")
    return sessions if row["records"] is None else f"{_plural(row['records'], 'record')} in {sessions}"


def _plural(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _day(moment: str | None) -> str:
    return "an unknown day" if moment is None else moment[:10]


def _rfc3339(moment_ms: int | None) -> str | None:
    if moment_ms is None:
        return None
    return datetime.fromtimestamp(moment_ms / 1_000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
