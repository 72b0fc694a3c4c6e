"""Write what an installation of ccagent consists of, as a CycloneDX 1.6 document: `python scripts/sbom.py [FILE]`.

It describes the environment of the Python that runs it, so run it with that of a clean installation. The same
installation gives the same bytes: the serial number follows from the components, and the time is SOURCE_DATE_EPOCH
where that is set, absent elsewhere.
"""

from __future__ import annotations

import json
import os
import re
import sys
import uuid
from collections.abc import Iterator, Set
from datetime import UTC, datetime
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

ROOT_NAME = "ccagent"

_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")
_IDENTIFIER = re.compile(r"^[A-Za-z0-9.+-]+$")
"""One SPDX id; anything longer is an expression."""


def document(name: str = ROOT_NAME) -> dict[str, Any]:
    """The document for a distribution and all that it needs here. PackageNotFoundError where it is not installed."""
    found, edges = closure(name)
    root = canonical(name)
    components = [component(one, "application" if key == root else "library") for key, one in sorted(found.items())]
    body: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": next(one for one in components if one["type"] == "application")},
        "components": [one for one in components if one["type"] == "library"],
        "dependencies": [
            {"ref": purl(one), "dependsOn": sorted(purl(found[need]) for need in edges.get(key, ()))}
            for key, one in sorted(found.items())
        ],
    }
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        stamp = datetime.fromtimestamp(int(epoch), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        body["metadata"]["timestamp"] = stamp
    content = json.dumps(body, sort_keys=True)
    return {"serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}", **body}


def closure(name: str) -> tuple[dict[str, Distribution], dict[str, set[str]]]:
    """The distribution, what it needs, what that needs, …, by canonical name; and who needs whom.

    Of an extra's needs only those count that somebody asks for, as in `psycopg[binary]`.
    """
    found: dict[str, Distribution] = {}
    edges: dict[str, set[str]] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [(canonical(name), frozenset[str]())]
    found[canonical(name)] = distribution(name)
    while waiting:
        asked = waiting.pop()
        if asked in seen:
            continue
        seen.add(asked)
        for need, extras in needs(found[asked[0]], asked[1]):
            try:
                found.setdefault(need, distribution(need))
            except PackageNotFoundError:
                continue  # of another platform or an older Python
            edges.setdefault(asked[0], set()).add(need)
            waiting.append((need, extras))
    return found, edges


def needs(one: Distribution, extras: Set[str] = frozenset()) -> Iterator[tuple[str, frozenset[str]]]:
    """What a distribution asks for with these extras, on whatever platform: canonical name, and extras of that."""
    for line in one.requires or ():
        requirement, _, marker = line.partition(";")
        for_extras = {canonical(extra) for extra in _EXTRA.findall(marker)}
        if (match := _REQUIREMENT.match(requirement)) and (not for_extras or for_extras & extras):
            yield canonical(match[1]), frozenset(canonical(extra) for extra in (match[2] or "").split(",") if extra)


def component(one: Distribution, kind: str) -> dict[str, Any]:
    """One component with its license, where its metadata name one."""
    described: dict[str, Any] = {
        "type": kind, "bom-ref": purl(one), "name": str(one.metadata["Name"]), "version": one.version, "purl": purl(one)
    }  # fmt: skip
    if license_ := license_of(one):
        single = _IDENTIFIER.match(license_) is not None
        described["licenses"] = [{"license": {"name": license_}} if single else {"expression": license_}]
        if single and told(one, "License-Expression"):
            described["licenses"] = [{"license": {"id": license_}}]
    return described


def license_of(one: Distribution) -> str:
    """An SPDX expression; a bare word of older metadata; "" where there is none or it is a whole text."""
    if expression := told(one, "License-Expression"):
        return expression
    word = told(one, "License")
    return word if _IDENTIFIER.match(word) else ""


def told(one: Distribution, field: str) -> str:
    """A field of the metadata, "" where it is absent."""
    return str(one.metadata[field]).strip() if field in one.metadata else ""


def purl(one: Distribution) -> str:
    """The package URL that names a release in PyPI."""
    return f"pkg:pypi/{canonical(str(one.metadata['Name']))}@{one.version}"


def canonical(name: str) -> str:
    """A name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    """Write the file named, else standard output."""
    text = json.dumps(document(), indent=2) + "\n"
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
