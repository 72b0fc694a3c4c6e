"""Records of a sub-agent that the main file relays inside `agent_progress`.

They repeat what the sub-agent's own file says, and are the only source where that file is missing; so they merge
under the same keys, at the lowest rank.
"""

from __future__ import annotations

from ccagent.facts.model import Rank
from ccagent.facts.partial import NO_TIME, Partial
from ccagent.facts.times import parse_ms
from ccagent.sources.claude.lines import decode
from ccagent.sources.claude.records import Record, RelayedRecord
from ccagent.sources.claude.replies import SYNTHETIC, reply_facts
from ccagent.sources.claude.standing import Standing
from ccagent.sources.claude.users import tool_results


def derive_relayed(deriver: Standing, record: Record) -> tuple[Partial, ...] | None:
    """Facts of one agent_progress line; None where it relays no message."""
    data = record.data
    if data is None:
        return None
    agent = data.agentId
    if agent is not None:
        deriver.touch_agent(agent, deriver.at, Rank.RELAYED)
        if record.parentToolUseID is not None:
            deriver.batch.link(agent, record.parentToolUseID)
            call = deriver.carry.calls.get(record.parentToolUseID)
            if call is not None:
                call.side = agent
                if call.agent_type is not None:
                    run = deriver.touch_agent(agent, deriver.at, Rank.RELAYED)
                    if run.label is None or call.agent_type > run.label:
                        run.label = call.agent_type
    relayed = decode(RelayedRecord, data.message)
    if relayed is None or relayed.message is None:
        return None
    outer = deriver.at
    own = parse_ms(relayed.timestamp)
    if own is not None:
        deriver.at = own
    try:
        context = deriver.context(Rank.RELAYED, agent)
        message = relayed.message
        if relayed.type == "user":
            return tool_results(deriver, message, context, Rank.RELAYED, direct=False) or None
        if relayed.type != "assistant" or not message.id or message.model == SYNTHETIC:
            return None
        native = message.id if relayed.requestId else f"{deriver.carry.session or ''}/{message.id}"
        return reply_facts(deriver, message, native, context, Rank.RELAYED, 0, None)
    finally:
        deriver.at = outer if outer != NO_TIME else deriver.at
