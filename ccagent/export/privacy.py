"""What may leave the machine, decided in one place: the tier of a project and the allow-list of span attributes.

Tiers: 0 nothing leaves, 1 metadata without identity, 2 with the owner's self-chosen identity. A project's
`.ccagent.toml` is an upper bound; the personal tier can only equal or lower it. Without a personal tier nothing leaves,
whatever a cloned repository says.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ccagent.export.project_files import HIGHEST_TIER, NOTHING, PROJECT_FILE, PROJECT_FILE_LIMIT, Said, look
from ccagent.store import filesystem

if TYPE_CHECKING:
    from ccagent.export.otlp.attributes import AttributeValue

__all__ = ["PROJECT_FILE", "PROJECT_FILE_LIMIT", "Policy", "TierResolver", "cut", "effective", "permit"]

CACHE_MS: Final = 60_000
"""How long a project's answer is kept: a changed file takes effect within a minute, a busy session costs one look."""

RENEW_MS: Final = 240_000
"""How much longer what is said of a folder stands where nobody works any more: there may be hundreds of them."""

CACHE_ENTRIES: Final = 4_096
"""Folders remembered at once; beyond that the memory starts anew."""

NOTICES: Final = 64
"""Sentences kept for the owner: hundreds of worktrees would say the same of hundreds of folders."""

VALUE_LIMIT: Final = 2_048
"""Bytes of one attribute value; the usual receivers cut there themselves, some in the middle of a character."""

ANONYMOUS_DIGITS: Final = 12
"""Hexadecimal digits of an anonymous project: 48 bits tell more projects apart than anybody has."""

SPAN_ATTRIBUTES: Final = frozenset({
    "ccagent.agent.depth", "ccagent.agent.unlinked", "ccagent.background", "ccagent.client.entrypoint",
    "ccagent.client.version", "ccagent.compaction.tokens_before", "ccagent.compaction.trigger",
    "ccagent.context.utilization_ratio", "ccagent.cost.usd", "ccagent.duration.estimated", "ccagent.exit_code",
    "ccagent.lines.added", "ccagent.lines.removed", "ccagent.link.type", "ccagent.mcp.server", "ccagent.mcp.tool",
    "ccagent.permission.asked_person", "ccagent.permission.decision", "ccagent.permission_mode", "ccagent.project",
    "ccagent.quality", "ccagent.retry.attempt", "ccagent.retry.attempts", "ccagent.retry_count", "ccagent.skill",
    "ccagent.status", "ccagent.team", "ccagent.tokens.cache_read", "ccagent.tokens.cache_write_1h",
    "ccagent.tokens.cache_write_5m", "ccagent.tokens.input", "ccagent.tokens.output", "ccagent.tool.result_size",
    "ccagent.turn.index", "enduser.id", "error.type", "gen_ai.agent.id", "gen_ai.agent.name", "gen_ai.agent.version",
    "gen_ai.conversation.compacted", "gen_ai.conversation.id", "gen_ai.operation.name",
    "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.finish_reasons", "gen_ai.response.id",
    "gen_ai.response.model", "gen_ai.tool.call.id", "gen_ai.tool.name", "gen_ai.tool.type",
    "gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens",
    "gen_ai.usage.reasoning.output_tokens", "mcp.method.name", "session.id",
})  # fmt: skip
"""The only attribute keys that a span, its events and its links may carry. A list of what may leave, not of what may
not."""

NATIVE_ATTRIBUTES: Final = frozenset({
    "agent_id", "attempt", "cache_creation_tokens", "cache_read_tokens", "decision", "duration_ms", "error",
    "input_tokens", "interaction.duration_ms", "interaction.sequence", "model", "output_tokens", "parent_agent_id",
    "query_source", "response.has_tool_call", "span.type", "speed", "stop_reason", "success", "tool_name",
    "tool_use_id", "user_prompt_length",
})  # fmt: skip
"""Names of the client's own spans, carried in addition where `otlp.native_names` asks for them."""

LOG_ATTRIBUTES: Final = frozenset({
    "ccagent.agent.depth", "ccagent.background", "ccagent.cache.cause", "ccagent.cache.judged",
    "ccagent.cache.tokens_missed", "ccagent.client.entrypoint", "ccagent.client.version", "ccagent.command.local",
    "ccagent.command.name", "ccagent.command.source", "ccagent.compaction.tokens_after",
    "ccagent.compaction.tokens_before", "ccagent.compaction.tokens_saved", "ccagent.compaction.trigger",
    "ccagent.cost.usd", "ccagent.duration.estimated", "ccagent.duration.seconds", "ccagent.error.attempts",
    "ccagent.error.final", "ccagent.exit_code", "ccagent.git.confidence", "ccagent.git.files", "ccagent.git.kind",
    "ccagent.hook.event", "ccagent.inferred", "ccagent.lines.added", "ccagent.lines.removed", "ccagent.mcp.server",
    "ccagent.mcp.tool", "ccagent.permission_mode", "ccagent.previous_permission_mode", "ccagent.project",
    "ccagent.prompt.kind", "ccagent.prompt.length", "ccagent.quality", "ccagent.record.type", "ccagent.retry_count",
    "ccagent.run.failed", "ccagent.run.framework", "ccagent.run.kind", "ccagent.run.passed", "ccagent.run.skipped",
    "ccagent.session.kind", "ccagent.skill", "ccagent.skill_trigger", "ccagent.status", "ccagent.task.state",
    "ccagent.task.terminal", "ccagent.team", "ccagent.tokens.cache_read", "ccagent.tokens.cache_write_1h",
    "ccagent.tokens.cache_write_5m", "ccagent.tokens.input", "ccagent.tokens.output", "ccagent.tool.danger",
    "ccagent.tool.repeated", "ccagent.tool.result_size", "ccagent.tool.timed_out", "ccagent.tool.waited_for_human",
    "enduser.id", "error.type", "gen_ai.agent.id", "gen_ai.agent.name", "gen_ai.conversation.id",
    "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.finish_reasons",
    "gen_ai.response.id", "gen_ai.tool.call.id", "gen_ai.tool.name", "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens", "session.id",
})  # fmt: skip
"""The same of log records."""

ALERT_ATTRIBUTES: Final = frozenset({
    "ccagent.alert.episode", "ccagent.alert.feature", "ccagent.alert.key", "ccagent.alert.metric", "ccagent.alert.name",
    "ccagent.alert.reason", "ccagent.alert.rule", "ccagent.alert.scope", "ccagent.alert.severity", "ccagent.alert.state",
    "ccagent.alert.threshold", "ccagent.alert.unit", "ccagent.alert.value", "ccagent.alert.window", "ccagent.project",
    "ccagent.team", "enduser.id", "session.id",
})  # fmt: skip
"""The same of the log record of an alert."""

NATIVE_EVENT_ATTRIBUTES: Final = frozenset({
    "agent_type", "app.entrypoint", "app.version", "attempt", "cache_creation_tokens", "cache_read_tokens",
    "command_name", "cost_usd", "cost_usd_micros", "decision", "decision_source", "decision_type", "duration_ms",
    "error", "error_type", "event.name", "event.timestamp", "from_mode", "hook_event", "input_tokens",
    "invocation_trigger", "is_async", "model", "num_blocking", "num_cancelled", "num_hooks", "num_non_blocking_error",
    "num_success", "output_tokens", "post_tokens", "pre_tokens", "prompt_length", "query_source", "session.id",
    "skill.name", "source", "speed", "success", "to_mode", "tool_name", "tool_result_size_bytes", "tool_use_id",
    "total_duration_ms", "total_tool_uses", "trigger",
})  # fmt: skip
"""The same of events that go by the names of Claude Code's own telemetry."""


_WHOLE: Final = frozenset((int, bool, float))
"""Types of values that nothing is cut off."""


def permit(
    attributes: Mapping[str, AttributeValue | None], allowed: frozenset[str] = SPAN_ATTRIBUTES
) -> dict[str, AttributeValue]:
    """Of the attributes those that may leave and are not None, texts cut to `VALUE_LIMIT` bytes."""
    return {
        key: value
        if (type(value) in _WHOLE) or (type(value) is str and len(value) <= VALUE_LIMIT and value.isascii())
        else _short(value)
        for key, value in attributes.items()
        if value is not None and key in allowed
    }


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


def anonymous(project: str, key: str) -> str:
    """A project's path as a number that only who has `key` can find out; the same for ever under the same key."""
    digest = blake2b(project.encode("utf-8", "surrogatepass"), key=key.encode()[: blake2b.MAX_KEY_SIZE])
    return digest.hexdigest()[:ANONYMOUS_DIGITS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What may leave of a piece of work: its effective tier, and the names under which it leaves.

    `project` is an anonymous number or the name that the project's own file gives it, `identity` the owner's
    self-chosen name, only at tier 2. At tier 0 there are no names.
    """

    tier: int
    project: str | None = None
    team: str | None = None
    identity: str | None = None


WITHHELD: Final = Policy(tier=0)


class TierResolver:
    """Finds what may leave of work done in a folder, from the `.ccagent.toml` files between it and its git root.

    Where several say something, the lowest tier and the nearest name hold. A file that cannot be read or understood
    means tier 0. `key` is the secret under which projects are numbered (without one they have no number), `identity`
    what the owner is called at tier 2. Not for use by several threads at a time.
    """

    def __init__(
        self,
        personal_tier: int | None,
        now_ms: Callable[[], int],
        *,
        key: str | None = None,
        identity: str | None = None,
        network_mounts: Callable[[], tuple[str, ...]] = filesystem.network_mounts,
    ) -> None:
        self._personal = personal_tier
        self._now_ms = now_ms
        self.key = key
        self._identity = identity
        self._network_mounts = network_mounts
        self._mounts: tuple[str, ...] = ()
        self._mounts_until = 0
        self._cache: dict[str, tuple[Said, int, tuple[str, ...]]] = {}

    @property
    def files(self) -> dict[str, int]:
        """The project files that took part lately, with the tier that they come to."""
        return {file: effective(said.tier, self._personal) for said, *_ in self._cache.values() for file in said.files}

    @property
    def notices(self) -> list[str]:
        """What the owner should know of project files at present, each sentence once. A folder of which there is something
        to say is looked at again from time to time, so that what was corrected is said no longer."""
        now = self._now_ms()
        for folder, (_, until, told) in list(self._cache.items()):
            if told and not -RENEW_MS <= until - now <= CACHE_MS:
                self._said(folder)
        said = dict.fromkeys(sentence for *_, told in self._cache.values() for sentence in told)
        return list(said)[:NOTICES]

    def tier(self, cwd: str | None, project: str | None = None) -> int:
        """The effective tier of work done in `cwd` for `project` (a path), the lower one of both folders; None or a path
        of another system has no project file."""
        if not self._personal:
            return 0
        tier = effective(self._said(cwd).tier, self._personal)
        if tier == 0 or project is None or project == cwd:
            return tier
        return min(tier, effective(self._said(project).tier, self._personal))

    def allows(self, cwd: str | None, project: str | None) -> bool:
        """Whether anything may leave of work done in `cwd` for `project`."""
        return self.tier(cwd, project) >= 1

    def policy(self, cwd: str | None, project: str | None) -> Policy:
        """What may leave of work done in `cwd` for `project` (a path): the lower tier of both folders."""
        if not self._personal:
            return WITHHELD
        said = self._said(cwd)
        if project != cwd:
            said = said.above(self._said(project))
        tier = effective(said.tier, self._personal)
        if tier == 0:
            return WITHHELD
        name = said.project
        if name is None and project and self.key:
            name = anonymous(project, self.key)
        return Policy(
            tier=tier, project=name, team=said.team, identity=self._identity if tier >= HIGHEST_TIER else None
        )

    def _said(self, folder: str | None) -> Said:
        if folder is None or not folder.startswith("/") or "\0" in folder:
            return NOTHING
        now = self._now_ms()
        held = self._cache.get(folder)
        if held is not None and 0 <= held[1] - now <= CACHE_MS:
            return held[0]
        if not 0 <= self._mounts_until - now <= CACHE_MS:
            self._mounts, self._mounts_until = self._network_mounts(), now + CACHE_MS
        told: list[str] = []
        said = look(Path(os.path.normpath(folder)), self._mounts, told.append)
        if held is not None and not all(map(_stands, held[0].files)):
            # It went with its folder (a deleted clone, a disk that was taken out), and turns end minutes after their last
            # line: what it said of the work holds on. Who only takes the file away wants it to hold no more.
            said = held[0].above(said)
        if said.tier is not None and (self._personal or 0) > said.tier:
            told.append(
                f"the project in {folder} allows tier {said.tier}; the personal tier {self._personal} is lowered to it"
            )
        if len(self._cache) >= CACHE_ENTRIES:
            self._cache.clear()
        self._cache[folder] = (said, now + CACHE_MS, tuple(told[:NOTICES]))
        return said


def _stands(file: str) -> bool:
    """Whether the folder of a file is still there; one that may not be looked at is."""
    try:
        return Path(file).parent.is_dir()
    except OSError:
        return True
