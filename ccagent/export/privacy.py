"""What may leave the machine, decided in one place: the tier of a project and the allow-list of span attributes.

Tiers: 0 nothing leaves, 1 metadata without identity, 2 with the owner's self-chosen identity. A project's
`.ccagent.toml` is an upper bound; the personal tier can only equal or lower it. Without a personal tier nothing leaves,
whatever a cloned repository says.
"""

from __future__ import annotations

import errno
import os
import stat
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ccagent.store import filesystem

if TYPE_CHECKING:
    from ccagent.export.otlp.attributes import AttributeValue

HIGHEST_TIER: Final = 2

PROJECT_FILE: Final = ".ccagent.toml"

PROJECT_FILE_LIMIT: Final = 64 * 1024
"""Bytes; a real one has one line. Anything longer is not ours."""

CACHE_MS: Final = 60_000
"""How long a project's answer is kept: a changed file takes effect within a minute, a busy session costs one look."""

CACHE_ENTRIES: Final = 4_096
"""Folders remembered at once; beyond that the memory starts anew."""

VALUE_LIMIT: Final = 2_048
"""Bytes of one attribute value; the usual receivers cut there themselves, some in the middle of a character."""

REFUSED_KEYS: Final = ("endpoint", "headers", "otlp")
"""Where telemetry goes is the owner's own choice; a file in a cloned repository must not redirect it."""

SPAN_ATTRIBUTES: Final = frozenset({
    "ccagent.agent.depth", "ccagent.background", "ccagent.client.entrypoint", "ccagent.client.version",
    "ccagent.cost.usd", "ccagent.duration.estimated", "ccagent.exit_code", "ccagent.mcp.server", "ccagent.mcp.tool",
    "ccagent.quality", "ccagent.status", "ccagent.tokens.cache_read", "ccagent.tokens.cache_write_1h",
    "ccagent.tokens.cache_write_5m", "ccagent.tokens.input", "ccagent.tokens.output", "error.type", "gen_ai.agent.id",
    "gen_ai.agent.name", "gen_ai.agent.version", "gen_ai.conversation.id", "gen_ai.operation.name",
    "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.finish_reasons", "gen_ai.response.id",
    "gen_ai.response.model", "gen_ai.tool.call.id", "gen_ai.tool.name", "gen_ai.tool.type",
    "gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens",
    "gen_ai.usage.reasoning.output_tokens", "mcp.method.name", "session.id",
})  # fmt: skip
"""The only attribute keys that a span may carry. A list of what may leave, not of what may not."""


def permit(attributes: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    """The attributes that may leave, texts cut to `VALUE_LIMIT` bytes."""
    return {key: _short(value) for key, value in attributes.items() if key in SPAN_ATTRIBUTES}


def cut(text: str) -> str:
    """`text` in at most `VALUE_LIMIT` bytes of UTF-8, whole characters only."""
    if len(text) <= VALUE_LIMIT and text.isascii():
        return text
    return text.encode("utf-8", "replace")[:VALUE_LIMIT].decode("utf-8", "ignore")


def _short(value: AttributeValue) -> AttributeValue:
    if isinstance(value, str):
        return cut(value)
    return tuple(cut(item) for item in value) if isinstance(value, tuple) else value


def effective(project_tier: int | None, personal_tier: int | None) -> int:
    """The tier that holds: the project's (absent: no bound), never above the personal one (absent: 0)."""
    return min(HIGHEST_TIER if project_tier is None else project_tier, personal_tier or 0)


class TierResolver:
    """Finds the tier of a folder from the `.ccagent.toml` files between it and its git root.

    Where several say something, the lowest holds. A file that cannot be read or understood means tier 0. `notices`
    collects what the owner should know, each sentence once. Not for use by several threads at a time.
    """

    def __init__(
        self,
        personal_tier: int | None,
        now_ms: Callable[[], int],
        *,
        network_mounts: Callable[[], tuple[str, ...]] = filesystem.network_mounts,
    ) -> None:
        self.notices: list[str] = []
        self._personal = personal_tier
        self._now_ms = now_ms
        self._network_mounts = network_mounts
        self._mounts: tuple[str, ...] = ()
        self._mounts_until = 0
        self._cache: dict[str, tuple[int, int]] = {}

    def tier(self, cwd: str | None) -> int:
        """The effective tier of work done in `cwd`; None or a path of another system has no project file."""
        if not self._personal:
            return 0
        if cwd is None or not cwd.startswith("/") or "\0" in cwd:
            return effective(None, self._personal)
        now = self._now_ms()
        held = self._cache.get(cwd)
        if held is not None and 0 <= held[1] - now <= CACHE_MS:
            return held[0]
        project = self._project_tier(cwd, now)
        if project is not None and self._personal > project:
            self._notice(
                f"the project in {cwd} allows tier {project}; the personal tier {self._personal} is lowered to it"
            )
        found = effective(project, self._personal)
        if len(self._cache) >= CACHE_ENTRIES:
            self._cache.clear()
        self._cache[cwd] = (found, now + CACHE_MS)
        return found

    def _project_tier(self, cwd: str, now: int) -> int | None:
        if not 0 <= self._mounts_until - now <= CACHE_MS:
            self._mounts, self._mounts_until = self._network_mounts(), now + CACHE_MS
        lowest: int | None = None
        folder = Path(os.path.normpath(cwd))
        for level in (folder, *folder.parents):
            if any(level.is_relative_to(mount) for mount in self._mounts):
                # A look there may hang for minutes, and not looking may miss a bound.
                self._notice(f"{level} lies on a network mount, where {PROJECT_FILE} is not looked for: tier 0")
                return 0
            said = self._read(level / PROJECT_FILE)
            if said is not None:
                lowest = said if lowest is None else min(lowest, said)
            if os.path.lexists(level / ".git"):
                break
        return lowest

    def _read(self, path: Path) -> int | None:
        """The tier that the file names, None without file or key, 0 where it cannot be trusted."""
        try:
            text = _regular_text(path)
            if text is None:
                return None
            table = tomllib.loads(text)
        except (OSError, ValueError) as error:
            self._notice(f"{path} cannot be used ({_why(error)}): tier 0 until it is corrected or removed")
            return 0
        for key in REFUSED_KEYS:
            if key in table:
                self._notice(f"{path}: {key!r} is refused in a project file; set it in your own configuration")
        tier = table.get("tier")
        if tier is None:
            return None
        if isinstance(tier, bool) or not isinstance(tier, int) or not 0 <= tier <= HIGHEST_TIER:
            self._notice(f"{path}: tier must be 0, 1 or 2: tier 0 until it is corrected")
            return 0
        return tier

    def _notice(self, text: str) -> None:
        if text not in self.notices:
            self.notices.append(text)


def _regular_text(path: Path) -> str | None:
    """The text of a regular file of at most `PROJECT_FILE_LIMIT` bytes, None where there is none.

    Raises OSError for links, other kinds of files and refusals, ValueError for what is too long or no UTF-8.
    """
    try:
        # O_NONBLOCK: a planted FIFO must not stop the thread.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            return None
        raise
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ValueError("not a regular file")
        content = file.read(PROJECT_FILE_LIMIT + 1)
    if len(content) > PROJECT_FILE_LIMIT:
        raise ValueError(f"longer than {PROJECT_FILE_LIMIT} bytes")
    return content.decode("utf-8")


def _why(error: OSError | ValueError) -> str:
    """The reason without the file's content."""
    if isinstance(error, tomllib.TOMLDecodeError):
        return "not TOML"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    return str(error.strerror if isinstance(error, OSError) else error)
