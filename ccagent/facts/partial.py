"""A partial fact: what lines said of one fact so far, and how two partial facts merge.

Every merge commutes, associates and changes nothing when repeated; so neither the order of files nor the cut of the
bytes can be seen in the result. Attributes (context, turn, name …) belong to one owner and are taken whole.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ccagent.facts.model import Context, EventType, Flag, Rank, Status

NO_TIME: Final = 1 << 62
"""Sorts an owner without a time behind every owner with one."""

RESULT_ONLY: Final = 4
"""Added to the rank of a line that holds only a call's result: such a line owns the call only until the call is seen."""

NOWHERE: Final = Context(None, None, None, None, None, None, None, None, None, None, Rank.MAIN)


class Result(NamedTuple):
    """How a call ended: one tuple, the largest wins. -1 and "" stand for what the record does not say."""

    status: int
    at: int = -1
    failure: str = ""
    exit_code: int = -1
    size: int = -1
    reported_ms: int = -1
    added: int = -1
    removed: int = -1


class Partial:
    """Raw fields of one fact; the class holds the defaults, so a new one costs only what it says.

    Which fields a kind uses: ccagent/store/schema.py, table `fact`. `label` is what the column `stop` keeps: the stop
    reason of a request, the kind of a prompt, the change of a file, the type of a sub-agent.
    """

    type: int = 0
    native: str = ""
    # the owner's, taken whole
    rank: int = Rank.MAIN
    owner_at: int = NO_TIME
    context: Context = NOWHERE
    turn: str | None = None
    name: str | None = None
    request: str | None = None
    extra: str | None = None
    # merged one by one
    occurred_at: int | None = None
    ended_at: int | None = None
    result_at: int | None = None
    error_at: int | None = None
    flags: int = 0
    label: str | None = None
    failure: str | None = None
    attempts: int | None = None
    reported_ms: int | None = None
    size: int | None = None
    token_input: int = 0
    token_output: int = 0
    token_cache_read: int = 0
    token_cache_write: int = 0
    token_cache_write_1h: int = 0
    token_thinking: int = 0
    longest: int | None = None
    """Of a request that was made in several steps: tokens of the longest prompt. The counts are the sums of the steps."""
    result: Result | None = None
    # what the batch decides
    closing: bool = False
    pause_ms: int = 0
    """Of a prompt: how long nothing was written before it, as far as that was no idle time. Booked, not kept."""
    file: int = 0
    offset: int = 0
    length: int = 0

    def __init__(self, event_type: int, native: str) -> None:
        self.type = event_type
        self.native = native

    def claim(
        self,
        rank: int,
        at: int,
        context: Context,
        turn: str | None,
        name: str | None,
        request: str | None = None,
        extra: str | None = None,
    ) -> None:
        """Take the attributes of this line if it is the smaller owner: (rank, time, session), then the attributes
        themselves, so that even two copies of one moment decide alike everywhere."""
        if rank > self.rank:
            return
        if rank == self.rank:
            if at > self.owner_at:
                return
            if at == self.owner_at:
                if (
                    context is self.context
                    and turn == self.turn
                    and name == self.name
                    and extra == self.extra
                    and request == self.request
                ):
                    return
                if _order(context, turn, name, request, extra) >= _order(
                    self.context, self.turn, self.name, self.request, self.extra
                ):
                    return
        self.rank, self.owner_at, self.context = rank, at, context
        self.turn, self.name, self.request, self.extra = turn, name, request, extra


def _order(
    context: Context, turn: str | None, name: str | None, request: str | None, extra: str | None
) -> tuple[object, ...]:
    # the request last: of a stored call it is not known by name
    texts = (context.session, turn, name, *context[1:10], extra, request)
    return tuple((text is None, text or "") for text in texts)


def merge(into: Partial, other: Partial) -> None:
    """Everything that `other` says, added to `into`; both are of one fact."""
    into.claim(other.rank, other.owner_at, other.context, other.turn, other.name, other.request, other.extra)
    into.occurred_at = least(into.occurred_at, other.occurred_at)
    into.ended_at = most(into.ended_at, other.ended_at)
    if into.type == EventType.LLM_REQUEST:
        into.result_at = least(into.result_at, other.result_at)
    else:
        into.result_at = most(into.result_at, other.result_at)
    into.error_at = most(into.error_at, other.error_at)
    into.flags |= other.flags & ~Flag.BACKFILL
    if other.label is not None and (into.label is None or other.label > into.label):
        into.label = other.label
    if other.failure is not None and (into.failure is None or other.failure > into.failure):
        into.failure = other.failure
    into.attempts = most(into.attempts, other.attempts)
    into.reported_ms = most(into.reported_ms, other.reported_ms)
    into.size = most(into.size, other.size)
    into.token_input = max(into.token_input, other.token_input)
    into.token_output = max(into.token_output, other.token_output)
    into.token_cache_read = max(into.token_cache_read, other.token_cache_read)
    into.token_cache_write = max(into.token_cache_write, other.token_cache_write)
    into.token_cache_write_1h = max(into.token_cache_write_1h, other.token_cache_write_1h)
    into.token_thinking = max(into.token_thinking, other.token_thinking)
    into.longest = most(into.longest, other.longest)
    if other.result is not None and (into.result is None or other.result > into.result):
        into.result = other.result
    into.closing = into.closing or other.closing


def least(one: int | None, two: int | None) -> int | None:
    """The smaller, None counting as unknown."""
    if one is None:
        return two
    return one if two is None or one <= two else two


def most(one: int | None, two: int | None) -> int | None:
    """The larger, None counting as unknown."""
    if one is None:
        return two
    return one if two is None or one >= two else two


def status_of(partial: Partial) -> int:
    """The result's outcome, `open` without one."""
    return partial.result.status if partial.result is not None else Status.OPEN
