"""Which alerts a silence is about: rules and subjects by pattern (`*`, `?`, `[abc]`)."""

from __future__ import annotations

from fnmatch import fnmatchcase

from ccagent.alerts.message import shown


def concerns(rule_pattern: str | None, subject_pattern: str | None, rule: str, subject: str) -> bool:
    """Whether a silence with these patterns (None: all) is about a rule's alert on a subject.

    A project is named by its path or by its last folder.
    """
    if rule_pattern is not None and not fnmatchcase(rule, rule_pattern):
        return False
    if subject_pattern is None:
        return True
    return any(fnmatchcase(name, subject_pattern) for name in (subject, shown(subject)))
