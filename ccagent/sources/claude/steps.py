"""The steps of a response: most have one, and a response that waits for an advisor, or compacts first, has several.

`usage` at the top is the sum of the steps of type `message`, so its prompt was sent that many times. Steps of other types
are billed beside it or not at all.
"""

from __future__ import annotations

from typing import Final

from ccagent.sources.claude.records import Iteration, Usage

BESIDE: Final = frozenset(("advisor_message", "compaction"))
"""Steps that are billed and not in the sum: an advisor's, and the summary that the API itself makes of a conversation
that became too long. A declined attempt (`fallback_message` stands for the other one) is not billed."""

_REPLY: Final = "message"
_COMPACTION: Final = "compaction"


def prompt_of(step: Usage | Iteration) -> int:
    """Tokens that were sent: plain input, read from the cache and written to it."""
    return (step.input_tokens or 0) + (step.cache_read_input_tokens or 0) + (step.cache_creation_input_tokens or 0)


def longest_prompt(usage: Usage) -> int | None:
    """Tokens of the longest prompt of a response that was made in several steps; None of one step, or where the steps are
    not what the top sums up."""
    prompts = [prompt_of(step) for step in usage.iterations or () if step.type == _REPLY]
    return max(prompts) if len(prompts) > 1 and sum(prompts) == prompt_of(usage) else None


def ends_of(usage: Usage) -> tuple[Usage | Iteration, Usage | Iteration]:
    """What tells the first and the last prompt of a response: its first and last step, or the top where it has but one."""
    steps = [step for step in usage.iterations or () if step.type in (_REPLY, _COMPACTION)]
    sent = sum(prompt_of(step) for step in steps if step.type == _REPLY)
    return (steps[0], steps[-1]) if len(steps) > 1 and sent == prompt_of(usage) else (usage, usage)
