"""What is new in transcripts, or gone from them: one fact a session, kind, name and client version.

What a rule has in its hands anyway is looked at on every line: types, tools, blocks, modes, fields that a rule misses.
For fields that nobody reads lines are chosen by their content, one of 64 (`chosen`), and read a second time: their fields
are held against the known ones, and what they say of calls and tokens against the facts that were made of them. So what
is found follows from the lines alone, however they are cut and in whatever order files are read. What that misses: a
field that stands on so few lines of a client version that none of them is chosen; of 300 lines one is, in 99 cases of 100.

A fact belongs to one session, so that it lives as long as the session's others and its times are the session's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final
from zlib import crc32

import msgspec
import orjson
from msgspec import Raw

from ccagent.facts.drift import (
    ATTACHMENTS,
    BLOCKS,
    COUNTERS,
    KEYS,
    MESSAGE_KEYS,
    MODES,
    REQUIRED,
    SOURCES,
    SUBTYPES,
    TOOLS,
    USAGE_KEYS,
    VALUES,
    Drift,
    client_version,
    named,
    sample,
    tool_drift,
)
from ccagent.facts.model import EventType, Flag
from ccagent.facts.partial import NO_TIME, Partial, least, most
from ccagent.sources.claude.occasions import Answer
from ccagent.sources.claude.records import COUNT_LIMIT, Block, Record
from ccagent.sources.claude.standing import IGNORED, Standing

SYNTHETIC: Final = "<synthetic>"
"""Model of messages that the client wrote itself; they make no request."""

ENDINGS: Final = frozenset(f"{number:02x}" for number in range(0, 256, 64))
"""Last two digits of the uuids of chosen records: 4 of 256."""

_TAIL: Final = 256
"""Bytes at the end of a record without a uuid by which it is chosen; its time or its session are among them."""

NOTES: Final = 32
"""Things of one line that are noted: a line that holds more is not a new record but a broken one."""

NO_TOOL: Final = b"No such tool"
"""How the client answers a call of a tool that only the model believes in."""

_UNKNOWN: Final = int(EventType.UNKNOWN)
_LLM: Final = int(EventType.LLM_REQUEST)
_CALLS: Final = int(EventType.TOOL_CALL)
_FIELDS: Final = msgspec.json.Decoder(dict[str, Raw])
_BROKEN: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_NULL: Final = b"null"
_CALL: Final = b'"tool_use"'

Fields = Mapping[str, Raw]
Shown = Callable[[], Any]


def note(deriver: Standing, kind: Drift, name: str, shown: Shown | None = None, *, keys: bool = True) -> None:
    """The current line has something new: `name`, of the shape of `shown()`, with its own field names where `keys`."""
    _note(deriver, kind, name, deriver.rank, deriver.at, deriver.chain_agent, shown, keys)


def _note(
    deriver: Standing, kind: Drift, name: str, rank: int, at: int, agent: str | None, shown: Shown | None, keys: bool
) -> None:
    carry = deriver.carry
    line, noted = deriver.noted
    noted = noted + 1 if line == deriver.offset else 1
    deriver.noted = deriver.offset, noted
    if noted > NOTES:
        return
    title = f"{kind.value}/{name}"[:128]
    native = f"drift:{title}/{client_version(carry.version)}/{carry.session or ''}"
    fact, _ = deriver.batch.get(_UNKNOWN, native, deriver.file, deriver.offset, deriver.length)
    if rank < fact.rank or (rank == fact.rank and at <= fact.owner_at):
        turn = carry.turn if agent is None else None
        value = None if shown is None else shown()
        extra = None if value is None else f'{{"shape":{sample(value, keys=keys)}}}'
        fact.claim(rank, at, deriver.context(rank, agent), turn, title, None, extra)
    fact.label = kind.value
    fact.flags |= Flag.DIRECT
    if at != NO_TIME:
        fact.occurred_at = least(fact.occurred_at, at)
        fact.ended_at = most(fact.ended_at, at)
    fact.closing = True


# ---- what rules see on every line ----------------------------------------------------------------------------------


def record_type(deriver: Standing, kind: Drift, name: str | None) -> None:
    """A record of a type, or a system record of a subtype, that nobody knows: its shape, beside its own fact."""
    note(deriver, kind, named(name or "untyped"), lambda: _whole(deriver))


def part_type(deriver: Standing, kind: Drift, name: str | None, field: str) -> None:
    """A record whose `field` is an object of a type that nobody knows: progress data, an attachment."""
    note(deriver, kind, named(name or "untyped"), lambda: _whole(deriver).get(field))


def row(deriver: Standing, record: Record) -> None:
    """A record that is neither message nor system line: the type of an attachment, a permission mode."""
    if record.type == "attachment":
        inner = record.attachment
        if inner is not None and inner.type not in ATTACHMENTS:
            part_type(deriver, Drift.ATTACHMENT, inner.type, "attachment")
    elif record.permissionMode and record.permissionMode not in MODES:
        unknown_value(deriver, Drift.MODE, record.permissionMode)


def missing(deriver: Standing, name: str) -> None:
    """A field that a rule needs is not there; `name` as in `assistant.message.id`."""
    note(deriver, Drift.MISSING, name, lambda: _whole(deriver), keys=False)


def unknown_value(deriver: Standing, kind: Drift, name: str) -> None:
    """A value of a closed set that nobody knows."""
    note(deriver, kind, named(name))


def block_type(deriver: Standing, block: Block) -> None:
    """A content block that is neither a call nor a result: known, or new."""
    if block.type not in BLOCKS:
        kind = block.type
        note(deriver, Drift.BLOCK, named(kind or "untyped"), lambda: _block(deriver, kind))


def user_line(deriver: Standing, record: Record) -> None:
    """Where a prompt comes from, the permission mode, the blocks of a user line; and what a result needs."""
    mode, source, message = record.permissionMode, record.promptSource, record.message
    if mode is not None and mode not in MODES:
        unknown_value(deriver, Drift.MODE, mode)
    if source is not None and source not in SOURCES:
        unknown_value(deriver, Drift.SOURCE, source)
    denial = record.toolDenialKind
    if denial is not None and denial not in VALUES["toolDenialKind"]:
        note(deriver, Drift.VALUE, f"toolDenialKind={named(denial)}")
    if record.origin:
        _origin(deriver, record.origin)
    if message is None:
        missing(deriver, "user.message")
    elif type(message.content) is list:
        for block in message.content:
            if block.type == "tool_result":
                if block.tool_use_id is None:
                    missing(deriver, "tool_result.tool_use_id")
            elif block.type not in BLOCKS:
                block_type(deriver, block)


def _origin(deriver: Standing, raw: Raw) -> None:
    origin = _plain(raw)
    kind = origin.get("kind") if isinstance(origin, dict) else None
    if isinstance(kind, str) and kind not in VALUES["origin"]:
        note(deriver, Drift.VALUE, f"origin={named(kind)}")


def system_line(deriver: Standing, record: Record) -> None:
    """Whether a system record has what it is read for."""
    field = SUBTYPES.get(record.subtype or "")
    if field is not None and getattr(record, field) is None:
        missing(deriver, f"{record.subtype}.{field}")


def tool_name(deriver: Standing, answer: Answer) -> tuple[Partial, ...]:
    """A tool that was called and answered, and that nobody knows; not where the client does not know it either."""
    call = answer.call
    if call is None or call.name in TOOLS:
        return ()
    found = tool_drift(call.name)
    if found is not None and NO_TOOL not in bytes(answer.block.content):
        kind, name = found
        note(deriver, kind, name, lambda: _whole(deriver).get("toolUseResult"), keys=False)
    return ()


def _whole(deriver: Standing) -> dict[str, Any]:
    """The line as a plain object; {} where it holds more, or less, than one."""
    try:
        value = orjson.loads(deriver.raw)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _block(deriver: Standing, kind: str | None) -> Any:
    for block in _blocks(_whole(deriver).get("message")):
        if block.get("type") == kind:
            return block
    return None


def _blocks(message: Any) -> Iterator[dict[str, Any]]:
    content = message.get("content") if isinstance(message, dict) else None
    for block in content if isinstance(content, list) else ():
        if isinstance(block, dict):
            yield block


# ---- chosen lines --------------------------------------------------------------------------------------------------


def chosen(raw: bytes) -> bool:
    """Whether a record without a uuid is read a second time; of those with one the last digits decide (`ENDINGS`)."""
    return crc32(raw[-_TAIL:]) & 63 == 0


def audit(deriver: Standing, record: Record) -> None:
    """Hold a chosen line against what is known of its type, and against the facts that were made of it."""
    kind = record.type or ""
    fields = _fields(deriver.raw)
    known = KEYS.get(kind)
    if known is None or fields is None:
        return
    audited = _Audit(deriver, record, kind)
    audited.keys(fields, known, kind)
    for name in REQUIRED.get(kind, ()):
        if _absent(fields, name):
            audited.note(Drift.MISSING, f"{kind}.{name}", keys=False)
    audited.values(fields, ("entrypoint", "userType", "effort"), "")
    if kind in MESSAGE_KEYS and "message" in fields:
        audited.message(bytes(fields["message"]))


class _Audit:
    """One chosen line. A record without a session stands nowhere: it has the time of the one before it in its file."""

    def __init__(self, deriver: Standing, record: Record, kind: str) -> None:
        self._deriver, self._record, self._kind = deriver, record, kind
        if kind in IGNORED and record.sessionId is None:
            last = deriver.carry.last_at
            self._place = int(deriver.agent is not None), NO_TIME if last is None else last, deriver.agent
        else:
            self._place = deriver.rank, deriver.at, deriver.chain_agent

    def note(self, kind: Drift, name: str, shown: Shown | None = None, *, keys: bool = True) -> None:
        _note(self._deriver, kind, name, *self._place, shown or (lambda: _whole(self._deriver)), keys)

    def keys(self, fields: Fields, known: frozenset[str], where: str) -> None:
        """Fields that nobody knows."""
        for key in sorted(fields.keys() - known):  # always in one order, for only so many are noted
            name = named(key)
            self._field(f"{where}.{name}", name, fields[key])

    def _field(self, title: str, name: str, raw: Raw) -> None:
        self.note(Drift.KEY, title, lambda: {name: _plain(raw)})

    def values(self, fields: Fields, names: Iterable[str], prefix: str) -> None:
        """Values of closed fields that nobody knows."""
        for name in names:
            value = _plain(fields[name]) if name in fields else None
            if isinstance(value, str) and value not in VALUES[prefix + name]:
                self.note(Drift.VALUE, f"{prefix}{name}={named(value)}", keys=False)

    def message(self, raw: bytes) -> None:
        """The fields of a message and of its usage; then its calls and tokens against the facts."""
        kind, record = self._kind, self._record
        fields = _fields(raw)
        if fields is None:
            return
        self.keys(fields, MESSAGE_KEYS[kind], f"{kind}.message")
        if _absent(fields, "content"):
            self.note(Drift.MISSING, f"{kind}.message.content", keys=False)
        own = record.message is not None and (record.message.model == SYNTHETIC or record.isApiErrorMessage)
        if own:
            return
        if _CALL in raw:  # large results are not decoded for nothing
            self._calls(_plain(Raw(raw)))
        usage = _fields(bytes(fields["usage"])) if kind == "assistant" and "usage" in fields else None
        if usage is not None:
            self.keys(usage, USAGE_KEYS, "usage")
            self.values(usage, ("speed", "service_tier", "inference_geo"), "usage.")
            self._iterations(usage)
            self._tokens(usage)

    def _iterations(self, usage: Fields) -> None:
        steps = _plain(usage["iterations"]) if "iterations" in usage else None
        for step in steps if isinstance(steps, list) else ():
            name = step.get("type") if isinstance(step, dict) else None
            if isinstance(name, str) and name not in VALUES["iteration"]:
                self.note(Drift.VALUE, f"iteration={named(name)}", keys=False)

    def _calls(self, message: Any) -> None:
        """Every call that stands in the message, at whatever depth, is a fact of the batch."""
        facts = self._deriver.batch.facts[_CALLS]
        for native in _called(message.get("content") if isinstance(message, dict) else None):
            if native not in facts:
                self.note(Drift.MISMATCH, "tool_count", keys=False)

    def _tokens(self, usage: Fields) -> None:
        """The request has no less of each kind of token than the line says."""
        record, message = self._record, self._record.message
        if message is None or not message.id:
            return
        native = message.id if record.requestId else f"{self._deriver.carry.session or ''}/{message.id}"
        fact = self._deriver.batch.facts[_LLM].get(native)
        stored = (
            (0, 0, 0, 0)
            if fact is None
            else (fact.token_input, fact.token_output, fact.token_cache_write, fact.token_cache_read)
        )
        for name, amount in zip(COUNTERS, stored, strict=True):
            said = _plain(usage[name]) if name in usage else None
            if not isinstance(said, int) or isinstance(said, bool) or not 0 <= said <= COUNT_LIMIT:
                self.note(Drift.MISSING, f"usage.{name}", keys=False)
            elif said > amount:
                self.note(Drift.MISMATCH, "token_sum", keys=False)


def _fields(raw: bytes) -> Fields | None:
    try:
        return _FIELDS.decode(raw)
    except _BROKEN:
        return None


def _plain(raw: Raw) -> Any:
    try:
        return orjson.loads(bytes(raw))
    except (ValueError, RecursionError):
        return None


def _absent(fields: Fields, name: str) -> bool:
    return name not in fields or bytes(fields[name]) == _NULL


def _called(content: Any, depth: int = 4) -> Iterator[str]:
    """Ids of the calls in a message's content; what is given to a tool, or comes from one, is not searched."""
    if isinstance(content, list):
        for item in content:
            yield from _called(item, depth)
    elif isinstance(content, dict):
        if content.get("type") == "tool_use":
            native = content.get("id")
            yield native if isinstance(native, str) else ""
        elif content.get("type") != "tool_result" and depth > 0:
            for item in content.values():
                if isinstance(item, list | dict):
                    yield from _called(item, depth - 1)
