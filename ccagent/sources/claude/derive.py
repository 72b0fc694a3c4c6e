"""From the lines of one transcript to partial facts: the rules of docs/transcripts.md and docs/signals.md, a line at a time."""

from __future__ import annotations

from ccagent.facts import drift as known
from ccagent.sources import base
from ccagent.sources.claude import drift
from ccagent.sources.claude.carry import dump
from ccagent.sources.claude.files import companion_of
from ccagent.sources.claude.lines import parse
from ccagent.sources.claude.records import Record
from ccagent.sources.claude.relayed import derive_relayed
from ccagent.sources.claude.replies import derive_reply
from ccagent.sources.claude.signals import PROGRESS, RECORDED
from ccagent.sources.claude.standing import COUNTED, IGNORED, KNOWN_TYPES, Standing
from ccagent.sources.claude.systems import derive_system
from ccagent.sources.claude.users import derive_user
from ccagent.sources.feeding import Feeding


class Deriver(Standing, Feeding[Record]):
    """Feeds one file's lines into a batch. One instance a chunk."""

    source = base.CLAUDE
    parse = staticmethod(parse)
    path = b""
    """Of the file; only its name is looked at."""

    def beside(self) -> bytes | None:
        """The file beside a sub-agent's that says who launched it, until it has been read."""
        if self.agent is None or self.carry.companion_read or not self.path:
            return None
        return companion_of(self.path)

    def carried(self) -> bytes:
        """What later chunks of the file need, as the store keeps it."""
        return base.marked(base.CLAUDE, dump(self.carry))

    def _label(self, record: Record) -> str:
        return record.type if record.type in KNOWN_TYPES else "other"

    def _record(self, record: Record) -> None:
        kind = record.type
        if kind == "assistant":
            self.stand(record)
            born = derive_reply(self, record)
        elif kind == "user":
            self.stand(record)
            born = derive_user(self, record)
            drift.user_line(self, record)
        elif kind == "progress":
            self.stand(record)
            data = record.data
            if data is not None and data.type == "agent_progress":
                born = derive_relayed(self, record)
                if data.agentId is None:
                    drift.missing(self, "agent_progress.agentId")
            else:
                rule = PROGRESS.get(data.type or "") if data is not None else None
                born = rule(self, record) if rule is not None else None
                if data is None:
                    drift.missing(self, "progress.data")
                elif data.type not in known.PROGRESS:
                    drift.part_type(self, known.Drift.PROGRESS, data.type, "data")
        elif kind == "system":
            self.stand(record)
            born = derive_system(self, record)
            drift.system_line(self, record)
        elif kind in IGNORED:
            if record.sessionId is not None:
                self.stand(record)
                drift.row(self, record)
            rule = RECORDED.get(kind)
            born = rule(self, record) if rule is not None else None
        else:
            self.stand(record)
            born = self.unknown(kind or "untyped", record)
            drift.record_type(self, known.Drift.RECORD, kind)
        uuid = record.uuid
        if uuid[-2:] in drift.ENDINGS if uuid is not None else drift.chosen(self.raw):
            drift.audit(self, record)
        label = kind if kind in KNOWN_TYPES else "other"
        if born is COUNTED:
            return
        if born is None:
            self.batch.count(label, "ignored")
        elif born:
            self.batch.births.append((label, born))
        else:
            self.batch.count(label, "merged")
