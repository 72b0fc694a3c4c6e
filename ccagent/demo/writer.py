"""Invents a past week of work and one live session, so that every table and panel has something to show.

Pure: sessions come from a seed and a time, nothing is written. All that can be read of it says that it is a demo:
project names begin with `demo-`, texts tell nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ccagent.demo.lines import Ids, Json, Usage, text, thinking, tool_use
from ccagent.demo.transcript import Session

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

DAYS: Final = 7
"""The past week, so that a weekly rollup and its predecessor both have entries."""

SESSIONS_A_DAY: Final = (2, 5)
TURNS_A_SESSION: Final = (2, 7)
REQUESTS_A_TURN: Final = (2, 7)

LAST_END_MS: Final = 5 * MINUTE_MS
"""The past ends this long before now: the live session alone is live."""

UNPRICED_MODEL: Final = "demo-model-without-price"
CURRENT_CLIENT: Final = "2.1.229"
OLDER_CLIENT: Final = "2.1.30"
"""Its generation never completed the output counts, so part of its usage is a placeholder."""

OLDER_SHARE: Final = 0.2
PLACEHOLDER_SHARE: Final = 0.6
TOOL_ERROR_SHARE: Final = 0.08
REJECTED_SHARE: Final = 0.02
RETRY_SHARE: Final = 0.05
FAILURE_SHARE: Final = 0.01
SUBAGENT_SHARE: Final = 0.18
INTERRUPT_SHARE: Final = 0.05

FIRST_CONTEXT: Final = (14_000, 26_000)
COMPACTION_AT: Final = 150_000
CONTEXT_AFTER_COMPACTION: Final = 22_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """An invented project: its folder, its branches, and the models used there with their weights."""

    cwd: str
    branches: tuple[str, ...]
    models: tuple[str, ...]
    weights: tuple[int, ...]


PROJECTS: Final = (
    Project(cwd="/home/demo/demo-atlas", branches=("main", "feature/demo-map"),
            models=("claude-opus-4-6", "claude-sonnet-4-6"), weights=(3, 2)),
    Project(cwd="/home/demo/demo-harbour", branches=("main", "fix/demo-tide"),
            models=("claude-sonnet-4-6", "claude-haiku-4-5-20251001"), weights=(4, 1)),
    Project(cwd="/home/demo/demo-quill", branches=("main",),
            models=("claude-opus-4-6", UNPRICED_MODEL), weights=(1, 1)),
)  # fmt: skip

TOOLS: Final = ("Bash", "Read", "Edit", "Grep", "Write", "mcp__demo-tracker__get_issue")
TOOL_WEIGHTS: Final = (34, 30, 18, 10, 5, 3)
AGENT_KINDS: Final = ("Explore", "Plan", "general-purpose")
AGENT_MODEL: Final = "claude-haiku-4-5-20251001"
PROMPTS: Final = (
    "Please look at the demo once more.",
    "Make the demo faster.",
    "Write a test for the demo.",
    "Why does the demo fail here?",
    "Go on.",
)


def past_week(now_ms: int, seed: int = 1) -> list[Session]:
    """The sessions of the seven days before `now_ms` (UTC), all ended, in the order of their starts."""
    sessions = []
    for day in range(DAYS, 0, -1):
        ids = Ids(f"demo-{seed}-{day}")
        start = now_ms - day * DAY_MS
        for _ in range(ids.random.randint(*SESSIONS_A_DAY)):
            start += round(ids.random.uniform(0.3, 3.5) * HOUR_MS)
            session = _session(ids, start, now_ms - LAST_END_MS)
            if session.lines:
                sessions.append(session)
    return sessions


def _session(ids: Ids, start_ms: int, end_ms: int) -> Session:
    """One session; the turns that would end after `end_ms` are left out."""
    choice = ids.random
    project = choice.choice(PROJECTS)
    session = Session(
        cwd=project.cwd,
        branch=choice.choice(project.branches),
        version=OLDER_CLIENT if choice.random() < OLDER_SHARE else CURRENT_CLIENT,
        model=choice.choices(project.models, project.weights)[0],
        start=start_ms,
        ids=ids,
    )
    worker = Worker(session)
    for _ in range(choice.randint(*TURNS_A_SESSION)):
        kept, agents = len(session.lines), len(session.agents)
        worker.turn()
        if session.now > end_ms:
            del session.lines[kept:], session.agents[agents:]
            break
        session.wait(choice.randint(10_000, 6 * MINUTE_MS))
    return session


class Worker:
    """Plays one session turn by turn and keeps the size of its context."""

    __slots__ = ("choice", "context", "session")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.choice = session.ids.random
        self.context = self.choice.randint(*FIRST_CONTEXT)

    def turn(self) -> None:
        """A prompt and what follows from it."""
        session, choice = self.session, self.choice
        session.prompt(choice.choice(PROMPTS))
        began = session.now
        for _ in range(choice.randint(*REQUESTS_A_TURN)):
            self._trouble()
            if choice.random() < SUBAGENT_SHARE / 4:
                self._subagent()
            else:
                self._tool()
            if self.context > COMPACTION_AT:
                session.compaction(self.context)
                self.context = CONTEXT_AFTER_COMPACTION
        if choice.random() < INTERRUPT_SHARE:
            session.record("user", {"message": {"role": "user", "content": [text("[Request interrupted by user]")]}})
            return
        session.assistant(
            thinking("A demo thinks nothing."),
            text("The demo is done."),
            usage=self.usage(),
            placeholder=self._placeholder(),
            after_ms=choice.randint(2_000, 9_000),
        )
        session.turn_duration(session.now - began)

    def usage(self) -> Usage:
        """Counters of the next request: what the context holds is read from the cache, what is new is written."""
        written = self.choice.randint(300, 6_000)
        output = self.choice.randint(60, 1_400)
        read, self.context = self.context, self.context + written + output
        long_lived = written if self.choice.random() < 0.3 else 0
        return Usage(
            input=self.choice.randint(1, 40),
            output=output,
            cache_read=read,
            cache_write=written,
            cache_write_1h=long_lived,
            thinking=output // 4,
        )

    def _placeholder(self) -> bool:
        return self.session.version == OLDER_CLIENT and self.choice.random() < PLACEHOLDER_SHARE

    def _trouble(self) -> None:
        lot = self.choice.random()
        if lot < RETRY_SHARE:
            for attempt in range(1, self.choice.randint(2, 4)):
                self.session.api_error(attempt=attempt, wait_ms=500.0 * 2**attempt)
                self.session.wait(500 * 2**attempt)
        elif lot < RETRY_SHARE + FAILURE_SHARE:
            self.session.api_failure()

    def _tool(self) -> None:
        session, choice = self.session, self.choice
        name = choice.choices(TOOLS, TOOL_WEIGHTS)[0]
        lot = choice.random()
        if lot < REJECTED_SHARE:
            session.rejected(name)
        elif name == "Edit":
            session.edit(
                f"{session.cwd}/demo.py", added=choice.randint(1, 30), removed=choice.randint(0, 12), usage=self.usage()
            )
        elif name == "Bash":
            failed = lot < REJECTED_SHARE + TOOL_ERROR_SHARE * 2
            session.bash(
                "make demo", exit_code=1 if failed else 0, took_ms=choice.randint(200, 40_000), usage=self.usage()
            )
        else:
            failed = lot < REJECTED_SHARE + TOOL_ERROR_SHARE / 2
            output = "<tool_use_error>File does not exist.</tool_use_error>" if failed else "demo"
            session.tool(
                name, {"file_path": f"{session.cwd}/demo.py"}, output, is_error=failed or None,
                took_ms=choice.randint(20, 1_500), usage=self.usage(), placeholder=self._placeholder(),
            )  # fmt: skip

    def _subagent(self) -> None:
        session = self.session
        kind = self.choice.choice(AGENT_KINDS)
        task = session.launch(kind=kind, words="Look into the demo.", usage=self.usage())
        child = session.agent(model=AGENT_MODEL)
        child.prompt("Look into the demo.")
        inner = Worker(child)
        inner.context = 6_000
        for _ in range(self.choice.randint(1, 5)):
            child.tool("Grep", {"pattern": "demo"}, "demo", usage=inner.usage(), took_ms=400)
        child.assistant(text("Nothing but a demo."), usage=inner.usage())
        session.landed(task, child, kind=kind, context=inner.context)


def live_session(now_ms: int, seed: int = 1) -> Session:
    """One session that begins at `now_ms` and takes about half a minute; each line is to be written at its `at_ms`."""
    project = PROJECTS[0]
    session = Session(
        cwd=project.cwd,
        branch=project.branches[1],
        version=CURRENT_CLIENT,
        model=project.models[0],
        start=now_ms,
        ids=Ids(f"demo-live-{seed}-{now_ms}"),
    )
    worker = Worker(session)
    worker.context = FIRST_CONTEXT[0]
    session.prompt("Show me that the demo is alive.", after_ms=200)
    began = session.now
    read = session.ids.tool()
    call: Json = {"file_path": f"{session.cwd}/demo.py"}
    session.assistant(
        thinking("A demo thinks nothing."), text("Reading."), tool_use(read, "Read", call), usage=worker.usage(),
        after_ms=2_500, step_ms=700,
    )  # fmt: skip
    session.result(read, "demo", details={"type": "text"})
    session.edit(call["file_path"], added=12, removed=3, usage=worker.usage())  # type: ignore[arg-type]
    session.bash("make demo", exit_code=1, took_ms=1_800, usage=worker.usage())
    task = session.launch(kind="Explore", words="Look into the demo.", usage=worker.usage())
    child = session.agent(model=AGENT_MODEL)
    child.prompt("Look into the demo.", after_ms=300)
    child.tool("Grep", {"pattern": "demo"}, "demo", usage=Usage(input=3, output=90, cache_write=5_000), took_ms=600)
    child.assistant(text("Nothing but a demo."), usage=Usage(input=3, output=140, cache_read=5_000), after_ms=3_000)
    session.landed(task, child, kind="Explore")
    session.bash("make demo", took_ms=2_200, usage=worker.usage())
    session.assistant(text("The demo is alive."), usage=worker.usage(), after_ms=3_000)
    session.turn_duration(session.now - began)
    return session
