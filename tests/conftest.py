"""What every test shares: an environment of its own, a Postgres server, and the corpus where there is one."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.pg import Server, unavailable

CORPUS_VARIABLE = "CCAGENT_TEST_CORPUS"
NO_SKIPS_VARIABLE = "CCAGENT_NO_SKIPS"
OWN_VARIABLES = (CORPUS_VARIABLE, NO_SKIPS_VARIABLE, "CCAGENT_KILLS")

# A slow or shared machine must not turn a right answer into a failure; times are measured by benchmarks.
settings.register_profile("ccagent", deadline=None)
settings.load_profile("ccagent")


@pytest.fixture(autouse=True, scope="session")
def environment_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test sees or touches the configuration, database or transcripts of whoever runs it."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("CCAGENT_", "CODEX_", "OTEL_", "XDG_", "CLAUDE_", "PG")) and name not in OWN_VARIABLES:
                patch.delenv(name)
        patch.delenv("COLUMNS", raising=False)
        patch.setenv("HOME", str(home))
        yield


@pytest.fixture(autouse=True)
def nothing_left_in_the_repository(pytestconfig: pytest.Config) -> Iterator[None]:
    """What a test writes lies in folders of its own. (Names with a dot are pytest's and its plugins'.)"""
    root = pytestconfig.rootpath
    before = set(root.iterdir())
    yield
    left = {path.name for path in root.iterdir() if path not in before and not path.name.startswith(".")}
    assert {name for name in left if not name.endswith(".egg-info")} - {"build", "dist"} == set()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """With `-n auto` one worker more than cores: tests wait for real processes a good part of their time."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked `corpus` skip, with the reason, where no corpus is named; see also `_not_on_postgres`."""
    left_out = [item for item in items if _not_on_postgres(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    if os.environ.get(CORPUS_VARIABLE):
        return
    absent = pytest.mark.skip(reason=f"{CORPUS_VARIABLE} names no corpus of real transcripts")
    for item in items:
        if item.get_closest_marker("corpus"):
            item.add_marker(absent)


def _not_on_postgres(item: pytest.Item) -> bool:
    """Whether a test that runs on either store is for SQLite only: it says so, or it is a property whose hundreds of
    examples take minutes on a server, and this is not the full run."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    if params.get("either_store") != "postgres":
        return False
    long = getattr(getattr(item, "obj", None), "is_hypothesis_test", False) and not os.environ.get(NO_SKIPS_VARIABLE)
    return long or item.get_closest_marker("sqlite") is not None


def pytest_collection_finish() -> None:
    """What the collected tests consist of is no garbage: a store that tidies up collects without walking over it."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Libraries that look for leaks at the end find none."""
    gc.unfreeze()


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Folder of the real transcripts: `projects/` and `truth.json`."""
    folder = os.environ.get(CORPUS_VARIABLE)
    if not folder:
        pytest.skip(f"{CORPUS_VARIABLE} names no corpus of real transcripts")
    return Path(folder)


@pytest.fixture(scope="session")
def corpus_files(corpus: Path) -> dict[str, bytes]:
    """Path below `projects/` → bytes of each transcript, in the order of the paths."""
    root = corpus / "projects"
    found = sorted(path for path in root.rglob("*.jsonl") if path.name != "journal.jsonl")
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


@pytest.fixture(scope="session")
def corpus_feed(corpus_files: dict[str, bytes]) -> Iterator[Any]:
    """A store that has taken in all of them, one by one. It is everybody's: ask it, and write nothing."""
    from tests.sources.feed import Feed, on_sqlite

    # It may be made for a test on Postgres, and outlives that test's database.
    with on_sqlite():
        feed = Feed()
    for path, data in corpus_files.items():
        feed.take((path, data))
    yield feed
    feed.close()


@pytest.fixture(scope="session")
def pg_server() -> Iterator[Server]:
    """A running Postgres server that all tests share: make databases and roles in it, but do not stop it."""
    if reason := unavailable():
        pytest.skip(reason)
    with Server() as server:
        yield server


@pytest.fixture
def pg_database(pg_server: Server) -> Iterator[str]:
    """URL of a new, empty database."""
    with pg_server.database() as url:
        yield url


@pytest.fixture(scope="session")
def served(pg_server: Server) -> Iterator[Any]:
    """Places for feeds in Postgres."""
    from tests.sources.feed import Served

    places = Served(pg_server)
    yield places
    places.close()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def either_store(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs a module's tests once with feeds on SQLite and once with feeds on Postgres."""
    from tests.sources.feed import served_by

    if request.param == "sqlite":
        yield "sqlite"
        return
    with served_by(request.getfixturevalue("served")):
        yield "postgres"


@pytest.fixture
def own_pg_server() -> Iterator[Server]:
    """A running Postgres server of the test's own, which it may stop, restart and fill."""
    if reason := unavailable():
        pytest.skip(reason)
    with Server() as server:
        yield server


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Stores that feeds left open in Postgres are closed."""
    if "either_store" in getattr(item, "fixturenames", ()):
        from tests.sources.feed import end_of_test

        end_of_test()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    """Where CCAGENT_NO_SKIPS is set, a test that skips fails: everything it needs ought to be there."""
    report = yield
    if os.environ.get(NO_SKIPS_VARIABLE) and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped although {NO_SKIPS_VARIABLE} is set: {call.excinfo and call.excinfo.value}"
    return report
