"""Which feature and phase a planning document's path names."""

from __future__ import annotations

import pytest

from ccagent.facts.documents import feature_of_path, phase_in

DOCUMENTS = [
    ("docs/project_plans/PRDs/features/login-v1.md", "login"),
    ("docs/project_plans/implementation_plans/features/login-v1.md", "login"),
    ("docs/project_plans/implementation_plans/features/login-v1/phase-2-api.md", "login"),
    ("/repo/.claude/progress/login-v1/phase-1-progress.md", "login"),
    ("/repo/.claude/progress/login-v1/all-phases-progress.md", "login"),
    ("/repo/docs/plans/2026-02-02-shadow-branches.md", "shadow-branches"),
    ("/repo/docs/plans/shadow_branches_plan.md", "shadow-branches"),
    ("/repo/plans/telemetry-integration.md", "telemetry-integration"),
    ("/home/u/.claude/plans/calm-brave-owl.md", "calm-brave-owl"),
    ("/repo/specs/003-login/plan.md", "003-login"),
    ("/repo/specs/003-login/contracts/api.md", "api"),
    ("/repo/.kiro/specs/login-form/tasks.md", "login-form"),
    ("/repo/docs/requirements/one-to-one/review-01.md", "one-to-one"),
    ("/repo/docs/login_implementation_plan.md", "login"),
    ("/repo/notes/login-implementation-plan-v2.md", "login"),
    ("/repo/prd-login-form.md", "login-form"),
    ("C:\\repo\\docs\\plans\\login-form.md", "login-form"),
    ("docs/plans/Login Form.MD", "login-form"),
]

OTHERS = [
    "/repo/README.md",
    "/repo/docs/architecture/wingman.md",
    "/repo/docs/plans/login.py",  # a plan is a text
    "/repo/docs/plans/*.md",  # a pattern names no document
    "/repo/docs/plans/{a,b}.md",
    "/repo/docs/plans/README.md",  # no name of its own, and none above it
    "/repo/docs/implementation-plan.md",
    "/repo/plan.md",
    "/repo/node_modules/x/specs/y.md",
    "/home/u/.claude/plugins/cache/p/specs/reviewer.md",
    "/repo/.claude/skills/planner/plans/example.md",
    "/repo/docs/plans/2026.md",  # nothing but a number
    "docs/plans/" + "x" * 2_000 + ".md",
    "",
]

PHASES = [
    ("docs/plans/login/phase-2-api.md", "2"),
    ("docs/x.md phase 12", "12"),
    ("Phase: 3", None),
    ("PHASE_04", "4"),
    ("phase2", "2"),
    ("phases 2", None),
    ("multiphase 2", None),
    ("phase 2nd", None),
    ("phase two", None),
    ("phase 1234", None),
    ("", None),
]


@pytest.mark.parametrize(("path", "feature"), DOCUMENTS)
def test_a_planning_document_names_its_feature(path: str, feature: str) -> None:
    assert feature_of_path(path) == feature


@pytest.mark.parametrize("path", OTHERS)
def test_any_other_path_names_none(path: str) -> None:
    assert feature_of_path(path) is None


@pytest.mark.parametrize(("text", "phase"), PHASES)
def test_a_phase_is_the_word_and_a_number(text: str, phase: str | None) -> None:
    assert phase_in(text) == phase
