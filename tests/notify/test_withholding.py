"""Projects that forbid everything are named to nobody outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ccagent.alerts.rule import Scope
from ccagent.alerts.states import Reason, State
from ccagent.store.alert_rules import Origin, put_rule, remove_rule
from tests.notify.desk import RULE, Desk
from tests.notify.hooks import Hooks
from tests.sources.feed import Feed
from tests.transcripts import Session

GONE: dict[str, Any] = {"before": State.FIRING, "after": State.RESOLVED, "reason": Reason.RULE}


def project(tmp_path: Path, name: str, said: str) -> str:
    folder = tmp_path / name
    (folder / ".git").mkdir(parents=True)
    (folder / ".ccagent.toml").write_text(said)
    return str(folder)


def configured(at: Desk, hooks: Hooks) -> str:
    at.env = {"HOOK": hooks.url}
    return (
        f'[alerts]\ngroup_seconds = 0\n[alerts.channels.hook]\ntype = "webhook"\nurl = "{hooks.url}"\n'
        f'[alerts.channels.chat]\ntype = "slack"\nurl = "${{HOOK}}"\n'
    )


@pytest.mark.parametrize("channel", ["hook", "chat"])
def test_a_project_at_tier_0_is_left_out_and_the_others_are_told(
    at: Desk, hooks: Hooks, tmp_path: Path, channel: str
) -> None:
    at.happen(channel, subject=project(tmp_path, "yvprivate", "tier = 0\n"))
    at.happen(channel, subject=project(tmp_path, "ordinary", "tier = 1\n"))

    at.notifying(configured(at, hooks)).drain()

    (body,) = hooks.bodies
    assert b"ordinary" in body
    assert b"yvprivate" not in body
    assert sorted(at.states()) == ["dropped", "sent"]
    assert at.counted() == {({"hook": "webhook", "chat": "slack"}[channel], word): 1
                            for word in ("sent", "withheld")}  # fmt: skip


def test_nothing_is_sent_where_all_is_withheld(at: Desk, hooks: Hooks, tmp_path: Path) -> None:
    at.happen("hook", subject=project(tmp_path, "yvprivate", "tier = 0\n"))

    at.notifying(configured(at, hooks)).drain()

    assert hooks.bodies == []
    assert at.states() == ["dropped"]


def test_a_rule_over_everything_names_nobody_and_is_told(at: Desk, hooks: Hooks, tmp_path: Path) -> None:
    project(tmp_path, "yvprivate", "tier = 0\n")
    at.store.write(lambda conn: put_rule(conn, {**RULE, "scope": Scope.GLOBAL.value}, origin=Origin.CLI, now_ms=1))
    at.happen("hook", subject="")

    at.notifying(configured(at, hooks)).drain()

    assert len(hooks.bodies) == 1


@pytest.mark.parametrize("scope", [None, *(scope.value for scope in Scope if scope is not Scope.PROJECT)])
def test_a_private_project_stays_unnamed_when_its_rule_is_gone_or_looks_at_something_else(
    at: Desk, hooks: Hooks, tmp_path: Path, scope: str | None
) -> None:
    at.happen("hook", subject=project(tmp_path, "yvprivate", "tier = 0\n"))
    at.happen("hook", subject=str(tmp_path / "yvprivate"), **GONE)
    if scope is None:
        at.store.write(lambda conn: remove_rule(conn, "budget"))
    else:
        at.store.write(lambda conn: put_rule(conn, {**RULE, "scope": scope}, origin=Origin.CLI, now_ms=1))

    at.notifying(configured(at, hooks)).drain()

    assert hooks.bodies == []
    assert at.states() == ["dropped", "dropped"]


def test_a_feature_of_a_private_project_stays_unnamed_when_its_rule_is_gone(hooks: Hooks, tmp_path: Path) -> None:
    session = Session("one", cwd=project(tmp_path, "yvprivate", "tier = 0\n"), branch="feat/login-form")
    session.prompt("hello")
    session.request()
    feed = Feed(tmp_path / "alerts.db").read(session)
    at = Desk(store=feed.store, clock=feed.clock, folder=tmp_path)
    for feature in ("login-form", "another"):
        at.happen("hook", subject=feature)
        at.happen("hook", subject=feature, **GONE)
    at.store.write(lambda conn: remove_rule(conn, "budget"))

    at.notifying(configured(at, hooks)).drain()
    states = at.states()
    at.close()

    assert sorted(states) == ["dropped", "dropped", "sent", "sent"]
    assert {alert["subject"] for alert in hooks.alerts} == {"another"}
    assert not any(b"login-form" in body for body in hooks.bodies)
