"""What branches name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccagent.facts.branches import Named, branch_names

NAMED = [
    ("feat/login-form", Named("login-form")),
    ("alex/ent-109-text-output", Named("text-output", "ENT-109")),
    ("alex/ENT-109", Named("ent-109", "ENT-109")),
    ("issue-307-provenance", Named("provenance", "#307")),
    ("fix/12-crash-at-start", Named("crash-at-start", "#12")),
    ("003-login", Named("003-login")),
    ("20260205-secrets", Named("secrets")),
    ("2026-02-05_secrets", Named("secrets")),
    ("user/audit-github-issues-9c825f", Named("audit-github-issues")),
    ("claude/fix-login-011CUxyzABCDefghIJKLmnop", Named("fix-login")),
    ("worktree-calm-owl", Named("calm-owl")),
    ("spotter-a0y", Named("spotter-a0y")),
    ("feature/login-phase-2", Named("login-phase-2", None, "2")),
    ("python-3-upgrade", Named("python-3-upgrade")),
    ("sha-256-hashes", Named("sha-256-hashes")),
    ("login-v2", Named("login")),
    ("feat/plan", Named()),
]

NOTHING = [
    "main", "master", "HEAD", "develop", "release/1.2", "dependabot/npm/x-1.2.3", "worktree-agent-a1b2c3d4", "temp",
    "", "/", "2026-02-05", "42", "wip", "gh-pages", "renovate/all",
]  # fmt: skip


@pytest.mark.parametrize(("branch", "named"), NAMED)
def test_a_branch_names_a_feature_a_ticket_and_a_phase(branch: str, named: Named) -> None:
    assert branch_names(branch) == named


@pytest.mark.parametrize("branch", NOTHING)
def test_trunks_releases_and_updates_name_nothing(branch: str) -> None:
    assert branch_names(branch) == Named()


@given(st.text(max_size=400))
def test_any_text_is_answered(branch: str) -> None:
    named = branch_names(branch)

    assert named.feature is None or (named.feature == named.feature.lower() and "/" not in named.feature)
