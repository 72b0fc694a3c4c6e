"""Pull requests (GitLab: merge requests): one name for each, whatever wrote its URL."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

ACTIONS: Final = ("opened", "merged", "closed", "reopened", "reviewed", "ready", "edited")
"""What may be done to a pull request, as far as a transcript shows it."""

_URL: Final = re.compile(
    r"(?:(?P<scheme>https?)://)?(?:[^@/\s]{1,64}@)?(?P<host>[A-Za-z0-9](?:[A-Za-z0-9-]{0,63}\.){1,20}[A-Za-z]{2,63}|localhost)(?P<port>:\d{1,5})?"
    r"/(?P<path>[\w.~-]{1,100}(?:/[\w.~-]{1,100}){1,8}?)"
    r"/(?:-/)?(?P<kind>pull|pulls|pull-requests|merge_requests)/(?P<number>[1-9]\d{0,8})(?![\w-])"
)
_SCHEME: Final = re.compile(r"https?://")
"""Where a URL in a text may begin: a text without line ends is not searched from each of its characters."""

_API: Final = re.compile(r"(?:api/v\d+/)?repos/")
_REMOTE: Final = re.compile(
    r"(?:(?:https?|ssh|git)://(?:[^@/\s]+@)?(?P<host>[A-Za-z0-9.-]+)(?::\d+)?/+(?P<path>[\w.~/-]+)"
    r"|(?:[\w.-]+@)?(?P<short>[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+):(?!\d+/)(?P<rest>[\w.~/-]+))$"
)
_RECORDED: Final = {
    "created": "opened", "opened": "opened", "merged": "merged", "closed": "closed", "reopened": "reopened",
    "reviewed": "reviewed", "approved": "reviewed", "ready": "ready", "edited": "edited", "updated": "edited",
    "commented": "edited",
}  # fmt: skip


class Pull(NamedTuple):
    """url: without scheme, host in lower case, nothing after the number. repository: host/owner/name."""

    url: str
    repository: str
    number: int


def pull_of(url: str) -> Pull | None:
    """The pull request of a URL (a forge's page or its API's); None where it is none. What follows the number, the
    scheme, credentials and `.git` make no difference."""
    match = _URL.match(url.strip())
    return _pull(match) if match else None


def pulls_in(text: str) -> list[Pull]:
    """Those whose URL, with its scheme, stands in a text, each once, in the order of the text."""
    found = {}
    for start in _SCHEME.finditer(text):
        match = _URL.match(text, start.start())
        if match is not None:
            pull = _pull(match)
            found[pull.url] = pull
    return list(found.values())


def _pull(match: re.Match[str]) -> Pull:
    host, path, kind = match["host"].lower().removeprefix("www."), match["path"], match["kind"]
    stripped = _API.sub("", path, count=1) if _API.match(path) else path
    if stripped != path:
        host, path, kind = host.removeprefix("api."), stripped, "pull"
    repository = f"{host}{match['port'] or ''}/{path.removesuffix('.git')}"
    number = int(match["number"])
    middle = "-/merge_requests" if kind == "merge_requests" else kind
    return Pull(f"{repository}/{middle}/{number}", repository, number)


def numbered(repository: str, number: int, host: str) -> str:
    """The name of a pull request given by number: its URL where the repository (`owner/name`, `host/owner/name` or a
    URL) is known, else `#7`."""
    place = repository_of(repository)
    if place is None and re.fullmatch(r"[\w.-]+(?:/[\w.-]+){1,3}", repository):
        first = repository.partition("/")[0]
        place = repository if "." in first and repository.count("/") > 1 else f"{host}/{repository}"
    if place is None:
        return f"#{number}"
    return f"{place}/{'-/merge_requests' if host.startswith('gitlab') else 'pull'}/{number}"


def repository_of(remote: str) -> str | None:
    """host/owner/name of a remote's URL (https, ssh or `git@host:owner/name.git`, with or without `git@`); None for a path
    or a plain name."""
    match = _REMOTE.match(remote.strip())
    if match is None:
        return None
    path = (match["path"] or match["rest"]).strip("/").removesuffix(".git")
    return f"{(match['host'] or match['short']).lower()}/{path}" if "/" in path else None


def recorded_action(word: str | None) -> str | None:
    """Our word for an action that a client recorded; None for one that is not known."""
    return _RECORDED.get(word or "")


# ---- tools of MCP servers ------------------------------------------------------------------------------------------

_CREATE: Final = re.compile(r"create_(?:pull_request|merge_request|pr)")
_MERGE: Final = re.compile(r"(?:merge|accept)_(?:pull_request|merge_request|pr)")
_UPDATE: Final = re.compile(r"(?:update|edit)_(?:pull_request|merge_request|pr)")
_REVIEW: Final = re.compile(
    r"(?:create|submit|add)_(?:and_submit_|pending_)?(?:pull_request|merge_request)_review|pull_request_review_write"
    r"|approve_merge_request|submit_pending_pull_request_review"
)
_STATES: Final = {"closed": "closed", "close": "closed", "open": "reopened", "reopen": "reopened"}


def mcp_action(tool: str) -> str | None:
    """What an MCP server's tool does to a pull request, by its name (without server); None for any other tool.

    `edited` may also close or reopen: that stands in its input (`state_action`).
    """
    if _CREATE.fullmatch(tool):
        return "opened"
    if _MERGE.fullmatch(tool):
        return "merged"
    if _UPDATE.fullmatch(tool):
        return "edited"
    return "reviewed" if _REVIEW.fullmatch(tool) else None


def state_action(state: str | None) -> str | None:
    """The action behind a wanted state (`closed`, `open`; GitLab's `close`, `reopen`)."""
    return _STATES.get(state or "")
