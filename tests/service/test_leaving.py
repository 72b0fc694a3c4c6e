"""What leaves the machine as metrics: a project that stays adds nothing to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ccagent.export.privacy import PROJECT_FILE, Policy, TierResolver
from ccagent.metrics import names as metric
from ccagent.metrics.catalogue import METRICS
from ccagent.metrics.ledger import Exportable
from ccagent.metrics.snapshot import Family, Point, Snapshot
from ccagent.service.gauges import make_snapshot
from ccagent.service.leaving import Leaving
from ccagent.service.live import Live
from ccagent.service.measuring import Measuring
from ccagent.store import rollups
from ccagent.store.connection import Connection
from tests.service.test_measuring import ATLAS, OTHER, at_day, with_tasks, working
from tests.sources.feed import START_MS, Feed
from tests.transcripts import Session

pytestmark = pytest.mark.usefixtures("either_store")

UTC = ZoneInfo("UTC")
Values = dict[tuple[str, tuple[str, ...]], Any]


def public_one(cwd: str | None, project: str | None) -> bool:
    """Of these sessions one project may leave."""
    return cwd == project == OTHER


def taken(
    sessions: tuple[Session, ...], live: Live, *, exportable_only: bool, project_label: bool,
    leaves: Exportable = public_one,
) -> Values:  # fmt: skip
    """Values of all metrics of facts, after all was taken in live and rolled up."""
    feed = Feed(exportable=leaves)
    feed.store.catch_up_done()
    feed.read(*sessions)
    at_day(feed, 0, hour=23)
    while feed.tick():
        pass
    while feed.store.write(lambda conn: rollups.refresh(conn, UTC)):
        pass

    @contextmanager
    def reader() -> Iterator[Connection]:
        yield feed.store.conn

    live.caught_up = True
    measuring = Measuring(feed.store, reader, UTC, live, feed.clock, leaves, lambda: project_label)
    measuring.measure()
    found = make_snapshot(
        feed.store.conn, live, feed.store.database, feed.store.host_id, feed.clock.now_ms(), measured=measuring.found,
        project_label=project_label, exportable_only=exportable_only, exemplars=feed.store.exemplars.all(),
    )  # fmt: skip
    return {
        (family.spec.name, point.labels): (point.value, point.counts, point.sum, point.exemplars)
        for family in found.families
        for point in family.points
        if family.spec.from_facts
    }


def test_a_project_that_stays_adds_nothing_from_a_worktree_of_its_own(live: Live, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    worktree = repository / ".claude" / "worktrees" / "one"
    worktree.mkdir(parents=True)
    (worktree / ".git").write_text("gitdir: elsewhere\n")
    (repository / PROJECT_FILE).write_text("tier = 0\n")
    private, public = working("one", 0, cwd=str(worktree)), working("two", 0, cwd=OTHER)
    private.agent(agent_id="a1").request()
    tiers = TierResolver(1, lambda: 0, network_mounts=lambda: ())

    both, alone = (
        taken(sessions, live, exportable_only=True, project_label=False, leaves=tiers.allows)
        for sessions in ((private, public), (public,))
    )

    assert both == alone
    assert sum(value[0] for (name, _), value in alone.items() if name == metric.TOKENS) > 0


@pytest.mark.parametrize("project_label", [False, True])
def test_a_project_that_stays_adds_nothing_to_what_leaves(live: Live, project_label: bool) -> None:
    private, public = with_tasks()[0], (with_tasks()[1], working("three", -3, -2, -1, 0, cwd=OTHER))
    tool = private.launch(kind="explore")
    private.landed(tool, private.agent(agent_id="a1"), kind="explore")
    private.bash("ls")

    both, alone = (
        taken(sessions, live, exportable_only=True, project_label=project_label)
        for sessions in ((private, *public), public)
    )
    here = taken((private, *public), live, exportable_only=False, project_label=project_label)

    assert both == alone
    assert {name for name, _ in both} >= {metric.TOKENS, metric.SESSIONS_ACTIVE, metric.TASKS_KNOWN}
    assert {name for name, _ in here} - {name for name, _ in both} >= {metric.COST_BY_HOUR, metric.COST_FORECAST}
    assert sum(value[0] for (name, _), value in here.items() if name == metric.TOKENS) > sum(
        value[0] for (name, _), value in both.items() if name == metric.TOKENS
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("unknown", "number of atlas"),
        ("_overflow_", "number of atlas"),
        ("theirs", "number of atlas"),
        ("mine", "mine"),
    ],
)
def test_no_name_that_a_project_gives_itself_makes_one_series_of_two(name: str, shown: str) -> None:
    spec = METRICS[metric.TURNS]
    labels = ["atlas", "other", "unknown", "_overflow_"]
    points = tuple(Point((*["ok"] * (len(spec.labels) - 1), project), 1, 1) for project in labels)
    feed = Feed().read(working("one", 0, cwd=ATLAS), working("two", 0, cwd=OTHER))

    @contextmanager
    def reader() -> Iterator[Connection]:
        yield feed.store.conn

    def policy(cwd: str | None, project: str | None) -> Policy:
        return Policy(tier=1, project={ATLAS: name, OTHER: "theirs"}[str(project)])

    leaving = Leaving(reader, policy, lambda label: f"number of {label}")
    (family,) = leaving.renamed(Snapshot(families=(Family(spec=spec, points=points),)), START_MS).families

    other = "number of other" if name == "theirs" else "theirs"
    assert [point.labels[-1] for point in family.points] == [shown, other, "unknown", "_overflow_"]
