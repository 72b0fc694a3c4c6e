"""How a quality run ended: by the exit code of its line where that proves it, else by its tool's own summary."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from ccagent.facts.model import Status
from ccagent.facts.quality.kinds import BUILD, DEPLOY, LINT, TYPE_CHECK
from ccagent.facts.quality.runs import Run, by_task
from ccagent.facts.quality.summaries import BY_OUTPUT, SILENT, Summary, read, readers, unprefixed

ANSI: Final = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Z0-9])")
"""Colours, cursor movements and titles."""

NOT_STARTED: Final = frozenset((126, 127))
"""Exit codes of a command that could not be started or was not found: nothing ran."""

NOTHING_TESTED: Final = frozenset((4, 5))
"""pytest's codes for wrong usage and for no test found."""

_UNREAD: Final = re.compile(
    r"(?:\S*sh: (?:-c: )?(?:eval: )?line \d+: (?:unexpected EOF|syntax error)|\(eval\):\d+: (?:parse error|unmatched))"
)
"""The shell could not read the line, so it ran none of it."""

_NO_OUTPUT: Final = frozenset(("", "(Bash completed with no output)", "(no output)", "(No content)"))
_EXIT_LINE: Final = re.compile(r"\A(?:Error: )?Exit code \d{1,3}(?:\n|\Z)")
_CUT: Final = re.compile(r"^<persisted-output>|\.\.\. \[\d+ (?:characters|lines) truncated\] \.\.\.", re.MULTILINE)
_GO_TEST: Final = re.compile(r"^--- (PASS|FAIL|SKIP): ", re.MULTILINE)


_UNCOUNTED: Final = {LINT: 0, TYPE_CHECK: 0, BUILD: -1, DEPLOY: -1}
"""Kinds whose summary need not be read after exit code 0, and the findings that they had."""


class Verdict(NamedTuple):
    """status: OK for pass, ERROR for fail, OPEN where neither is known; REJECTED, INTERRUPTED, TIMEOUT as the call's.
    Counts: -1 where the tool's summary does not name them."""

    status: Status
    passed: int = -1
    failed: int = -1
    skipped: int = -1


def judge(
    runs: tuple[Run, ...], status: Status, exit_code: int, output: str, *, whole: bool = True
) -> tuple[Verdict | None, ...]:
    """A verdict for each run of one call, None for one that never began. `whole`: the output is all there is.

    Rule: a call that was rejected, interrupted or ran out of time gives its own status to its runs (a summary that was
    written before stands). Else, in this order: exit code 0 is a pass if everything behind the run is joined by `&&`;
    another code is a fail if nothing else beside the run may have failed; the tool's summary line; no output at all,
    from a tool that is silent when all is well; a later run of the chain that began. Otherwise it is not known. Codes
    126 and 127, and 4 and 5 of pytest, say that nothing was tested. Nothing began where the client refused the call or
    the shell could not read the line.
    """
    if status in (Status.REJECTED, Status.INTERRUPTED):
        return tuple(Verdict(status) for _ in runs)
    if exit_code == 0 and status is Status.OK and settled(runs):
        return tuple(Verdict(Status.OK, failed=_UNCOUNTED[run.kind]) for run in runs)
    text = ANSI.sub("", output) if "\x1b" in output else output
    if "\r" in text:
        text = text.replace("\r", "")
    if text.startswith("<tool_use_error>"):
        return (None,) * len(runs)
    text = _EXIT_LINE.sub("", text)
    if exit_code > 0 and _UNREAD.match(text):
        return (None,) * len(runs)
    complete = whole and (("<persisted" not in text and "truncated]" not in text) or _CUT.search(text) is None)
    if any(run.filter for run in runs) or text.startswith("<persisted-output>"):
        shown = text.count("\n") + 1
        runs = tuple(_as_shown(run, shown, persisted=text.startswith("<persisted-output>")) for run in runs)
    found = _summaries(runs, text, complete)
    verdicts = [_verdict(run, summary, status, exit_code, text) for run, summary in zip(runs, found, strict=True)]
    return _chained(runs, verdicts)


def settled(runs: Iterable[Run]) -> bool:
    """Whether exit code 0 says all that is kept of these runs, so that their output need not be read."""
    return all(run.passes and run.kind in _UNCOUNTED and run.framework not in BY_OUTPUT for run in runs)


def _as_shown(run: Run, lines: int, *, persisted: bool) -> Run:
    """The run, with what the length of the output tells of its filter."""
    if persisted:
        return run._replace(filter="head", lines=0)
    if run.filter in ("head", "tail") and lines < run.lines:
        return run._replace(filter="")
    return run


def _summaries(runs: tuple[Run, ...], text: str, complete: bool) -> list[Summary | None]:
    """The summary of each run, where the output tells them apart."""
    if len(runs) == 1:  # nearly always
        (run,) = runs
        if not run.shown:
            return [None]
        names = readers(run.kind, run.framework, task=by_task(run.framework))
        return _read(names, runs, text, complete) or [None]
    found: list[Summary | None] = [None] * len(runs)
    groups: dict[tuple[str, ...], list[int]] = {}
    for index, run in enumerate(runs):
        if run.shown:
            groups.setdefault(readers(run.kind, run.framework, task=by_task(run.framework)), []).append(index)
    for names, members in groups.items():
        wanted = names
        if by_task(runs[members[0]].framework):  # which tools a task runs is not known, but not those beside it
            others = {name for other in groups if other != names for name in other}
            wanted = tuple(name for name in names if name not in others)
        said = _read(wanted, tuple(runs[index] for index in members), text, complete)
        for index, summary in zip(members, said, strict=False):
            found[index] = summary
    return found


def _read(names: tuple[str, ...], runs: tuple[Run, ...], text: str, complete: bool) -> list[Summary | None]:
    """The summaries of runs that the same readers read."""
    task = by_task(runs[0].framework)
    found: list[Summary | None] = []
    for run, summary in zip(
        runs, read(names, unprefixed(runs[0].framework, text) if task else text, len(runs), task=task), strict=False
    ):
        if summary.passes and summary.part and run.filter not in ("", "tail"):
            summary = summary._replace(passes=None)
        if complete and not run.filter and summary.passed < 0 and len(runs) == 1 and "--- " in text and "go" in names:
            summary = _go_counts(summary, text)
        found.append(summary)
    return found


def _go_counts(summary: Summary, text: str) -> Summary:
    """Tests that go test names line by line: all with -v, else only the failed ones."""
    said = _GO_TEST.findall(text)
    if "=== RUN " in text:
        return summary._replace(passed=said.count("PASS"), failed=said.count("FAIL"), skipped=said.count("SKIP"))
    return summary._replace(failed=said.count("FAIL")) if said else summary


def _verdict(run: Run, summary: Summary | None, status: Status, exit_code: int, text: str) -> Verdict:
    counts = summary[1:4] if summary is not None else (-1, -1, -1)
    passes = _passes(run, summary, status, exit_code, text)
    if passes and counts[1] < 0 and _UNCOUNTED.get(run.kind) == 0:
        counts = (-1, 0, -1)
    if passes is None and status is Status.TIMEOUT:
        return Verdict(status, *counts)
    return Verdict(Status.OPEN if passes is None else Status.OK if passes else Status.ERROR, *counts)


def _passes(run: Run, summary: Summary | None, status: Status, exit_code: int, text: str) -> bool | None:
    silent = run.framework in SILENT and run.shown and run.starts and run.filter != "other" and exit_code == 0
    quiet = text.strip() in _NO_OUTPUT
    if run.framework in BY_OUTPUT:
        return True if silent and quiet else False if silent and run.alone else None
    if status is not Status.TIMEOUT:
        if run.passes and exit_code == 0:
            return True
        if run.fails and exit_code > 0:
            if exit_code in NOT_STARTED or (run.framework == "pytest" and exit_code in NOTHING_TESTED):
                return None
            return False
    if summary is not None and summary.passes is not None:
        return summary.passes
    return True if silent and quiet else None


def _chained(runs: tuple[Run, ...], verdicts: list[Verdict]) -> tuple[Verdict | None, ...]:
    """What `&&` adds: a run that was followed by another has passed, and one behind a failed run never began."""
    known = list(verdicts)
    for index in range(len(runs) - 1, -1, -1):
        before = runs[index].after
        if before >= 0 and not runs[before].filter and known[before].status is Status.OPEN:
            began = known[index].status in (Status.OK, Status.ERROR)
            if began and runs[before].framework not in BY_OUTPUT:
                known[before] = known[before]._replace(status=Status.OK)
    result: list[Verdict | None] = []
    for index, verdict in enumerate(known):
        before = runs[index].after
        never = (
            before >= 0 and not runs[before].filter and (result[before] is None or known[before].status is Status.ERROR)
        )
        result.append(None if never else verdict)
    return tuple(result)
