"""What becomes of a rule's document when some of it is said anew."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from ccagent.alerts.faults import AlertRuleError

BOUNDS: Final = ("threshold", "baseline", "absent")
"""A condition has one of these."""

CONDITION: Final = ("metric", "where", "aggregation", "per", "window", "operator", *BOUNDS, "clear", "least", "floor")
"""Keys of a document that make its condition; the second one has the same below `and`."""

KEYS: Final = (
    "id", "name", *CONDITION, "and", "scope", "only", "for", "keep_firing", "cooldown", "severity", "enabled", "channels",
    "schedule", "summary", "reason", "labels",
)  # fmt: skip
"""Keys of a document, in the order in which they are shown."""

_KEPT: Final = ("id", "metric")


def merged(
    document: Mapping[str, Any],
    changes: Mapping[str, Any],
    *,
    when: Mapping[str, Any] | None = None,
    without: Collection[str] = (),
) -> dict[str, Any]:
    """`document` with what is said anew. `when` takes the place of the whole first condition, `changes` of single keys;
    a new bound takes the place of another kind of bound. Keys of `without` go.

    Raises AlertRuleError for a key that cannot go. The result is sorted as KEYS is; nobody has looked at its values.
    """
    found = dict(document)
    if when is not None:
        found = {key: value for key, value in found.items() if key not in CONDITION} | dict(when)
    for key in without:
        if key not in KEYS or key in _KEPT:
            raise AlertRuleError("unset", f"{key!r} cannot go", (one for one in KEYS if one not in _KEPT))
        found.pop(key, None)
    bound = next((key for key in BOUNDS if key in changes), None)
    if bound is not None:
        found = {key: value for key, value in found.items() if key not in BOUNDS}
    found |= changes
    return ordered(found)


def ordered(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with its keys in the order of KEYS; unknown ones come last."""
    known = {key: document[key] for key in KEYS if key in document}
    return known | {key: value for key, value in document.items() if key not in known}


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Keys whose values differ: key, before, after; None where there is nothing."""
    keys = [*dict.fromkeys((*ordered(before), *ordered(after)))]
    return [(key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)]
