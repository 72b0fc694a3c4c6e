"""The front matter of a planning document, as far as it names sessions, commits and pull requests. Nothing is opened."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ccagent.facts.documents import feature_of_path, slug
from ccagent.facts.pulls import pull_of

LINES: Final = 400
"""Lines of front matter that are read; a longer one is cut there."""

VALUES: Final = 200
"""Values of one key."""

VALUE_CHARACTERS: Final = 300

SESSIONS: Final = frozenset(("session", "session_id", "session_ids", "sessions", "linked_sessions"))
COMMITS: Final = frozenset(("commit", "commits", "git_commit", "git_commits", "commit_refs", "git_commit_hashes"))
PULLS: Final = frozenset(("pr", "prs", "pull_request", "pull_requests", "pr_url", "pr_urls"))
FEATURES: Final = ("feature_slug", "feature_id", "feature")
"""Keys, in lower case, that say what the document belongs to; the first of FEATURES that is there names the feature."""

_KEY: Final = re.compile(r"^([A-Za-z][\w-]*):(?:[ \t]+(.*))?$")
_ITEM: Final = re.compile(r"^[ \t]*-[ \t]+(.*)$")
_SHA: Final = re.compile(r"^[0-9a-f]{7,40}$")
_SESSION: Final = re.compile(r"^[\w-]{8,128}$")


class Stated(NamedTuple):
    """What a document states of its feature."""

    feature: str
    sessions: frozenset[str] = frozenset()
    commits: frozenset[str] = frozenset()
    pulls: frozenset[str] = frozenset()


def front_matter(text: str) -> dict[str, list[str]]:
    """Key (lower case) → values of the front matter at the beginning of a text; {} where there is none.

    A small strict reader: `key: value`, `key: [a, b]`, and `key:` with lines `- item` below. What is nested deeper, or
    written in any other way YAML allows, is passed over.
    """
    lines = text.removeprefix("\ufeff").splitlines()
    if not lines or lines[0].strip() != "---":
        return {}
    found: dict[str, list[str]] = {}
    key = None
    for line in lines[1 : LINES + 1]:
        if line.rstrip() in ("---", "..."):
            return found
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        item = _ITEM.match(line)
        if item is not None:
            if key is not None and len(found[key]) < VALUES:
                found[key] += _plain(item.group(1))
            continue
        match = _KEY.match(line)
        key = match.group(1).lower() if match is not None else None
        if match is not None and key is not None:
            value = (match.group(2) or "").strip()
            listed = value[1:-1].split(",") if value[:1] == "[" and value[-1:] == "]" else [value]
            found[key] = [text for part in listed[:VALUES] for text in _plain(part)]
    return {}  # it never ends: this is no front matter


def _plain(text: str) -> list[str]:
    """The value without quotes and comment; none for what is empty, or a map or list of its own."""
    text = text.strip()
    if text[:1] in ("'", '"'):
        end = text.find(text[0], 1)
        text = text[1:end] if end > 0 else ""
    else:
        text = re.split(r"\s#", text, maxsplit=1)[0].strip()
        if text[:1] in ("{", "[", "|", ">", "&", "*") or ": " in text:
            return []
    return [text] if text and len(text) <= VALUE_CHARACTERS and text != "null" else []


def stated(path: str, text: str) -> Stated | None:
    """What a document at `path` with this text states; None where it names no feature.

    The feature is the one that the front matter names, else the one of the path. Sessions are ids of 8 characters and
    more, commits 7 to 40 hexadecimal digits, pull requests addresses.
    """
    said = front_matter(text)
    feature = next((slug(value) for key in FEATURES for value in said.get(key, ())[:1] if slug(value)), None)
    feature = feature or feature_of_path(path)
    if feature is None or "/" in feature:
        return None

    def values(keys: frozenset[str]) -> list[str]:
        return [value for key, listed in said.items() if key.replace("-", "_") in keys for value in listed]

    pulls = (pull_of(value) for value in values(PULLS))
    return Stated(
        feature,
        frozenset(value for value in values(SESSIONS) if _SESSION.match(value)),
        frozenset(value.lower() for value in values(COMMITS) if _SHA.match(value.lower())),
        frozenset(pull.url for pull in pulls if pull is not None),
    )
