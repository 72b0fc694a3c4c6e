"""Runs of hooks, in both layouts: progress lines that tell a start, and attachments or summaries that tell an end.

A run is keyed by what it belongs to (toolUseID), its event, its name and a digest of its command, so that the start
and the end of one run are one fact, whatever the file. The command itself is content and is not kept.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import orjson
from msgspec import Raw

from ccagent.facts.hooks import hook_outcome, summary_outcomes
from ccagent.facts.keys import content_native, digest
from ccagent.facts.model import EventType
from ccagent.facts.outcomes import Outcome
from ccagent.facts.partial import NO_TIME, Partial, Result
from ccagent.facts.times import whole_ms
from ccagent.sources.claude.lineage import RESUME_HOOK, resumed
from ccagent.sources.claude.lines import decode
from ccagent.sources.claude.records import HookBlock, Record
from ccagent.sources.claude.standing import Standing

_SUMMED_UP: Final = frozenset(("Stop", "SubagentStop"))
"""Events whose runs a summary ends; of the others a progress line is all that older clients wrote."""

_HOOK: Final = int(EventType.HOOK)
HOOKS: Final = 64
"""Hooks of one summary that are told; people have configured a handful."""

_NAME: Final = 128
"""Characters of an event's or a hook's name that are kept."""


_digest: Final = lru_cache(maxsize=1_024)(digest)
"""The same few hooks run again and again."""


def derive_started(deriver: Standing, record: Record) -> tuple[Partial, ...] | None:
    """A progress line: a hook begins."""
    data = record.data
    if data is None or data.hookEvent is None:
        return None
    event = data.hookEvent
    run, made = _run(deriver, record, record.toolUseID, event, data.hookName, data.command)
    if made and event in _SUMMED_UP:
        run.closing = False
    return (run,) if made else ()


def derive_ended(deriver: Standing, record: Record, kind: str) -> tuple[Partial, ...] | None:
    """An attachment: a hook has ended. `kind` is one of facts.hooks.HOOK_ENDS."""
    said = record.attachment
    if said is None or said.hookEvent is None:
        return None
    command = said.command
    if command is None and said.blockingError:
        blocked = decode(HookBlock, said.blockingError)
        command = blocked.command if blocked is not None else None
    run, made = _run(deriver, record, said.toolUseID, said.hookEvent, said.hookName, command)
    _end(deriver, run, hook_outcome(kind, said.exitCode), whole_ms(said.durationMs))
    return (run,) if made else ()


def derive_summary(deriver: Standing, record: Record) -> tuple[Partial, ...] | None:
    """A system line that sums up the hooks at the end of a turn."""
    if not record.hookInfos:
        return None
    infos = record.hookInfos[:HOOKS]
    event = "Stop" if deriver.rank == 0 else "SubagentStop"
    commands = [info.command or "" for info in infos]
    outcomes = summary_outcomes(
        commands, _texts(record.hookErrors)[:HOOKS], prevented=bool(record.preventedContinuation)
    )
    born: tuple[Partial, ...] = ()
    for number, (info, outcome) in enumerate(zip(infos, outcomes, strict=True)):
        # an SDK names all of its hooks "callback": the second of one command is a run of its own
        same = commands[:number].count(commands[number])
        run, made = _run(deriver, record, record.toolUseID, event, event, info.command, same)
        if outcome is not None:
            _end(deriver, run, outcome, whole_ms(info.durationMs))
        if made:
            born += (run,)
    return born


def _run(
    deriver: Standing,
    record: Record,
    source: str | None,
    event: str,
    name: str | None,
    command: str | None,
    same: int = 0,
) -> tuple[Partial, bool]:
    source = source or record.uuid or content_native("hook", deriver.carry.session, deriver.raw)
    native = f"{source}/{_digest(event, name or '', command or '')}"
    if same:
        native = f"{native}+{same}"
    run, made = deriver.written(_HOOK, native, record, event[:_NAME])
    label = (name or event)[:_NAME]
    if label == RESUME_HOOK:
        resumed(deriver)
    if run.label is None or label > run.label:
        run.label = label
    return run, made


def _end(deriver: Standing, run: Partial, outcome: Outcome, took: int | None) -> None:
    at = -1 if deriver.at == NO_TIME else deriver.at
    result = Result(outcome.status, at, outcome.failure, outcome.exit_code, -1, -1 if took is None else took)
    if run.result is None or result > run.result:
        run.result = result


def _texts(raw: Raw) -> list[str]:
    """The errors of a summary."""
    if len(raw) <= len("[]"):
        return []
    try:
        value = orjson.loads(bytes(raw))
    except ValueError:
        return []
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
