"""Planning documents, by their paths: which feature a document plans, and which phase of it. Nothing is opened."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

ROOTS: Final = frozenset(
    (
        "project_plans", "project-plans", "plans", "implementation_plans", "implementation-plans", "prds", "prd",
        "specs", "design-specs",
    )
)  # fmt: skip
"""Folders of planning documents wherever they lie (`docs/project_plans/…`, `.claude/plans/…`, `specs/…`)."""

ROOTS_BELOW: Final = frozenset(
    ((".claude", "progress"), ("docs", "requirements"), ("docs", "features"), ("docs", "rfcs"))
)
"""Folders of planning documents only below that other folder: their own names say too little."""

ENDINGS: Final = (".md", ".mdx", ".markdown")

PLAN_NAME: Final = re.compile(r"(?:^|[-_.])(?:implementation[-_]plan|prd)(?:[-_.]|$)", re.IGNORECASE)
"""Names of documents that are plans wherever they lie: `login_implementation_plan.md`, `prd-login.md`."""

FOREIGN: Final = frozenset(
    ("node_modules", "site-packages", ".git", ".venv", "venv", "vendor", "plugins", "skills", "templates", "agents")
)
"""Folders whose documents plan nothing here: other people's packages, the client's own plugins and skills."""

GENERIC: Final = frozenset(
    (
        "", "all", "all-phases", "backlog", "bug-fixes", "bugs", "checklist", "context", "contracts", "data-model",
        "decisions", "design", "design-specs", "docs", "document", "enhancements", "features", "feature",
        "harden-polish", "implementation", "implementation-plan", "implementation-plans", "index", "iterations",
        "notes", "overview", "phase-plans", "phases", "plan", "plans", "prd", "prds", "progress", "project-plans",
        "quick-features", "quickstart", "readme", "refactors", "remediations", "report", "reports", "requirements",
        "research", "review", "reviews", "rfcs", "roadmap", "scripts", "spec", "specs", "spikes", "status", "summary",
        "task", "tasks", "template", "todo", "claude", "agents", "changelog", "active", "archive", "archived",
        "completed", "done", "draft", "drafts",
    )
)  # fmt: skip
"""Names that say what kind of document or folder it is, and not of which feature."""

_KIND: Final = re.compile(
    r"(?:-(?:implementation-plan|phase-plan|plan|prd|spec|design|requirements|progress|tasks|report))+$"
)
_KIND_FIRST: Final = re.compile(r"^(?:implementation-plan|prd|plan|spec)-")
_DATE: Final = re.compile(r"^(?:\d{8}|\d{4}-\d{2}-\d{2})-")
_VERSION: Final = re.compile(r"-v\d+(?:\.\d+)*$")
_PHASE_FILE: Final = re.compile(r"^phase-\w+(?:-.*)?$")
_NUMBERED: Final = re.compile(r"^(?:review|part|chapter|iteration|round)-?\d+$")
_SLUG: Final = re.compile(r"^[^\W_][\w.+-]{1,79}$")
_NOISE: Final = re.compile(r"[*?\[\]{}<>$`\"'|\n]")
_PHASE: Final = re.compile(r"(?<![A-Za-z])phase[\s_-]*0*(\d{1,3})(?![A-Za-z0-9])", re.IGNORECASE)

PATH_CHARACTERS: Final = 1_024


def slug(name: str) -> str:
    """The name as features are named: lower case, hyphens, without a date before it and a version behind it."""
    text = re.sub(r"[\s_-]+", "-", name.strip().lower()).strip("-.")
    text = _DATE.sub("", text)
    return _VERSION.sub("", text)


@lru_cache(maxsize=4_096)
def feature_of_path(path: str) -> str | None:
    """The feature that a document plans; None for what is no planning document.

    Rule: a Markdown file below one of `ROOTS` (or `ROOTS_BELOW`), or one whose name is a plan's (`PLAN_NAME`), outside
    of `FOREIGN` folders. The feature is the file's name without what tells its kind, date and version; where that is
    generic (`plan.md`, `phase-2-backend.md`, `tasks.md`) the nearest folder below the root that is not. Reason: these
    are the layouts that planning commands write (`docs/project_plans/implementation_plans/login-v1/phase-2-api.md`,
    `specs/003-login/plan.md`, `.claude/plans/x.md`). Patterns with wildcards name no document.
    """
    if len(path) > PATH_CHARACTERS or _NOISE.search(path) or not path.lower().endswith(ENDINGS):
        return None
    parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")]
    folders, stem = parts[:-1], parts[-1].rsplit(".", 1)[0]
    lowered = [folder.lower() for folder in folders]
    if FOREIGN.intersection(lowered):
        return None
    root = _root(lowered)
    if root is None:
        if not PLAN_NAME.search(stem):
            return None
        root = len(folders) - 1
    for name in (stem, *reversed(folders[root + 1 :])):
        found = _named(name)
        if found is not None:
            return found
    return None


def _root(folders: list[str]) -> int | None:
    for number, folder in enumerate(folders):
        if folder in ROOTS or (number and (folders[number - 1], folder) in ROOTS_BELOW):
            return number
    return None


def _named(name: str) -> str | None:
    text = slug(name)
    if _PHASE_FILE.match(text) or _NUMBERED.match(text):
        return None
    text = _VERSION.sub("", _KIND.sub("", _VERSION.sub("", text)))
    text = _KIND_FIRST.sub("", text) if text not in GENERIC else text
    if text in GENERIC or not _SLUG.match(text) or not any(letter.isalpha() for letter in text):
        return None
    return text


def phase_in(text: str) -> str | None:
    """The first "phase N" of a path, a branch or a command's arguments: the number as text, without leading zeros.

    Rule: the word `phase`, then at most separators, then one to three digits. "phase two" and "phases" are not seen.
    """
    found = _PHASE.search(text[:PATH_CHARACTERS])
    return found.group(1) if found else None
