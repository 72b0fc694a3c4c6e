"""From the lines of one transcript to partial facts: the rules of docs/transcripts.md, one line at a time."""

from __future__ import annotations

from hashlib import blake2b

from ccagent.facts.batch import BadLine
from ccagent.sources.claude.lines import Parsed, parse
from ccagent.sources.claude.records import Record
from ccagent.sources.claude.relayed import derive_relayed
from ccagent.sources.claude.replies import derive_reply
from ccagent.sources.claude.standing import COUNTED, IGNORED, KNOWN_TYPES, Standing
from ccagent.sources.claude.systems import derive_system
from ccagent.sources.claude.users import derive_user


class Deriver(Standing):
    """Feeds one file's lines into a batch. One instance a chunk."""

    def feed(self, data: bytes, start: int) -> int:
        """Derive every line of `data` (complete lines, `start` = file offset of its first byte); the lines read."""
        batch, position, count, sound = self.batch, start, 0, 0
        for raw in data.split(b"\n"):
            length = len(raw) + 1
            if length > 1:
                count += 1
                self.offset, self.length, self.raw = position, length, raw
                parsed = parse(raw)
                if type(parsed) is Record:
                    sound += 1
                    self._guarded(parsed)
                else:
                    self._bad_line(raw, parsed)  # type: ignore[arg-type]  # what is no Record is Parsed
            elif position < start + len(data):
                batch.line("blank")
            position += length
        batch.lines["objects"] = batch.lines.get("objects", 0) + sound
        batch.bytes += len(data)
        return count

    def _bad_line(self, raw: bytes, parsed: Parsed) -> None:
        batch = self.batch
        if not raw.strip():
            batch.line("blank")
            return
        reason = parsed.reason or "garbage"
        if reason in ("fallback", "nul"):
            batch.fallbacks[reason] = batch.fallbacks.get(reason, 0) + 1
        else:
            digest = blake2b(raw, digest_size=16).digest()
            batch.bad.append(
                BadLine(
                    file=self.file,
                    offset=self.offset,
                    length=self.length,
                    hash=digest,
                    reason=reason,
                    recovered=len(parsed.records),
                )
            )
        batch.line("objects" if parsed.records else "bad")
        for record in parsed.records:
            self._guarded(record)
        if parsed.broken:
            batch.count("line", "quarantined")

    def _guarded(self, record: Record) -> None:
        """Derive one record; a rule that fails on it costs that record, never the file."""
        try:
            self._record(record)
        except Exception:
            self.batch.failures += 1
            self.batch.count(record.type if record.type in KNOWN_TYPES else "other", "quarantined")
            self.batch.bad.append(
                BadLine(
                    file=self.file,
                    offset=self.offset,
                    length=self.length,
                    hash=blake2b(self.raw, digest_size=16).digest(),
                    reason="derive",
                    recovered=0,
                )
            )

    def _record(self, record: Record) -> None:
        kind = record.type
        if kind == "assistant":
            self.stand(record)
            born = derive_reply(self, record)
        elif kind == "user":
            self.stand(record)
            born = derive_user(self, record)
        elif kind == "progress":
            self.stand(record)
            data = record.data
            born = derive_relayed(self, record) if data is not None and data.type == "agent_progress" else None
        elif kind == "system":
            self.stand(record)
            born = derive_system(self, record)
        elif kind in IGNORED:
            if record.sessionId is not None:
                self.stand(record)
            if kind == "permission-mode" and record.permissionMode:
                self.permission(record.permissionMode)
            born = None
        else:
            self.stand(record)
            born = self.unknown(kind or "untyped", record)
        label = kind if kind in KNOWN_TYPES else "other"
        if born is COUNTED:
            return
        if born is None:
            self.batch.count(label, "ignored")
        elif born:
            self.batch.births.append((label, born))
        else:
            self.batch.count(label, "merged")

    # ---- where a line stands -------------------------------------------------------------------------------------
