"""The rules that judge: where a fact says more than a line does, a function decides, and this is the list of them.

docs/rules.md has a row for each: what it decides, by which threshold, why, and how often it was wrong when people read
what it judged. The function's docstring says the same in short, after the word "Rule:".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

RULES: Final[Mapping[str, str]] = {
    "usage quality": "facts.settle.quality_of",
    "failure class": "facts.outcomes.tool_outcome",
    "retry": "facts.rework.again",
    "repeated call": "facts.rework.again",
    "loop": "facts.rework.again",
    "request stall": "facts.rework.request_stalled",
    "call stall": "facts.rework.call_stalled",
    "shell at its limit": "facts.rework.reached_limit",
    "rewritten file": "facts.rework.rewritten",
    "human wait": "sources.claude.calls.every_answer",
    "session kind": "sources.claude.lineage.trace",
    "orphaned, unresolved": "store.threads.threads",
    "parent of a copy": "facts.lineage.parent_of",
    "dangerous command": "facts.dangerous.dangerous",
    "quality run by a task's name": "facts.quality.tasks.task_kind",
    "outcome of a quality run": "facts.quality.verdicts.judge",
    "deleted file": "facts.deletions.deletions",
    "commit, printed line": "facts.commits.commits",
    "commit, shown hash": "facts.commits.commits",
    "commit attempt": "facts.commits.commits",
    "push": "facts.pushes.pushes",
    "work behind a delivery": "facts.cycle.cycle",
    "window of a request": "facts.windows.window",
    "cache miss": "facts.cache_miss.missed_tokens",
    "cause of a miss": "facts.cache_miss.likely_cause",
    "expired entry": "facts.cache_miss.has_expired",
    "inferred compaction": "facts.cache_miss.is_compaction",
    "local command": "facts.commands.command_end",
    "typed skill": "facts.skills.brings_skill",
    "same skill": "facts.skills.same_skill",
    "hook outcome": "facts.hooks.summary_outcomes",
    "task state": "facts.tasks.state_of",
    "task outcome": "facts.tasks.task_status",
    "feature of a branch": "facts.branches.branch_names",
    "feature of a document": "facts.documents.feature_of_path",
    "phase": "facts.documents.phase_in",
    "pull request in a command": "facts.evidence.of_shell",
    "project of a worktree": "facts.projects.project_of",
    "confidence of a feature": "facts.links.feature_confidence",
    "repository of a `.git` file": "worktrees.repository_of",
    "copied history of a Codex session": "sources.codex.standing.ancestor_of",
    "growth of a Codex total": "sources.codex.tokens.spent",
    "outcome of a Codex call": "facts.exec_output.exec_outcome",
    "command of a Codex call": "facts.exec_input.asked",
    "new tool": "facts.drift.tool_drift",
    "new name": "facts.drift.named",
    "shape": "facts.drift.shape",
}
"""Name of a rule, as docs/rules.md has it → module and function below `ccagent`."""
