"""Fact rows: how a partial fact lies in the table `fact`, and how it is read back to be merged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from ccagent.facts.model import WITH_RESULT, EventType
from ccagent.facts.parser import PARSER_VERSION as PARSER_VERSION
from ccagent.facts.partial import NO_TIME, RESULT_ONLY, Partial, Result
from ccagent.facts.settle import Settled
from ccagent.store.connection import Connection
from ccagent.store.interning import Contexts, Names

COLUMNS: Final = (
    "key",
    "type",
    "native",
    "context",
    "owner_at",
    "turn",
    "name",
    "request",
    "occurred_at",
    "ended_at",
    "result_at",
    "error_at",
    "status",
    "flags",
    "quality",
    "failure",
    "stop",
    "exit_code",
    "attempts",
    "reported_ms",
    "size",
    "added",
    "removed",
    "token_input",
    "token_output",
    "token_cache_read",
    "token_cache_write",
    "token_cache_write_1h",
    "token_thinking",
    "cost",
    "cost_booked",
    "price",
    "extra",
    "file",
    '"offset"',
    "length",
    "parser",
    "host",
    "seq",
    "closed_host",
    "closed_seq",
    "ended",
)
"""Every column of `fact`, in the order of a row tuple."""

(
    KEY,
    TYPE,
    NATIVE,
    CONTEXT,
    OWNER_AT,
    TURN,
    NAME,
    REQUEST,
    OCCURRED_AT,
    ENDED_AT,
    RESULT_AT,
    ERROR_AT,
    STATUS,
    FLAGS,
    QUALITY,
    FAILURE,
    STOP,
    EXIT_CODE,
    ATTEMPTS,
    REPORTED_MS,
    SIZE,
    ADDED,
    REMOVED,
    TOKEN_INPUT,
    TOKEN_OUTPUT,
    TOKEN_CACHE_READ,
    TOKEN_CACHE_WRITE,
    TOKEN_CACHE_WRITE_1H,
    TOKEN_THINKING,
    COST,
    COST_BOOKED,
    PRICE,
    EXTRA,
    FILE,
    OFFSET,
    LENGTH,
    PARSER,
    HOST,
    SEQ,
    CLOSED_HOST,
    CLOSED_SEQ,
    ENDED,
) = range(len(COLUMNS))

SELECT: Final = "SELECT " + ", ".join(f"f.{column}" for column in COLUMNS) + " FROM fact f"
INSERT: Final = f"INSERT INTO fact ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
UPDATE: Final = f"UPDATE fact SET {', '.join(f'{column} = ?{number}' for number, column in enumerate(COLUMNS[1:], 2))} WHERE key = ?1"

NAMED: Final = (TURN, NAME, FAILURE, STOP)
"""Columns that hold numbers of `name` and are read back when a row is merged."""

Row = tuple[Any, ...]


class Change(NamedTuple):
    """Who wrote a row last and who closed it, each with that host's change number."""

    host: int
    seq: int
    closed_host: int | None
    closed_seq: int | None


def fetch(conn: Connection, tail: str, values: tuple[Any, ...] = ()) -> list[Row]:
    """Whole rows of `fact f`, chosen by `tail` (joins and conditions)."""
    return list(conn.execute(f"{SELECT} {tail}", values))


def read(row: Sequence[Any], names: Names, contexts: Contexts) -> Partial:
    """The partial fact that a row holds, texts and all."""
    fact = Partial(row[TYPE], row[NATIVE])
    fact.context = contexts.value(row[CONTEXT])
    fact.turn, fact.name = names.text(row[TURN]), names.text(row[NAME])
    fact.extra = row[EXTRA]
    fact.occurred_at, fact.ended_at, fact.error_at = row[OCCURRED_AT], row[ENDED_AT], row[ERROR_AT]
    stamp = row[OWNER_AT]
    if stamp is None:
        stamp = row[OCCURRED_AT]
    fact.owner_at = NO_TIME if stamp is None or stamp < 0 else stamp
    fact.rank = fact.context.rank
    fact.flags = row[FLAGS]
    fact.label = names.text(row[STOP])
    fact.failure = names.text(row[FAILURE])
    fact.attempts, fact.reported_ms, fact.size = row[ATTEMPTS], row[REPORTED_MS], row[SIZE]
    fact.result_at = row[RESULT_AT]
    if row[TYPE] == EventType.LLM_REQUEST:
        fact.token_input, fact.token_output = row[TOKEN_INPUT], row[TOKEN_OUTPUT]
        fact.token_cache_read, fact.token_cache_write = row[TOKEN_CACHE_READ], row[TOKEN_CACHE_WRITE]
        fact.token_cache_write_1h, fact.token_thinking = row[TOKEN_CACHE_WRITE_1H], row[TOKEN_THINKING] or 0
        fact.longest = row[ADDED]
    elif row[TYPE] in WITH_RESULT:
        if row[TYPE] == EventType.TOOL_CALL and fact.name is None:
            fact.rank += RESULT_ONLY
        if row[STATUS]:
            fact.result = Result(
                row[STATUS],
                _or(row[RESULT_AT]),
                fact.failure or "",
                _or(row[EXIT_CODE]),
                _or(row[SIZE]),
                _or(row[REPORTED_MS]),
                _or(row[ADDED]),
                _or(row[REMOVED]),
            )
        fact.failure = fact.size = fact.reported_ms = fact.result_at = None
    fact.file, fact.offset, fact.length = row[FILE], row[OFFSET], row[LENGTH]
    return fact


def _or(value: int | None) -> int:
    return -1 if value is None else value


def _unless(value: int) -> int | None:
    return None if value < 0 else value


def write(
    fact: Partial,
    settled: Settled,
    names: Names,
    contexts: Contexts,
    *,
    key: bytes,
    request: bytes | None,
    booked: int,
    price: int | None,
    flags: int,
    file: int | None,
    change: Change,
    ended: int | None,
) -> Row:
    """The row of a fact; `request` is the key of the request that made the call, `file` the id of its transcript."""
    occurred = fact.occurred_at
    stamp: int | None = fact.owner_at
    if stamp == NO_TIME:
        stamp = None if occurred is None else -1
    elif stamp == occurred:
        stamp = None
    if fact.type == EventType.LLM_REQUEST:
        cost = settled.cost
        return (
            key,
            EventType.LLM_REQUEST.value,
            fact.native,
            contexts.id(fact.context),
            stamp,
            None if fact.turn is None else names.id(fact.turn),
            None if fact.name is None else names.id(fact.name),
            None,
            occurred,
            fact.ended_at,
            fact.result_at,
            None,
            int(settled.status),
            flags,
            settled.quality,
            None,
            None if fact.label is None else names.id(fact.label),
            None,
            fact.attempts,
            None,
            fact.size,
            fact.longest,
            None,
            fact.token_input,
            fact.token_output,
            fact.token_cache_read,
            fact.token_cache_write,
            fact.token_cache_write_1h,
            fact.token_thinking or None,
            cost,
            None if booked == (cost or 0) else booked,
            price if cost is not None else None,
            fact.extra,
            file,
            fact.offset,
            fact.length,
            PARSER_VERSION,
            change.host,
            change.seq,
            change.closed_host,
            change.closed_seq,
            ended,
        )
    result = fact.result
    if fact.type in WITH_RESULT and result is not None:
        result_at, failure, exit_code = _unless(result.at), result.failure or None, _unless(result.exit_code)
        size, reported = _unless(result.size), _unless(result.reported_ms)
        added, removed = _unless(result.added), _unless(result.removed)
    else:
        result_at, failure, exit_code, added, removed = fact.result_at, fact.failure, None, None, None
        size, reported = fact.size, fact.reported_ms
    return (
        key,
        int(fact.type),
        fact.native,
        contexts.id(fact.context),
        stamp,
        names.optional(fact.turn),
        names.optional(fact.name),
        request,
        occurred,
        fact.ended_at,
        result_at,
        fact.error_at,
        int(settled.status),
        flags,
        None,
        names.optional(failure),
        names.optional(fact.label),
        exit_code,
        fact.attempts,
        reported,
        size,
        added,
        removed,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        fact.extra,
        file,
        fact.offset,
        fact.length,
        PARSER_VERSION,
        change.host,
        change.seq,
        change.closed_host,
        change.closed_seq,
        ended,
    )
