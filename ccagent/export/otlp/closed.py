"""A closed fact with all that its span needs: the value that goes from the store to the span builder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from ccagent.facts.model import KEY_PREFIXES, EventType
from ccagent.facts.naming import mcp_parts, shown_model

SPAN_TYPES: Final = (EventType.TURN, EventType.LLM_REQUEST, EventType.TOOL_CALL, EventType.SUBAGENT_RUN)
"""Facts that become spans."""


LinkType = Literal["previous", "fork", "resume", "spawn"]
"""Why a turn is linked to another: it came before in the session, or the session goes on from the other one's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something that happened at one moment (ms UTC) of a turn, run or request.

    A retry, or the failure after which the client gave up: `name` is its class, `attempt` its number where it is known,
    `attempts` how many there were.
    A compaction: `name` is what triggered it, `before` and `after` are tokens of the context.
    """

    kind: Literal["retry", "failure", "compaction"]
    at: int
    name: str | None = None
    attempt: int | None = None
    attempts: int | None = None
    before: int | None = None
    after: int | None = None


@dataclass(slots=True, kw_only=True)
class ClosedFact:
    """One closed turn, request, tool call or sub-agent run. Times in milliseconds UTC, cost in micro-dollars.

    `turn` is the prompt uuid of the turn it belongs to; for facts of a sub-agent, that of the run's resolved turn, None
    while the run is not linked. Nobody changes one; it is not frozen only because such a class takes thrice as long to
    make, and they are made by the ten thousands. `agent` is the sub-agent whose run it is or belongs to, `agent_tool` the id of the tool
    call that launched it. `project` and `cwd` decide the tier and are never sent.
    """

    key: bytes
    event_type: EventType
    native: str
    status: int
    flags: int = 0
    session: str | None = None
    turn: str | None = None
    previous_turn: str | None = None
    agent: str | None = None
    agent_tool: str | None = None
    depth: int | None = None
    name: str | None = None
    stop: str | None = None
    failure: str | None = None
    exit_code: int | None = None
    occurred_at: int | None = None
    ended_at: int | None = None
    result_at: int | None = None
    reported_ms: int | None = None
    quality: int | None = None
    token_input: int | None = None
    token_output: int | None = None
    token_cache_read: int | None = None
    token_cache_write: int | None = None
    token_cache_write_1h: int | None = None
    token_thinking: int | None = None
    cost_microusd: int | None = None
    label: str | None = (
        None  # kind of a prompt, change of a file, event of a hook, … (docs of `telemetry_events.detail`)
    )
    error_at: int | None = None
    attempts: int | None = None
    size: int | None = None
    added: int | None = None
    removed: int | None = None
    extra: str | None = None  # JSON, metadata without a column; holds identity: nothing of it leaves unseen
    permission_mode: str | None = None
    skill: str | None = None
    provider: str | None = None
    version: str | None = None
    entrypoint: str | None = None
    project: str | None = None
    cwd: str | None = None
    # What stands around it (ccagent/store/surroundings.py).
    agent_type: str | None = None  # of the sub-agent in whose transcript it stands, or of the run itself
    parent_agent: str | None = None  # the sub-agent that launched `agent`, None: the main conversation did
    turn_index: int | None = None  # a turn's place in its session, from 1 on
    turn_link: LinkType | None = None  # what ties a turn to `previous_turn` or `origin_turn`
    origin_turn: str | None = None  # a session's first turn: the last one of the session it goes on from
    prompt_length: int | None = None  # a turn: characters of its prompt
    model: str | None = None  # a turn or run: the model of its requests, where it is one
    compacted: bool = False  # a request: the conversation was compacted just before
    marks: tuple[Mark, ...] = ()  # retries and compactions, by time

    @property
    def shown_model(self) -> str | None:
        """The model of a request, or the only one of a turn or sub-agent, as it may leave the machine."""
        model = self.name if self.event_type is EventType.LLM_REQUEST else self.model
        return None if model is None else shown_model(model)

    @property
    def source_key(self) -> str:
        """The fact's content key, e.g. `tool:toolu_…`."""
        return KEY_PREFIXES[self.event_type] + self.native

    @property
    def mcp(self) -> tuple[str, str] | None:
        """Server and tool of an MCP tool's name `mcp__<server>__<tool>`; the server may contain single `_`."""
        return mcp_parts(self.name) if self.event_type is EventType.TOOL_CALL else None

    @property
    def last_at(self) -> int | None:
        """The fact's own end: its latest record time, by which history is told from what is new."""
        times = [at for at in (self.occurred_at, self.ended_at, self.result_at) if at is not None]
        return max(times) if times else None
