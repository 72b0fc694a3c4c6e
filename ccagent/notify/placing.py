"""What of a message may leave by OTLP: the tiers of the work that it tells of decide, as for everything that is sent there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ccagent.alerts.budgets import BUDGET_PROJECT
from ccagent.alerts.message import Message, summed_up
from ccagent.alerts.metrics import tells_of_ccagent
from ccagent.alerts.rule import Scope
from ccagent.export.privacy import Policy, TierResolver, anonymous

Folder = tuple[str | None, str | None]
"""Where work was done: the folder, and the path of its project."""

UNNAMED: Final = "project"
"""In the place of a project's name that may not leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A message as it may leave, and what may be said of its project and its owner."""

    message: Message
    project: str | None = None
    team: str | None = None
    identity: str | None = None


def place(message: Message, folders: Sequence[Folder], tiers: TierResolver) -> Placed | None:
    """The message without what the tiers keep back; None where nothing of it may leave.

    Work of several folders is as private as the most private of them; a project is named as its own folder, the first,
    says. A rule over everything says that it fires, and no amount, where any project is at tier 0: its amount would be in
    the sum. What the daemon tells of itself is nobody's work. Where work is not known to have been done anywhere nothing
    leaves.
    """
    policies = [tiers.policy(cwd, project) for cwd, project in folders]
    withheld = any(policy.tier == 0 for policy in policies)
    if message.scope is Scope.GLOBAL:
        # Personal tier 0 is no project's: without any tier there is no destination.
        policy = tiers.policy(None, None)
        if policy.tier == 0:
            return None
        identity = policy.identity if all(one.identity for one in policies) else None
        whole = message
        if withheld and not tells_of_ccagent(message.metric):
            whole = replace(message, value=None, threshold=None, operator="", template="")
        return Placed(message=reworded(whole, "", ()), identity=identity)
    if withheld or not policies:
        return None
    policy = min(policies, key=lambda one: one.tier)
    namers = policies[:1] if message.scope is Scope.PROJECT else policies
    common = namers[0].project if all(one.project == namers[0].project for one in namers) else None
    subject = message.subject
    if message.scope is Scope.PROJECT:
        subject = common or UNNAMED
    elif message.scope is Scope.FEATURE:
        # A feature may be named as a branch or a document is.
        subject = anonymous(message.place, tiers.key or "")
    return Placed(
        message=reworded(message, subject, (message.subject,) if message.scope is not Scope.SESSION else ()),
        project=common, team=_team(namers), identity=policy.identity if message.scope is not Scope.FEATURE else None,
    )  # fmt: skip


def reworded(message: Message, subject: str, names: tuple[str, ...]) -> Message:
    """The message with another name for its subject, also where the rule's own words hold the name."""
    hidden = [name for name in (*names, *message.named) if name and name != subject]

    def hide(text: str) -> str:
        for name in hidden:
            instead = (subject if name in names else UNNAMED).replace("\\", r"\\")
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", instead, text, flags=re.IGNORECASE)
        return text

    # Its id is left alone unless the rule was made for certain projects: the ids of the built-in rules are plain words.
    rule = hide(message.rule) if message.named else message.rule
    if rule.startswith(f"{BUDGET_PROJECT}-"):
        rule = BUDGET_PROJECT  # what follows is made of the project's name
    name = hide(message.name) if message.named else message.name
    return summed_up(
        replace(
            message, subject=subject, rule=rule, name=name, template=hide(message.template), why="", labels=(), place=""
        )
    )


def _team(policies: Sequence[Policy]) -> str | None:
    teams = {policy.team for policy in policies}
    return teams.pop() if len(teams) == 1 else None
