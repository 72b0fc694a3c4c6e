"""Messages as Slack's incoming webhooks take them: a line for notifications, and blocks within Slack's limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ccagent.alerts.figures import worded
from ccagent.alerts.message import Message, instant, reason_words
from ccagent.alerts.rendering import title
from ccagent.alerts.rule import Severity
from ccagent.alerts.states import State

BLOCKS: Final = 50
"""Blocks of one message (Slack's reference of block kit)."""

TEXT: Final = 3_000
"""Characters of a section's text."""

HEADER: Final = 150
"""Characters of a header's text, which is plain."""

CONTEXT: Final = 300
"""Characters of the small print, far below what Slack allows: keys and times."""

BLOCKS_EACH: Final = 2
MESSAGES: Final = (BLOCKS - 2) // BLOCKS_EACH
"""Messages that fit into one payload beside its header; more are told by their number."""

_SIGNS: Final = {
    Severity.CRITICAL: ":red_circle:",
    Severity.WARNING: ":large_orange_circle:",
    Severity.INFO: ":large_blue_circle:",
}
_RESOLVED: Final = ":white_check_mark:"


def payload(messages: Sequence[Message]) -> dict[str, Any]:
    """The JSON of one incoming-webhook call."""
    shown = messages[:MESSAGES]
    blocks: list[dict[str, Any]] = []
    if len(messages) > 1:
        blocks.append({"type": "header", "text": {"type": "plain_text", "text": _cut(title(messages), HEADER)}})
    for message in shown:
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": _section(message)}})
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": _small(message)}]})
    if len(messages) > len(shown):
        more = f"and {len(messages) - len(shown)} more; `ccagent alerts history` has all"
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": more}]})
    return {"text": _cut(escaped(title(messages)), TEXT), "blocks": blocks}


def _section(message: Message) -> str:
    sign = _RESOLVED if message.state is State.RESOLVED else _SIGNS[message.severity]
    # Cut before the marks are put around it, so that none of them is lost.
    head = f"{sign} *{_cut(escaped(message.summary), TEXT // 2)}*"
    lines = [head]
    if message.operator:
        lines.append(
            f"{message.metric}, {message.window}: {worded(message.value, message.unit)}"
            f" ({escaped(message.operator)} {worded(message.threshold, message.unit)})"
        )
    if message.why:
        lines.append(escaped(message.why))
    return _cut("\n".join(lines), TEXT)


def _small(message: Message) -> str:
    words = f"{message.severity.value} · {message.rule} · {instant(message.at)} · {escaped(reason_words(message))} · {message.key}"
    return _cut(words, CONTEXT)


def escaped(text: str) -> str:
    """Text in which nothing is a link, a mention or a mark of Slack's own."""
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\u200b{char}" if char in "*_~`" else char for char in plain)


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    kept = text[: limit - 1]
    # An escape is whole or is not there.
    start = kept.rfind("&")
    if start >= 0 and ";" not in kept[start:] and limit - start < 7:
        kept = kept[:start]
    return kept + "…"
